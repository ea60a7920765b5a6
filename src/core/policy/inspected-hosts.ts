import { defaultProtocol, type Entry, needsSight, type Pattern } from './entry.ts'
import { formatHostPattern, type HostPattern } from './host-pattern.ts'
import type { Policy } from './policy.ts'

/**
 * The hosts whose TLS the gateway may have to end: those with a path or method rule, allow or deny, or with `inspect: always`, on
 * a port that carries TLS.
 * Each once, in the policy's order. A CA for this policy needs to be good for these names and no others.
 *
 * A deny rule that is only reported ends nobody's TLS (see `decide`), and plain HTTP is judged without a certificate.
 */
export function inspectedHosts({ entries, groups = [] }: Pick<Policy, 'entries'> & Partial<Policy>): readonly HostPattern[] {
  const hosts = new Map<string, HostPattern>()
  const inspecting = groups.filter(({ neverInspected }) => !neverInspected).map(({ policy }) => policy.entries)
  for (const entry of [entries, ...inspecting].flat()) {
    for (const pattern of entry.patterns) {
      const { host } = pattern
      // What is matched by address has no paths and no methods (see `checkRules`), and no name for a certificate.
      if (host.kind !== 'network' && isInspected(entry, pattern)) hosts.set(formatHostPattern(host), host)
    }
  }
  return [...hosts.values()]
}

function isInspected(entry: Entry, pattern: Pattern): boolean {
  return needsSight(pattern) && entry.mode !== 'report' && carriesTls(pattern)
}

function carriesTls({ ports, protocol }: Pattern): boolean {
  if (protocol !== undefined) return protocol === 'tls'
  return ports === 'any' || ports.some((port) => defaultProtocol(port) === 'tls')
}
