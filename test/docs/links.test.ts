import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { configSchema } from '../../src/core/config.ts'
import { sallyport } from '../cli/cli-run.ts'
import { problemsOf } from '../support/policy.ts'
import { codeIn, fencesOf, fromPage, type Page, page, pages, proseOf, ROOT, tableUnder } from './pages.ts'

/** Anchors as GitHub makes them from headings. */
function anchorsOf({ text }: Page): readonly string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
}

const linksOf = (page: Page): readonly string[] =>
  [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target).filter((target) => !/^[a-z]+:/.test(target))

/** Files that a page names: `src/core/policy/decide.ts`, `config/hints.yaml`, `docs/policy.md`. */
const FILE = /^(?:src|test|config|docs|scripts|bench|deploy|helm|native|\.ci)\/[\w./-]+$/

/** `src/core/names/hostname.ts`, `authority.ts`: a bare name stands in the folder of the file before it. */
function filesNamedIn(page: Page): readonly string[] {
  return proseOf(page)
    .split('\n')
    .flatMap((line) => {
      let folder: string | undefined
      return codeIn(line).flatMap((text) => {
        if (FILE.test(text)) {
          folder = text.slice(0, text.lastIndexOf('/') + 1)
          return [text]
        }
        return folder?.startsWith('src/') && /^[a-z0-9-]+\.ts$/.test(text) ? [folder + text] : []
      })
    })
}

describe('a page', () => {
  for (const page of pages) {
    it(`leads to pages and headings that are there: ${page.name}`, () => {
      for (const link of linksOf(page)) {
        const [target = '', anchor] = link.split('#')
        const name = target === '' ? page.name : fromPage(page.name, target)
        expect(existsSync(resolve(ROOT, name)), link).toBe(true)
        if (anchor !== undefined)
          expect(anchorsOf({ name, text: readFileSync(resolve(ROOT, name), 'utf8') }), link).toContain(anchor)
      }
    })

    it(`names files that are there: ${page.name}`, () => {
      expect(filesNamedIn(page).filter((name) => !existsSync(resolve(ROOT, name)))).toEqual([])
    })
  }

  it('is found by whoever starts at the README', () => {
    const reached = new Set(['README.md'])
    for (const name of reached) {
      const found = pages.find((one) => one.name === name)
      if (found === undefined) continue
      for (const link of linksOf(found)) reached.add(fromPage(name, link.split('#')[0] || name))
      // A link to a folder is a link to what is in it.
      for (const { name: other } of pages)
        if ([...reached].some((one) => one !== '' && other.startsWith(`${one}/`))) reached.add(other)
    }
    expect(pages.map(({ name }) => name).filter((name) => !reached.has(name))).toEqual([])
  })
})

describe('docs/decisions/0009-dependencies.md', () => {
  it('has a line for every runtime dependency, with the version that is installed', () => {
    const { dependencies } = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    const rows = tableUnder(page('docs/decisions/0009-dependencies.md'), '# 0009: Dependencies')
    const listed = rows.map(([name = '', version]) => `${codeIn(name)[0]} ${version}`)
    const installed = Object.keys(dependencies).map((name) => {
      const manifest = readFileSync(resolve(ROOT, 'node_modules', name, 'package.json'), 'utf8')
      return `${name} ${(JSON.parse(manifest) as { version: string }).version}`
    })
    expect(listed).toEqual(installed.sort())
  })
})

describe('a config in a page', () => {
  const configs = pages.flatMap(fencesOf).filter(({ info }) => info === 'yaml config')

  for (const { page, line, text } of configs)
    it(`loads: ${page}:${line}`, () => {
      const config: unknown = parse(text)
      const parsed = configSchema.safeParse(config)
      expect(parsed.error?.issues ?? []).toEqual([])
      expect(problemsOf(config).filter(({ severity }) => severity === 'error')).toEqual([])
    })

  it('is there to be looked at', () => expect(configs.length).toBeGreaterThan(5))

  it('shows every key that a rule can have', () => {
    const { text } = pages.find(({ name }) => name === 'docs/policy.md') ?? { text: '' }
    const { rules } = configSchema.shape
    const keys = Object.keys(rules.unwrap().element.shape)
    expect(keys.filter((key) => !text.includes(`| \`${key}\` |`))).toEqual([])
  })
})

describe('README.md', () => {
  it('names every command', async () => {
    const { stdout } = await sallyport(['--help'])
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name)
    const { text } = page('README.md')
    expect(commands.length).toBeGreaterThan(15)
    expect(commands.filter((name) => name !== 'sallyport' && name !== 'help' && !text.includes(`\`${name}\``))).toEqual([])
  })
})
