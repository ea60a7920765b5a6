import { describe, expect, it } from 'vitest'
import { formatProblem, printable } from '../../../src/io/config/located-problem.ts'

describe('formatProblem', () => {
  const place = { line: 14, column: 12 }
  it('puts file, line and column first, as editors and terminals link them', () => {
    expect(formatProblem({ file: 'config/gateway.yaml', place, severity: 'error', message: 'wrong' })).toBe(
      'config/gateway.yaml:14:12: wrong',
    )
  })
  it('marks a warning', () => {
    expect(formatProblem({ file: 'a.yaml', place, severity: 'warning', message: 'odd' })).toBe('a.yaml:14:12: warning: odd')
  })
  it('leaves the place out where it is the whole file', () => {
    expect(formatProblem({ file: 'a.yaml', severity: 'error', message: 'there is no such file' })).toBe(
      'a.yaml: there is no such file',
    )
  })
  it('bounds what a file can put on the terminal', () => {
    expect(formatProblem({ file: 'a.yaml', place, severity: 'error', message: 'x'.repeat(5000) }).length).toBeLessThan(2100)
  })
})

describe('printable', () => {
  const cases = [
    { text: 'für', shown: 'für', because: 'letters are letters' },
    { text: 'a\nb', shown: 'a\\u000ab', because: 'a line break forges a line' },
    { text: '\u001b[31m', shown: '\\u001b[31m', because: 'an escape sequence colours the terminal' },
    { text: '\u009b31m', shown: '\\u009b31m', because: 'C1 has an escape of its own' },
    { text: 'a\u202eb', shown: 'a\\u202eb', because: 'a bidirectional mark turns the text around' },
    { text: 'a\u2028b', shown: 'a\\u2028b', because: 'a line separator is a line break to some' },
    { text: '\ud800', shown: '\\ud800', because: 'a lone surrogate is no character' },
  ]
  for (const { text, shown, because } of cases)
    it(`shows ${shown}: ${because}`, () => {
      expect(printable(text)).toBe(shown)
    })
})
