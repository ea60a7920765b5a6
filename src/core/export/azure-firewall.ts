import type { Policy } from '../policy/policy.ts'
import { type Caveat, type ExportRule, plainName, reportModeCaveats, rulesOf, uniqueNames, usualHosts } from './export-rule.ts'

/**
 * The policy as rule collections of an Azure Firewall policy. The shapes are those of Microsoft.Network/firewallPolicies/ruleCollectionGroups,
 * API version 2024-03-01.
 */

export interface ApplicationRule {
  readonly ruleType: 'ApplicationRule'
  readonly name: string
  readonly description?: string
  readonly sourceAddresses: readonly string[]
  readonly protocols: readonly { readonly protocolType: 'Http' | 'Https'; readonly port: number }[]
  readonly targetFqdns?: readonly string[]
  readonly targetUrls?: readonly string[]
  readonly terminateTLS?: boolean
}

export interface NetworkRule {
  readonly ruleType: 'NetworkRule'
  readonly name: string
  readonly description?: string
  readonly ipProtocols: readonly 'TCP'[]
  readonly sourceAddresses: readonly string[]
  readonly destinationAddresses?: readonly string[]
  readonly destinationFqdns?: readonly string[]
  readonly destinationPorts: readonly string[]
}

export interface RuleCollection {
  readonly ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
  readonly name: string
  readonly priority: number
  readonly action: { readonly type: 'Allow' | 'Deny' }
  readonly rules: readonly (ApplicationRule | NetworkRule)[]
}

export interface AzureFirewallOptions {
  /** Of the collection group, 100 to 65000; its collections count from there. */
  readonly priority: number
  /** Ranges of the subnet, or `*`. */
  readonly sources: readonly string[]
}

export interface AzureFirewallRules {
  readonly priority: number
  readonly collections: readonly RuleCollection[]
  readonly caveats: readonly Caveat[]
}

/** Application rules take ports up to here. */
const APPLICATION_PORT_MAX = 64_000

/**
 * Network rules are judged before application rules whatever their priority, so the collections stand in that order. What the firewall
 * cannot say is left out, or made narrower, and told.
 */
export function azureFirewallRules(policy: Policy, { priority, sources }: AzureFirewallOptions): AzureFirewallRules {
  const caveats: Caveat[] = reportModeCaveats(policy)
  const complain = ({ entry }: ExportRule, text: string) => {
    if (!caveats.some((known) => known.entry === entry.id && known.text === text)) caveats.push({ entry: entry.id, text })
  }
  const allows = rulesOf(policy, 'allow').flatMap((rule) => allowRule(rule, sources, complain))
  const ports = [
    ...new Set(allows.flatMap((rule) => (rule.ruleType === 'ApplicationRule' ? rule.protocols.map(({ port }) => port) : []))),
  ]
  const denies = rulesOf(policy, 'deny').flatMap((rule) => denyRules(rule, sources, ports, complain))
  const kinds = [
    ['deny-network', 'Deny', denies.filter(({ ruleType }) => ruleType === 'NetworkRule')],
    ['allow-network', 'Allow', allows.filter(({ ruleType }) => ruleType === 'NetworkRule')],
    ['deny-application', 'Deny', denies.filter(({ ruleType }) => ruleType === 'ApplicationRule')],
    ['allow-application', 'Allow', allows.filter(({ ruleType }) => ruleType === 'ApplicationRule')],
  ] as const
  const collections = kinds
    .filter(([, , rules]) => rules.length > 0)
    .map(
      ([name, type, rules], index): RuleCollection => ({
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection',
        name: `sallyport-${name}`,
        priority: priority + index * 100,
        action: { type },
        rules: uniqueNames(rules),
      }),
    )
  return { priority, collections, caveats }
}

type Complain = (rule: ExportRule, text: string) => void

