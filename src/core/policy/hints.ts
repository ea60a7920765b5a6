import { formatAuthority, type Host } from '../names/authority.ts'
import { type IpAddress, unmapped } from '../names/ip.ts'
import { quoteAtLength } from '../names/quote.ts'
import { platformAddress, specialBlock } from '../names/special-purpose.ts'
import { z } from '../schema.ts'
import type { WorkspaceSetting } from './catalogue.ts'
import type { EgressRequest } from './decide.ts'
import type { Denial } from './enforce.ts'
import { type Cloud, DEFAULT_PORTS, type Entry, isConstrained, type Pattern } from './entry.ts'
import { formatHostPattern } from './host-pattern.ts'
import { networkHint } from './network-hint.ts'
import type { Policy } from './policy.ts'
import { unlistedHint } from './unlisted-hint.ts'
import type { AddressRefusal } from './vet.ts'

export const REMEDIES = [
  'feature',
  'cloud',
  'edition',
  'workspace',
  'port',
  'rule',
  'destinations',
  'no_proxy',
  'inspection',
  'forward',
  'none',
] as const
export type RemedyKind = (typeof REMEDIES)[number]

/** What would allow a refused request: a sentence, and the switch it names, for the metric. */
export interface Hint {
  readonly text: string
  /** `name` comes from the policy or the hints file, never from a client: it is a metric label. */
  readonly remedy: { readonly kind: RemedyKind; readonly name: string }
}

/** A catalogue entry that is not in the policy, and the one change that would put it there. */
export interface Unlisted {
  readonly entry: Entry
  readonly pattern: Pattern
  readonly remedy:
    | {
        readonly kind: 'feature'
        readonly feature: string
        /** The edition has it on: the operator switched it off, and nothing wide is opened by taking that back. */
        readonly standard: boolean
      }
    | {
        readonly kind: 'workspace'
        /** For each label right before the suffix, in order: where it is named, and what is named there already. */
        readonly parameters: readonly { readonly setting: WorkspaceSetting; readonly named: readonly string[] }[]
      }
    | { readonly kind: 'cloud'; readonly cloud: Cloud }
    | {
        readonly kind: 'edition'
        readonly edition: string
        /** The feature that would have to be switched on as well. */
        readonly feature?: string
      }
}

export const knownDestinationsSchema = z.array(
  z.strictObject({
    id: z.string().regex(/^[a-z0-9-]+$/),
    hosts: z.array(z.string()).min(1),
    ports: z.array(z.int().min(1).max(65535)).optional(),
    say: z.string().min(1),
    remedy: z.strictObject({ kind: z.enum(REMEDIES), name: z.string() }),
  }),
)

/** A destination people run into that is in no catalogue, from `config/hints.yaml`. */
export type KnownDestination = z.output<typeof knownDestinationsSchema>[number]

export const NO_PROXY_LINE = 'NO_PROXY=169.254.169.254,168.63.129.16,localhost,127.0.0.1'

/** Features whose hosts belong to the workspace and may resolve into its private endpoints. */
export const WORKSPACE_FEATURES: readonly string[] = ['studio', 'compute', 'storage', 'container-registry', 'key-vault']

