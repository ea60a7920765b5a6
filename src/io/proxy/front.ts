import type { RequestKind } from '../../core/audit-event.ts'
import type { CidrSet } from '../../core/names/cidr.ts'
import type { ProxiedPeer } from '../../core/wire/proxy-header.ts'
import { endAndLinger } from '../relay/linger.ts'
import { ClientConnection } from './client-connection.ts'
import { answerAndClose } from './closing.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type ProxiedReading, readProxied } from './proxied.ts'
import type { ProxyContext } from './proxy-context.ts'
import type { Redirected } from './redirected.ts'
import { type ExpectedOpening, TransparentConnection } from './transparent.ts'
import type { ServeHttp } from './tunnel.ts'

/** What stands before the HTTP on a listener. */
export interface FrontOptions {
  /** Every connection begins with a PROXY header, from one of these sources. */
  readonly proxyProtocol?: { readonly from: CidrSet } | undefined
  /** Connections come redirected and know of no proxy. */
  readonly transparent?: { readonly expects: ExpectedOpening; readonly redirected: Redirected } | undefined
}

export interface FrontParts extends FrontOptions {
  readonly context: ProxyContext
  readonly exchange: (connection: ClientConnection, kind: RequestKind) => Exchange
  /** More is known of the connection: this record stands for its socket from here on. */
  readonly adopt: (connection: ClientConnection) => void
  /** What comes from now on is HTTP in sight. */
  readonly parse: (connection: ClientConnection) => void
  readonly serveInside: ServeHttp
  /** Somebody failed who should not have; the connection ends. */
  readonly onFault: (error: unknown, connection: ClientConnection, exchange: Exchange | undefined) => void
}

/** Takes an accepted connection as far as the HTTP parser or a tunnel: whose it is, where it was going, what it begins with. */
export function openFront(parts: FrontParts, connection: ClientConnection): void {
  const { proxyProtocol, context } = parts
  if (proxyProtocol === undefined) return goOn(parts, connection, undefined)
  // Whoever is not trusted could be anybody with such a header, and without one would pass as the load balancer.
  if (!proxyProtocol.from.contains(connection.client)) return refuse(parts, connection, UNTRUSTED)
  const { headSeconds } = context.generation().config.limits
  readProxied(connection.socket, headSeconds * 1000, (reading) => {
    if (connection.socket.destroyed) return
    const refusal = refusalOf(reading)
    if (refusal !== undefined) return refuse(parts, connection, refusal)
    if (reading.kind !== 'header') return connection.socket.destroySoon()
    goOn(parts, connection, reading.source)
  })
}

const UNTRUSTED: Refusal = {
  reason: 'client_not_allowed',
  detail: 'not among `proxyProtocol.from`, whose connections alone are taken here',
}

function refusalOf(reading: ProxiedReading): Refusal | undefined {
  if (reading.kind === 'malformed') return { reason: 'malformed_request', detail: `PROXY header: ${reading.why}` }
  if (reading.kind === 'timeout') return { reason: 'head_timeout', detail: 'no PROXY header came in time' }
  return undefined
}

function refuse({ exchange, transparent }: FrontParts, connection: ClientConnection, refusal: Refusal): void {
  const { socket } = connection
  const answer = exchange(connection, transparent === undefined ? 'forward' : 'transparent').refuse(refusal)
  if (transparent === undefined || transparent.expects === 'http') answerAndClose(socket, answer)
  else endAndLinger(socket, '')
}

function goOn(parts: FrontParts, before: ClientConnection, source: ProxiedPeer | undefined): void {
  const { transparent, adopt, parse, onFault } = parts
  const { socket, listener } = before
  const { original, obstacle } = transparent?.redirected.of(socket) ?? {}
  const told = { source, original }
  const connection = new ClientConnection(socket, listener, undefined, told)
  adopt(connection)
  if (transparent === undefined) return parse(connection)
  const opened = new TransparentConnection({ ...parts, expects: transparent.expects }, connection)
  opened.open(obstacle).catch((error) => onFault(error, connection, opened.exchange))
}
