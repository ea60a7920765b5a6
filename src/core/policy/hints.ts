import { formatAuthority, type Host } from '../names/authority.ts'
import { platformAddress } from '../names/special-purpose.ts'
import { z } from '../schema.ts'
import type { WorkspaceSetting } from './catalogue.ts'
import type { EgressRequest } from './decide.ts'
import type { Denial } from './enforce.ts'
import { type Cloud, DEFAULT_PORTS, type Entry, type Pattern, portMatches } from './entry.ts'
import { formatHostPattern } from './host-pattern.ts'
import type { Policy } from './policy.ts'
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
    | { readonly kind: 'feature'; readonly feature: string }
    | { readonly kind: 'workspace'; readonly setting: WorkspaceSetting }
    | { readonly kind: 'cloud'; readonly cloud: Cloud }
    | { readonly kind: 'edition'; readonly edition: string }
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
export const WORKSPACE_FEATURES: readonly string[] = ['studio', 'compute', 'storage', 'container-registry']

/** Says what would allow the request. Undefined where saying so would help nobody but an intruder. */
export function hintFor(policy: Policy, request: EgressRequest, denial: Denial, refusal?: AddressRefusal): Hint | undefined {
  const { host, port } = request
  if (isPlatform(host) || refusal?.kind === 'platform') return platformHint()
  switch (denial.reason) {
    case 'host_not_listed':
      return unlistedHint(policy, host, port)
    case 'port_not_listed':
      return knownHint(policy, host, port) ?? portHint(host, port, denial.entry)
    case 'path_not_listed':
      return pathHint(denial.entry)
    case 'method_not_listed':
      return methodHint(denial.entry)
    case 'inspection_unavailable':
      return {
        text: `${named(denial.entry)} allows only certain paths or methods of ${quoted(host)}, and TLS inspection is not available yet; plain http is judged, or allow the whole host: ${ruleLine(host, port)}`,
        remedy: { kind: 'inspection', name: 'inspection' },
      }
    case 'denied_by_rule':
      return {
        text: `${named(denial.entry)} refuses it; remove or narrow that rule`,
        remedy: { kind: 'rule', name: denial.entry?.id ?? 'rule' },
      }
    case 'address_refused':
      return refusal === undefined ? undefined : addressHint(host, denial.entry, refusal)
    case 'loop_detected':
      return {
        text: `${quoted(host)} leads back to this gateway; take it out of the proxy settings with NO_PROXY`,
        remedy: { kind: 'no_proxy', name: 'loop' },
      }
    default:
      return plainHint(denial)
  }
}

function unlistedHint(policy: Policy, host: Host, port: number): Hint {
  const candidates = policy.unlisted.find(host).filter(({ pattern }) => portMatches(pattern, port))
  const known = knownHint(policy, host, port)
  const feature = candidates.find(({ remedy }) => remedy.kind === 'feature')
  if (feature?.remedy.kind === 'feature') {
    const name = feature.remedy.feature
    return withKnown(
      {
        text: `feature \`${name}\` is off; switch it on with \`features: { ${name}: true }\``,
        remedy: { kind: 'feature', name },
      },
      known,
    )
  }
  const parameter = candidates.find(({ remedy }) => remedy.kind === 'workspace')
  if (parameter?.remedy.kind === 'workspace') {
    const { setting } = parameter.remedy
    const name = host.text.slice(0, host.text.indexOf('.'))
    return withKnown(
      { text: `name it if it is yours: \`workspace: { ${setting}: [${name}] }\``, remedy: { kind: 'workspace', name: setting } },
      known,
    )
  }
  const cloud = candidates.find(({ remedy }) => remedy.kind === 'cloud')
  if (cloud?.remedy.kind === 'cloud') {
    return withKnown(
      {
        text: `listed for \`cloud: ${cloud.remedy.cloud}\`, and this gateway serves \`cloud: ${policy.cloud}\``,
        remedy: { kind: 'cloud', name: cloud.remedy.cloud },
      },
      known,
    )
  }
  const edition = candidates.find(({ remedy }) => remedy.kind === 'edition')
  if (edition?.remedy.kind === 'edition') {
    const name = edition.remedy.edition
    return withKnown({ text: `edition ${name} lists it; add it to \`editions\``, remedy: { kind: 'edition', name } }, known)
  }
  return known ?? { text: `to allow it, add ${ruleLine(host, port)}`, remedy: { kind: 'rule', name: 'rule' } }
}

