import { type Authority, parseAuthority } from '../names/authority.ts'
import type { Reason } from '../policy/reasons.ts'
import { err, ok, type Result } from '../result.ts'

/** A request head as the HTTP parser hands it over, before anything in it is believed. */
export interface RequestHead {
  readonly method: string
  readonly target: string
  /** `1.0` or `1.1`. */
  readonly httpVersion: string
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[]
}

export interface HeadLimits {
  readonly targetBytes: number
  readonly headBytes: number
  readonly headFields: number
}

export interface WireProblem {
  readonly reason: Reason
  /** What exactly is wrong, lower case; the client's bytes stand in it only as `quote` shows them. */
  readonly detail: string
  /** Which of the limits that have the reason in common it is. */
  readonly limit?: 'head_fields'
}

export type RequestTarget =
  | { readonly form: 'authority'; readonly authority: Authority }
  /** `pathAndQuery` exactly as received. */
  | { readonly form: 'absolute'; readonly authority: Authority; readonly pathAndQuery: string }
  | { readonly form: 'origin'; readonly pathAndQuery: string }

/** How the request's body is delimited (RFC 9112 section 6.3). */
export type BodyFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }

const malformed = (detail: string): WireProblem => ({ reason: 'malformed_request', detail })

/**
 * The rules that decide whether a head means one thing only. Node's parser lets through two Hosts, a missing Host,
 * `Transfer-Encoding: ,chunked` and CONNECT with a body, each of which another proxy or origin may read differently.
 */
export function checkHead(head: RequestHead, limits: HeadLimits): Result<BodyFraming, WireProblem> {
  const { target, rawHeaders, httpVersion, method } = head
  if (target.length > limits.targetBytes)
    return err({ reason: 'target_too_long', detail: `more than ${limits.targetBytes} bytes` })
  if (hasControlCharacter(target) || /[\t ]/.test(target)) return err(malformed('control character or space in the target'))
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return err(malformed('only HTTP/1.0 and HTTP/1.1 are spoken here'))
  if (rawHeaders.length / 2 > limits.headFields)
    return err({ reason: 'head_too_large', detail: `more than ${limits.headFields} fields`, limit: 'head_fields' })

  let size = 0
  let hosts = 0
  const lengths: string[] = []
  const encodings: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    size += name.length + value.length + 4
    if (hasControlCharacter(value)) return err(malformed(`control character in the value of a field`))
    if (!isToken(name)) return err(malformed('a field name is not a token'))
    switch (name.toLowerCase()) {
      case 'host':
        hosts++
        break
      case 'content-length':
        lengths.push(value)
        break
      case 'transfer-encoding':
        encodings.push(value)
        break
    }
  }
  if (size > limits.headBytes) return err({ reason: 'head_too_large', detail: `more than ${limits.headBytes} bytes of fields` })
  if (hosts > 1) return err(malformed('more than one Host'))
  if (hosts === 0 && httpVersion === '1.1') return err(malformed('HTTP/1.1 without Host'))
  return readFraming(method, httpVersion, lengths, encodings)
}

function readFraming(
  method: string,
  httpVersion: string,
  lengths: readonly string[],
  encodings: readonly string[],
): Result<BodyFraming, WireProblem> {
  const [length] = lengths
  const [encoding] = encodings
  if (lengths.length > 1) return err(malformed('more than one Content-Length'))
  if (encodings.length > 1) return err(malformed('more than one Transfer-Encoding'))
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return err(malformed('Content-Length is not a number'))
  if (encoding !== undefined) {
    if (length !== undefined) return err(malformed('both Content-Length and Transfer-Encoding'))
    if (httpVersion === '1.0') return err(malformed('Transfer-Encoding in HTTP/1.0'))
    // Exactly so: in other spellings it has been taken for `identity` by one reader and for `chunked` by the next.
    if (encoding !== 'chunked') return err(malformed('Transfer-Encoding is not `chunked`'))
  }
  if (method === 'CONNECT' && (encoding !== undefined || Number(length ?? 0) > 0)) return err(malformed('CONNECT with a body'))
  if (encoding !== undefined) return ok({ kind: 'chunked' })
  return ok(length === undefined ? { kind: 'none' } : { kind: 'length', bytes: Number(length) })
}

/** Schemes of an absolute target, with the port each means. Outside a tunnel only `http` is carried. */
const SCHEMES: Readonly<Record<string, number>> = { http: 80, https: 443 }

/**
 * Reads the request target by its form (RFC 9112 section 3.2), every part canonical or refused.
 *
 * @param inTunnel the request is inside a tunnel, where an absolute target may be https (and has to be for the tunnel's host)
 */
export function readTarget(
  { method, target }: Pick<RequestHead, 'method' | 'target'>,
  inTunnel = false,
): Result<RequestTarget, WireProblem> {
  // RFC 9112 section 3.2: a target has no fragment; an origin that finds one reads another path than the one judged.
  if (target.includes('#')) return err(malformed('the target has a fragment'))
  if (method === 'CONNECT') {
    const authority = readAuthority(target)
    return authority.ok ? ok({ form: 'authority', authority: authority.value }) : err(malformed(authority.error))
  }
  if (target.startsWith('/')) return ok({ form: 'origin', pathAndQuery: target })
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(target)
  if (scheme === null) return err({ reason: 'not_a_proxy_request', detail: 'the target is neither a path nor a URL' })
  const name = scheme[1]?.toLowerCase() ?? ''
  const defaultPort = name === 'http' || inTunnel ? SCHEMES[name] : undefined
  if (defaultPort === undefined) {
    const detail = inTunnel ? 'the URL is neither http:// nor https://' : 'the URL is not http://'
    return err({ reason: 'scheme_not_supported', detail })
  }
  return readAbsolute(target.slice(scheme[0].length), method, defaultPort)
}

function readAbsolute(rest: string, method: string, defaultPort: number): Result<RequestTarget, WireProblem> {
  const end = rest.search(/[/?]/)
  const authority = readAuthority(end < 0 ? rest : rest.slice(0, end), defaultPort)
  if (!authority.ok) return err(malformed(authority.error))
  const path = end < 0 ? '' : rest.slice(end)
  // An empty path is `/`, and `*` for OPTIONS (RFC 9112 section 3.2.4).
  const pathAndQuery = path === '' && method === 'OPTIONS' ? '*' : path.startsWith('/') ? path : `/${path}`
  return ok({ form: 'absolute', authority: authority.value, pathAndQuery })
}

/** What stands before an `@` may be a password: unlike the rest of a target it is not quoted in answers and logs. */
function readAuthority(text: string, defaultPort?: number): Result<Authority, string> {
  if (text.includes('@')) return err('the target has user information, which no request to a proxy may have')
  return parseAuthority(text, defaultPort)
}

/** The path that rules are matched against: everything before the query. */
export function pathOf(pathAndQuery: string): string {
  const query = pathAndQuery.indexOf('?')
  return query < 0 ? pathAndQuery : pathAndQuery.slice(0, query)
}

/** The value of a field that occurs at most once. */
export function fieldValue(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1]
  }
  return undefined
}

/** RFC 9110 section 5.5: a field value has no control character but the tab; a target has not even that. */
function hasControlCharacter(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true
  }
  return false
}

function isToken(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)
}
