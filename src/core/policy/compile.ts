import type { Config, Rule } from '../config.ts'
import { CidrSet } from '../names/cidr.ts'
import type { Hostname } from '../names/hostname.ts'
import { didYouMean, type Problem, problem, warning } from '../problem.ts'
import { err, ok, type Result } from '../result.ts'
import {
  ANY_NAME,
  type Edition,
  otherClouds,
  parameterPattern,
  type ResolvedRow,
  resolveRows,
  toEntry,
  WORKSPACE_SETTINGS,
  type WorkspaceNames,
} from './catalogue.ts'
import { DEFAULT_PORTS, type Entry, type Pattern } from './entry.ts'
import { type KnownDestination, type Unlisted, WORKSPACE_FEATURES } from './hints.ts'
import { type HostPattern, parseHostPattern } from './host-pattern.ts'
import { HostTree } from './host-tree.ts'
import { lintEntries } from './lint.ts'
import type { Match, Pin, Policy } from './policy.ts'

export interface PolicySources {
  readonly config: Config
  /** Every edition there is, newest last; the config names those that are in force. */
  readonly editions: readonly Edition[]
  readonly known: readonly KnownDestination[]
  /** Makes the short hash that names the policy; core has no cryptography of its own. */
  readonly digest: (text: string) => string
}

export interface CompiledPolicy {
  readonly policy: Policy
  readonly warnings: readonly Problem[]
}

/** Turns config and catalogue into the policy, or lists everything that is wrong with them. */
export function compilePolicy(sources: PolicySources): Result<CompiledPolicy, readonly Problem[]> {
  const { config, known } = sources
  const editions = sources.editions.filter(({ id }) => config.editions.includes(id))
  const problems = [
    ...checkEditions(config, sources.editions),
    ...checkFeatures(config, editions),
    ...checkWorkspace(config),
    ...checkRules(config.rules),
  ]
  if (problems.some(({ severity }) => severity === 'error')) return err(problems)

  const rows = editions.flatMap((edition) => resolveRows(edition, config.cloud, workspaceNames(config)))
  const isOn = featureSwitch(config, editions)
  const on = rows.filter(({ edition, row }) => isOn(edition, row.feature))
  const entries = [
    ...config.rules.map(ruleEntry),
    ...on.filter(({ patterns }) => patterns.length > 0).map((row) => catalogueEntry(row, config)),
  ]
  const policy: Policy = {
    cloud: config.cloud,
    editions: editions.map(({ id }) => id),
    mode: config.mode,
    hash: sources.digest(fingerprint(config, entries)),
    entries,
    tree: treeOf(entries),
    pins: new Map(Object.entries(config.destinations.pin) as [Hostname, Pin][]),
    privateRanges: config.destinations.privateRanges,
    unlisted: unlistedTree(config, sources.editions, isOn),
    known: knownTree(known),
  }
  return ok({ policy, warnings: [...problems, ...missingParameters(on), ...lintEntries(policy, config)] })
}

/** The tree that `decide` walks. Entries that stand earlier are found first among equally specific ones. */
export function treeOf(entries: readonly Entry[]): HostTree<Match> {
  const tree = new HostTree<Match>()
  for (const entry of entries) for (const pattern of entry.patterns) tree.insert(pattern.host, { entry, pattern })
  return tree
}

function ruleEntry(rule: Rule): Entry {
  const ports = rule.ports ?? (rule.action === 'deny' ? 'any' : DEFAULT_PORTS)
  const patterns = rule.hosts.map(
    (host: HostPattern): Pattern => ({
      host,
      ports,
      ...(rule.protocol === undefined ? {} : { protocol: rule.protocol }),
      ...(rule.paths === undefined ? {} : { paths: rule.paths }),
      ...(rule.methods === undefined ? {} : { methods: rule.methods }),
      ...(rule.inspect === undefined ? {} : { inspect: rule.inspect }),
    }),
  )
  return {
    id: `rule/${rule.name}`,
    origin: 'rule',
    action: rule.action,
    patterns,
    ...(rule.mode === undefined ? {} : { mode: rule.mode }),
    ...(rule.quiet === true ? { quiet: true } : {}),
    ...(rule.destinations === undefined ? {} : { destinations: CidrSet.of(rule.destinations) }),
  }
}

function catalogueEntry(row: ResolvedRow, config: Config): Entry {
  const entry = toEntry(row, config.cloud)
  const { privateEndpoints } = config.workspace
  if (privateEndpoints.isEmpty || !WORKSPACE_FEATURES.includes(row.row.feature)) return entry
  return { ...entry, destinations: privateEndpoints }
}

type FeatureSwitch = (edition: string, feature: string) => boolean

function featureSwitch(config: Config, editions: readonly Edition[]): FeatureSwitch {
  const byId = new Map(editions.map((edition) => [edition.id, edition]))
  return (edition, feature) => {
    const standard = byId.get(edition)?.features[feature]?.default
    return standard !== undefined && (config.features[feature] ?? standard)
  }
}

function workspaceNames(config: Config): WorkspaceNames {
  const { regions, storageAccounts, containerRegistries } = config.workspace
  return { regions, storageAccounts, containerRegistries }
}

/** What is not in the policy, each with the one change that would put it there. */
function unlistedTree(config: Config, editions: readonly Edition[], isOn: FeatureSwitch): HostTree<Unlisted> {
  const tree = new HostTree<Unlisted>()
  const names = workspaceNames(config)
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
  return tree
}

