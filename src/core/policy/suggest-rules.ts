import { groupedBy } from '../grouped.ts'
import { unmapped } from '../names/ip.ts'
import type { Ownership, SharedSuffixes } from '../names/registrable-domain.ts'
import { platformAddress, specialBlock } from '../names/special-purpose.ts'
import { decide } from './decide.ts'
import type { DeniedDestination, Evidence, RefusedRequest } from './denied-destinations.ts'
import type { Protocol } from './entry.ts'
import { knownText } from './hints.ts'
import { parsePathPattern } from './path-pattern.ts'
import type { Policy } from './policy.ts'
import { candidatesAt, knownAt, TELEMETRY_FEATURES } from './suggest-switches.ts'

/** A rule to add. */
export interface RuleChange {
  readonly name: string
  readonly action: 'allow' | 'deny'
  /** Of a denial: it is expected. */
  readonly quiet: boolean
  readonly hosts: readonly { readonly host: string; readonly evidence: Evidence }[]
  /** Absent for a denial, which is of every port. */
  readonly ports?: readonly number[]
  readonly protocol?: Protocol
  readonly paths?: readonly string[]
  readonly methods?: readonly string[]
  /** Of an address that is not public. */
  readonly destinations?: readonly string[]
  /** What one should know before taking it. */
  readonly remarks: readonly string[]
  /** Instead of `hosts`: a wildcard that reaches them all, and whatever else there will be. Never allows a shared suffix. */
  readonly wider?: string
}

/** Ports of protocols that are not TLS, and what is spoken there. */
const OPAQUE_PORTS: Readonly<Record<number, string>> = { 21: 'FTP', 22: 'SSH', 873: 'rsync', 9418: 'git' }

/** A rule with more paths than that is better written by hand. */
const PATHS_MAX = 20

type Draft = Omit<RuleChange, 'name'> & {
  /** What it is named after. */
  readonly title: string
}

/** Rules for what is not listed: for exactly these hosts and ports. `unsuited` is what no rule should let out. */
export function ruleChanges(
  policy: Policy,
  destinations: readonly DeniedDestination[],
  shared: SharedSuffixes,
): { readonly rules: readonly RuleChange[]; readonly unsuited: readonly DeniedDestination[] } {
  const unsuited: DeniedDestination[] = []
  const noise: DeniedDestination[] = []
  const plain: DeniedDestination[] = []
  const drafts: Draft[] = []
  for (const destination of destinations) {
    if (isNeverProxied(policy, destination)) unsuited.push(destination)
    else if (noiseName(policy, destination) !== undefined) noise.push(destination)
    else if (isOfAnotherCloud(policy, destination)) unsuited.push(destination)
    else if (decide(policy, destination).verdict !== 'inspect') plain.push(destination)
    else {
      const forPaths = pathDrafts(policy, destination)
      drafts.push(...forPaths)
      if (forPaths.length === 0) unsuited.push(destination)
    }
  }
  drafts.unshift(...hostDrafts(policy, plain, shared))
  drafts.push(...noiseDrafts(policy, noise))
  return { rules: named(policy, drafts), unsuited }
}

/** The platform's own addresses, and what is known not to be carried by a proxy. */
function isNeverProxied(policy: Policy, destination: DeniedDestination): boolean {
  const { host } = destination
  if (host.kind === 'address' && platformAddress(host.ip) !== undefined) return true
  const remedy = knownAt(policy, destination)?.remedy.kind
  return remedy === 'forward' || remedy === 'no_proxy'
}

/** Documented for other clouds alone. Whoever wants such a host all the same has a reason, and writes the rule. */
function isOfAnotherCloud(policy: Policy, destination: DeniedDestination): boolean {
  const candidates = candidatesAt(policy, destination)
  if (knownAt(policy, destination) !== undefined || candidates.length === 0) return false
  return candidates.every((candidate) => candidate.remedy.kind === 'cloud')
}

/** Telemetry, and what is known to be asked for in vain. */
function noiseName(policy: Policy, destination: DeniedDestination): string | undefined {
  const known = knownAt(policy, destination)
  if (known?.remedy.kind === 'none') return known.id
  for (const { remedy } of candidatesAt(policy, destination))
    if (remedy.kind === 'feature' && TELEMETRY_FEATURES.includes(remedy.feature)) return remedy.feature
  return undefined
}

