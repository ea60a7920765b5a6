import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'
import { CLOUDS, type Cloud, DEFAULT_PORTS, type Entry, type Pattern, TENANCIES, type Tenancy } from './entry.ts'
import { type HostPattern, parseHostPattern } from './host-pattern.ts'
import { type PathPattern, parsePathPattern } from './path-pattern.ts'
import { type TagRow, tagFeatures, tagRowsSchema } from './tag-rows.ts'

/** Words in a catalogue host that `workspace` fills in, and the setting each is filled from. */
export const PARAMETERS = {
  '<storageAccount>': 'storageAccounts',
  '<containerRegistry>': 'containerRegistries',
  '<region>': 'regions',
} as const
export type Parameter = keyof typeof PARAMETERS
export type WorkspaceSetting = (typeof PARAMETERS)[Parameter]
export const WORKSPACE_SETTINGS: readonly WorkspaceSetting[] = [...new Set(Object.values(PARAMETERS))]
export type WorkspaceNames = { readonly [S in WorkspaceSetting]: readonly string[] }

/** `"*"` for a parameter: every account or registry there is. */
export const ANY_NAME = '*'

/** How an account or registry, and how a region, is spelt in lower case; the config file is held to the same. */
export const RESOURCE_NAME = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/
export const REGION_NAME = /^[a-z0-9]+$/

const perCloud = <T extends z.ZodType>(value: T) => z.strictObject({ public: value, government: value, china: value })

const rowSchema = z.strictObject({
  id: z.string().min(1),
  feature: z.string().min(1),
  purpose: z.string().min(1),
  hosts: perCloud(z.array(z.string().min(1))),
  documented: perCloud(z.string().min(1)).partial().optional(),
  ports: z.array(z.int().min(1).max(65535)).optional(),
  protocol: z.string().optional(),
  paths: z.array(z.string()).optional(),
  condition: z.string().optional(),
  tenancy: z.enum(TENANCIES),
  note: z.string().optional(),
  lines: z.array(z.int().positive()).min(1),
})
export const hostRowsSchema = z.array(rowSchema)
export type HostRow = z.output<typeof rowSchema>

export const editionSchema = z.strictObject({
  id: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
  title: z.string(),
  document: z.string(),
  date: z.string(),
  features: z.record(z.string(), z.strictObject({ default: z.boolean(), summary: z.string() })),
})

/** One published document, as data. */
export interface Edition extends z.output<typeof editionSchema> {
  readonly hosts: readonly HostRow[]
  /** The document's service tags. */
  readonly tags?: readonly TagRow[]
}

/** A row as it stands in one cloud, before it is known whether it is on. */
export interface ResolvedRow {
  readonly edition: string
  readonly row: HostRow
  readonly id: string
  /** Filled in; empty where the document's cell is blank or every host waits for a parameter. */
  readonly patterns: readonly Pattern[]
  /** Hosts that allow nothing because a parameter is not set, as written in the catalogue. */
  readonly waiting: readonly { readonly host: string; readonly setting: WorkspaceSetting }[]
  readonly tenancy: Tenancy
}

/** Rows of one edition in one cloud, with the workspace's names filled in. Throws only on a catalogue that its own tests refuse. */
export function resolveRows(edition: Edition, cloud: Cloud, names: WorkspaceNames): readonly ResolvedRow[] {
  return edition.hosts.map((row) => {
    const patterns: Pattern[] = []
    const waiting: { host: string; setting: WorkspaceSetting }[] = []
    let wide = false
    for (const host of row.hosts[cloud]) {
      const setting = unsetParameter(host, names)
      if (setting !== undefined) {
        waiting.push({ host, setting })
        continue
      }
      for (const filled of fillParameters(host, names)) {
        wide ||= filled !== host && filled.startsWith('*.')
        patterns.push(...patternsOf(row, mustParse(parseHostPattern(filled))))
      }
    }
    return {
      edition: edition.id,
      row,
      id: `${edition.id}/${row.feature}/${row.id}`,
      patterns,
      waiting,
      tenancy: wide ? 'any' : row.tenancy,
    }
  })
}