function withKnown(hint: Hint, known: Hint | undefined): Hint {
  return known === undefined ? hint : { ...hint, text: `${hint.text}; ${known.text}` }
}

function knownHint(policy: Policy, host: Host, port: number): Hint | undefined {
  const known = policy.known.find(host).find(({ ports }) => ports === undefined || ports.includes(port))
  if (known === undefined) return undefined
  const text = known.say.replaceAll('{host}', host.text).replaceAll('{port}', String(port))
  return { text, remedy: { kind: known.remedy.kind, name: known.remedy.name } }
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
  const range = `${address.text}/${address.family === 4 ? 32 : 128}`
  if (entry?.feature !== undefined && WORKSPACE_FEATURES.includes(entry.feature)) {
    return {
      text: `${found}: a private endpoint? add its subnet to \`workspace.privateEndpoints\`, or put the name in NO_PROXY`,
      remedy: { kind: 'workspace', name: 'privateEndpoints' },
    }
  }
  const where = entry?.origin === 'rule' ? `of ${named(entry)}` : 'of a rule for this host'
  return {
    text: `${found}; if that is meant, add \`destinations: ["${range}"]\` ${where}, or put the name in NO_PROXY`,
    remedy: { kind: 'destinations', name: entry?.id ?? 'destinations' },
  }
}

function platformHint(): Hint {
  return {
    text: `the instance's own metadata and DNS address is never reached through a proxy, which would hand out the gateway's identity; set \`${NO_PROXY_LINE}\``,
    remedy: { kind: 'no_proxy', name: 'platform' },
  }
}

/** What can be said from the reason alone. */
export function plainHint({ reason }: Pick<Denial, 'reason'>): Hint | undefined {
  const text = PLAIN_HINTS[reason]
  return text === undefined ? undefined : { text, remedy: { kind: 'none', name: reason } }
}

const PLAIN_HINTS: { readonly [R in Denial['reason']]?: string } = {
  not_a_proxy_request: 'send CONNECT or an absolute http:// URL, as in `curl --proxy http://GATEWAY:3128 URL`',
  scheme_not_supported: 'https goes through CONNECT: point HTTPS_PROXY at http://GATEWAY:3128',
  host_mismatch: 'open a connection of its own for each host',
  path_not_canonical: 'send the path without `.`, `..`, `//`, `\\`, `;` and escaped separators',
  dns_failed: 'see whether the gateway itself resolves the name; `dns.servers` names the servers it asks',
  dial_failed: 'the name resolves but nothing accepts the connection there; see whether the gateway itself can reach it',
  dial_timeout: 'no answer to the connection attempt; is there a route from the gateway to it?',
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

/** The YAML that would allow exactly this host and port. */
export function ruleLine(host: Host, port: number): string {
  const ports = DEFAULT_PORTS.includes(port) ? '' : `, ports: [${port}]`
  return `\`rules: [{ name: ${ruleName(host)}, hosts: [${yamlHost(host)}]${ports} }]\``
}

/** An IPv6 literal has colons, which YAML would take for a mapping. */
function yamlHost(host: Host): string {
  return host.text.includes(':') ? `"${host.text}"` : host.text
}

function ruleName(host: Host): string {
  return host.text
    .replace(/[^a-z0-9]+/gi, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40)
}

/** For a listing: `pypi.org`, `*.anaconda.org`, with its ports. */
export function formatPattern(pattern: Pattern): string {
  const ports = pattern.ports === 'any' ? '*' : pattern.ports.join(',')
  const paths = pattern.paths === undefined ? '' : ` ${pattern.paths.map(({ text }) => text).join(' ')}`
  return `${formatHostPattern(pattern.host)}:${ports}${paths}`
}

/** `host:port` of a request, as shown to people. */
export function formatTarget({ host, port }: EgressRequest): string {
  return formatAuthority({ host, port })
}