function noiseDrafts(policy: Policy, destinations: readonly DeniedDestination[]): Draft[] {
  const groups = groupedBy(destinations, (one) => noiseName(policy, one) ?? '')
  return [...groups].map(([title, group]) => {
    const known = group.map((one) => knownText(policy, one.host, one.port)).find((text) => text !== undefined)
    const feature = TELEMETRY_FEATURES.includes(title)
    const why = feature
      ? `feature \`${title}\` is off: telemetry, harmless if denied; switched on, it would need this rule gone`
      : known
    return {
      title: `quiet-${title}`,
      action: 'deny',
      quiet: true,
      hosts: byHost(group),
      remarks: why === undefined ? [] : [why],
      ...knownWildcard(policy, group[0]),
    }
  })
}

/** Telemetry has a host for each region: to refuse them all is no risk. */
function knownWildcard(policy: Policy, destination: DeniedDestination): { wider?: string } {
  const [only, ...others] = knownAt(policy, destination)?.hosts ?? []
  return only?.startsWith('*.') && others.length === 0 ? { wider: only } : {}
}

/** One rule for the hosts of a domain that are asked for on the same ports. */
function hostDrafts(policy: Policy, destinations: readonly DeniedDestination[], shared: SharedSuffixes): Draft[] {
  const domains = groupedBy(destinations, (one) => groupOf(one, shared))
  return [...domains].flatMap(([title, group]) => {
    const own = ownershipOf(group[0], shared)
    // What is let through unseen on one port must not be so on the others.
    const sets = [...groupedBy(group, isOpaque).values()].flatMap((seenAlike) => {
      const hosts = groupedBy(seenAlike, ({ host }) => host.text)
      return [...groupedBy(hosts.values(), portKey).values()].map((ofHosts) => ofHosts.flat())
    })
    const portsOf = (all: readonly DeniedDestination[]) => [...new Set(all.map(({ port }) => port))].toSorted((a, b) => a - b)
    return sets.map((all) => ({
      title: sets.length > 1 ? `${title}-${portsOf(all).join('-')}` : title,
      action: 'allow' as const,
      quiet: false,
      hosts: byHost(all),
      ports: portsOf(all),
      ...(all.some(isOpaque) ? { protocol: 'any' as const } : {}),
      ...privateRange(all),
      remarks: remarksFor(policy, all, own),
      ...wider(all, own),
    }))
  })
}

function isOpaque({ port }: DeniedDestination): boolean {
  return OPAQUE_PORTS[port] !== undefined
}

function ownershipOf({ host }: DeniedDestination, shared: SharedSuffixes): Ownership | undefined {
  return host.kind === 'name' ? shared.ownershipOf(host.name) : undefined
}

/** The registrable domain; under a shared suffix, each host by itself. */
function groupOf(destination: DeniedDestination, shared: SharedSuffixes): string {
  const own = ownershipOf(destination, shared)
  return own?.kind === 'domain' ? own.domain : destination.host.text
}

function portKey(ofHost: readonly DeniedDestination[]): string {
  return ofHost
    .map(({ port }) => port)
    .toSorted((a, b) => a - b)
    .join()
}

function byHost(destinations: readonly DeniedDestination[]): RuleChange['hosts'] {
  const hosts = groupedBy(destinations, ({ host }) => host.text)
  return [...hosts].map(([host, all]) => ({ host, evidence: all.map(({ evidence }) => evidence).reduce(joined) }))
}

function joined(a: Evidence, b: Evidence): Evidence {
  const clients = [...new Set([...a.clients, ...b.clients])]
  return {
    count: a.count + b.count,
    wouldDeny: a.wouldDeny + b.wouldDeny,
    clients,
    moreClients: a.moreClients || b.moreClients,
    firstSeen: a.firstSeen < b.firstSeen ? a.firstSeen : b.firstSeen,
    lastSeen: a.lastSeen > b.lastSeen ? a.lastSeen : b.lastSeen,
  }
}

function privateRange([first]: readonly DeniedDestination[]): { destinations?: readonly string[] } {
  if (first?.host.kind !== 'address' || specialBlock(first.host.ip) === undefined) return {}
  const address = unmapped(first.host.ip)
  return { destinations: [`${address.text}/${address.family === 4 ? 32 : 128}`] }
}

