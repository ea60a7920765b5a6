import { type CidrSet, cidrContains, parseCidr } from '../names/cidr.ts'
import { PLATFORM_ADDRESSES, REGISTERED_BLOCKS } from '../names/special-purpose.ts'
import type { PathPattern } from '../policy/path-pattern.ts'
import type { Policy } from '../policy/policy.ts'
import { comments } from './azure-firewall-text.ts'
import { type Caveat, type Exported, type ExportRule, reportModeCaveats, rulesOf } from './export-rule.ts'

export interface SquidOptions {
  /** Ranges that may use the proxy. */
  readonly clients: CidrSet
}

/**
 * The policy as access rules of Squid 5 or newer, for a file that `squid.conf` includes. Names are compared as text (`-n`): nothing is looked up
 * before it is allowed. Squid then looks an allowed name up to see that it leads nowhere private, and once more to connect.
 */
export function squidRules(policy: Policy, { clients }: SquidOptions): Exported {
  const caveats: Caveat[] = reportModeCaveats(policy)
  const complain = (rule: ExportRule, text: string) => {
    if (!caveats.some((known) => known.entry === rule.entry.id && known.text === text))
      caveats.push({ entry: rule.entry.id, text })
  }
  const writer = new SquidWriter(policy.privateRanges)
  const denies = rulesOf(policy, 'deny').flatMap((rule) => writer.deny(rule, complain))
  const allows = rulesOf(policy, 'allow').flatMap((rule) => writer.allow(rule, complain))
  const text = `${comments('#', caveats)}# Include it in squid.conf before any other http_access line.

acl sallyport_clients src ${clients.cidrs.map(({ text }) => text).join(' ') || 'none'}
http_access deny !sallyport_clients

# Addresses that are never dialled, and those outside the public internet.
acl sallyport_platform dst ${PLATFORM_ADDRESSES.map(({ address }) => address.text).join(' ')}
acl sallyport_special dst ${specialRanges().join(' ')}
# Paths that read in more than one way.
acl sallyport_odd_path urlpath_regex -i ${ODD_PATH}
acl sallyport_connect method CONNECT

${[...writer.acls, ...denies, ...allows].join('\n')}
http_access deny all
`
  return { text, caveats }
}

/**
 * What is unassigned, and what embeds an IPv4 address that Squid would not look at. Nothing here covers `::ffff:0:0/96`: Squid keeps IPv4
 * addresses there.
 */
const BEYOND_THE_REGISTRY = [
  '64:ff9b::/96',
  '100::/8',
  '200::/7',
  '400::/6',
  '800::/5',
  '1000::/4',
  '2002::/16',
  '4000::/2',
  '8000::/1',
]

/** Ranges outside the public internet, each once, none inside another. */
function specialRanges(): string[] {
  const extra = BEYOND_THE_REGISTRY.map((text) => {
    const range = parseCidr(text)
    if (!range.ok) throw new Error(range.error)
    return range.value
  })
  const refused = REGISTERED_BLOCKS.filter(({ cidr, reachable }) => reachable !== 'yes' && cidr.prefixLength > 0).map(
    ({ cidr }) => cidr,
  )
  const all = [...refused, ...extra]
  return all
    .filter(
      (one) => !all.some((other) => other !== one && other.prefixLength <= one.prefixLength && cidrContains(other, one.network)),
    )
    .map(({ text }) => text)
}

/** As `pathAmbiguity` has it, as far as one expression goes. */
const ODD_PATH = String.raw`(^[^?]*//|^[^?]*/\.\.?(/|\?|$)|^[^?]*[\\;#]|^[^?]*%(25)*(2e|2f|5c|00)|^[^?]*%([^0-9a-f]|.[^0-9a-f]|.?$))`

type Complain = (rule: ExportRule, text: string) => void

class SquidWriter {
  readonly acls: string[] = []
  readonly #names = new Map<string, string>()
  readonly #privateRanges: CidrSet

  constructor(privateRanges: CidrSet) {
    this.#privateRanges = privateRanges
  }

