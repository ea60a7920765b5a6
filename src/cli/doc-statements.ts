import { readFileSync } from 'node:fs'
import type { Edition } from '../core/policy/catalogue.ts'
import { z } from '../core/schema.ts'
import { readShippedYaml } from '../io/config/read-yaml.ts'
import { code, markdownTable } from './doc-blocks.ts'

/** Where each statement of the document went: `config/catalogue/2021-07-29/statements.yaml`, with the lines of the host rows. */

const FILE = new URL('../../config/catalogue/2021-07-29/statements.yaml', import.meta.url)

const home = z.union([
  z.strictObject({ section: z.string(), page: z.string().optional() }),
  z.strictObject({ entry: z.array(z.string()).min(1) }),
  z.strictObject({ setting: z.string() }),
  z.strictObject({ command: z.string() }),
])

const statement = z.strictObject({
  lines: z.tuple([z.int().positive(), z.int().positive()]),
  kind: z.enum(['scope', 'link', 'advice', 'route', 'command', 'tag', 'condition', 'setting', 'host']),
  says: z.string(),
  home,
})

/** One statement of the document; `lines` are its first and its last. */
export type Statement = z.output<typeof statement>

/** Every statement, the hosts among them, in the order of the document. */
export function statementsOf(edition: Edition): readonly Statement[] {
  const written = z.array(statement).parse(readShippedYaml(readFileSync(FILE, 'utf8'), FILE.pathname))
  const byLine = new Map<number, string[]>()
  for (const { feature, id, lines } of edition.hosts) {
    for (const line of lines) byLine.set(line, [...(byLine.get(line) ?? []), `${feature}/${id}`])
  }
  const hosts = [...byLine].map(([line, entry]): Statement => ({ lines: [line, line], kind: 'host', says: '', home: { entry } }))
  return [...written, ...hosts].toSorted((a, b) => a.lines[0] - b.lines[0])
}

export function statementsTable(edition: Edition): string {
  const rows = statementsOf(edition).map(({ lines: [first, last], kind, says, home }) => [
    first === last ? String(first) : `${first}-${last}`,
    kind,
    says,
    homeText(home),
  ])
  return markdownTable(['lines', 'kind', 'what the document says', 'where it is'], rows)
}

function homeText(home: Statement['home']): string {
  if ('entry' in home) return home.entry.map(code).join(', ')
  if ('setting' in home) return `setting ${code(home.setting)}`
  if ('command' in home) return code(home.command)
  const anchor = home.section
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-')
  return `[${home.section}](${home.page ?? ''}#${anchor})`
}
