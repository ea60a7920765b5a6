import type { AzureFacts } from '../azure/facts.ts'
import type { ServiceTag, ServiceTags } from '../azure/tag-file.ts'
import type { Config, Rule } from '../config.ts'
import { AddressRanges } from '../names/address-ranges.ts'
import { type Cidr, CidrSet } from '../names/cidr.ts'
import type { Hostname } from '../names/hostname.ts'
import { distinct, type Problem } from '../problem.ts'
import { err, ok, type Result } from '../result.ts'
import { type Edition, type ResolvedRow, resolveRows, toEntry, type Unproxied } from './catalogue.ts'
import { catalogueNotes } from './catalogue-notes.ts'
import type { ClientGroup } from './client-group.ts'
import { compileGroups, groupTagProblems } from './compile-groups.ts'
import { configProblems } from './config-problems.ts'
import { DEFAULT_PORTS, type Entry, type Pattern } from './entry.ts'
import { type FeatureSwitch, featureSwitch } from './features.ts'
import { type KnownDestination, WORKSPACE_FEATURES } from './hints.ts'
import type { TargetPattern } from './host-pattern.ts'
import { HostTree } from './host-tree.ts'
import { lintEntries } from './lint.ts'
import { idleParameters, missingParameters, wideFeatures } from './lint-catalogue.ts'
import { managedStorageProblems } from './managed-storage.ts'
import type { Match, Pin, Policy } from './policy.ts'
import { placedAsWritten, withFeaturesMeant } from './tag-features.ts'
import { NO_FACTS, TagPolicy } from './tag-policy.ts'
import { tagTarget } from './tag-rows.ts'
import { knownTree, unlistedTree } from './unlisted.ts'

export interface PolicySources {
  readonly config: Config
  /** Every edition there is, newest last; the config names those that are in force. */
  readonly editions: readonly Edition[]
  readonly known: readonly KnownDestination[]
  /** Regions and tags; without them names are taken as they are. */
  readonly azure?: AzureFacts
  /** The file that `serviceTags.file` names, read. */
  readonly tags?: TagSource | undefined
  /** Makes the short hash that names the policy; core has no cryptography of its own. */
  readonly digest: (text: string) => string
}

export interface TagSource {
  readonly tags: ServiceTags
  /** When the file was published, as far as one can tell. */
  readonly publishedSeconds: number
}

export interface CompiledPolicy {
  readonly policy: Policy
  /** What `subnet.forward.*.serviceTags` amount to, by the exception's name; those without tags are not in it. */
  readonly forwardRanges: ReadonlyMap<string, readonly Cidr[]>
  readonly warnings: readonly Problem[]
  /** What is documented, on, and not carried by the gateway. */
  readonly unproxied: readonly Unproxied[]
  /** What one ought to know of the documented entries that are on, and need not change. */
  readonly notes: readonly string[]
}

/** Turns config and catalogue into the policy, or lists everything that is wrong with them. */
export function compilePolicy(sources: PolicySources): Result<CompiledPolicy, readonly Problem[]> {
  const { known, azure = NO_FACTS, tags } = sources
  const config = withFeaturesMeant(sources.config, sources.editions, azure)
  const editions = sources.editions.filter(({ id }) => config.editions.includes(id))
  const isOn = featureSwitch(config, editions)
  const tagPolicyOf = (own: Config, isOnThere: FeatureSwitch) => new TagPolicy(own, editions, isOnThere, azure, tags?.tags)
  const tagPolicy = tagPolicyOf(config, isOn)
  const tagProblems = [
    ...tagPolicy.problems(),
    ...groupTagProblems(config, (own) => tagPolicyOf(own, featureSwitch(own, editions)).problems()),
  ]
  const problems = [...configProblems(config, sources.editions, editions), ...distinct(tagProblems)]
  const asWritten = placedAsWritten(sources.config, sources.editions, azure)
  if (problems.some(({ severity }) => severity === 'error')) return err(problems.map(asWritten))

  const rows = editions.flatMap((edition) => resolveRows(edition, config.cloud, config.workspace))
  const on = rows.filter(({ edition, row }) => isOn(edition, row.feature))
  const entries = entriesOf(on, config, tagPolicy)
  const top: Policy = {
    cloud: config.cloud,
    editions: editions.map(({ id }) => id),
    mode: config.mode,
    hash: '',
    entries,
    tree: treeOf(entries),
    ...(tags && { tagFile: { change: tags.tags.file.change, publishedSeconds: tags.publishedSeconds } }),
    pins: new Map(Object.entries(config.destinations.pin) as [Hostname, Pin][]),
    privateRanges: config.destinations.privateRanges,
    upstream: config.upstream,
    unlisted: unlistedTree(config, sources.editions, isOn, tagPolicy.unlisted()),
    known: knownTree(known),
    groups: [],
  }
  const groups = compileGroups(top, {
    config,
    editions,
    all: sources.editions,
    tagPolicyOf,
    entriesOf: (isOnThere, tagsThere, group) =>
      entriesOf(
        rows.filter(({ edition, row }) => isOnThere(edition, row.feature)),
        config,
        tagsThere,
        group,
      ),
    treeOf,
  })
  const hash = sources.digest(fingerprint(config, entries, groups))
  const policy = { ...top, hash, groups: groups.map((group) => ({ ...group, policy: { ...group.policy, hash } })) }
  /** On at the top or for a group. */
  const anywhere = rows.filter((row) => on.includes(row) || groups.some((group) => group.isOn(row.edition, row.row.feature)))
  const unproxied = on.flatMap((row) => row.unproxied ?? [])
  const warnings = [
    ...problems,
    ...missingParameters(anywhere),
    ...idleParameters(config, anywhere, sources.editions),
    ...managedStorageProblems(config, (feature) => editions.some(({ id }) => isOn(id, feature))),
    ...wideFeatures(config, editions, entries),
    ...lintEntries(policy, config),
  ].map(asWritten)
  return ok({
    policy,
    forwardRanges: tagPolicy.ofForwards(),
    warnings,
    unproxied,
    notes: catalogueNotes(policy, sources.editions, unproxied),
  })
}

