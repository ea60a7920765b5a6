import { describe, expect, it } from 'vitest'
import { checkHead, fieldValue, type HeadLimits, pathOf, type RequestHead } from '../../../src/core/wire/request-head.ts'

const LIMITS: HeadLimits = { targetBytes: 8192, headBytes: 16_384, headFields: 200 }

function checked(head: Partial<RequestHead>): string {
  const result = checkHead({ method: 'GET', target: '/', httpVersion: '1.1', rawHeaders: ['Host', 'h'], ...head }, LIMITS)
  if (!result.ok) return `${result.error.reason}: ${result.error.detail}`
  return result.value.kind === 'length' ? `length ${result.value.bytes}` : result.value.kind
}

const withFields = (...fields: readonly string[]) => checked({ method: 'POST', rawHeaders: ['Host', 'h', ...fields] })

describe('the framing of a body', () => {
  const CASES: readonly (readonly [fields: readonly string[], expected: string, because: string])[] = [
    [[], 'none', 'without a field there is no body'],
    [['Content-Length', '0'], 'length 0', 'a stated length'],
    [['content-length', '42'], 'length 42', 'field names have no case'],
    [['Content-Length', '007'], 'length 7', 'leading zeros are digits (RFC 9110 section 8.6)'],
    [['Transfer-Encoding', 'chunked'], 'chunked', 'the one coding that is carried'],
    [
      ['Content-Length', '4', 'Transfer-Encoding', 'chunked'],
      'malformed_request: both Content-Length and Transfer-Encoding',
      'the next hop may believe the other one (case 1)',
    ],
    [
      ['Transfer-Encoding', 'chunked', 'Content-Length', '0'],
      'malformed_request: both Content-Length and Transfer-Encoding',
      'in either order, and with no length at all (case 1)',
    ],
    [
      ['Content-Length', '4', 'Content-Length', '4'],
      'malformed_request: more than one Content-Length',
      'even equal ones (case 1)',
    ],
    [
      ['Content-Length', '4', 'content-length', '5'],
      'malformed_request: more than one Content-Length',
      'different ones (case 1)',
    ],
    [['Content-Length', '4, 4'], 'malformed_request: Content-Length is not a number', 'repeated in one field (case 1)'],
    [['Content-Length', ''], 'malformed_request: Content-Length is not a number', 'empty (case 1)'],
    [['Content-Length', '+4'], 'malformed_request: Content-Length is not a number', 'a sign (case 1)'],
    [['Content-Length', '-1'], 'malformed_request: Content-Length is not a number', 'a sign'],
    [['Content-Length', '0x10'], 'malformed_request: Content-Length is not a number', 'hexadecimal (case 1)'],
    [['Content-Length', '1e3'], 'malformed_request: Content-Length is not a number', 'an exponent'],
    [['Content-Length', '4 '], 'malformed_request: Content-Length is not a number', 'a space that the parser left'],
    [['Content-Length', '\u0664'], 'malformed_request: Content-Length is not a number', 'a digit of another script'],
    [['Content-Length', '9'.repeat(15)], `length ${'9'.repeat(15)}`, 'as long as a number is exact'],
    [['Content-Length', '9'.repeat(16)], 'malformed_request: Content-Length is not a number', 'longer it overflows'],
    [['Transfer-Encoding', ',chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'Node takes it (case 2)'],
    [['Transfer-Encoding', 'xchunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'near miss (case 2)'],
    [['Transfer-Encoding', 'chunked '], 'malformed_request: Transfer-Encoding is not `chunked`', 'near miss (case 2)'],
    [['Transfer-Encoding', 'Chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'odd case (case 2)'],
    [['Transfer-Encoding', 'CHUNKED'], 'malformed_request: Transfer-Encoding is not `chunked`', 'odd case (case 2)'],
    [['Transfer-Encoding', 'gzip, chunked'], 'malformed_request: Transfer-Encoding is not `chunked`', 'another coding'],
    [
      ['Transfer-Encoding', 'chunked, chunked'],
      'malformed_request: Transfer-Encoding is not `chunked`',
      'repeated in one (case 2)',
    ],
    [['Transfer-Encoding', 'identity'], 'malformed_request: Transfer-Encoding is not `chunked`', 'long gone from HTTP'],
    [['Transfer-Encoding', ''], 'malformed_request: Transfer-Encoding is not `chunked`', 'empty'],
    [
      ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'],
      'malformed_request: more than one Transfer-Encoding',
      'repeated (case 2)',
    ],
    [['Transfer-Encoding ', 'chunked'], 'malformed_request: a field name is not a token', 'a space before the colon (case 2)'],
  ]
  for (const [fields, expected, because] of CASES)
    it(`${expected}: ${JSON.stringify(fields)}, ${because}`, () => expect(withFields(...fields)).toBe(expected))

  it('of HTTP/1.0 is never chunked', () => {
    expect(checked({ httpVersion: '1.0', rawHeaders: ['Transfer-Encoding', 'chunked'] })).toBe(
      'malformed_request: Transfer-Encoding in HTTP/1.0',
    )
  })

  it('does not exist on CONNECT (case 7)', () => {
    const connect = (...fields: readonly string[]) =>
      checked({ method: 'CONNECT', target: 'h:443', rawHeaders: ['Host', 'h', ...fields] })
    expect(connect()).toBe('none')
    expect(connect('Content-Length', '0')).toBe('length 0')
    expect(connect('Content-Length', '1')).toBe('malformed_request: CONNECT with a body')
    expect(connect('Transfer-Encoding', 'chunked')).toBe('malformed_request: CONNECT with a body')
  })
})

describe('the Host field (case 11)', () => {
  const CASES: readonly (readonly [version: string, fields: readonly string[], expected: string])[] = [
    ['1.1', ['Host', 'h'], 'none'],
    ['1.1', ['hOST', 'other'], 'none'],
    ['1.1', [], 'malformed_request: HTTP/1.1 without Host'],
    ['1.1', ['Host', 'h', 'Host', 'h'], 'malformed_request: more than one Host'],
    ['1.1', ['Host', 'h', 'host', 'other'], 'malformed_request: more than one Host'],
    ['1.0', [], 'none'],
    ['1.0', ['Host', 'h'], 'none'],
    ['1.0', ['Host', 'h', 'Host', 'h'], 'malformed_request: more than one Host'],
  ]
  for (const [httpVersion, rawHeaders, expected] of CASES)
    for (const method of ['GET', 'CONNECT'])
      it(`${method} in HTTP/${httpVersion} with ${JSON.stringify(rawHeaders)} is ${expected}`, () => {
        expect(checked({ method, target: 'h:443', httpVersion, rawHeaders })).toBe(expected)
      })
})

describe('the bytes of a head (case 4)', () => {
  const NUL = 'malformed_request: control character in the value of a field'
  const TOKEN = 'malformed_request: a field name is not a token'
  const CASES: readonly (readonly [name: string, value: string, expected: string])[] = [
    ['X-A', 'plain', 'none'],
    ['X-A', 'tab\tinside', 'none'],
    ['X-A', 'caf\u00e9', 'none'],
    ['X-A', '', 'none'],
    ["!#$%&'*+-.^_`|~09az", 'every character of a token', 'none'],
    ['X-A', 'nul\0', NUL],
    ['X-A', 'cr\rx', NUL],
    ['X-A', 'lf\nx', NUL],
    ['X-A', 'fold\r\n x', NUL],
    ['X-A', 'esc\u001b[2J', NUL],
    ['X-A', 'del\u007f', NUL],
    ['', 'x', TOKEN],
    ['X A', 'x', TOKEN],
    ['X-A ', 'x', TOKEN],
    ['X:A', 'x', TOKEN],
    ['X\0A', 'x', TOKEN],
    ['X(A)', 'x', TOKEN],
    ['X\u00e9', 'x', TOKEN],
    ['X-\u212aey', 'x', TOKEN],
  ]
  for (const [name, value, expected] of CASES)
    it(`${JSON.stringify(name)}: ${JSON.stringify(value)} is ${expected}`, () => expect(withFields(name, value)).toBe(expected))

  for (const target of ['/a b', '/a\tb', '/a\0b', '/a\rb', '/a\nb', '/a\x7fb', 'http://h/\u001b[2J', ' /a'])
    it(`the target ${JSON.stringify(target)} is no target`, () => {
      expect(checked({ target })).toBe('malformed_request: control character or space in the target')
    })

  for (const httpVersion of ['0.9', '1.2', '2.0', '', '1.1 '])
    it(`HTTP/${httpVersion} is not spoken`, () => {
      expect(checked({ httpVersion })).toBe('malformed_request: only HTTP/1.0 and HTTP/1.1 are spoken here')
    })
})

describe('the size of a head (case 33)', () => {
  const fields = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => [`X-${at}`, 'v']).flat()

  it('has a limit for the target', () => {
    expect(checked({ target: `/${'a'.repeat(8191)}` })).toBe('none')
    expect(checked({ target: `/${'a'.repeat(8192)}` })).toBe('target_too_long: more than 8192 bytes')
    expect(checked({ target: `/${'a'.repeat(70_000)}` })).toBe('target_too_long: more than 8192 bytes')
  })

  it('has a limit for the number of fields', () => {
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(199)] })).toBe('none')
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(200)] })).toBe('head_too_large: more than 200 fields')
    expect(checked({ rawHeaders: ['Host', 'h', ...fields(20_000)] })).toBe('head_too_large: more than 200 fields')
  })

  it('has a limit for their bytes, as they stand on the wire', () => {
    const rest = 16_384 - 'Host: h\r\n'.length - 'X-A: \r\n'.length
    expect(withFields('X-A', 'a'.repeat(rest))).toBe('none')
    expect(withFields('X-A', 'a'.repeat(rest + 1))).toBe('head_too_large: more than 16384 bytes of fields')
    expect(withFields('X-Forwarded-For', '10.0.0.1, '.repeat(1_700))).toBe('head_too_large: more than 16384 bytes of fields')
  })
})

describe('a field or a path', () => {
  it('is found whatever its case', () => {
    expect(fieldValue(['A', '1', 'Expect', '100-continue'], 'expect')).toBe('100-continue')
    expect(fieldValue(['A', 'expect'], 'expect')).toBeUndefined()
  })

  it('ends at the query', () => {
    expect(pathOf('/a?b?c')).toBe('/a')
    expect(pathOf('/a')).toBe('/a')
    expect(pathOf('?b')).toBe('')
  })
})