/** Says what would allow the request. Undefined where saying so would help nobody but an intruder. */
export function hintFor(policy: Policy, request: EgressRequest, denial: Denial, refusal?: AddressRefusal): Hint | undefined {
  const { host, port } = request
  if (isPlatform(host) || refusal?.kind === 'platform') return platformHint()
  if (denial.parent !== undefined) return parentHint(denial.reason, denial.parent)
  switch (denial.reason) {
    case 'host_not_listed':
      return (
        networkHint(policy, request, ruleLine(host, port, policy.group)) ??
        unlistedHint(policy, request, knownHint(policy, host, port)) ??
        ruleHint(policy, host, port)
      )
    case 'port_not_listed':
      return knownHint(policy, host, port) ?? portHint(host, port, denial.entry)
    case 'path_not_listed':
      return pathHint(denial.entry)
    case 'method_not_listed':
      return methodHint(denial.entry)
    case 'inspection_unavailable':
      return inspectionHint(host, port, denial.entry)
    case 'denied_by_rule':
      return {
        text: `${named(denial.entry)} refuses it; remove or narrow that rule`,
        remedy: { kind: 'rule', name: denial.entry?.id ?? 'rule' },
      }
    case 'denied_by_hook':
    case 'hook_failed':
      return hookHint(denial)
    case 'address_refused':
      return refusal === undefined ? undefined : addressHint(host, denial.entry, refusal)
    case 'loop_detected':
      return {
        text: `${quoted(host)} leads back to this gateway; take it out of the proxy settings with NO_PROXY`,
        remedy: { kind: 'no_proxy', name: 'loop' },
      }
    case 'origin_certificate_invalid':
      return certificateHint(request, denial)
    default:
      return plainHint(denial)
  }
}

/** The gateway did not dial the origin: what is wrong is between it and the parent, or at the parent. */
function parentHint(reason: Denial['reason'], { label, answered }: NonNullable<Denial['parent']>): Hint {
  const remedy = { kind: 'none', name: reason } as const
  if (reason === 'loop_detected') return { text: `\`upstream\` names this gateway as its own parent: ${label}`, remedy }
  if (answered === 407) {
    return {
      text: `${label} wants credentials from the gateway, not from you: its operator mends \`passwordFile\` of \`upstream\``,
      remedy,
    }
  }
  if (answered !== undefined) {
    return {
      text: `the parent proxy refuses it, or cannot reach it: the log of ${label} says which; \`noProxy\` of \`upstream\` goes round it`,
      remedy,
    }
  }
  return { text: `no parent proxy opened a tunnel in time; see whether the gateway reaches ${label}`, remedy }
}

/** The cause is the help: nothing but a good certificate, or a CA that is believed, mends it; verification has no switch. */
function certificateHint({ host, port }: EgressRequest, { reason, detail }: Denial): Hint {
  const address = formatAuthority({ host, port })
  const serverName = host.kind === 'name' ? ` -servername ${host.name}` : ''
  return {
    text: `${detail ?? 'the certificate is not valid'}; a CA of your own is trusted with \`inspection.upstreamCa\`; see the certificate with \`openssl s_client -connect ${address}${serverName}\``,
    remedy: { kind: 'none', name: reason },
  }
}

function ruleHint(policy: Policy, host: Host, port: number): Hint {
  return { text: `to allow it, add ${ruleLine(host, port, policy.group)}`, remedy: { kind: 'rule', name: 'rule' } }
}

function knownHint(policy: Policy, host: Host, port: number): Hint | undefined {
  const known = policy.known.find(host).find(({ ports }) => ports === undefined || ports.includes(port))
  if (known === undefined) return undefined
  return { text: filled(known, host, port), remedy: { kind: known.remedy.kind, name: known.remedy.name } }
}

/** What `config/hints.yaml` says of a destination. */
export function knownText(policy: Policy, host: Host, port: number): string | undefined {
  return knownHint(policy, host, port)?.text
}

function filled({ say }: KnownDestination, host: Host, port: number): string {
  return say.replaceAll('{host}', host.text).replaceAll('{port}', String(port))
}

function inspectionHint(host: Host, port: number, entry: Entry | undefined): Hint {
  const remedy = { kind: 'inspection', name: 'inspection' } as const
  const judges = `certain paths or methods of ${quoted(host)}, which takes TLS inspection, and there is no usable CA for it: \`sallyport check\` says why, \`sallyport ca init\` makes one`
  if (entry?.action === 'deny') {
    return { text: `${named(entry)} refuses ${judges}, or give that rule \`ports: [80]\``, remedy }
  }
  if (!entry?.patterns.some(isConstrained)) {
    return {
      text: `${named(entry)} says \`inspect: always\`, and there is no usable CA for it: \`sallyport check\` says why, \`sallyport ca init\` makes one`,
      remedy,
    }
  }
  return { text: `${named(entry)} allows only ${judges}, or allow the whole host: ${ruleLine(host, port)}`, remedy }
}

