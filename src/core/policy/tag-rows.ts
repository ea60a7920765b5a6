import { type AzureFacts, rightName, tagMeant, tenancyOf } from '../azure/facts.ts'
import type { ServiceTag } from '../azure/tag-file.ts'
import type { Config } from '../config.ts'
import { z } from '../schema.ts'
import { type Cloud, type Entry, type Pattern, TENANCIES } from './entry.ts'

/** The documented service tags: rows of an edition beside its hosts, and the entries that they become. */

const REGION = '.<region>'

const tagRowSchema = z.strictObject({
  id: z.string().min(1),
  /** The real name; `.<region>` is filled from `workspace.regions`. */
  tag: z.string().min(1),
  /** The document's own spelling, where it is another. */
  documented: z.string().optional(),
  direction: z.enum(['outbound', 'inbound']),
  /** Where the document has the row. */
  clouds: z.array(z.enum(['public', 'government', 'china'])).min(1),
  protocol: z.enum(['TCP', 'UDP', 'ANY']).optional(),
  ports: z.union([z.literal('any'), z.array(z.int().min(1).max(65535)).min(1)]).optional(),
  tenancy: z.enum(TENANCIES),
  purpose: z.string().min(1),
  condition: z.string().optional(),
  note: z.string().optional(),
  /** The row lets nothing out: why the gateway cannot carry it, and what does. */
  unproxied: z.string().min(1).optional(),
  lines: z.array(z.int().positive()).default([]),
  documents: z.array(z.string()).optional(),
})
export const tagRowsSchema = z.array(tagRowSchema)
export type TagRow = z.output<typeof tagRowSchema>

/** What an edition's `service-tags.yaml` gives it. */
export interface TaggedEdition {
  readonly id: string
  readonly tags?: readonly TagRow[] | undefined
}

/** The service that a row's tag is of: `Storage`, `AzureFrontDoor.Frontend`. */
export function serviceOf({ tag }: TagRow): string {
  return tag.endsWith(REGION) ? tag.slice(0, -REGION.length) : tag
}

const PREFIX = 'network-'

export function isTagFeature(name: string): boolean {
  return name.startsWith(PREFIX)
}

export function tagFeature(row: TagRow): string {
  return `${PREFIX}${serviceOf(row)}`
}

/** The features of these rows: each off, since a tag is as wide as a network rule of Azure Firewall. */
export function tagFeatures(rows: readonly TagRow[]): Record<string, { default: boolean; summary: string }> {
  const outbound = rows.filter(({ direction }) => direction === 'outbound')
  return Object.fromEntries(
    outbound.map((row) => [
      tagFeature(row),
      { default: false, summary: `service tag \`${serviceOf(row)}\`, by address; needs \`serviceTags.file\`` },
    ]),
  )
}

/** The feature that a key means: names of tags are the same in any case, and known wrong names are put right. */
export function featureMeant(key: string, features: Iterable<string>, facts: AzureFacts): string {
  if (!key.toLowerCase().startsWith(PREFIX)) return key
  const wanted = rightName(facts.tags, key.slice(PREFIX.length)).toLowerCase()
  for (const feature of features)
    if (feature.startsWith(PREFIX) && feature.slice(PREFIX.length).toLowerCase() === wanted) return feature
  return key
}

/** A row in one cloud, before it is known whether it is on. */
export interface ResolvedTagRow {
  readonly edition: string
  readonly row: TagRow
  readonly id: string
  readonly feature: string
  /** With the place in the config that a tag which is not there is to be told at. */
  readonly tags: readonly { readonly name: string; readonly path: readonly (string | number)[] }[]
  /** Nothing names a region for it. */
  readonly waiting: boolean
  /** The document does not have it in this cloud. */
  readonly blank: boolean
}

/** Outbound rows of an edition, with the workspace's regions filled in. */
export function resolveTagRows({ id: edition, tags = [] }: TaggedEdition, config: Config, facts: AzureFacts): ResolvedTagRow[] {
  const { cloud, workspace } = config
  return tags
    .filter(({ direction }) => direction === 'outbound')
    .map((row) => {
      const service = serviceOf(row)
      const feature = tagFeature(row)
      const regional = service !== row.tag
      const blank = !row.clouds.includes(cloud)
      const filled = regional
        ? workspace.regions.map((region, at) => ({
            name: tagMeant(facts, cloud, `${service}.${region}`),
            path: ['workspace', 'regions', at],
          }))
        : [{ name: service, path: ['features', feature] }]
      const isCarried = !blank && row.unproxied === undefined
      return {
        edition,
        row,
        id: `${edition}/${feature}/${row.id}`,
        feature,
        tags: isCarried ? filled : [],
        waiting: isCarried && filled.length === 0,
        blank,
      }
    })
}

/** What matches a service tag, and how it is shown. */
export function tagTarget({ name, ranges }: ServiceTag): Pattern['host'] {
  return { kind: 'network', name: `tag:${name}`, ranges }
}

/** The document states no port for `AzureMonitor`; the one that every later edition states. */
const PORTS_UNSTATED: readonly number[] = [443]

/**
 * TLS, for any name, on 443; on every other port anything at all, since "TCP" says nothing of what is spoken there.
 */
function patternsOf(row: TagRow, tag: ServiceTag): Pattern[] {
  const ports: Pattern['ports'] = row.ports ?? PORTS_UNSTATED
  const host = tagTarget(tag)
  if (ports === 'any') return [{ host, ports, protocol: 'any' }]
  const tls = ports.filter((port) => port === 443)
  const opaque = ports.filter((port) => port !== 443)
  return [
    ...(tls.length > 0 ? [{ host, ports: tls }] : []),
    ...(opaque.length > 0 ? [{ host, ports: opaque, protocol: 'any' as const }] : []),
  ]
}

export function tagEntry(resolved: ResolvedTagRow, tags: readonly ServiceTag[]): Entry {
  const { row, edition, id, feature } = resolved
  const { documents } = row
  return {
    id,
    origin: 'catalogue',
    action: 'allow',
    patterns: tags.flatMap((tag) => patternsOf(row, tag)),
    feature,
    tenancy: row.tenancy,
    purpose: row.purpose,
    ...(row.condition === undefined ? {} : { condition: row.condition }),
    ...(row.protocol === undefined ? {} : { documentedProtocol: row.protocol }),
    ...(row.documented === undefined ? {} : { documented: row.documented }),
    source: { edition, lines: row.lines, ...(documents === undefined ? {} : { documents }) },
  }
}

/** Why a tag is more than one might think; nothing where Microsoft alone is behind it. */
export function widthOf(facts: AzureFacts, cloud: Cloud, tag: string): string | undefined {
  const { tenancy, why } = tenancyOf(facts, cloud, tag)
  return tenancy === 'any' ? why : undefined
}
