import type { Config } from '../config.ts'
import {
  type Edition,
  otherClouds,
  parameterPattern,
  type ResolvedRow,
  resolveRows,
  toEntry,
  type WorkspaceSetting,
} from './catalogue.ts'
import { DEFAULT_PORTS, type Entry, type Pattern } from './entry.ts'
import { type FeatureSwitch, featureSwitch } from './features.ts'
import type { KnownDestination, Unlisted } from './hints.ts'
import { parseHostPattern } from './host-pattern.ts'
import { HostTree } from './host-tree.ts'

/**
 * What is not in the policy, each with the one change that would put it there.
 *
 * @param tagged entries of service tags whose feature is off
 */
export function unlistedTree(
  config: Config,
  editions: readonly Edition[],
  isOn: FeatureSwitch,
  tagged: readonly Entry[] = [],
): HostTree<Unlisted> {
  const tree = new HostTree<Unlisted>()
  const names = config.workspace
  const add = (rows: readonly ResolvedRow[], remedyOf: (row: ResolvedRow) => Unlisted['remedy']) => {
    for (const row of rows) {
      const entry = toEntry(row, config.cloud)
      for (const pattern of row.patterns) tree.insert(pattern.host, { entry, pattern, remedy: remedyOf(row) })
    }
  }
  for (const edition of editions) {
    const inForce = config.editions.includes(edition.id)
    const rows = resolveRows(edition, config.cloud, names)
    if (!inForce) {
      const wouldBeOn = featureSwitch(config, [edition])
      add(rows, ({ row: { feature } }) => ({
        kind: 'edition',
        edition: edition.id,
        ...(wouldBeOn(edition.id, feature) ? {} : { feature }),
      }))
    } else {
      const off = rows.filter(({ row }) => !isOn(edition.id, row.feature))
      add(off, ({ row: { feature } }) => ({ kind: 'feature', feature, standard: edition.features[feature]?.default ?? false }))
      for (const row of rows) {
        const { default: standard, namedBy } = edition.features[row.row.feature] ?? {}
        const isReachable = standard === true || isOn(edition.id, row.row.feature)
        addParameters(tree, row, config, (settings) => isReachable || settings.some((setting) => setting === namedBy))
      }
    }
    for (const cloud of otherClouds(config.cloud)) add(resolveRows(edition, cloud, names), () => ({ kind: 'cloud', cloud }))
  }
  for (const entry of tagged)
    for (const pattern of entry.patterns)
      tree.insert(pattern.host, { entry, pattern, remedy: { kind: 'feature', feature: entry.feature ?? '', standard: false } })
  return tree.prepare()
}

/** Of a row that can be narrowed too: the name of one more vault is a smaller change than every customer's. */
function addParameters(
  tree: HostTree<Unlisted>,
  row: ResolvedRow,
  config: Config,
  /** Whether a name there is the change to make: a scenario that is off is not opened by naming what it narrows. */
  helps: (settings: readonly WorkspaceSetting[]) => boolean,
): void {
  if (row.row.unproxied !== undefined) return
  for (const host of [...row.row.hosts[config.cloud], ...(row.row.narrow?.hosts[config.cloud] ?? [])]) {
    const parameter = parameterPattern(host)
    if (parameter === undefined || !helps(parameter.settings)) continue
    const pattern: Pattern = { host: parameter.host, ports: row.row.ports ?? DEFAULT_PORTS }
    const parameters = parameter.settings.map((setting) => ({ setting, named: config.workspace[setting] }))
    tree.insert(parameter.host, { entry: toEntry(row, config.cloud), pattern, remedy: { kind: 'workspace', parameters } })
  }
}

export function knownTree(known: readonly KnownDestination[]): HostTree<KnownDestination> {
  const tree = new HostTree<KnownDestination>()
  for (const destination of known) {
    for (const text of destination.hosts) {
      const host = parseHostPattern(text)
      if (!host.ok) throw new Error(`hints: ${destination.id}: ${host.error}`)
      tree.insert(host.value, destination)
    }
  }
  return tree
}