function portHint(host: Host, port: number, entry: Entry | undefined): Hint {
  const ports = [...new Set(entry?.patterns.flatMap((pattern) => (pattern.ports === 'any' ? [] : pattern.ports)) ?? [])]
  const change = entry?.origin === 'rule' ? `add ${port} to its \`ports\`` : `add ${ruleLine(host, port)}`
  return {
    text: `${named(entry)} allows ${quoted(host)} on ${ports.length === 1 ? 'port' : 'ports'} ${ports.join(', ')}, not on ${port}; ${change}`,
    remedy: { kind: 'port', name: entry?.id ?? 'port' },
  }
}

function pathHint(entry: Entry | undefined): Hint {
  const paths = entry?.patterns.flatMap((pattern) => pattern.paths?.map(({ text }) => `\`${text}\``) ?? []) ?? []
  const unique = [...new Set(paths)]
  return {
    text: `${named(entry)} allows only ${unique.join(', ')}; ${entry?.origin === 'rule' ? 'add the path to its `paths`' : 'add a rule with this path'}`,
    remedy: { kind: 'rule', name: entry?.id ?? 'rule' },
  }
}

function methodHint(entry: Entry | undefined): Hint {
  const methods = [...new Set(entry?.patterns.flatMap((pattern) => pattern.methods ?? []) ?? [])]
  return {
    text: `${named(entry)} allows only ${methods.join(', ')}; add the method to its \`methods\``,
    remedy: { kind: 'rule', name: entry?.id ?? 'rule' },
  }
}

function addressHint(host: Host, entry: Entry | undefined, { address, block }: AddressRefusal): Hint {
  const found = host.kind === 'address' ? `${address.text} is not public (${block})` : `resolved to ${address.text} (${block})`
  if (entry?.feature !== undefined && WORKSPACE_FEATURES.includes(entry.feature)) {
    return {
      text: `${found}: a private endpoint? add its subnet to \`workspace.privateEndpoints\`, or put the name in NO_PROXY`,
      remedy: { kind: 'workspace', name: 'privateEndpoints' },
    }
  }
  const where = entry?.origin === 'rule' ? `of ${named(entry)}` : 'of a rule for this host'
  return {
    text: `${found}; if that is meant, add \`destinations: ["${singleRange(address)}"]\` ${where}, or put the name in NO_PROXY`,
    remedy: { kind: 'destinations', name: entry?.id ?? 'destinations' },
  }
}

function platformHint(): Hint {
  return {
    text: `an address of the Azure host itself, refused in every mode: through a proxy it would answer for the gateway, identity included; on the client set \`${NO_PROXY_LINE}\``,
    remedy: { kind: 'no_proxy', name: 'platform' },
  }
}

/** A hook's name comes from the config, its message from anywhere: that is shown bounded and escaped, and is no label. */
function hookHint({ reason, hook, message }: Denial): Hint {
  const remedy = { kind: 'none', name: reason } as const
  const named = hook === undefined ? 'a hook' : `the hook \`${hook}\``
  if (reason === 'hook_failed')
    return { text: `${named} failed, and then nothing is let through; the gateway's log says what is wrong with it`, remedy }
  return {
    text: message === undefined ? `${named} refuses it` : `${named} says: ${quoteAtLength(message, HOOK_MESSAGE_MAX)}`,
    remedy,
  }
}

/** Characters of a hook's message that are shown: a sentence or two. */
const HOOK_MESSAGE_MAX = 300

/** What can be said from the reason alone. */
export function plainHint({ reason }: Pick<Denial, 'reason'>): Hint | undefined {
  const text = PLAIN_HINTS[reason]
  return text === undefined ? undefined : { text, remedy: { kind: 'none', name: reason } }
}