function allowRule(rule: ExportRule, sources: readonly string[], complain: Complain): (ApplicationRule | NetworkRule)[] {
  const { entry, pattern, ports, protocol } = rule
  const { host, methods, inspect } = pattern
  if (ports === 'any') return leftOut(complain, rule, 'is left out: it has no ports')
  if (methods !== undefined) return leftOut(complain, rule, `is left out: methods (${methods.join(', ')}) cannot be told apart`)
  if (host.kind === 'network') return [networkRule(rule, sources, { destinationAddresses: [addressText(host.name)] }, ports)]
  if (host.kind === 'exact' && host.host.kind === 'address')
    return [networkRule(rule, sources, { destinationAddresses: [host.host.ip.text] }, ports)]
  if (protocol === 'any') {
    if (host.kind !== 'exact')
      return leftOut(
        complain,
        rule,
        `is left out on ${ports.join(', ')}: network rules take no wildcard; use the service tag of the service`,
      )
    complain(rule, 'needs the DNS proxy of the firewall, and clients that ask it: a network rule knows a name by its addresses')
    return [networkRule(rule, sources, { destinationFqdns: usualHosts(host) }, ports)]
  }
  const carried = ports.filter((port) => port <= APPLICATION_PORT_MAX)
  if (carried.length < ports.length) complain(rule, `is left out on ports above ${APPLICATION_PORT_MAX}`)
  if (carried.length === 0) return []
  const protocols = carried.map((port) => ({ protocolType: protocol === 'http' ? ('Http' as const) : ('Https' as const), port }))
  const base = {
    ruleType: 'ApplicationRule',
    name: plainName(entry.id),
    ...described(rule),
    sourceAddresses: sources,
    protocols,
  } as const
  if (pattern.paths === undefined) {
    if (inspect === 'always') complain(rule, 'ends TLS, which takes the Premium tier with TLS inspection')
    return [
      { ...base, targetFqdns: usualHosts(host), ...(inspect === 'always' && protocol === 'tls' ? { terminateTLS: true } : {}) },
    ]
  }
  const urls = targetUrls(rule, complain)
  return urls.length === 0 ? [] : [{ ...base, targetUrls: urls, ...(protocol === 'tls' ? { terminateTLS: true } : {}) }]
}

function targetUrls(rule: ExportRule, complain: Complain): string[] {
  const { host, paths = [] } = rule.pattern
  if (host.kind !== 'exact') return leftOut(complain, rule, 'is left out: a URL has its `*` at one end only')
  if (rule.protocol === 'tls') complain(rule, 'has paths, which over HTTPS take the Premium tier with TLS inspection')
  const usable = paths.filter(({ text }) => !text.replace(/\/\*$/, '').includes('*'))
  const unusable = paths.filter((path) => !usable.includes(path))
  if (unusable.length > 0)
    complain(rule, `is left out for ${unusable.map(({ text }) => text).join(', ')}: a URL has its \`*\` at the end only`)
  if (usable.some(({ text }) => !text.endsWith('/*'))) complain(rule, 'also covers its paths with a `/` at the end')
  return usable.map(({ text }) => `${host.host.text}${text}`)
}

/** A deny rule covers every port; here it names those on which anything is allowed. */
function denyRules(
  rule: ExportRule,
  sources: readonly string[],
  allowed: readonly number[],
  complain: Complain,
): (ApplicationRule | NetworkRule)[] {
  const { entry, pattern, ports } = rule
  const { host } = pattern
  const wanted = ports === 'any' ? allowed : ports
  if (pattern.methods !== undefined) complain(rule, `refuses every method here, not ${pattern.methods.join(', ')} alone`)
  if (pattern.paths !== undefined) complain(rule, 'refuses the whole host here, not some paths alone')
  if (host.kind === 'network' || (host.kind === 'exact' && host.host.kind === 'address')) {
    const address = host.kind === 'network' ? addressText(host.name) : host.host.text
    return [networkRule(rule, sources, { destinationAddresses: [address] }, ports)]
  }
  const names = host.kind === 'exact' ? [networkRule(rule, sources, { destinationFqdns: usualHosts(host) }, ports)] : []
  if (host.kind !== 'exact')
    complain(rule, 'has a wildcard, which network rules do not take: what a network rule allows is not refused by it')
  const protocols = wanted
    .filter((port) => port <= APPLICATION_PORT_MAX)
    .flatMap((port) => [
      { protocolType: 'Http' as const, port },
      { protocolType: 'Https' as const, port },
    ])
  if (protocols.length === 0) return names
  return [
    ...names,
    {
      ruleType: 'ApplicationRule',
      name: plainName(entry.id),
      ...described(rule),
      sourceAddresses: sources,
      protocols,
      targetFqdns: usualHosts(host),
    },
  ]
}

function networkRule(
  rule: ExportRule,
  sources: readonly string[],
  destination: Pick<NetworkRule, 'destinationAddresses' | 'destinationFqdns'>,
  ports: ExportRule['ports'],
): NetworkRule {
  return {
    ruleType: 'NetworkRule',
    name: plainName(rule.entry.id),
    ...described(rule),
    ipProtocols: ['TCP'],
    sourceAddresses: sources,
    ...destination,
    destinationPorts: ports === 'any' ? ['*'] : ports.map(String),
  }
}

/** `203.0.113.0/24`, or the name of a service tag. */
function addressText(name: string): string {
  return name.startsWith('tag:') ? name.slice('tag:'.length) : name
}

function described({ entry }: ExportRule): { readonly description?: string } {
  return entry.purpose === undefined ? {} : { description: entry.purpose.slice(0, 250) }
}

function leftOut(complain: Complain, rule: ExportRule, text: string): [] {
  complain(rule, text)
  return []
}
