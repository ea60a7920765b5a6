import type { SharedSuffixes } from '../names/registrable-domain.ts'
import type { Entry } from './entry.ts'
import { formatHostPattern, type HostPattern } from './host-pattern.ts'
import { everyPolicy, type Policy } from './policy.ts'

/** An operator's entry that reaches names of others. */
export interface WideEntry {
  readonly entry: Entry
  readonly message: string
}

/**
 * Rules with a wildcard under which everybody can have a name: data can go to any of them. Nothing is wrong with the file, and a
 * policy that was written to keep data in has a door in it.
 */
export function lintWideHosts(policy: Policy, shared: SharedSuffixes): readonly WideEntry[] {
  const entries = new Set(everyPolicy(policy).flatMap((one) => one.entries))
  return [...entries].flatMap((entry) => {
    if (entry.origin === 'catalogue' || entry.action === 'deny') return []
    return entry.patterns.flatMap(({ host }) => {
      const whose = host.kind === 'network' ? undefined : othersUnder(host, shared)
      if (whose === undefined || host.kind === 'network') return []
      const message = `\`${entry.id}\` covers \`${formatHostPattern(host)}\`, where ${whose}: data can go to any of them; name the hosts that are yours`
      return [{ entry, message }]
    })
  })
}

function othersUnder(host: HostPattern, shared: SharedSuffixes): string | undefined {
  if (host.kind === 'exact') return undefined
  const owner = shared.ownershipOf(host.suffix)
  switch (owner.kind) {
    case 'unknown':
      return owner.isPublicSuffix ? 'anybody can register a name' : undefined
    case 'shared':
      return owner.itself ? `everybody can have a name (${owner.service})` : undefined
    case 'domain':
      return owner.domain === host.suffix && owner.above !== undefined ? `everybody can have names (${owner.above})` : undefined
  }
}