/** `*.domain`, or `*domain` where the domain itself is asked for too; only where one registrant owns all of it. */
function wider(destinations: readonly DeniedDestination[], own: Ownership | undefined): { wider?: string } {
  const names = new Set(destinations.map(({ host }) => host.text))
  if (own?.kind !== 'domain' || own.above !== undefined || names.size < 2) return {}
  return { wider: names.has(own.domain) ? `*${own.domain}` : `*.${own.domain}` }
}

function remarksFor(policy: Policy, destinations: readonly DeniedDestination[], own: Ownership | undefined): readonly string[] {
  const remarks = new Set<string>()
  for (const { host, port } of destinations) {
    const known = knownText(policy, host, port)
    if (known !== undefined) remarks.add(known)
    const spoken = OPAQUE_PORTS[port]
    if (spoken !== undefined) remarks.add(`port ${port} is ${spoken}: \`protocol: any\` relays it unseen`)
    const nearest = decide(policy, { host, port })
    if (nearest.verdict === 'deny' && nearest.reason === 'port_not_listed' && nearest.entry?.origin === 'rule')
      remarks.add(`\`${nearest.entry.id}\` allows other ports of it; ${port} among its \`ports\` does the same`)
    if (host.kind === 'address') remarks.add(addressRemark(host.ip))
  }
  if (own?.kind === 'shared') remarks.add(sharedRemark(own))
  const hosts = new Set(destinations.map(({ host }) => host.text))
  if (own?.kind === 'domain' && own.above !== undefined && hosts.size > 1)
    remarks.add(`no wildcard: under \`${own.domain}\` are names of every customer (${own.above})`)
  return [...remarks]
}

function sharedRemark({ suffix, service, itself }: Extract<Ownership, { kind: 'shared' }>): string {
  return itself
    ? `\`${suffix}\` itself serves every customer (${service}): data can leave to anybody; \`paths\` would limit it`
    : `this host only: under \`${suffix}\` anybody can have a name (${service}); is it yours, or one you trust?`
}

function addressRemark(ip: Parameters<typeof specialBlock>[0]): string {
  const special = specialBlock(ip)
  return special === undefined
    ? 'asked for by address: whoever has the address later is let out to as well'
    : `not a public address (${special.name}, ${special.source}); NO_PROXY may be meant`
}

/** Paths and methods that were refused where a rule judges them, those with the same methods together. */
function pathDrafts(policy: Policy, { host, port, evidence, requests, moreRequests }: DeniedDestination): Draft[] {
  const refused = requests.filter((http) => isNewPath(policy, { host, port }, http))
  const paths = groupedBy(refused, ({ path }) => path)
  const methodsOf = (path: string) => [...new Set(paths.get(path)?.map(({ method }) => method) ?? [])].toSorted()
  const sameMethods = groupedBy(paths.keys(), (path) => methodsOf(path).join())
  return [...sameMethods.values()].map((group) => {
    const unsaid = moreRequests + Math.max(0, group.length - PATHS_MAX)
    return {
      title: `${host.text}-paths`,
      action: 'allow',
      quiet: false,
      hosts: [{ host: host.text, evidence }],
      ports: [port],
      paths: group.slice(0, PATHS_MAX),
      methods: methodsOf(group[0] ?? ''),
      remarks: unsaid > 0 ? [`${unsaid} more were refused; \`/folder/*\` covers everything under a folder`] : [],
    }
  })
}

/** Whether a rule with this very path and method would let the request out. */
function isNewPath(policy: Policy, authority: Pick<DeniedDestination, 'host' | 'port'>, http: RefusedRequest): boolean {
  const decision = decide(policy, { ...authority, http })
  if (decision.verdict !== 'deny' || decision.reason === 'denied_by_rule' || decision.reason === 'path_not_canonical')
    return false
  return !http.path.includes('*') && parsePathPattern(http.path).ok && /^[A-Z][A-Z-]*$/.test(http.method)
}

const NAME_CHARACTERS_MAX = 56

/** Names that are nobody else's, here or in the config. */
function named(policy: Policy, drafts: readonly Draft[]): RuleChange[] {
  const taken = new Set(policy.entries.map(({ id }) => id))
  return drafts.map(({ title, ...rule }) => {
    const base = title
      .replace(/[^a-z0-9]+/gi, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, NAME_CHARACTERS_MAX)
    let name = base
    for (let n = 2; taken.has(`rule/${name}`); n++) name = `${base}-${n}`
    taken.add(`rule/${name}`)
    return { name, ...rule }
  })
}