export function toEntry(resolved: ResolvedRow, cloud: Cloud): Entry {
  const { row } = resolved
  const documented = row.documented?.[cloud]
  return {
    id: resolved.id,
    origin: 'catalogue',
    action: 'allow',
    patterns: resolved.patterns,
    feature: row.feature,
    tenancy: resolved.tenancy,
    purpose: row.purpose,
    ...(row.condition === undefined ? {} : { condition: row.condition }),
    ...(row.protocol === undefined ? {} : { documentedProtocol: row.protocol }),
    ...(documented === undefined ? {} : { documented }),
    source: { edition: resolved.edition, lines: row.lines },
  }
}

/**
 * The pattern that a parameterised host would become if every account were named, and the settings that its leading labels come
 * from. For hints only: `<storageAccount>.blob.core.windows.net` gives `*.blob.core.windows.net` and `['storageAccounts']`.
 */
export function parameterPattern(
  host: string,
): { readonly host: HostPattern; readonly settings: readonly WorkspaceSetting[] } | undefined {
  const labels = host.split('.')
  const fixed = labels.findIndex((label) => !isParameter(label))
  if (fixed < 1) return undefined
  return {
    host: mustParse(parseHostPattern(`*.${labels.slice(fixed).join('.')}`)),
    settings: labels.slice(0, fixed).flatMap((label) => (isParameter(label) ? [PARAMETERS[label]] : [])),
  }
}

function isParameter(label: string): label is Parameter {
  return Object.hasOwn(PARAMETERS, label)
}

/** Every cloud but this one. */
export function otherClouds(cloud: Cloud): readonly Cloud[] {
  return CLOUDS.filter((other) => other !== cloud)
}

function patternsOf(row: HostRow, host: HostPattern): Pattern[] {
  const ports = row.ports ?? DEFAULT_PORTS
  const paths = row.paths?.map((text): PathPattern => mustParse(parsePathPattern(text)))
  const constraint = paths === undefined ? {} : { paths }
  // "TCP" on a port that is not the web's says nothing of what is spoken there (18881, 8787): it cannot be judged.
  const opaque = row.protocol === 'TCP' ? ports.filter((port) => !DEFAULT_PORTS.includes(port)) : []
  const judged = ports.filter((port) => !opaque.includes(port))
  return [
    ...(judged.length > 0 ? [{ host, ports: judged, ...constraint }] : []),
    ...(opaque.length > 0 ? [{ host, ports: opaque, protocol: 'any' as const, ...constraint }] : []),
  ]
}

function unsetParameter(host: string, names: WorkspaceNames): WorkspaceSetting | undefined {
  for (const [parameter, setting] of Object.entries(PARAMETERS)) {
    if (host.includes(parameter) && names[setting].length === 0) return setting
  }
  return undefined
}

function fillParameters(host: string, names: WorkspaceNames): string[] {
  let filled = [host]
  for (const [parameter, setting] of Object.entries(PARAMETERS)) {
    if (!host.includes(parameter)) continue
    filled = filled.flatMap((text) => names[setting].map((name) => text.replace(parameter, name)))
  }
  return filled
}

function mustParse<T>(result: Result<T, string>): T {
  if (!result.ok) throw new Error(`catalogue: ${result.error}`)
  return result.value
}

/** Reads the parsed YAML of an edition. The error lists every problem. */
export function readEdition(edition: unknown, hosts: unknown, serviceTags: unknown = []): Result<Edition, readonly string[]> {
  const head = editionSchema.safeParse(edition)
  const rows = hostRowsSchema.safeParse(hosts)
  const tags = tagRowsSchema.safeParse(serviceTags)
  if (!head.success || !rows.success || !tags.success) {
    return err(
      [head, rows, tags].flatMap(({ error }) => error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    )
  }
  const unknown = rows.data.filter((row) => head.data.features[row.feature] === undefined)
  if (unknown.length > 0) return err(unknown.map((row) => `${row.id}: feature \`${row.feature}\` is not in edition.yaml`))
  const features = { ...head.data.features, ...tagFeatures(tags.data) }
  return ok({ ...head.data, features, hosts: rows.data, tags: tags.data })
}