function addParameters(tree: HostTree<Unlisted>, row: ResolvedRow, config: Config): void {
  for (const host of row.row.hosts[config.cloud]) {
    const parameter = parameterPattern(host)
    if (parameter === undefined) continue
    const pattern: Pattern = { host: parameter.host, ports: row.row.ports ?? DEFAULT_PORTS }
    const names = workspaceNames(config)
    const parameters = parameter.settings.map((setting) => ({ setting, named: names[setting] }))
    tree.insert(parameter.host, { entry: toEntry(row, config.cloud), pattern, remedy: { kind: 'workspace', parameters } })
  }
}

function knownTree(known: readonly KnownDestination[]): HostTree<KnownDestination> {
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

function checkEditions(config: Config, editions: readonly Edition[]): Problem[] {
  const ids = editions.map(({ id }) => id)
  return config.editions.flatMap((id, index) => {
    if (ids.includes(id)) return []
    const nearest = didYouMean(id, ids)
    return [
      problem(
        ['editions', index],
        `unknown edition \`${id}\`; ${nearest === undefined ? `there is ${ids.join(', ')}` : `did you mean \`${nearest}\`?`}`,
      ),
    ]
  })
}

function checkFeatures(config: Config, editions: readonly Edition[]): Problem[] {
  const names = new Set(editions.flatMap(({ features }) => Object.keys(features)))
  return Object.keys(config.features)
    .filter((name) => !names.has(name))
    .map((name) => {
      const nearest = didYouMean(name, names)
      const remedy = nearest === undefined ? `there are ${[...names].join(', ')}` : `did you mean \`${nearest}\`?`
      return { ...problem(['features', name], `unknown feature \`${name}\`; ${remedy}`), at: 'key' as const }
    })
}

function checkWorkspace({ workspace }: Config): Problem[] {
  return (['storageAccounts', 'containerRegistries'] as const).flatMap((setting) => {
    const index = workspace[setting].indexOf(ANY_NAME)
    if (index < 0) return []
    if (!workspace.acknowledgeMultiTenant) {
      return [
        problem(
          ['workspace', setting, index],
          "`*` lets data out to anybody's account; name yours, or say `acknowledgeMultiTenant: true`",
        ),
      ]
    }
    return [warning(['workspace', setting, index], "`*` lets data out to anybody's account")]
  })
}

function checkRules(rules: readonly Rule[]): Problem[] {
  const seen = new Map<string, number>()
  return rules.flatMap((rule, index) => {
    const found: Problem[] = []
    const first = seen.get(rule.name)
    if (first === undefined) seen.set(rule.name, index)
    else
      found.push(problem(['rules', index, 'name'], `rule name \`${rule.name}\` is taken by rule ${first + 1}; names are unique`))
    if (rule.protocol === 'any' && (rule.paths ?? rule.methods) !== undefined) {
      found.push(
        problem(
          ['rules', index, 'protocol'],
          '`any` is not looked into, so `paths` and `methods` could not be judged; use `tls` or `http`',
        ),
      )
    }
    if (rule.inspect === 'always' && rule.protocol !== undefined && rule.protocol !== 'tls') {
      found.push(
        problem(
          ['rules', index, 'inspect'],
          `\`inspect: always\` ends TLS, and \`protocol: ${rule.protocol}\` carries none that is judged; leave one of them out`,
        ),
      )
    }
    if (rule.action === 'deny' && rule.inspect !== undefined) {
      found.push(problem(['rules', index, 'inspect'], 'a deny rule lets nothing through to be inspected; leave `inspect` out'))
    }
    if (rule.mode === 'report' && rule.action !== 'deny') {
      found.push(
        problem(
          ['rules', index, 'mode'],
          'only a deny rule has a mode of its own; for the whole gateway write `mode: report` at the top',
        ),
      )
    }
    if (rule.quiet === true && rule.action !== 'deny') {
      found.push(problem(['rules', index, 'quiet'], 'only a deny rule can be quiet; leave `quiet` out, or say `action: deny`'))
    }
    if (rule.action === 'deny' && rule.destinations !== undefined) {
      found.push(
        problem(['rules', index, 'destinations'], 'a deny rule dials nothing, so `destinations` has no meaning; leave it out'),
      )
    }
    if (rule.action === 'deny' && rule.protocol !== undefined) {
      found.push(problem(['rules', index, 'protocol'], 'a deny rule carries nothing, so `protocol` has no meaning; leave it out'))
    }
    return found
  })
}

/** One warning a setting, with the documented hosts that are not allowed without it. */
function missingParameters(rows: readonly ResolvedRow[]): Problem[] {
  return WORKSPACE_SETTINGS.flatMap((setting) => {
    const hosts = new Set(
      rows.flatMap(({ waiting }) => waiting.filter((host) => host.setting === setting).map(({ host }) => host)),
    )
    if (hosts.size === 0) return []
    return [warning(['workspace', setting], `not allowed until \`workspace.${setting}\` names one: ${[...hosts].join(', ')}`)]
  })
}

function fingerprint(config: Config, entries: readonly Entry[]): string {
  const { cloud, mode, destinations, clients } = config
  return JSON.stringify(
    [cloud, mode, destinations.pin, destinations.privateRanges.cidrs, clients.allow.cidrs, entries],
    (key, value) => (key === 'destinations' && value instanceof CidrSet ? value.cidrs : value),
  )
}
