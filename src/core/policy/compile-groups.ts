import type { GroupSettings } from '../config/groups.ts'
import type { Config, Limits } from '../config.ts'
import type { Problem } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import type { ClientGroup } from './client-group.ts'
import { type Entry, isConstrained, type Pattern } from './entry.ts'
import { type FeatureSwitch, featureSwitch, withGroupFeatures } from './features.ts'
import type { HostTree } from './host-tree.ts'
import type { Match, Policy } from './policy.ts'
import type { TagPolicy } from './tag-policy.ts'
import { unlistedTree } from './unlisted.ts'

/**
 * What is wrong with the service tags that groups switch on, told at the group.
 *
 * @param problemsOf what is wrong with those of a config
 */
export function groupTagProblems(config: Config, problemsOf: (own: Config) => readonly Problem[]): Problem[] {
  return Object.entries(config.groups).flatMap(([name, group]) => {
    if (Object.keys(group.features).length === 0) return []
    return problemsOf(withGroupFeatures(config, group)).flatMap((found): Problem[] => {
      const [section, feature] = found.path
      if (section === 'rules' || (section === 'features' && group.features[String(feature)] === undefined)) return []
      return [section === 'features' ? { ...found, path: ['groups', name, ...found.path] } : found]
    })
  })
}

export interface GroupSources {
  readonly config: Config
  /** Those in force. */
  readonly editions: readonly Edition[]
  /** Every edition there is. */
  readonly all: readonly Edition[]
  /** The entries of a group with these features. */
  readonly entriesOf: (isOn: FeatureSwitch, tagPolicy: TagPolicy, group: string) => readonly Entry[]
  /** The service tags of a config with a group's features. */
  readonly tagPolicyOf: (config: Config, isOn: FeatureSwitch) => TagPolicy
  readonly treeOf: (entries: readonly Entry[]) => HostTree<Match>
}

/**
 * A policy for each group, in the order of the file: the one at the top with the group's own features and rules. What is no different
 * is shared with the one at the top.
 */
export function compileGroups(
  top: Policy,
  { config, editions, all, entriesOf, tagPolicyOf, treeOf }: GroupSources,
): readonly (ClientGroup & { readonly isOn: FeatureSwitch })[] {
  return Object.entries(config.groups).map(([name, settings]) => {
    const { sources, users, certificates, features, mode, limits, inspection } = settings
    const own = withGroupFeatures(config, settings)
    const isOn = featureSwitch(own, editions)
    const hasFeatures = Object.keys(features).length > 0
    const hasRules = config.rules.some(({ groups }) => groups?.includes(name))
    const inspected = inspection.tls === 'always'
    const tagPolicy = tagPolicyOf(own, isOn)
    const listed = hasFeatures || hasRules ? entriesOf(isOn, tagPolicy, name) : top.entries
    const entries = inspected ? listed.map(alwaysInspected) : listed
    return {
      name,
      ...(sources === undefined ? {} : { sources }),
      ...(users === undefined ? {} : { users }),
      ...(certificates === undefined ? {} : { certificates }),
      policy: {
        ...top,
        group: name,
        mode: mode ?? top.mode,
        entries,
        tree: entries === top.entries ? top.tree : treeOf(entries),
        unlisted: hasFeatures ? unlistedTree(own, all, isOn, tagPolicy.unlisted()) : top.unlisted,
      },
      limits: limitsOfGroup(config, limits),
      isCountedApart: COUNTED.some((limit) => limits[limit] !== undefined),
      ech: inspection.ech ?? config.inspection.ech,
      neverInspected: inspection.tls === 'never',
      isOn,
    }
  })
}

/** TLS is ended for every host that is allowed; what is relayed unseen (`protocol: any`) stays so. */
function alwaysInspected(entry: Entry): Entry {
  if (entry.action === 'deny') return entry
  return {
    ...entry,
    patterns: entry.patterns.map((pattern): Pattern => {
      // What is matched by address has no name that a certificate could be made for.
      const stays = pattern.host.kind === 'network' || pattern.protocol === 'any' || pattern.protocol === 'http'
      return stays || isConstrained(pattern) ? pattern : { ...pattern, inspect: 'always' }
    }),
  }
}

/** Limits for which a group's clients are counted by themselves. */
const COUNTED = ['tunnels', 'tunnelsPerClient', 'requestsPerSecondPerClient'] as const

function given<T extends object>(limits: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)) as never
}

/** What admission goes by: `key` is as `countedAs` makes it. A group that is gone has the limits at the top. */
export function limitsOf(config: Config, key: string): Limits {
  const own = groupLimits(config, key)
  return own === undefined ? config.limits : limitsOfGroup(config, own)
}

/** Tunnels at once of the group in such a key, all its clients together; infinite where only the gateway's limit holds. */
export function groupTunnels(config: Config, key: string): number {
  return groupLimits(config, key)?.tunnels ?? Number.POSITIVE_INFINITY
}

function groupLimits(config: Config, key: string): GroupSettings['limits'] | undefined {
  const end = key.indexOf(' ')
  return end < 0 ? undefined : config.groups[key.slice(0, end)]?.limits
}

/** `tunnels` of a group is a bound beside the gateway's, and does not replace it. */
function limitsOfGroup(config: Config, { tunnels: _, ...own }: GroupSettings['limits']): Limits {
  return { ...config.limits, ...given(own) }
}
