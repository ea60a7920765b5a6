import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { statementsOf } from '../../src/cli/doc-statements.ts'
import { NOT_AVAILABLE_YET } from '../../src/core/config/not-available-yet.ts'
import { sallyport } from '../cli/cli-run.ts'
import { configFrom, EDITIONS } from '../support/policy.ts'
import { page, ROOT, tableUnder } from './pages.ts'

const edition = EDITIONS.find(({ id }) => id === '2021-07-29')
if (edition === undefined) throw new Error('edition 2021-07-29 is not shipped')
const statements = statementsOf(edition)
const AZURE = page('docs/azure.md')

/** The lines of the document that say something, from its title on. */
const LINES =
  '16 18 20-21 23-31 33 35 37 39-42 44 46 48 50 52 54-55 57 59 61 63 65 67-73 75-79 81-82 84 86 88 90 92-93 95 97-100 102 104 106 108 110-118 120-123 125 127-128 130-140 143 145 147 149 151 153-154 156-158 160-161 163 165 167 169 171 173-177 179 181-182 184-193 195 197-202 204-205 207 209-214 216-219 221 223 225-226 228 230 232-233 235-241 243 245 247-248 250-252 254 256 258 260 262-263 265-268 270 272 274-279 281'
    .split(' ')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, at) => first + at)
    })

describe('where each statement of the document went', () => {
  it('is told for every line that says something', () => {
    const told = new Set(
      statements.flatMap(({ lines: [first, last] }) => Array.from({ length: last - first + 1 }, (_, at) => first + at)),
    )
    expect(LINES.filter((line) => !told.has(line))).toEqual([])
  })

  it('is told once: no two ranges overlap, but for lines that several rows share', () => {
    for (const [at, { lines }] of statements.entries()) {
      const next = statements[at + 1]
      if (next !== undefined) expect(next.lines[0], `after lines ${lines.join('-')}`).toBeGreaterThan(lines[1])
    }
  })

  it('is what docs/azure.md shows, row by row', () => {
    expect(tableUnder(AZURE, '## Statements').map(([lines = '']) => lines)).toEqual(
      statements.map(({ lines: [first, last] }) => (first === last ? String(first) : `${first}-${last}`)),
    )
  })

  for (const { lines, home } of statements)
    it(`lines ${lines.join('-')} lead to something that is there: ${JSON.stringify(home)}`, async () => {
      if ('section' in home) {
        const { text } = page(`docs/${home.page ?? 'azure.md'}`)
        expect(text).toMatch(new RegExp(`^##+ ${home.section.replace(/[^A-Za-z0-9 ]/g, '.')}$`, 'm'))
      } else if ('entry' in home) {
        const rows = edition.hosts.map(({ feature, id }) => `${feature}/${id}`)
        expect(rows).toEqual(expect.arrayContaining(home.entry))
      } else if ('setting' in home) {
        expect(NOT_AVAILABLE_YET).not.toContain(home.setting)
        const [top = '', key] = home.setting.split('.')
        const config: Readonly<Record<string, unknown>> = configFrom({})
        expect(Object.keys(config)).toContain(top)
        if (key !== undefined) expect(Object.keys(config[top] ?? {})).toContain(key)
      } else {
        const [, command = ''] = home.command.split(' ')
        expect((await sallyport(['help', command])).code, home.command).toBe(0)
      }
    })
})

/** Each oddity of the document: the sentence of docs/azure.md about it, and the test that holds what follows from it. */
const ODDITIES: readonly {
  readonly about: string
  readonly sentence: RegExp
  readonly held?: readonly [file: string, test: string]
}[] = [
  { about: 'bare suffixes', sentence: /Bare suffixes/, held: ['test/catalogue/rows-2021.test.ts', 'resolves a bare suffix'] },
  {
    about: '`*pytorch.org` without a dot',
    sentence: /evilpytorch\.org/,
    held: ['test/catalogue/near-misses-for-all-clouds.ts', 'evilpytorch.org'],
  },
  {
    about: 'a path among hosts',
    sentence: /A path in a list of hosts/,
    held: ['test/catalogue/rows-2021.test.ts', 'has one row with a path'],
  },
  {
    about: 'a condition inside a purpose',
    sentence: /A condition inside a purpose/,
    held: ['test/catalogue/rows-2021.test.ts', 'python-files'],
  },
  {
    about: 'portal and Resource Manager',
    sentence: /Portal and Resource Manager/,
    held: ['test/catalogue/doc-2021.ts', 'management.azure.us'],
  },
  {
    about: 'graph.windows.net twice',
    sentence: /`graph\.windows\.net`/,
    held: ['test/catalogue/doc-2021.ts', 'also in the table of line 200'],
  },
  {
    about: '`*.batchai.ml.azure.cn`',
    sentence: /`\*\.batchai\.ml\.azure\.cn`/,
    held: ['test/catalogue/golden.test.ts', 'golden'],
  },
  { about: 'blank cells', sentence: /Blank cells/, held: ['test/catalogue/rows-2021.test.ts', 'the blank cell stays blank'] },
  {
    about: 'public names in all clouds',
    sentence: /Public names in all clouds/,
    held: ['test/catalogue/golden.test.ts', 'golden'],
  },
  {
    about: 'ports in one place',
    sentence: /18881 and 8787/,
    held: ['test/catalogue/rows-2021.test.ts', 'states ports for line 202 alone'],
  },
  { about: 'the same lists twice', sentence: /The same lists twice/, held: ['test/catalogue/rows-2021.test.ts', 'the 83 hosts'] },
  { about: 'tags that do not exist by that name', sentence: /`ContainerRegistry\.region`/ },
  { about: 'to and from tags', sentence: /"To and from" service tags/ },
  { about: 'inbound is split', sentence: /Inbound/ },
  { about: 'queries that return nothing', sentence: /returns nothing/ },
  {
    about: 'diagnostics in one part only',
    sentence: /Diagnostics hosts/,
    held: ['test/catalogue/doc-2021.ts', 'diagnostics for support'],
  },
  {
    about: 'AKS and the first section',
    sentence: /AKS and the first section/,
    held: ['test/docs/azure-statements.test.ts', 'is told for every line'],
  },
  { about: 'overlaps', sentence: /Overlaps/, held: ['test/core/policy/decide.test.ts', 'x.instances.azureml.ms:80'] },
]

describe('each oddity of the document', () => {
  const section = AZURE.text.slice(AZURE.text.indexOf('\n## Oddities\n'), AZURE.text.indexOf('\n## What you must still do\n'))
  const items = section.split(/^\d+\. /m).slice(1)

  it('has its number', () => {
    expect(items).toHaveLength(ODDITIES.length)
  })

  for (const [at, { about, sentence, held }] of ODDITIES.entries())
    it(`${at + 1}, ${about}, has a sentence${held === undefined ? '' : ' and a test'}`, () => {
      expect(items[at]).toMatch(sentence)
      if (held !== undefined) expect(readFileSync(resolve(ROOT, held[0]), 'utf8')).toContain(held[1])
    })
})

const DOCUMENT = resolve(ROOT, '../shared/azure/firewall-doc-2021-07-29.md')

describe.runIf(existsSync(DOCUMENT))('the document itself', () => {
  it('says something on exactly these lines', () => {
    const lines = readFileSync(DOCUMENT, 'utf8').split('\n')
    const said = lines.flatMap((line, at) => (line.trim() === '' || at < 15 ? [] : [at + 1]))
    expect(said).toEqual(LINES)
  })
})