/**
 * What is in force, operator rules first.
 *
 * @param rows those that are on
 * @param tagPolicy the service tags that are on
 * @param group whose rules count beside everybody's
 */
function entriesOf(rows: readonly ResolvedRow[], config: Config, tagPolicy: TagPolicy, group?: string): Entry[] {
  return [
    ...config.rules
      .filter(({ groups }) => groups === undefined || (group !== undefined && groups.includes(group)))
      .map((rule) => ruleEntry(rule, tagPolicy.ofRule(rule))),
    ...rows.filter(({ patterns }) => patterns.length > 0).map((row) => catalogueEntry(row, config)),
    ...tagPolicy.entries(),
  ]
}

/** The tree that `decide` walks. Entries that stand earlier are found first among equally specific ones. */
export function treeOf(entries: readonly Entry[]): HostTree<Match> {
  const tree = new HostTree<Match>()
  for (const entry of entries) for (const pattern of entry.patterns) tree.insert(pattern.host, { entry, pattern })
  return tree.prepare()
}

function ruleEntry(rule: Rule, tags: readonly ServiceTag[]): Entry {
  const ports = rule.ports ?? (rule.action === 'deny' ? 'any' : DEFAULT_PORTS)
  const networks = (rule.addresses ?? []).map(
    (cidr): TargetPattern => ({ kind: 'network', name: cidr.text, ranges: AddressRanges.of([cidr]) }),
  )
  const patterns = [...(rule.hosts ?? []), ...networks, ...tags.map(tagTarget)].map(
    (host): Pattern => ({
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
    ...(rule.expires === undefined ? {} : { expires: rule.expires }),
    ...(rule.owner === undefined ? {} : { owner: rule.owner }),
    ...(rule.ticket === undefined ? {} : { ticket: rule.ticket }),
    ...(rule.destinations === undefined ? {} : { destinations: CidrSet.of(rule.destinations) }),
  }
}

function catalogueEntry(row: ResolvedRow, config: Config): Entry {
  const entry = toEntry(row, config.cloud)
  const { privateEndpoints } = config.workspace
  if (privateEndpoints.isEmpty || !WORKSPACE_FEATURES.includes(row.row.feature)) return entry
  return { ...entry, destinations: privateEndpoints }
}

function fingerprint(config: Config, entries: readonly Entry[], groups: readonly ClientGroup[]): string {
  const { cloud, mode, destinations, clients, upstream } = config
  const grouped = groups.map(({ name, policy }) => [name, config.groups[name], policy.entries])
  const ways = upstream.map(({ match, noProxy, proxy }) => ({ match, noProxy, proxy: proxy.map(({ label }) => label) }))
  return JSON.stringify(
    [
      ...[cloud, mode, destinations.pin, destinations.privateRanges.cidrs, clients.allow.cidrs, entries],
      ...(grouped.length === 0 ? [] : [grouped]),
      ...(ways.length === 0 ? [] : [{ ways }]),
    ],
    (key, value) => (key === 'destinations' && value instanceof CidrSet ? value.cidrs : value),
  )
}
