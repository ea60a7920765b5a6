import type { AddressRanges } from '../names/address-ranges.ts'
import { type Host, parseHost } from '../names/authority.ts'
import { type Hostname, parseHostname } from '../names/hostname.ts'
import { parseIp, unmapped } from '../names/ip.ts'
import { quote } from '../names/quote.ts'
import { err, ok, type Result } from '../result.ts'

/**
 * Which hosts an entry covers.
 *
 * - `exact`: that name or that IP literal
 * - `under`: `*.suffix`, any depth of labels under the suffix, not the suffix itself
 * - `within`: `*suffix`, the suffix itself and any depth under it. Never a name that merely ends in the same letters:
 *   Azure Firewall lets `evilpytorch.org` out for `*pytorch.org`, we do not.
 */
export type HostPattern =
  | { readonly kind: 'exact'; readonly host: Host }
  | { readonly kind: 'under'; readonly suffix: Hostname }
  | { readonly kind: 'within'; readonly suffix: Hostname }

/**
 * Destinations by address, from `addresses` or a service tag: every address literal in the ranges. Never a name, wherever it resolves
 * to: its owner could point it into any range, and then out of everybody's sight to the next.
 */
export interface NetworkPattern {
  readonly kind: 'network'
  /** `203.0.113.0/24`, or `tag:AzureMonitor`. */
  readonly name: string
  readonly ranges: AddressRanges
}

/** Which destinations an entry covers: by the host asked for, or by its address. */
export type TargetPattern = HostPattern | NetworkPattern

/** Reads `pypi.org`, `*.anaconda.org`, `*pytorch.org`, `10.1.2.3` or `2001:db8::1`. The error is a sentence with the remedy. */
export function parseHostPattern(text: string): Result<HostPattern, string> {
  if (text === '*' || text === '*.')
    return err('`*` would allow every host; list the hosts, or use `mode: report` to see which are asked for')
  if (text.includes('://'))
    return err(`${quote(text)} is a URL; write the host here, its port in \`ports\` and its path in \`paths\``)
  if (text.includes('/'))
    return err(`${quote(text)} has a \`/\`; write the host here and the path in \`paths\`, or an address range in \`addresses\``)
  if (text.startsWith('*')) {
    const kind = text.startsWith('*.') ? 'under' : 'within'
    const suffix = text.slice(kind === 'under' ? 2 : 1)
    if (suffix.includes('*')) return err(`${quote(text)}: only one \`*\` is allowed, at the beginning`)
    const name = canonical(suffix)
    return name.ok ? ok({ kind, suffix: name.value }) : err(name.error)
  }
  if (text.includes('*')) return err(`${quote(text)}: a \`*\` stands only at the beginning, as in \`*.example.com\``)
  if (/^(?:[^:]*|\[.*\]):[0-9]*$/.test(text) && parseIp(text) === undefined)
    return err(`${quote(text)} has a port; write the host here and the port in \`ports\``)
  // IPv6 is written without brackets in a list of hosts: there is no port it could be confused with.
  const host = parseHost(isIpv6Text(text) ? `[${text}]` : text)
  if (!host.ok) return host
  if (host.value.kind === 'address') return ok({ kind: 'exact', host: host.value })
  const name = canonical(text)
  return name.ok ? ok({ kind: 'exact', host: host.value }) : err(name.error)
}

/** The pattern as one writes it. */
export function formatHostPattern(pattern: TargetPattern): string {
  switch (pattern.kind) {
    case 'network':
      return pattern.name
    case 'exact':
      return pattern.host.text
    case 'under':
      return `*.${pattern.suffix}`
    case 'within':
      return `*${pattern.suffix}`
  }
}

/** The plain meaning of a pattern, compared text by text: the oracle that the host tree is tested against. */
export function hostPatternMatches(pattern: TargetPattern, host: Host): boolean {
  switch (pattern.kind) {
    case 'network':
      return host.kind === 'address' && pattern.ranges.contains(unmapped(host.ip))
    case 'exact':
      return hostKey(pattern.host) === hostKey(host)
    case 'under':
      return host.kind === 'name' && host.name.endsWith(`.${pattern.suffix}`)
    case 'within':
      return host.kind === 'name' && (host.name === pattern.suffix || host.name.endsWith(`.${pattern.suffix}`))
  }
}

/** What two hosts are compared by: the canonical name, or the address with any IPv4-mapped form unwrapped. */
export function hostKey(host: Host): string {
  return host.kind === 'name' ? host.name : unmapped(host.ip).text
}

function isIpv6Text(text: string): boolean {
  return text.includes(':') && !text.startsWith('[')
}

function canonical(text: string): Result<Hostname, string> {
  const name = parseHostname(text)
  if (name.ok && name.value !== text) return err(`${quote(text)} is not in normal form; use \`${name.value}\``)
  return name
}