const PLAIN_HINTS: { readonly [R in Denial['reason']]?: string } = {
  not_a_proxy_request: 'send CONNECT or an absolute http:// URL, as in `curl --proxy http://GATEWAY:3128 URL`',
  scheme_not_supported:
    'https goes through CONNECT: point HTTPS_PROXY at http://GATEWAY:3128; gRPC needs a host whose tunnel is relayed: a rule without `paths`, `methods` and `inspect`',
  sni_mismatch:
    'the server name in the TLS handshake must be the host of the CONNECT; list the name that is really meant, and connect to that',
  sni_missing:
    'the client must send a server name (SNI); a rule with `protocol: any` lets out one that cannot, and then any name at that address',
  not_tls: 'a tunnel carries TLS unless its rule says `protocol: any` (SSH and the like) or `protocol: http`',
  ech_refused: 'switch ECH off in the client, or set `inspection.ech: pass`',
  address_mismatch:
    'the client resolves names elsewhere than the gateway: `dns.servers` can name the same server, and `transparent.mismatch: dial` goes by the gateway alone',
  opening_timeout:
    'the client must begin its TLS handshake in time; where the server speaks first, the rule needs `protocol: any`',
  host_mismatch: 'open a connection of its own for each host',
  path_not_canonical: 'send the path without `.`, `..`, `//`, `\\`, `;` and escaped separators',
  target_too_long: 'the limit is `limits.targetBytes`',
  head_too_large: 'the limits are `limits.headBytes` and `limits.headFields`',
  dns_failed: 'see whether the gateway itself resolves the name; `dns.servers` names the servers it asks',
  dial_failed: 'the name resolves but nothing accepts the connection there; see whether the gateway itself can reach it',
  dial_timeout: 'no answer to the connection attempt; is there a route from the gateway to it?',
  origin_timeout: 'the limit is `limits.originSeconds`',
}

function isPlatform(host: Host): boolean {
  return host.kind === 'address' && platformAddress(host.ip) !== undefined
}

function named(entry: Entry | undefined): string {
  return entry === undefined ? 'the policy' : `\`${entry.id}\``
}

function quoted(host: Host): string {
  return `\`${host.text}\``
}

/** The YAML that would allow exactly this host and port, an address outside the public internet included. */
export function ruleLine(host: Host, port: number, group?: string): string {
  const only = group === undefined ? '' : `, groups: [${group}]`
  const ports = DEFAULT_PORTS.includes(port) ? '' : `, ports: [${port}]`
  const special = host.kind === 'address' && specialBlock(host.ip) !== undefined
  const destinations = special ? `, destinations: ["${singleRange(host.ip)}"]` : ''
  return `\`rules: [{ name: ${yamlText(ruleName(host))}, hosts: [${yamlText(host.text)}]${ports}${destinations}${only} }]\``
}

/** The colons of an IPv6 literal would make a YAML mapping, and a name may be one of YAML's own words. */
function yamlText(text: string): string {
  return /:|^(?:true|false|null|[0-9._e-]+)$/i.test(text) ? `"${text}"` : text
}

/** The range of one address, as `destinations` takes it. */
function singleRange(ip: IpAddress): string {
  const address = unmapped(ip)
  return `${address.text}/${address.family === 4 ? 32 : 128}`
}

function ruleName(host: Host): string {
  return host.text
    .replace(/[^a-z0-9]+/gi, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40)
}

/** For a listing: `*.anaconda.org:80,443`, then the paths, then what else limits or widens it in brackets. */
export function formatPattern({ host, ports, paths = [], methods, protocol, inspect }: Pattern): string {
  const shown = [`${formatHostPattern(host)}:${ports === 'any' ? '*' : ports.join(',')}`, ...paths.map(({ text }) => text)]
  const conditions = [
    ...(methods === undefined ? [] : [methods.join(', ')]),
    ...(protocol === undefined ? [] : [`protocol ${protocol}`]),
    ...(inspect === undefined ? [] : [`inspect ${inspect}`]),
  ]
  return [...shown, ...conditions.map((condition) => `(${condition})`)].join(' ')
}

/** `host:port` of a request, as shown to people. */
export function formatTarget({ host, port }: EgressRequest): string {
  return formatAuthority({ host, port })
}
