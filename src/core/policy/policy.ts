import type { CidrSet } from '../names/cidr.ts'
import type { Hostname } from '../names/hostname.ts'
import type { IpAddress } from '../names/ip.ts'
import type { ClientGroup } from './client-group.ts'
import type { Mode } from './enforce.ts'
import type { Cloud, Entry, Pattern } from './entry.ts'
import type { KnownDestination, Unlisted } from './hints.ts'
import type { HostTree } from './host-tree.ts'
import type { UpstreamSection } from './upstream.ts'

/** One way in which an entry covers a host. */
export interface Match {
  readonly entry: Entry
  readonly pattern: Pattern
}

/** An operator's fixed address for a name, dialled instead of asking DNS. */
export interface Pin {
  readonly address: IpAddress
  /** Absent: the requested port. */
  readonly port?: number
}

/** All entries that are on, compiled. Immutable, and swapped whole. */
export interface Policy {
  readonly cloud: Cloud
  readonly editions: readonly string[]
  readonly mode: Mode
  /** Names the policy in log and metrics: equal policies have equal hashes. */
  readonly hash: string
  /** In the order of precedence among equals: operator rules first, each list in its own order. */
  readonly entries: readonly Entry[]
  readonly tree: HostTree<Match>
  /** The file that service tags are taken from. */
  readonly tagFile?: { readonly change: string; readonly publishedSeconds: number }
  readonly pins: ReadonlyMap<Hostname, Pin>
  /** Ranges outside the public internet that every entry's hosts may resolve into. */
  readonly privateRanges: CidrSet
  /** Which hosts go through parent proxies. */
  readonly upstream: readonly UpstreamSection[]
  /** What would be allowed if a feature, cloud or parameter were set otherwise; for hints. */
  readonly unlisted: HostTree<Unlisted>
  /** Well-known destinations that are in no catalogue; for hints. */
  readonly known: HostTree<KnownDestination>
  /** The client group that it is for; absent at the top. */
  readonly group?: string
  /** In the order in which a client is matched; only the policy at the top has any. */
  readonly groups: readonly ClientGroup[]
}

/** The policy at the top, then each group's. */
export function everyPolicy(policy: Policy): readonly Policy[] {
  return [policy, ...policy.groups.map((group) => group.policy)]
}

/** Every entry that is in force for anybody, each once. */
export function everyEntry(policy: Policy): readonly Entry[] {
  if (policy.groups.length === 0) return policy.entries
  const entries = new Map<string, Entry>()
  for (const { entries: own } of everyPolicy(policy))
    for (const entry of own) if (!entries.has(entry.id)) entries.set(entry.id, entry)
  return [...entries.values()]
}
