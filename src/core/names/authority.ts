import type { Result } from '../result.ts'
import { err, ok } from '../result.ts'
import type { Hostname } from './hostname.ts'
import { parseHostname } from './hostname.ts'
import type { IpAddress } from './ip.ts'
import { parseIp } from './ip.ts'
import { quote } from './quote.ts'

/** What a client asks for: a name or a literal address. `text` is canonical; IPv6 stands without brackets (see `formatHost`). */
export type Host =
  | { readonly kind: 'name'; readonly name: Hostname; readonly text: string }
  | { readonly kind: 'address'; readonly ip: IpAddress; readonly text: string }

export interface Authority {
  readonly host: Host
  /** 1 to 65535. */
  readonly port: number
}

export function nameHost(name: Hostname): Host {
  return { kind: 'name', name, text: name }
}

export function addressHost(ip: IpAddress): Host {
  return { kind: 'address', ip, text: ip.text }
}

/**
 * Reads a host as it stands in a URL or a CONNECT target: a name, a dotted quad, or IPv6 in brackets.
 *
 * Brackets round anything else are refused: `[example.com]` once went around a deny rule for `example.com` (CVE-2022-24825). A mapped
 * literal such as `[::ffff:127.0.0.1]` stays what it is; whoever vets it looks inside.
 * Error: one sentence, bounded and printable (see `quote`).
 */
export function parseHost(text: string): Result<Host, string> {
  if (text.startsWith('[')) return parseBracketed(text)
  const ip = parseIp(text)
  if (ip?.family === 6) return err(`the IPv6 address ${quote(text)} needs brackets; use \`[${ip.text}]\``)
  if (ip !== undefined) return ok(addressHost(ip))
  const name = parseHostname(text)
  return name.ok ? ok(nameHost(name.value)) : name
}

function parseBracketed(text: string): Result<Host, string> {
  if (!text.endsWith(']')) return err(`${quote(text)} has no \`]\` at its end`)
  const inside = text.slice(1, -1)
  const ip = parseIp(inside)
  if (ip?.family === 6) return ok(addressHost(ip))
  if (inside.includes('%')) return err(`${quote(text)} has a zone id; write the address without it`)
  const problem = `${quote(text)} has brackets round something other than an IPv6 address`
  const bare = ip ?? parseHostname(inside)
  if ('family' in bare) return err(`${problem}; use ${quote(bare.text)}`)
  return err(bare.ok ? `${problem}; use ${quote(bare.value)}` : problem)
}

/** Decimal digits without sign, space or leading zero, 1 to 65535 (RFC 3986 would allow `0443`, and its readers disagree on it). */
export function parsePort(text: string): Result<number, string> {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65535) return ok(port)
  return err(
    text === '' ? 'the port is missing' : `${quote(text)} is not a port; use a number from 1 to 65535, without leading zeros`,
  )
}

/**
 * Reads `host:port`. The port may be absent only where a default is given, and then with its colon (`h:` is refused). User
 * information, a scheme, a path, a list and escapes are refused, because none of them has a place in a host or a port.
 * Error: one sentence, bounded and printable (see `quote`).
 */
export function parseAuthority(text: string, defaultPort?: number): Result<Authority, string> {
  if (text === '') return err('the authority is empty; use `host:port`')
  const colon = portColon(text)
  if (colon === undefined) return err(tooManyColons(text))
  const host = parseHost(colon < 0 ? text : text.slice(0, colon))
  if (!host.ok) return host
  if (colon < 0) {
    if (defaultPort === undefined) return err(`${quote(text)} has no port; use \`host:port\``)
    return ok({ host: host.value, port: defaultPort })
  }
  const port = parsePort(text.slice(colon + 1))
  return port.ok ? ok({ host: host.value, port: port.value }) : port
}

/** Where the colon before the port is, -1 without one; `undefined` when outside brackets there are more than one. */
function portColon(text: string): number | undefined {
  const bracket = text.startsWith('[') ? text.indexOf(']') : -1
  const colon = text.indexOf(':', bracket + 1)
  // An opened and never closed bracket: the host, which says so, is the whole text.
  if (text.startsWith('[') && bracket < 0) return -1
  return colon === text.lastIndexOf(':') || colon < 0 ? colon : undefined
}

function tooManyColons(text: string): string {
  const ip = parseIp(text)
  if (ip !== undefined) return `the IPv6 address ${quote(text)} needs brackets and a port; use \`[${ip.text}]:port\``
  const problem = `${quote(text)} has more than one \`:\``
  return text.includes('://')
    ? `${problem}; use \`host:port\` without a scheme`
    : `${problem}; use \`host:port\`, with brackets round an IPv6 address`
}

/** The host as it stands in a URL or a Host field: IPv6 in brackets. */
export function formatHost(host: Host): string {
  return host.kind === 'address' && host.ip.family === 6 ? `[${host.text}]` : host.text
}

/** `host:port`, with brackets round IPv6; what `parseAuthority` reads. */
export function formatAuthority(authority: Authority): string {
  return `${formatHost(authority.host)}:${authority.port}`
}
