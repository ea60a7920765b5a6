import { defaultProtocol, type Entry, type Pattern, type Protocol } from '../policy/entry.ts'
import { formatHostPattern, type HostPattern, hostPatternMatches, type NetworkPattern } from '../policy/host-pattern.ts'
import type { Policy } from '../policy/policy.ts'

/** What is exported: the policy for another firewall, and what that firewall cannot say. */
export interface Exported {
  readonly text: string
  readonly caveats: readonly Caveat[]
}

/** Something of an entry that the other firewall judges otherwise than the gateway, or cannot be told at all. */
export interface Caveat {
  readonly entry: string
  readonly text: string
}

/**
 * A pattern as other firewalls think of one: whole ports with one protocol. What the other side cannot say is left out and told, so that
 * an export lets out no more than the gateway does.
 */
export interface ExportRule {
  readonly entry: Entry
  readonly pattern: Pattern
  readonly protocol: Protocol
  readonly ports: readonly number[] | 'any'
}

/** Every pattern of the entries with that action, split where its ports carry different protocols. Rules in report mode refuse nothing. */
export function rulesOf(policy: Policy, action: Entry['action']): ExportRule[] {
  const rules = policy.entries
    .filter((entry) => entry.action === action && entry.mode !== 'report')
    .flatMap((entry) => entry.patterns.flatMap((pattern) => split(entry, pattern)))
  return withoutRepeats(rules)
}

/** What a later edition lists again: other firewalls gain nothing from a second rule, and some count them. */
function withoutRepeats(rules: readonly ExportRule[]): ExportRule[] {
  const told = new Map<string, { readonly edition: string; readonly ports: Set<number> }[]>()
  return rules.filter(({ entry, pattern, protocol, ports }) => {
    const { source, destinations } = entry
    if (source === undefined || ports === 'any' || pattern.host.kind === 'network') return true
    const { paths, methods, inspect } = pattern
    const conditions = [paths?.map(({ text }) => text), methods, inspect, destinations?.cidrs.map(({ text }) => text)]
    const key = JSON.stringify([formatHostPattern(pattern.host), protocol, conditions])
    const earlier = told.get(key) ?? []
    if (earlier.some((one) => one.edition !== source.edition && ports.every((port) => one.ports.has(port)))) return false
    told.set(key, [...earlier, { edition: source.edition, ports: new Set(ports) }])
    return true
  })
}

function split(entry: Entry, pattern: Pattern): ExportRule[] {
  const { ports } = pattern
  if (ports === 'any') return [{ entry, pattern, protocol: pattern.protocol ?? 'any', ports }]
  const byProtocol = new Map<Protocol, number[]>()
  for (const port of ports) {
    const protocol = pattern.protocol ?? defaultProtocol(port)
    byProtocol.set(protocol, [...(byProtocol.get(protocol) ?? []), port])
  }
  return [...byProtocol].map(([protocol, of]) => ({ entry, pattern, protocol, ports: of }))
}

/** Deny rules in report mode, which no other firewall knows. */
export function reportModeCaveats(policy: Policy): Caveat[] {
  return policy.entries
    .filter(({ mode }) => mode === 'report')
    .map(({ id }) => ({ entry: id, text: 'is only reported by the gateway, and left out here' }))
}

/** `*pytorch.org` as two patterns of the usual kind: other firewalls take it for `evilpytorch.org` too. */
export function usualHosts(host: HostPattern): readonly string[] {
  return host.kind === 'within' ? [host.suffix, `*.${host.suffix}`] : [formatHostPattern(host)]
}

/** Whether some host is covered by both. */
export function overlap(a: HostPattern | NetworkPattern, b: HostPattern | NetworkPattern): boolean {
  if (a.kind === 'network' || b.kind === 'network') {
    const [network, other] = a.kind === 'network' ? [a, b] : [b as NetworkPattern, a]
    if (other.kind === 'exact') return hostPatternMatches(network, other.host)
    // Two sets of ranges are taken to share an address: too careful, and never wider.
    return other.kind === 'network'
  }
  if (a.kind === 'exact') return hostPatternMatches(b, a.host)
  if (b.kind === 'exact') return hostPatternMatches(a, b.host)
  return a.suffix === b.suffix || a.suffix.endsWith(`.${b.suffix}`) || b.suffix.endsWith(`.${a.suffix}`)
}

export function portsOverlap(a: ExportRule['ports'], b: ExportRule['ports']): boolean {
  return a === 'any' || b === 'any' || a.some((port) => b.includes(port))
}

/** As far as names of other firewalls go: letters, digits, `.`, `_` and `-`. */
export function plainName(id: string): string {
  return id.replace(/\*\.?/g, 'any-').replace(/[^A-Za-z0-9._-]+/g, '-')
}

/** Each name once: `a`, `a-2`, `a-3`. */
export function uniqueNames<T extends { readonly name: string }>(items: readonly T[]): T[] {
  const seen = new Map<string, number>()
  return items.map((item) => {
    const count = (seen.get(item.name) ?? 0) + 1
    seen.set(item.name, count)
    return count === 1 ? item : { ...item, name: `${item.name}-${count}` }
  })
}
