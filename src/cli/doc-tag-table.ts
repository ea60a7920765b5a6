import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { CLOUDS } from '../core/policy/entry.ts'
import { type TagRow, tagFeature, tagRowsSchema } from '../core/policy/tag-rows.ts'
import { readShippedYaml } from '../io/config/read-yaml.ts'
import { code, type DocBlocks, markdownTable } from './doc-blocks.ts'

const CATALOGUE = new URL('../../config/catalogue/', import.meta.url)

/** The table of service tags of each edition that has any. */
export function tagBlocks(): DocBlocks {
  const editions = readdirSync(CATALOGUE).filter((id) => existsSync(fileOf(id)))
  return Object.fromEntries(editions.sort().map((id) => [`service tags ${id}`, tagTable(rowsOf(id))]))
}

function fileOf(edition: string): URL {
  return new URL(`${edition}/service-tags.yaml`, CATALOGUE)
}

function rowsOf(edition: string): readonly TagRow[] {
  return tagRowsSchema.parse(readShippedYaml(readFileSync(fileOf(edition), 'utf8'), `${edition}/service-tags.yaml`))
}

function tagTable(rows: readonly TagRow[]): string {
  const cells = rows.map((row) => [
    [...row.lines, ...(row.documents ?? [])].join(', '),
    `${code(row.tag)}${row.documented === undefined ? '' : ` (written as ${code(row.documented)})`}`,
    row.clouds.length === CLOUDS.length ? 'all' : row.clouds.join(', '),
    trafficOf(row),
    row.tenancy,
    homeOf(row),
  ])
  return markdownTable(['stated at', 'tag', 'clouds', 'protocol, ports', 'tenancy', 'where it is'], cells)
}

function trafficOf({ protocol, ports, direction }: TagRow): string {
  if (direction === 'inbound' && ports === undefined) return 'inbound'
  const shown = [protocol, ports === 'any' ? 'every port' : ports?.join(', ')].filter((part) => part !== undefined)
  return `${direction === 'inbound' ? 'inbound ' : ''}${shown.length === 0 ? 'not stated; TCP 443' : shown.join(' ')}`
}

function homeOf(row: TagRow): string {
  if (row.direction === 'inbound') return code('sallyport routes')
  return row.unproxied === undefined ? `feature ${code(tagFeature(row))}` : `not carried: ${row.unproxied}`
}
