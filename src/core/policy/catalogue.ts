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
  '<workspaceId>': 'id',
  '<keyVault>': 'keyVaults',
  '<aksCluster>': 'aksClusters',
  '<federationHost>': 'federationHosts',
} as const
export type Parameter = keyof typeof PARAMETERS
export type WorkspaceSetting = (typeof PARAMETERS)[Parameter]
const SETTINGS = Object.values(PARAMETERS)
export const WORKSPACE_SETTINGS: readonly WorkspaceSetting[] = SETTINGS
/** Each a list, the workspace's one id too: what fills a blank in a documented host. */
export type WorkspaceNames = { readonly [S in WorkspaceSetting]: readonly string[] }

/** `"*"` for a parameter: every account or registry there is. */
export const ANY_NAME = '*'

/** How an account or registry, and how a region, is spelt in lower case; the config file is held to the same. */
export const RESOURCE_NAME = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/
export const REGION_NAME = /^[a-z0-9]+$/
/** Resource Manager's `workspaceId`, which stands in the workspace's own host names. */
export const WORKSPACE_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

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
  /** Hosts that stand in for the wide ones where every setting in `by` names something. */
  narrow: z.strictObject({ by: z.array(z.enum(SETTINGS)).min(1), hosts: perCloud(z.array(z.string().min(1))) }).optional(),
  /** The row lets nothing out: why the gateway cannot carry it. Its hosts are then destinations in words. */
  unproxied: z.string().min(1).optional(),
  note: z.string().optional(),
  /** Where the document states the row: lines of the one document, or names of the edition's pages. */
  lines: z.array(z.int().positive()).default([]),
  documents: z.array(z.string()).optional(),
})
export const hostRowsSchema = z.array(rowSchema)
export type HostRow = z.output<typeof rowSchema>

export const editionSchema = z.strictObject({
  id: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
  title: z.string(),
  document: z.string(),
  date: z.string(),
  /** The pages that the rows stand in, where they are not lines of one document. */
  documents: z.record(z.string(), z.strictObject({ title: z.string(), date: z.string(), page: z.string() })).optional(),
  features: z.record(
    z.string(),
    z.strictObject({
      default: z.boolean(),
      /** A setting of `workspace` that switches the feature on by naming something. */
      namedBy: z.enum(SETTINGS).optional(),
      summary: z.string(),
    }),
  ),
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
  /** Whether `narrow` stood in for the documented hosts. */
  readonly narrowed: boolean
  /** Of a row that lets nothing out. */
  readonly unproxied?: Unproxied | undefined
}

/** What a row documents and the gateway cannot carry. */
export interface Unproxied {
  readonly entryId: string
  readonly feature: string
  /** As documented, parameters filled in where they are set. */
  readonly destinations: readonly string[]
  readonly protocol: string
  readonly ports: readonly number[]
  /** Why, and what carries it instead. */
  readonly why: string
}

/** Rows of one edition in one cloud, with the workspace's names filled in. Throws only on a catalogue that its own tests refuse. */
export function resolveRows(edition: Edition, cloud: Cloud, names: WorkspaceNames): readonly ResolvedRow[] {
  return edition.hosts.map((row) => {
    const id = `${edition.id}/${row.feature}/${row.id}`
    const narrowed = isNarrowed(row, cloud, names)
    const hosts = narrowed ? (row.narrow?.hosts[cloud] ?? []) : row.hosts[cloud]
    if (row.unproxied !== undefined) return { ...blankRow(edition, row, id), unproxied: unproxiedOf(row, id, hosts, names) }
    const patterns: Pattern[] = []
    const waiting: { host: string; setting: WorkspaceSetting }[] = []
    let wide = false
    for (const host of hosts) {
      const setting = unsetParameter(host, names)
      if (setting !== undefined) {
        waiting.push({ host, setting })
        continue
      }
      for (const filled of fillParameters(host, names)) {
        wide ||= filled !== host && filled.startsWith('*.') && !host.startsWith('*.')
        patterns.push(...patternsOf(row, mustParse(parseHostPattern(filled))))
      }
    }
    const tenancy = wide ? 'any' : narrowed && hosts.every(isOwn) ? 'yours' : row.tenancy
    return { ...blankRow(edition, row, id), patterns, waiting, tenancy, narrowed }
  })
}

function blankRow(edition: Edition, row: HostRow, id: string): ResolvedRow {
  return { edition: edition.id, row, id, patterns: [], waiting: [], tenancy: row.tenancy, narrowed: false }
}

/** Never by `"*"`, which names nothing. */
function isNarrowed({ narrow }: HostRow, cloud: Cloud, names: WorkspaceNames): boolean {
  if (narrow === undefined || narrow.hosts[cloud].length === 0) return false
  return narrow.by.every((setting) => names[setting].length > 0 && !names[setting].includes(ANY_NAME))
}

/** Whether a host is named by something of the operator's: a region is everybody's. */
function isOwn(host: string): boolean {
  return Object.keys(PARAMETERS).some((parameter) => parameter !== '<region>' && host.includes(parameter))
}

function unproxiedOf(row: HostRow, entryId: string, hosts: readonly string[], names: WorkspaceNames): Unproxied | undefined {
  if (hosts.length === 0) return undefined
  const destinations = hosts.flatMap((host) => (unsetParameter(host, names) === undefined ? fillParameters(host, names) : [host]))
  const { feature, protocol = 'TCP', ports = [], unproxied: why = '' } = row
  return { entryId, feature, destinations, protocol, ports, why }
}

export function toEntry(resolved: ResolvedRow, cloud: Cloud): Entry {
  const { row } = resolved
  const documented = row.documented?.[cloud] ?? (resolved.narrowed ? row.hosts[cloud].join(', ') : undefined)
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
    ...(row.note === undefined ? {} : { note: row.note }),
    source: {
      edition: resolved.edition,
      lines: row.lines,
      ...(row.documents === undefined ? {} : { documents: row.documents }),
    },
  }
}

