import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { configSchema } from '../../src/core/config.ts'
import { compilePolicy } from '../../src/core/policy/compile.ts'
import { decide } from '../../src/core/policy/decide.ts'
import { digest } from '../../src/io/config/digest.ts'
import { formatProblem } from '../../src/io/config/load.ts'
import { readYaml } from '../../src/io/config/read-yaml.ts'
import { schemaProblems } from '../../src/io/config/schema-problems.ts'
import { authorityOf } from '../support/policy.ts'
import { fuzz } from './fuzz-run.ts'

const SHIPPED = readFileSync(new URL('../../config/gateway.yaml', import.meta.url), 'utf8')
const FULL = `cloud: public
mode: report
workspace: { regions: [eastus2], storageAccounts: [examplestore], privateEndpoints: ["10.0.1.0/24"] }
listen: { proxy: "0.0.0.0:3128", admin: { address: "127.0.0.1:9465" } }
clients: { allow: ["10.0.0.0/8", "::1/128"] }
rules:
  - name: models
    hosts: ["raw.example.com", "*.lab.example.com", "*example.org", "10.1.2.3"]
    ports: [443, 8443]
    paths: ["/team/*", "/a/*/b"]
    methods: [GET, HEAD]
  - { name: no, hosts: [gist.example.com], action: deny, quiet: true }
destinations: { privateRanges: ["10.30.0.0/16"], pin: { "git.example.com": "10.20.0.7:8443" } }
dns: { servers: ["10.0.0.4"], timeoutMs: 2000 }
audit: { file: "-", clients: hash }
limits: { tunnels: 100, headSeconds: 1.5 }
`

interface Change {
  readonly at: number
  readonly remove: number
  readonly insert: string
}

const insert = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\n',
    '  - ',
    ': ',
    '"',
    "'",
    '[',
    ']',
    '{',
    '}',
    '#',
    '*',
    '&a ',
    '*a',
    '!!js ',
    '|',
    '>',
    '~',
    '-1',
    '1e9',
    '0',
  ),
  fc.constantFrom(
    '__proto__: 1\n',
    'constructor: {}\n',
    'rules: []\n',
    '\t',
    '\u2028',
    '\u0000',
    '\ufeff',
    '---\n',
    '? ',
    '<<: ',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const change = fc.record<Change>({ at: fc.nat(4_000), remove: fc.nat(12), insert })
const changed = (text: string, { at, remove, insert }: Change): string => {
  const place = at % text.length
  return text.slice(0, place) + insert + text.slice(place + remove)
}
const mangled = fc
  .tuple(fc.constantFrom(SHIPPED, FULL, FULL), fc.array(change, { maxLength: 3 }))
  .map(([sample, changes]) => changes.reduce((text, one) => (text === '' ? one.insert : changed(text, one)), sample))

/** What is shown of a file in trouble: one printable line each. */
function expectShown(lines: readonly string[]): void {
  expect(lines.length).toBeGreaterThan(0)
  for (const line of lines) expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
}

const AUTHORITY = authorityOf('raw.example.com:443')

describe('a config file', () => {
  fuzz(
    'whatever is in it, becomes a policy that decides, or problems with places',
    fc.property(mangled, (text) => {
      const source = readYaml(text)
      if (!source.ok) return expectShown(source.error.map((one) => formatProblem({ file: 'f.yaml', severity: 'error', ...one })))
      const parsed = configSchema.safeParse(source.value.value ?? {}, { reportInput: true })
      if (!parsed.success) {
        const problems = schemaProblems(parsed.error.issues, source.value.written)
        return expectShown(
          problems.map(({ path, at, ...one }) => formatProblem({ file: 'f.yaml', place: source.value.locate(path, at), ...one })),
        )
      }
      const compiled = compilePolicy({ config: parsed.data, editions: [], known: [], digest })
      if (compiled.ok) expect(['allow', 'inspect', 'deny']).toContain(decide(compiled.value.policy, AUTHORITY).verdict)
      else expectShown(compiled.error.map(({ message }) => message.replaceAll('\n', '')))
    }),
    { share: 0.01 },
  )
})
