import { REGION_NAME, RESOURCE_NAME, type WorkspaceSetting } from './catalogue.ts'
import type { DeniedDestination } from './denied-destinations.ts'
import { portMatches } from './entry.ts'
import type { Unlisted } from './hints.ts'
import type { Policy } from './policy.ts'

/** One setting that opens documented hosts. */
export type Switch =
  | { readonly kind: 'feature'; readonly feature: string }
  | { readonly kind: 'name'; readonly setting: WorkspaceSetting; readonly name: string }

export interface NeededSwitch {
  readonly change: Switch
  readonly destinations: readonly DeniedDestination[]
}

/** Features that only report home: without them everything works, so that their hosts are better refused quietly. */
export const TELEMETRY_FEATURES: readonly string[] = ['diagnostics']

/** What is known of a destination beyond the catalogue. */
export function knownAt(policy: Policy, { host, port }: Pick<DeniedDestination, 'host' | 'port'>) {
  return policy.known.find(host).find(({ ports }) => ports === undefined || ports.includes(port))
}

/** The catalogue's entries that would cover a destination if something were set otherwise. */
export function candidatesAt(policy: Policy, { host, port }: Pick<DeniedDestination, 'host' | 'port'>): readonly Unlisted[] {
  const candidates = policy.unlisted.find(host).filter(({ pattern }) => portMatches(pattern, port))
  // A tag that serves every customer is no small change: the address itself is.
  return candidates.filter(({ entry, pattern }) => pattern.host.kind !== 'network' || entry.tenancy !== 'any')
}

/** The documented switches that these destinations wait for, each with those that it is for. */
export function neededSwitches(policy: Policy, destinations: readonly DeniedDestination[]): NeededSwitch[] {
  const needed = new Map<string, { change: Switch; destinations: DeniedDestination[] }>()
  for (const destination of destinations) {
    for (const change of switchesFor(policy, destination)) {
      const key = JSON.stringify(change)
      const known = needed.get(key)
      if (known === undefined) needed.set(key, { change, destinations: [destination] })
      else known.destinations.push(destination)
    }
  }
  return [...needed.values()]
}

function switchesFor(policy: Policy, destination: DeniedDestination): readonly Switch[] {
  const remedy = knownAt(policy, destination)?.remedy.kind
  // Known, and nothing that one opens.
  if (remedy === 'none' || remedy === 'forward' || remedy === 'no_proxy') return []
  const candidates = candidatesAt(policy, destination)
  for (const { remedy } of candidates) {
    // What is off by default opens more than these destinations: a rule for each is smaller.
    if (remedy.kind === 'feature' && remedy.standard && !TELEMETRY_FEATURES.includes(remedy.feature))
      return [{ kind: 'feature', feature: remedy.feature }]
  }
  for (const candidate of candidates) {
    const names = missingNames(candidate, destination)
    if (names.length > 0) return names
  }
  return []
}

/** The names that fill the blanks of a documented host in this way, if they can be names of resources at all. */
function missingNames({ pattern, remedy }: Unlisted, { host }: DeniedDestination): readonly Switch[] {
  if (remedy.kind !== 'workspace' || pattern.host.kind !== 'under') return []
  const labels = host.text.split('.')
  const fixed = pattern.host.suffix.split('.').length
  if (labels.length - fixed !== remedy.parameters.length) return []
  const names: Switch[] = []
  for (const [index, { setting, named }] of remedy.parameters.entries()) {
    const name = labels[index] ?? ''
    // A workspace has one id, and who signs in elsewhere is not told by a log.
    if (setting === 'id' || setting === 'federationHosts') return []
    if (!(setting === 'regions' ? REGION_NAME : RESOURCE_NAME).test(name)) return []
    if (!named.includes(name)) names.push({ kind: 'name', setting, name })
  }
  return names
}