  deny(rule: ExportRule, complain: Complain): string[] {
    const { pattern } = rule
    const target = this.#target(rule)
    const lines = [`http_access deny ${[...target, ...this.#methods(pattern.methods), ...this.#paths(pattern.paths)].join(' ')}`]
    if (pattern.paths === undefined && pattern.methods === undefined) return lines
    complain(rule, 'refuses every tunnel to its host: what is asked for inside TLS is not seen')
    return [`http_access deny sallyport_connect ${target.join(' ')}`, ...lines]
  }

  allow(rule: ExportRule, complain: Complain): string[] {
    const { entry, pattern } = rule
    const target = this.#target(rule)
    const vetted = this.#vetted(rule)
    if (pattern.paths !== undefined || pattern.methods !== undefined) {
      complain(rule, 'is for plain HTTP alone: over HTTPS its paths and methods are not seen, so tunnels to its host are refused')
      if (pattern.paths !== undefined)
        complain(rule, 'is compared with the unescaped path: `%2f` is a slash here, and refused by the gateway')
      const seen = [...target, '!sallyport_connect', ...(pattern.paths === undefined ? [] : ['!sallyport_odd_path'])]
      return vetted.map(
        (vetting) =>
          `http_access allow ${[...seen, ...this.#methods(pattern.methods), ...this.#paths(pattern.paths), ...vetting].join(' ')}`,
      )
    }
    if (pattern.inspect === 'always') complain(rule, 'is relayed unseen, Host and all: TLS is not ended here')
    const lines = vetted.map((vetting) => `http_access allow ${[...target, ...vetting].join(' ')}`)
    return lines.length > 0 ? [`# ${entry.id}`, ...lines] : []
  }

  /** Host and port. */
  #target({ pattern: { host }, ports }: ExportRule): string[] {
    const host_ = this.#host(host)
    return ports === 'any' ? [host_] : [host_, this.#acl('port', `port ${ports.join(' ')}`)]
  }

  #host(host: ExportRule['pattern']['host']): string {
    if (host.kind === 'network')
      return this.#acl(
        'network',
        `dst -n ${host.ranges
          .cidrs()
          .map(({ text }) => text)
          .join(' ')}`,
      )
    if (host.kind === 'within') return this.#acl('host', `dstdomain -n .${host.suffix}`)
    if (host.kind === 'under') return this.#acl('host', `dstdom_regex -n -i \\.${host.suffix.replaceAll('.', '\\.')}$`)
    if (host.host.kind === 'address') return this.#acl('address', `dst -n ${host.host.ip.text}`)
    return this.#acl('host', `dstdomain -n ${host.host.name}`)
  }

  #methods(methods: readonly string[] | undefined): string[] {
    return methods === undefined ? [] : [this.#acl('method', `method ${methods.join(' ')}`)]
  }

  #paths(paths: readonly PathPattern[] | undefined): string[] {
    return paths === undefined
      ? []
      : [this.#acl('path', `urlpath_regex ${paths.map(({ text }) => pathExpression(text)).join(' ')}`)]
  }

  /** What the address must be: public, or in a range that the entry permits. */
  #vetted({ entry }: ExportRule): string[][] {
    const permitted = [...this.#privateRanges.cidrs, ...(entry.destinations?.cidrs ?? [])].map(({ text }) => text)
    const never = '!sallyport_platform'
    if (permitted.length === 0) return [[never, '!sallyport_special']]
    return [
      [never, '!sallyport_special'],
      [never, this.#acl('private', `dst ${permitted.join(' ')}`)],
    ]
  }

  /** The name of a list; equal ones are written once. */
  #acl(kind: string, content: string): string {
    const known = this.#names.get(content)
    if (known !== undefined) return known
    const name = `sallyport_${kind}_${this.#names.size + 1}`
    this.#names.set(content, name)
    this.acls.push(`acl ${name} ${content}`)
    return name
  }
}

/** A path pattern as an expression over path and query. */
function pathExpression(text: string): string {
  const folder = text.endsWith('/*')
  const body = (folder ? text.slice(0, -1) : text)
    .split('*')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^/?]*')
  return `^${body}${folder ? '' : '(\\?|$)'}`
}
