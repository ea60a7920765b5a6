import type { Config } from '../config.ts'
import { type Problem, warning } from '../problem.ts'
import { type Edition, PARAMETERS, type ResolvedRow, WORKSPACE_SETTINGS, type WorkspaceSetting } from './catalogue.ts'
import type { Entry } from './entry.ts'
import { formatHostPattern } from './host-pattern.ts'

/** What is valid and still not what one would expect, of the documented entries and the names that fill them. */

/** One warning a setting, with the documented hosts that are not allowed without it. */
export function missingParameters(on: readonly ResolvedRow[]): Problem[] {
  return WORKSPACE_SETTINGS.flatMap((setting) => {
    const hosts = new Set(on.flatMap(({ waiting }) => waiting.filter((host) => host.setting === setting).map(({ host }) => host)))
    if (hosts.size === 0) return []
    return [warning(['workspace', setting], `not allowed until \`workspace.${setting}\` names one: ${[...hosts].join(', ')}`)]
  })
}

/** Names that fill nothing that is on, with what would use them. */
export function idleParameters({ workspace }: Config, on: readonly ResolvedRow[], editions: readonly Edition[]): Problem[] {
  return NAMED_BY_HAND.flatMap((setting) => {
    if (workspace[setting].length === 0 || on.some((row) => uses(row, setting))) return []
    const path = ['workspace', setting]
    const partners = new Set(
      on.flatMap(({ row }) => (row.narrow?.by.includes(setting) ? row.narrow.by.filter((by) => workspace[by].length === 0) : [])),
    )
    if (partners.size > 0) {
      const missing = [...partners].map((by) => `\`workspace.${by}\``).join(' and ')
      return [warning(path, `\`workspace.${setting}\` narrows nothing until ${missing} names one too`)]
    }
    const features = new Set(
      editions.flatMap(({ hosts }) => hosts.filter((row) => mentions(row, setting)).map(({ feature }) => feature)),
    )
    const shown = [...features].map((feature) => `\`${feature}\``).join(' or ')
    return [warning(path, `\`workspace.${setting}\` fills nothing that is on; it belongs to feature ${shown}`)]
  })
}

/** Settings that not every workspace needs: who sets one means something by it. */
const NAMED_BY_HAND = ['id', 'keyVaults', 'aksClusters', 'federationHosts'] as const satisfies readonly WorkspaceSetting[]

function uses({ row, narrowed, patterns, waiting }: ResolvedRow, setting: WorkspaceSetting): boolean {
  if (narrowed) return row.narrow?.by.includes(setting) ?? false
  return (patterns.length > 0 || waiting.length > 0) && namedIn(Object.values(row.hosts).flat(), setting)
}

function mentions({ hosts, narrow }: ResolvedRow['row'], setting: WorkspaceSetting): boolean {
  return namedIn([...Object.values(hosts).flat(), ...Object.values(narrow?.hosts ?? {}).flat()], setting)
}

function namedIn(hosts: readonly string[], setting: WorkspaceSetting): boolean {
  return Object.entries(PARAMETERS).some(
    ([parameter, filled]) => filled === setting && hosts.some((host) => host.includes(parameter)),
  )
}

/** What was switched on beyond an edition's defaults and lets data out to anybody, one warning a feature. */
export function wideFeatures(config: Config, inForce: readonly Edition[], entries: readonly Entry[]): Problem[] {
  const standard = new Set(
    inForce.flatMap(({ features }) => Object.entries(features).flatMap(([name, { default: on }]) => (on ? [name] : []))),
  )
  const byFeature = new Map<string, Set<string>>()
  for (const { feature, tenancy, patterns } of entries) {
    if (feature === undefined || tenancy !== 'any' || standard.has(feature)) continue
    for (const { host } of patterns) {
      // Of service tags more is said (see `TagPolicy`).
      if (host.kind === 'exact' || host.kind === 'network') continue
      const hosts = byFeature.get(feature) ?? new Set()
      byFeature.set(feature, hosts.add(formatHostPattern(host)))
    }
  }
  return [...byFeature].map(([feature, hosts]) => {
    const path = config.features[feature] === undefined ? ['workspace', 'managedStorage'] : ['features', feature]
    return warning(
      path,
      `\`${feature}\` lets data out to whoever answers under ${[...hosts].map((host) => `\`${host}\``).join(', ')}`,
    )
  })
}
