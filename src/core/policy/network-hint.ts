import type { EgressRequest } from './decide.ts'
import { portMatches } from './entry.ts'
import type { Hint, Unlisted } from './hints.ts'

/**
 * What would allow an address that a documented service tag has: the tag is told because it says whose the address is. Where every
 * customer is behind it, the one address is the smaller change.
 */
export function networkHint(candidates: readonly Unlisted[], { port }: EgressRequest, ruleLine: string): Hint | undefined {
  for (const { entry, pattern, remedy } of candidates) {
    if (pattern.host.kind !== 'network' || remedy.kind !== 'feature' || !portMatches(pattern, port)) continue
    const { feature } = remedy
    const tag = `an address of service tag \`${pattern.host.name.replace(/^tag:/, '')}\``
    const switchOn = { kind: 'feature' as const, name: feature }
    if (entry.tenancy !== 'any') return { text: `${tag}; switch it on with \`features: { ${feature}: true }\``, remedy: switchOn }
    return {
      text: `${tag}, which serves every customer: \`features: { ${feature}: true }\` would let out to all of them; for this address alone add ${ruleLine}`,
      remedy: switchOn,
    }
  }
  return undefined
}
