import { type Authority, formatAuthority } from '../names/authority.ts'
import type { BodyFraming } from './request-head.ts'

/** A header field: its name as received, its value. */
export type Field = readonly [name: string, value: string]

/**
 * Fields that concern one connection only and are never passed on (RFC 9110 section 7.6.1), with those that would make the
 * next hop speak another protocol or that only this gateway may set.
 */
const CONNECTION_FIELDS = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
])

/** Rebuilt by the gateway: Host from the judged target, framing from the body, `Expect` answered here, no client addresses. */
const REQUEST_FIELDS_REBUILT = new Set(['host', 'content-length', 'expect', 'x-forwarded-for', 'via', 'max-forwards'])

export interface OutgoingRequest {
  readonly rawHeaders: readonly string[]
  readonly authority: Authority
  /** 80 over plain HTTP, 443 inside TLS: left out of the Host field. */
  readonly defaultPort: number
  readonly framing: BodyFraming
  readonly httpVersion: string
  /** This gateway's name in `Via`. */
  readonly via: string
  /** Only these two fields of an upgrade are passed on, and only for `websocket`. */
  readonly upgrade?: 'websocket'
}

/** The fields of a request as the origin gets them. */
export function requestFields(request: OutgoingRequest): Field[] {
  const { rawHeaders, authority, framing } = request
  const fields: Field[] = [['Host', hostField(authority, request.defaultPort)]]
  const dropped = nominated(rawHeaders)
  const via: string[] = []
  for (const [name, value] of pairs(rawHeaders)) {
    const key = name.toLowerCase()
    if (key === 'via') via.push(value)
    if (key === 'max-forwards') fields.push([name, String(Math.max(0, Number.parseInt(value, 10) - 1) || 0)])
    if (CONNECTION_FIELDS.has(key) || REQUEST_FIELDS_REBUILT.has(key) || dropped.has(key) || key.startsWith('sallyport-'))
      continue
    fields.push([name, value])
  }
  fields.push(['Via', [...via, `${request.httpVersion} ${request.via}`].join(', ')])
  if (framing.kind === 'length') fields.push(['Content-Length', String(framing.bytes)])
  if (framing.kind === 'chunked') fields.push(['Transfer-Encoding', 'chunked'])
  if (request.upgrade === undefined) fields.push(['Connection', 'keep-alive'])
  else fields.push(['Connection', 'Upgrade'], ['Upgrade', request.upgrade])
  return fields
}

/** The fields of an answer as the client gets them. Framing is the client connection's own affair, but for a stated length. */
export function responseFields(rawHeaders: readonly string[], httpVersion: string, via: string): Field[] {
  const dropped = nominated(rawHeaders)
  // It is how the answer's end is told, whatever `Connection` says of it.
  dropped.delete('content-length')
  const fields: Field[] = []
  const seen: string[] = []
  for (const [name, value] of pairs(rawHeaders)) {
    const key = name.toLowerCase()
    if (key === 'via') seen.push(value)
    if (key === 'via' || CONNECTION_FIELDS.has(key) || dropped.has(key) || key.startsWith('sallyport-')) continue
    fields.push([name, value])
  }
  fields.push(['Via', [...seen, `${httpVersion} ${via}`].join(', ')])
  return fields
}

/** The hops so far, where there are any. */
export function viaOf(rawHeaders: readonly string[]): string | undefined {
  const hops: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === 'via') hops.push(rawHeaders[at + 1] ?? '')
  return hops.length === 0 ? undefined : hops.join(', ')
}

/** Whether this gateway already stands in the request's `Via`: the request has come back to it (RFC 9110 section 7.6.3). */
export function hasPassedThrough(rawHeaders: readonly string[], via: string): boolean {
  return pairs(rawHeaders).some(
    ([name, value]) => name.toLowerCase() === 'via' && value.split(',').some((hop) => hop.trim().split(/\s+/)[1] === via),
  )
}

/** Whether the request asks for a WebSocket, the one upgrade that is forwarded (RFC 6455 section 4.1). */
export function asksForWebSocket(method: string, rawHeaders: readonly string[]): boolean {
  const upgrades = pairs(rawHeaders).filter(([name]) => name.toLowerCase() === 'upgrade')
  return method === 'GET' && upgrades.length === 1 && upgrades[0]?.[1].toLowerCase() === 'websocket'
}

/** The same fields without what asks for an upgrade that is not forwarded. */
export function withoutUpgrade(rawHeaders: readonly string[]): Field[] {
  return pairs(rawHeaders).flatMap(([name, value]): Field[] => {
    const key = name.toLowerCase()
    if (key === 'upgrade' || key === 'http2-settings') return []
    if (key !== 'connection') return [[name, value]]
    const kept = tokens(value).filter((token) => token !== 'upgrade' && token !== 'http2-settings')
    return kept.length === 0 ? [] : [[name, kept.join(', ')]]
  })
}

export function pairs(rawHeaders: readonly string[]): Field[] {
  const fields: Field[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) fields.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? ''])
  return fields
}

/** Fields that `Connection` names as its own. */
function nominated(rawHeaders: readonly string[]): Set<string> {
  return new Set(pairs(rawHeaders).flatMap(([name, value]) => (name.toLowerCase() === 'connection' ? tokens(value) : [])))
}

function tokens(value: string): string[] {
  return value
    .split(',')
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== '')
}

function hostField(authority: Authority, defaultPort: number): string {
  const full = formatAuthority(authority)
  return authority.port === defaultPort ? full.slice(0, full.lastIndexOf(':')) : full
}
