import { describe, expect, it } from 'vitest'
import { sallyport } from '../cli/cli-run.ts'
import { fencesOf, pages, ROOT } from './pages.ts'

/**
 * Every `$ sallyport ...` in a `console` block is run, and must print what the page says. `| head -N` is understood. The
 * repository's folder is shown as `/opt/sallyport/`, and a policy's hash is not compared: it changes with every row.
 */
interface Command {
  readonly line: string
  readonly printed: string
}

function commandsOf(text: string): readonly Command[] {
  return text
    .split(/^(?=\$ )/m)
    .filter((part) => part.startsWith('$ sallyport '))
    .map((part) => {
      const end = part.indexOf('\n')
      return { line: part.slice(2, end), printed: part.slice(end + 1) }
    })
}

const settled = (text: string): string =>
  text.replaceAll(ROOT, '/opt/sallyport/').replace(/hash [0-9a-f]{12}/g, 'hash 0123456789ab')

async function print(line: string): Promise<string> {
  const [command = '', ...filters] = line.split(' | ')
  const { stdout, stderr } = await sallyport(command.split(' ').slice(1))
  const text = stderr + stdout
  const [, count] = /^head -(\d+)$/.exec(filters.join(' | ')) ?? []
  return count === undefined
    ? text
    : text
        .split('\n')
        .slice(0, Number(count))
        .map((one) => `${one}\n`)
        .join('')
}

describe('a transcript', () => {
  for (const { page, line, text } of pages.flatMap(fencesOf).filter(({ info }) => info === 'console'))
    for (const command of commandsOf(text))
      it(`is what the program says: ${page}:${line}: ${command.line}`, async () => {
        expect(settled(await print(command.line))).toBe(settled(command.printed))
      })

  it('is there to be looked at', () => {
    expect(pages.flatMap(fencesOf).filter(({ info }) => info === 'console').length).toBeGreaterThan(5)
  })
})
