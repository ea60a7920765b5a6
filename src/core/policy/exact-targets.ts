import { type Authority, formatAuthority } from '../names/authority.ts'
import { decide } from './decide.ts'
import type { Entry, Protocol } from './entry.ts'
import { formatHostPattern } from './host-pattern.ts'
import type { Policy } from './policy.ts'

/** A destination that the policy names in full, and what may be spoken there. */
export interface ExactTarget {
  readonly authority: Authority
  readonly entry: Entry
  readonly protocol: Protocol
}

export interface ExactTargets {
  readonly targets: readonly ExactTarget[]
  /** Patterns that stand for hosts nobody can list. */
  readonly wildcards: readonly string[]
  /** Listed, and refused by a deny rule all the same. */
  readonly denied: number
}

/** Every host and port that the policy lets out and that is not a wildcard, each once, in the order of the entries. */
export function exactTargets(policy: Policy): ExactTargets {
  const seen = new Map<string, ExactTarget | undefined>()
  const wildcards = new Set<string>()
  for (const { action, patterns } of policy.entries) {
    if (action === 'deny') continue
    for (const { host, ports } of patterns) {
      if (host.kind !== 'exact') {
        wildcards.add(formatHostPattern(host))
        continue
      }
      for (const port of ports === 'any' ? [] : ports) {
        const authority: Authority = { host: host.host, port }
        const key = formatAuthority(authority)
        if (!seen.has(key)) seen.set(key, allowedTarget(policy, authority))
      }
    }
  }
  const targets = [...seen.values()].filter((target) => target !== undefined)
  return { targets, wildcards: [...wildcards], denied: seen.size - targets.length }
}

/** Undefined where the policy refuses it. */
export function allowedTarget(policy: Policy, authority: Authority): ExactTarget | undefined {
  const decision = decide(policy, authority)
  if (decision.verdict === 'deny') return undefined
  return { authority, entry: decision.entry, protocol: decision.protocol }
}
