import { readdirSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The pages that people read, as data for the tests that hold them. */

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export interface Page {
  /** From the repository's folder. */
  readonly name: string
  readonly text: string
}

export interface Fence {
  readonly page: string
  /** Line of the opening fence, from 1. */
  readonly line: number
  /** What stands behind the opening fence: `yaml config`, `console`. */
  readonly info: string
  readonly text: string
}

const AT_THE_TOP = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md']

export const pages: readonly Page[] = [
  ...AT_THE_TOP,
  ...readdirSync(resolve(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
    .sort(),
].map((name) => ({ name, text: readFileSync(resolve(ROOT, name), 'utf8') }))

export function page(name: string): Page {
  const found = pages.find((one) => one.name === name)
  if (found === undefined) throw new Error(`there is no page ${name}`)
  return found
}

/** The fenced blocks of a page. */
export function fencesOf({ name, text }: Page): readonly Fence[] {
  return [...text.matchAll(/^```([^\n`]*)\n(.*?)^```$/gms)].map((match) => ({
    page: name,
    line: text.slice(0, match.index).split('\n').length,
    info: (match[1] ?? '').trim(),
    text: match[2] ?? '',
  }))
}

/** The page without its fenced blocks. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```[^\n`]*\n.*?^```$/gms, '')
}

/** The rows of the first table under a heading, each cell as it is written, without its heading row. */
export function tableUnder({ text }: Page, heading: string): readonly (readonly string[])[] {
  const section = `\n${text}`.slice(`\n${text}`.indexOf(`\n${heading}\n`))
  const table = /(?:^\|.*\|$\n)+/m.exec(section)?.[0] ?? ''
  return table
    .trimEnd()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
}

/** What stands in backticks. */
export function codeIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)
}

/** A path as the page means it, from the repository's folder. */
export function fromPage(name: string, target: string): string {
  return relative(ROOT, resolve(ROOT, dirname(name), target))
}
