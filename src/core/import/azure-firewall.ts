import { parseCidr } from '../names/cidr.ts'
import { quote } from '../names/quote.ts'
import { z } from '../schema.ts'
import { type Imported, RuleCollector, type RuleText } from './imported.ts'

/**
 * Reads rule collections of Azure Firewall, classic or policy, wherever they stand in the JSON: an ARM template, a resource as `az` prints it,
 * or a bare list of collections.
 */
export function importAzureFirewall(value: unknown): Imported {
  const collector = new RuleCollector()
  let found = false
  const visit = (node: unknown, kind?: RuleKind): void => {
    if (Array.isArray(node)) {
      for (const item of node) visit(item, kind)
      return
    }
    const collection = collectionSchema.safeParse(node)
    if (collection.success) {
      found = true
      readCollection(collection.data, kind, collector)
      return
    }
    if (typeof node !== 'object' || node === null) return
    for (const [key, child] of Object.entries(node)) visit(child, KINDS[key] ?? kind)
  }
  visit(value)
  if (!found) collector.leave('there is no rule collection in it')
  return collector.result
}

type RuleKind = 'application' | 'network' | 'nat'

/** Classic firewalls say by the name of the list what is in it. */
const KINDS: Readonly<Record<string, RuleKind>> = {
  applicationRuleCollections: 'application',
  networkRuleCollections: 'network',
  natRuleCollections: 'nat',
}

const texts = z.array(z.string()).default([])
const ruleFields = z.object({
  name: z.string().default('rule'),
  description: z.string().nullish(),
  ruleType: z.string().optional(),
  sourceAddresses: texts,
  sourceIpGroups: texts,
  targetFqdns: texts,
  targetUrls: texts,
  fqdnTags: texts,
  webCategories: texts,
  terminateTLS: z.boolean().nullish(),
  protocols: z.array(z.union([z.string(), z.object({ protocolType: z.string(), port: z.int().optional() })])).default([]),
  ipProtocols: texts,
  destinationAddresses: texts,
  destinationFqdns: texts,
  destinationIpGroups: texts,
  destinationPorts: texts,
})
type FirewallRule = z.output<typeof ruleFields>

/** In a template what is between is under `properties`. */
const unwrapped = (node: unknown) =>
  typeof node === 'object' && node !== null && 'properties' in node && typeof node.properties === 'object'
    ? { ...node, ...node.properties }
    : node

const collectionSchema = z.preprocess(
  unwrapped,
  z.object({
    name: z.string().default('collection'),
    priority: z.number().optional(),
    action: z.object({ type: z.string() }),
    rules: z.array(ruleFields),
  }),
)
type Collection = z.output<typeof collectionSchema>

function readCollection({ name, action, rules }: Collection, kind: RuleKind | undefined, collector: RuleCollector): void {
  const denies = action.type.toLowerCase() === 'deny'
  for (const rule of rules) {
    const where = `${name}/${rule.name}`
    const type = rule.ruleType ?? (kind === 'network' ? 'NetworkRule' : kind === 'nat' ? 'NatRule' : 'ApplicationRule')
    const left = (text: string) => collector.leave(`${where}: ${text}`)
    if (rule.sourceAddresses.some((source) => source !== '*') || rule.sourceIpGroups.length > 0)
      left('its source addresses: a rule is for every client, unless `clients.allow` or a group says otherwise')
    if (type === 'ApplicationRule') readApplicationRule(rule, denies, where, collector)
    else if (type === 'NetworkRule') readNetworkRule(rule, denies, where, collector)
    else left(`it is a ${type}, which a forward proxy has no use for`)
  }
}

function readApplicationRule(rule: FirewallRule, denies: boolean, where: string, collector: RuleCollector): void {
  const left = (text: string) => collector.leave(`${where}: ${text}`)
  if (rule.fqdnTags.length > 0) left(`FQDN tags ${rule.fqdnTags.join(', ')}: only Azure knows what is in them`)
  if (rule.webCategories.length > 0) left(`web categories ${rule.webCategories.join(', ')}`)
  const hosts = rule.targetFqdns.flatMap((target) => hostsOf(target, left))
  for (const [protocol, ports] of portsOf(rule, left)) {
    const base = {
      name: rule.name,
      ports: [...ports],
      ...(denies ? { action: 'deny' as const } : protocolOf(protocol, ports)),
    }
    if (hosts.length > 0)
      collector.add({
        ...base,
        hosts,
        ...(rule.terminateTLS && protocol === 'tls' && !denies ? { inspect: 'always' as const } : {}),
      })
    for (const [host, paths] of urlsOf(rule.targetUrls, left))
      collector.add({ ...base, hosts: [host], ...(paths === undefined ? {} : { paths: [...paths] }) })
  }
}

