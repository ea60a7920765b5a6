import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigSource } from '../../../src/io/config/config-source.ts'
import { formatProblem, loadConfig } from '../../../src/io/config/load.ts'
import { recordReads, replayReads } from '../../../src/io/file-reads.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-include-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function put(files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return join(folder, 'gateway.yaml')
}

const rule = (name: string, host = `${name}.example.com`) => `  - { name: ${name}, hosts: [${host}] }\n`
const rules = (...names: readonly string[]) => `rules:\n${names.map((name) => rule(name)).join('')}`

async function rulesOf(file: string): Promise<readonly string[]> {
  const loaded = await loadConfig(file)
  if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join('\n'))
  return loaded.value.config.rules.map(({ name }) => name)
}

async function problemsOf(file: string): Promise<readonly string[]> {
  const loaded = await loadConfig(file)
  return loaded.ok ? [] : loaded.error.map((one) => formatProblem(one).replaceAll(`${folder}/`, ''))
}

describe('include', () => {
  it("adds rules after the config file's own, by file name where `*` finds several, and no file twice", async () => {
    const file = put({
      'gateway.yaml': `include: [last.yaml, "rules.d/*.yaml", rules.d/b.yaml]\n${rules('own')}`,
      'last.yaml': rules('named-first'),
      'rules.d/b.yaml': rules('b1', 'b2'),
      'rules.d/a.yaml': rules('a'),
      'rules.d/.hidden.yaml': rules('hidden'),
      'rules.d/notes.txt': 'no rules at all',
      'rules.d/empty.yaml': '# a team without rules\n',
    })
    expect(await rulesOf(file)).toEqual(['own', 'named-first', 'a', 'b1', 'b2'])
  })

  it('lets a folder without files be, and makes rules of included files alone', async () => {
    const file = put({ 'gateway.yaml': 'include: ["rules.d/*.yaml"]\n', 'rules.d/readme.txt': '' })
    expect(await rulesOf(file)).toEqual([])
    put({ 'rules.d/a.yaml': rules('a') })
    expect(await rulesOf(file)).toEqual(['a'])
  })

  it('tells every rule by its own file and line', async () => {
    const file = put({ 'gateway.yaml': `include: [team.yaml]\n${rules('own')}`, 'team.yaml': `# ours\n${rules('a', 'b')}` })
    const loaded = await loadConfig(file)
    expect(loaded.ok && [...loaded.value.rulePlaces]).toEqual([
      ['rule/own', { file, line: 3 }],
      ['rule/a', { file: join(folder, 'team.yaml'), line: 3 }],
      ['rule/b', { file: join(folder, 'team.yaml'), line: 4 }],
    ])
  })

  it('changes the content hash with any of its files', async () => {
    const file = put({ 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': rules('a') })
    const before = await loadConfig(file)
    put({ 'team.yaml': `${rules('a')}# word\n` })
    const after = await loadConfig(file)
    expect(before.ok && after.ok && before.value.contentHash !== after.value.contentHash).toBe(true)
  })

  it('is read again from what was recorded, whatever stands in the files by then', async () => {
    const file = put({ 'gateway.yaml': 'include: ["rules.d/*.yaml"]\n', 'rules.d/a.yaml': rules('a') })
    const recorded = new Map<string, unknown>()
    await loadConfig(file, recordReads(recorded))
    put({ 'rules.d/a.yaml': 'broken: [', 'rules.d/b.yaml': rules('b') })
    const loaded = await loadConfig(file, replayReads(structuredClone(recorded)))
    expect(loaded.ok && loaded.value.config.rules.map(({ name }) => name)).toEqual(['a'])
  })
})

describe('an include that cannot be used', () => {
  it.each([
    ['a file that is not there', { 'gateway.yaml': 'include: [team.yaml]\n' }, ['team.yaml: there is no such file']],
    [
      'a folder that is not there',
      { 'gateway.yaml': 'cloud: public\ninclude: ["rules.d/*.yaml"]\n' },
      ['gateway.yaml:2:11: `rules.d/*.yaml`: there is no such folder'],
    ],
    [
      'a `*` for folders',
      { 'gateway.yaml': 'include: ["teams/*/rules.yaml"]\n' },
      ['gateway.yaml:1:11: `teams/*/rules.yaml`: `*` stands for a part of a file name, not of a folder; write `folder/*.yaml`'],
    ],
    ['itself', { 'gateway.yaml': 'include: ["*.yaml"]\n' }, ['gateway.yaml:1:10: the config file includes itself']],
    [
      'what is not rules',
      { 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': `mode: report\nrule: []\n` },
      [
        'team.yaml:1:1: an included file has `rules` and nothing else, found `mode`; everything else belongs into the config file',
        'team.yaml:2:1: an included file has `rules` and nothing else, found `rule`; did you mean `rules`?',
      ],
    ],
    [
      'a bare list',
      { 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': '- a\n' },
      ['team.yaml:1:1: an included file is a mapping with `rules:` and the list under it'],
    ],
    [
      'rules that are no list',
      { 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': 'rules: {}\n' },
      ['team.yaml:1:8: `rules` wants a list'],
    ],
    [
      'broken YAML',
      { 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': 'rules: [\n' },
      [expect.stringMatching(/^team\.yaml:\d+:\d+: /)],
    ],
    [
      'an included file that includes',
      { 'gateway.yaml': 'include: [team.yaml]\n', 'team.yaml': 'include: [other.yaml]\n' },
      [
        'team.yaml:1:1: an included file has `rules` and nothing else, found `include`; everything else belongs into the config file',
      ],
    ],
  ])('is refused with its place: %s', async (_, files, expected) => {
    expect(await problemsOf(put(files as Record<string, string>))).toEqual(expected)
  })

  it('is refused where the mistake stands: in the included file, at its own line', async () => {
    const file = put({
      'gateway.yaml': `include: [team.yaml]\n${rules('own')}`,
      'team.yaml': 'rules:\n  - { name: a, host: [a.example.com] }\n  - { name: own, hosts: [b.example.com] }\n',
    })
    expect(await problemsOf(file)).toEqual(['team.yaml:2:16: unknown key `host`; did you mean `hosts`?'])
    put({ 'team.yaml': `rules:\n${rule('a')}${rule('own', 'b.example.com')}` })
    expect(await problemsOf(file)).toEqual([expect.stringMatching(/^team\.yaml:3:13: .*`own`/)])
  })
})

describe('a watched config', () => {
  it('notices a file that a pattern finds newly, and the mending of one that was broken from the start', async () => {
    const file = put({ 'gateway.yaml': 'include: ["rules.d/*.yaml"]\n', 'rules.d/a.yaml': 'rules: [' })
    const source = new ConfigSource(file)
    expect((await source.load()).ok).toBe(false)
    const changes: (() => void)[] = []
    source.watch(() => changes.shift()?.())
    try {
      const mended = new Promise<void>((resolve) => changes.push(resolve))
      put({ 'rules.d/a.yaml': rules('a') })
      await mended
      expect((await source.load()).ok).toBe(true)
      const added = new Promise<void>((resolve) => changes.push(resolve))
      put({ 'rules.d/b.yaml': rules('b') })
      await added
      const loaded = await source.load()
      expect(loaded.ok && loaded.value.config.rules.length).toBe(2)
    } finally {
      source.stop()
    }
  })
})
