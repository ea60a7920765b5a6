import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { generate, generatedFiles, isStale } from '../../src/cli/generate.ts'
import { z } from '../../src/core/schema.ts'
import { readYaml } from '../../src/io/config/read-yaml.ts'

/** The published schema, put to use as an editor would. */
const published = z.fromJSONSchema(JSON.parse(readFileSync(new URL('../../config/gateway.schema.json', import.meta.url), 'utf8')))

function readValue(url: URL): unknown {
  const source = readYaml(readFileSync(url, 'utf8'))
  return source.ok ? source.value.value : undefined
}

describe('generated files', () => {
  for (const file of generatedFiles())
    it(`${file.name} is not stale`, () => {
      expect(isStale(file), 'run `npm run generate`').toBe(false)
    })

  it('are only looked at with --check', () => {
    const said: string[] = []
    const sink = { write: (text: string) => said.push(text) }
    expect(generate({ check: true }, { stdout: sink, stderr: sink })).toBe(0)
    expect(said).toEqual([])
  })

  it('tell every key of the config: what it is for, and its default where it has one', () => {
    const walk = (schema: { properties?: object; items?: object; description?: string }, path: string): string[] =>
      Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
        ...(child.description === undefined ? [`${path}${key}`] : []),
        ...walk(child, `${path}${key}.`),
        ...walk(child.items ?? {}, `${path}${key}[].`),
      ])
    const [config] = generatedFiles()
    const schema = JSON.parse(config?.text ?? '{}')
    expect(schema.title).toBe('Sallyport configuration')
    expect(schema.properties.listen.properties.proxy.default).toBe('127.0.0.1:3128')
    expect(schema.properties.clients.properties.allow.default).toEqual(['127.0.0.0/8', '::1/128'])
    expect(schema.properties.rules.default).toEqual([])
    expect(walk(schema, '')).toEqual([])
  })
})

describe('the published config schema', () => {
  it('accepts the shipped config', () => {
    expect(published.safeParse(readValue(new URL('../../config/gateway.yaml', import.meta.url))).success).toBe(true)
  })

  it('accepts what the gateway accepts: upper case in names', () => {
    expect(published.safeParse({ rules: [{ name: 'Corp-Git', hosts: ['git.example.com'] }] }).success).toBe(true)
  })

  /** What only the gateway itself can judge: text in a notation of its own, and what stands elsewhere in the file. */
  const BEYOND_A_SCHEMA = [
    'dns-servers-by-name',
    'every-account-unacknowledged',
    'hooks-that-are-not-there',
    'hosts-that-are-no-hosts',
    'lint-warnings-beside-errors',
    'listen-addresses-that-cannot-be-bound',
    'groups-at-odds',
    'listeners-on-one-port',
    'min-ttl-above-max-ttl',
    'passwords-in-the-clear',
    'parents-that-are-this-gateway',
    'paths-of-addresses',
    'pins-that-lead-nowhere',
    'rules-at-odds-with-themselves',
    'rules-by-address',
    'subnet-exceptions-that-cannot-be',
    'transparent-listeners-that-clash',
    'unknown-edition',
    'unknown-feature',
  ]
  const folder = new URL('../io/config/broken/', import.meta.url)
  for (const name of readdirSync(folder)) {
    const kind = name.replace('.yaml.txt', '')
    const value = readValue(new URL(name, folder))
    if (value !== undefined && !BEYOND_A_SCHEMA.includes(kind))
      it(`refuses ${kind.replaceAll('-', ' ')}`, () => {
        expect(published.safeParse(value).success).toBe(false)
      })
  }
})