type Leave = (text: string) => void

function hostsOf(target: string, left: Leave): string[] {
  if (target === '*') {
    left('`*` allows every host; list them, or use report mode to see which are asked for')
    return []
  }
  if (/^\*[^.]/.test(target))
    left(`${quote(target)} covers \`any${target.slice(1)}\` there, and here the name and what is under it`)
  return [target.toLowerCase()]
}

/** `*.example.com`, `example.com/path/*`: by host, with its paths; undefined for the whole host. */
function urlsOf(urls: readonly string[], left: Leave): Map<string, readonly string[] | undefined> {
  const found = new Map<string, readonly string[] | undefined>()
  for (const url of urls) {
    const slash = url.indexOf('/')
    const [host] = hostsOf(slash < 0 ? url : url.slice(0, slash), left)
    const path = slash < 0 ? '/' : url.slice(slash)
    if (host === undefined) continue
    const known = found.get(host)
    if (path === '/') found.set(host, undefined)
    else if (!found.has(host) || known !== undefined) found.set(host, [...(known ?? []), path])
  }
  return found
}

function portsOf({ protocols }: FirewallRule, left: Leave): Map<'http' | 'tls', Set<number>> {
  const found = new Map<'http' | 'tls', Set<number>>()
  for (const protocol of protocols) {
    const { protocolType, port } = typeof protocol === 'string' ? { protocolType: protocol, port: undefined } : protocol
    const kind = { http: 'http', https: 'tls' }[protocolType.toLowerCase()] as 'http' | 'tls' | undefined
    if (kind === undefined) left(`protocol ${quote(protocolType)} is neither HTTP nor HTTPS`)
    else found.set(kind, (found.get(kind) ?? new Set()).add(port ?? (kind === 'http' ? 80 : 443)))
  }
  return found
}

/** Said only where it is not what the ports mean anyway. */
function protocolOf(protocol: 'http' | 'tls', ports: ReadonlySet<number>): Pick<RuleText, 'protocol'> {
  const plain = [...ports].every((port) => (port === 80) === (protocol === 'http'))
  return plain ? {} : { protocol }
}

/** More ports than this are a range that nobody lists. */
const PORTS_MAX = 100

function readNetworkRule(rule: FirewallRule, denies: boolean, where: string, collector: RuleCollector): void {
  const left = (text: string) => collector.leave(`${where}: ${text}`)
  const protocols = [...rule.ipProtocols, ...rule.protocols.map((one) => (typeof one === 'string' ? one : one.protocolType))].map(
    (one) => one.toUpperCase(),
  )
  const others = protocols.filter((one) => one !== 'TCP' && one !== 'ANY')
  if (others.length > 0) left(`${others.join(', ')} cannot be proxied; routes and forwarding carry it`)
  if (!protocols.includes('TCP') && !protocols.includes('ANY')) return
  const ports = networkPorts(rule.destinationPorts, denies, left)
  if (ports === undefined) return
  const base = {
    name: rule.name,
    ...(ports === 'any' ? {} : { ports: [...ports] }),
    ...(denies ? { action: 'deny' as const } : { protocol: 'any' as const }),
  }
  const hosts = rule.destinationFqdns.flatMap((target) => hostsOf(target, left))
  if (hosts.length > 0) collector.add({ ...base, hosts })
  if (rule.destinationIpGroups.length > 0) left('its IP groups: write their ranges as `addresses`')
  const addresses: string[] = []
  for (const text of rule.destinationAddresses) {
    const range = parseCidr(text)
    if (range.ok) addresses.push(range.value.text)
    else left(text === '*' ? '`*` is every address' : `${quote(text)} is no range; of a service tag see \`serviceTags\``)
  }
  if (addresses.length > 0) collector.add({ ...base, addresses })
}

function networkPorts(texts: readonly string[], denies: boolean, left: Leave): ReadonlySet<number> | 'any' | undefined {
  if (texts.includes('*')) {
    if (denies) return 'any'
    left('every port is open in it; list those that are needed')
    return undefined
  }
  const ports = new Set<number>()
  for (const text of texts) {
    const [first = 0, last = first] = text.split('-').map(Number)
    if (!(first >= 1 && last <= 65_535 && last >= first)) left(`${quote(text)} is no port`)
    else if (last - first >= PORTS_MAX) left(`ports ${text}: list those that are needed`)
    else for (let port = first; port <= last; port++) ports.add(port)
  }
  return ports.size === 0 ? undefined : ports
}
