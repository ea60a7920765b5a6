import type { EgressRequest } from './decide.ts'
import { portMatches } from './entry.ts'
import type { Hint } from './hints.ts'
import type { Policy } from './policy.ts'
import { inGroup } from './unlisted-hint.ts'

/**
 * What would allow an address that a documented service tag has: the tag is told because it says whose the address is. Where every
 * customer is behind it, the one address is the smaller change.
 */
export function networkHint(policy: Policy, { host, port }: EgressRequest, ruleLine: string): Hint | undefined {
  for (const { entry, pattern, remedy } of policy.unlisted.find(host)) {
    if (pattern.host.kind !== 'network' || remedy.kind !== 'feature' || !portMatches(pattern, port)) continue
    const { feature } = remedy
    const tag = `an address of service tag \`${pattern.host.name.replace(/^tag:/, '')}\``
    const change = inGroup(policy, `features: { ${feature}: true }`)
    const switchOn = { kind: 'feature' as const, name: feature }
    if (entry.tenancy !== 'any') return { text: `${tag}; switch it on with \`${change}\``, remedy: switchOn }
    return {
      text: `${tag}, which serves every customer: \`${change}\` would let out to all of them; for this address alone add ${ruleLine}`,
      remedy: switchOn,
    }
  }
  return undefined
}
