import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readShippedYaml, readYaml, type YamlSource } from '../../../src/io/config/read-yaml.ts'

function source(text: string): YamlSource {
  const read = readYaml(text)
  if (!read.ok) throw new Error(JSON.stringify(read.error))
  return read.value
}

/** Every message as `line:column: message`. */
function problems(text: string): string[] {
  const read = readYaml(text)
  return read.ok ? [] : read.error.map(({ place, message }) => `${place.line}:${place.column}: ${message}`)
}

describe('readYaml', () => {
  const values = [
    { text: '', value: null, because: 'an empty file has no value' },
    { text: '# only a comment\n', value: null, because: 'a comment is none either' },
    { text: 'editions: [2021-07-29]', value: { editions: ['2021-07-29'] }, because: 'YAML 1.2 has no dates' },
    { text: 'r: yes', value: { r: 'yes' }, because: 'YAML 1.2 has no other truths than true and false' },
    { text: 'port: 010', value: { port: 10 }, because: 'YAML 1.2 writes octal as 0o' },
    { text: '443: x', value: { '443': 'x' }, because: 'a key is text' },
    { text: 'a: &x [1]\nb: *x', value: { a: [1], b: [1] }, because: 'an alias is what it stands for' },
    { text: 'a: 1\r\nb: 2\r\n', value: { a: 1, b: 2 }, because: 'Windows ends its lines so' },
    { text: 'a: "\\u0000"', value: { a: '\u0000' }, because: 'an escape is for the schema to judge' },
  ]
  for (const { text, value, because } of values)
    it(`reads ${JSON.stringify(text)}: ${because}`, () => {
      expect(source(text).value).toEqual(value)
    })

  const refusals = [
    { text: '\ufeffcloud: public', problem: '1:1: the file begins with a byte order mark; save it as UTF-8 without one' },
    { text: 'a: 1\nb: \u0007\n', problem: '2:4: the file has a control character here (`\\u0007`); take it out' },
    { text: 'a:\n  - x\n\t- y\n', problem: '3:1: a tab indents this line; use spaces' },
    { text: 'a: 1\na: 2\n', problem: '2:1: the key `a` is here twice; keep one' },
    { text: '"a b": 1\n"a b": 2\n', problem: '2:1: the key `"a b"` is here twice; keep one' },
    {
      text: 'a: 1\n...\nb: 2\n',
      problem: '3:1: a second document begins here; a config file is one document, so take the `---` out',
    },
    { text: 'a: *b\n', problem: '1:4: `*b` is read as a YAML alias; to mean the text, put it in quotes: "*b"' },
    { text: 'a: {<<: {b: 1}}\n', problem: '1:5: merge keys (`<<`) are not read; write the keys out' },
    { text: `a: ${'['.repeat(200_000)}`, problem: /^1:\d+: this is nested too deeply$/ },
    { text: '- '.repeat(200_000), problem: /^1:\d+: this is nested too deeply$/ },
    { text: '? '.repeat(200_000), problem: /^1:\d+: this is nested too deeply$/ },
    {
      text: Array.from({ length: 500 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
      problem: /^\d+:\d+: this is nested too deeply$/,
    },
    { text: 'a: {b: 1', problem: '1:9: `{` is not closed; close it, or indent the lines inside' },
    { text: 'a: "\\q"', problem: '1:5: `\\\\q` is no escape in double quotes; use single quotes' },
    { text: 'a: [1 2, "b" c]', problem: '1:14: a `,` is missing between two items' },
    { text: 'a: "b"#c', problem: '1:7: a comment needs a space before its `#`; to mean the text, put it in quotes' },
    { text: 'a:\n  - b\n  c\n', problem: '3:1: this line is indented differently from its neighbours' },
    { text: 'a: b: c', problem: /^1:4: a value with `: ` in it/ },
    { text: 'a: 1\nb\n', problem: '2:1: a key without its `:`; write `key: value`' },
    { text: 'a: !!binary aGk=', problem: /^1:\d+: the tag `tag:yaml.org,2002:binary` has no meaning here; leave it out$/ },
  ]
  for (const { text, problem } of refusals)
    it(`refuses ${JSON.stringify(text.slice(0, 40))} with the place and the remedy`, () => {
      const [first] = problems(text)
      if (typeof problem === 'string') expect(first).toBe(problem)
      else expect(first).toMatch(problem)
    })

  it('reports at most ten syntax errors: the rest are echoes', () => {
    expect(problems('a: @x\n'.repeat(50))).toHaveLength(10)
  })

  it('neither throws nor repeats a raw control character, whatever the text', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ab:-[]{}"\'\n\t &*!|>%@`#,?~\u0000\u001b\u2028\ud800<'), maxLength: 60 })
    fc.assert(
      fc.property(text, (one) => {
        for (const problem of problems(one)) expect(problem).toMatch(/^\d+:\d+: [\x20-\x7e]+$/)
      }),
      { seed: 20210729, numRuns: 3_000 },
    )
  })
})

describe('where something stands', () => {
  const yaml = source(
    [
      'cloud: public',
      'rules:',
      '  - name: git',
      '    hosts: [a.example.com, "b.example.com"]',
      '  - *x',
      'mode:',
      '"quoted key": 07',
    ]
      .join('\n')
      .replace('*x', '{ name: two }'),
  )
  const places = [
    { path: ['cloud'], at: 'key', place: '1:1' },
    { path: ['cloud'], at: 'value', place: '1:8' },
    { path: ['rules', 0], at: 'value', place: '3:5' },
    { path: ['rules', 0, 'hosts', 1], at: 'value', place: '4:28' },
    { path: ['rules', 1, 'name'], at: 'value', place: '5:13' },
    { path: ['quoted key'], at: 'key', place: '7:1' },
    { path: ['mode'], at: 'value', place: '6:1', because: 'a value that is not written is at its key' },
    { path: ['rules', 0, 'ports'], at: 'value', place: '3:5', because: 'what a rule lacks is at the rule' },
    { path: ['cloud', 'x', 'y'], at: 'value', place: '1:1', because: 'text has nothing under it, so its key it is' },
    { path: ['rules', 7], at: 'value', place: '2:1', because: 'what a list lacks is at the list' },
    { path: ['workspace', 'regions'], at: 'value', place: '1:1', because: 'what the file lacks is at its beginning' },
    { path: [], at: 'value', place: '1:1' },
  ] as const
  for (const one of places)
    it(`is ${one.place} for the ${one.at} of \`${one.path.join('.')}\`${'because' in one ? `: ${one.because}` : ''}`, () => {
      const { line, column } = yaml.locate(one.path, one.at)
      expect(`${line}:${column}`).toBe(one.place)
    })

  it('follows an alias to what it stands for', () => {
    expect(source('a: &x { b: 1 }\nc: *x\n').locate(['c', 'b'], 'value')).toEqual({ line: 1, column: 12 })
  })

  it('gives a scalar as it is written', () => {
    expect(yaml.written(['quoted key'])).toBe('07')
    expect(yaml.written(['rules', 0, 'hosts', 1])).toBe('b.example.com')
    expect(yaml.written(['rules'])).toBeUndefined()
    expect(yaml.written(['nowhere'])).toBeUndefined()
  })
})

describe('readShippedYaml', () => {
  it('throws with the file and the place: a damaged package is no mistake of the operator', () => {
    expect(() => readShippedYaml('a: [', 'config/hints.yaml')).toThrow(/^config\/hints\.yaml:1:5: /)
  })
})
