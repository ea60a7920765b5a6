import type { Config } from '../config.ts'
import { type Edition, otherClouds, parameterPattern, type ResolvedRow, resolveRows, toEntry } from './catalogue.ts'
import { DEFAULT_PORTS, type Entry, type Pattern } from './entry.ts'
import type { FeatureSwitch } from './features.ts'
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
    if (!inForce) add(rows, () => ({ kind: 'edition', edition: edition.id }))
    else {
      const off = rows.filter(({ row }) => !isOn(edition.id, row.feature))
      add(off, ({ row }) => ({ kind: 'feature', feature: row.feature }))
      for (const row of rows) addParameters(tree, row, config)
    }
    for (const cloud of otherClouds(config.cloud)) add(resolveRows(edition, cloud, names), () => ({ kind: 'cloud', cloud }))
  }
  for (const entry of tagged)
    for (const pattern of entry.patterns)
      tree.insert(pattern.host, { entry, pattern, remedy: { kind: 'feature', feature: entry.feature ?? '' } })
  return tree.prepare()
}

function addParameters(tree: HostTree<Unlisted>, row: ResolvedRow, config: Config): void {
  for (const host of row.row.hosts[config.cloud]) {
    const parameter = parameterPattern(host)
    if (parameter === undefined) continue
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
