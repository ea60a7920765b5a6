import type { Edition, HostRow } from './catalogue.ts'
import { type Cloud, DEFAULT_PORTS } from './entry.ts'

/** A host as an edition documents it in one cloud, every row that names it taken together. */
export interface DocumentedHost {
  /** As in the catalogue, parameters unfilled: `<storageAccount>.blob.core.windows.net`. */
  readonly host: string
  /** `feature/row`, without the edition. */
  readonly rows: readonly string[]
  /** Whether one of the rows is on by default. */
  readonly on: boolean
  /** Whether every row that names it is carried as data alone: UDP, SMB. */
  readonly unproxied: boolean
  /** `443`, `UDP 5831`, `443 /a/b/*`; in order. */
  readonly access: readonly string[]
}

export interface ChangedHost {
  readonly host: string
  readonly before: DocumentedHost
  readonly after: DocumentedHost
}

/** What became of a host: which wildcard of the other edition covers it, if one does. */
export interface MovedHost {
  readonly host: DocumentedHost
  readonly coveredBy?: string
}

export interface EditionDiff {
  readonly added: readonly MovedHost[]
  readonly gone: readonly MovedHost[]
  /** Named by both, with other ports, paths or another default. */
  readonly changed: readonly ChangedHost[]
  readonly same: number
}

/** What the second edition says otherwise than the first, for one cloud. */
export function diffEditions(before: Edition, after: Edition, cloud: Cloud): EditionDiff {
  const old = documentedHosts(before, cloud)
  const now = documentedHosts(after, cloud)
  const changed: ChangedHost[] = []
  let same = 0
  for (const [host, ours] of old) {
    const theirs = now.get(host)
    if (theirs === undefined) continue
    if (ours.on === theirs.on && ours.access.join() === theirs.access.join()) same++
    else changed.push({ host, before: ours, after: theirs })
  }
  return { added: moved(now, old, before, cloud), gone: moved(old, now, after, cloud), changed, same }
}

function moved(
  here: ReadonlyMap<string, DocumentedHost>,
  there: ReadonlyMap<string, DocumentedHost>,
  other: Edition,
  cloud: Cloud,
): readonly MovedHost[] {
  return [...here.values()]
    .filter(({ host }) => !there.has(host))
    .map((host) => {
      const coveredBy = coveringHost(other, cloud, host.host)
      return { host, ...(coveredBy === undefined ? {} : { coveredBy }) }
    })
}

function documentedHosts({ hosts: rows, features }: Edition, cloud: Cloud): ReadonlyMap<string, DocumentedHost> {
  const found = new Map<string, { host: string; rows: string[]; on: boolean; unproxied: boolean; access: Set<string> }>()
  for (const row of rows) {
    for (const host of row.hosts[cloud]) {
      const known = found.get(host) ?? { host, rows: [], on: false, unproxied: true, access: new Set<string>() }
      known.rows.push(`${row.feature}/${row.id}`)
      known.on ||= features[row.feature]?.default ?? false
      known.unproxied &&= row.unproxied !== undefined
      for (const one of accessOf(row)) known.access.add(one)
      found.set(host, known)
    }
  }
  return new Map([...found].map(([host, one]) => [host, { ...one, access: [...one.access].sort(byNumber) }]))
}

function accessOf({ ports, protocol, paths }: HostRow): readonly string[] {
  const prefix = protocol === 'UDP' ? 'UDP ' : ''
  const shown = (ports ?? DEFAULT_PORTS).map((port) => `${prefix}${port}`)
  return paths === undefined ? shown : shown.flatMap((port) => paths.map((path) => `${port} ${path}`))
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

/**
 * Whether everything that a row lets out is let out by the other edition: by what is on by default there, or by the feature of the same
 * name. That a scenario's wide row happens to cover it says nothing.
 */
export function isCovered({ feature, hosts, paths }: HostRow, other: Edition, cloud: Cloud): boolean {
  const rows = other.hosts.filter(
    (row) =>
      row.unproxied === undefined &&
      (row.feature === feature || isOn(row, other)) &&
      (row.paths === undefined || (paths?.every((path) => row.paths?.includes(path)) ?? false)),
  )
  const patterns = rows.flatMap((row) => row.hosts[cloud])
  return hosts[cloud].every((host) => partsOf(host).every((part) => patterns.some((wide) => covers(wide, part))))
}

function isOn({ feature }: HostRow, { features }: Edition): boolean {
  return features[feature]?.default ?? false
}

/** A wildcard that is on by default in the other edition and lets the host out there. */
function coveringHost(other: Edition, cloud: Cloud, host: string): string | undefined {
  const wide = other.hosts.filter((row) => row.paths === undefined && row.unproxied === undefined && isOn(row, other))
  return wide
    .flatMap(({ hosts }) => hosts[cloud])
    .find((pattern) => pattern !== host && partsOf(host).every((part) => covers(pattern, part)))
}

/** `*suffix` is the suffix and what is under it. */
function partsOf(host: string): readonly string[] {
  return /^\*[^.]/.test(host) ? [host.slice(1), `*.${host.slice(1)}`] : [host]
}

/** Compared as text: a parameter stands for one label, and is under whatever its suffix is under. */
function covers(wide: string, host: string): boolean {
  if (wide === host) return true
  if (/^\*[^.]/.test(wide)) return host === wide.slice(1) || host.endsWith(`.${wide.slice(1)}`)
  return wide.startsWith('*.') && host.endsWith(wide.slice(1)) && host !== wide.slice(1)
}