/**
 * The pattern that a parameterised host would become if every account were named, and the settings that the labels before its
 * fixed suffix come from, the last of them next to it. For hints only: `<storageAccount>.blob.core.windows.net` gives
 * `*.blob.core.windows.net` and `['storageAccounts']`, `*.<region>.batch.azure.com` gives `*.batch.azure.com` and `['regions']`.
 */
export function parameterPattern(
  host: string,
): { readonly host: HostPattern; readonly settings: readonly WorkspaceSetting[] } | undefined {
  const labels = host.split('.')
  const [first] = labels
  const own = first === '*' ? labels.slice(1) : labels
  const fixed = own.findIndex((label) => !isParameter(label))
  const suffix = own.slice(fixed).join('.')
  if (fixed < 1 || suffix.includes('<')) return undefined
  return {
    host: mustParse(parseHostPattern(`*.${suffix}`)),
    settings: own.slice(0, fixed).flatMap((label) => (isParameter(label) ? [PARAMETERS[label]] : [])),
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
  const found = rows.data.flatMap((row) => rowProblems(row, head.data).map((problem) => `${row.id}: ${problem}`))
  if (found.length > 0) return err(found)
  const features = { ...head.data.features, ...tagFeatures(tags.data) }
  return ok({ ...head.data, features, hosts: rows.data, tags: tags.data })
}

/** What the schema cannot say of a row. */
function rowProblems(row: HostRow, { features, documents = {} }: z.output<typeof editionSchema>): string[] {
  const { feature, lines, documents: pages = [], protocol, unproxied } = row
  return [
    ...(features[feature] === undefined ? [`feature \`${feature}\` is not in edition.yaml`] : []),
    ...(lines.length === 0 && pages.length === 0 ? ['it says neither `lines` nor `documents`'] : []),
    ...pages.filter((page) => documents[page] === undefined).map((page) => `document \`${page}\` is not in edition.yaml`),
    // A pattern would let out TCP on the ports of a row that documents something else.
    ...(protocol === 'UDP' && unproxied === undefined ? ['UDP is not carried, so it needs `unproxied`'] : []),
  ]
}
