import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Limits } from '../../core/config.ts'
import { PROBE_AFTER_MS } from '../relay/probe.ts'
import type { ListenerTls } from '../tls/listener-tls.ts'

/** How often Node looks for heads that are overdue. */
const HEAD_CHECK_MS = 500

/**
 * Node's HTTP server of one listener: its parser, and TLS in front of it where clients speak that. It takes no connection by itself, only
 * what it is given, so that something else may stand before either.
 */
export class NodeServer {
  /** For its events, and to listen. */
  readonly server: Server | TlsServer
  /** Takes a connection as it comes to the HTTP parser: Node's own way, which it has to be asked for here. */
  readonly #parser: (this: Server, socket: Socket) => void
  /** Node's way to take a connection through its TLS handshake; absent where the listener speaks no TLS. */
  readonly #shakeHands: ((this: Server, socket: Socket) => void) | undefined
  /** Connections whose TLS handshake is not done, by both their ends. */
  readonly #handshaking = new Map<string, Socket>()
  #clientCa: string | undefined

  constructor(limits: Limits, tls: ListenerTls | undefined) {
    const ways = {
      // The target and the fields have limits of their own, judged after parsing; this one only bounds the parser.
      maxHeaderSize: limits.targetBytes + limits.headBytes,
      headersTimeout: limits.headSeconds * 1000,
      // A body may stream for as long as it moves; `originSeconds` ends an exchange that stands still.
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveSeconds * 1000,
      connectionsCheckingInterval: HEAD_CHECK_MS,
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      noDelay: true,
    }
    this.server = tls === undefined ? createServer(ways) : createTlsServer({ ...ways, ...tlsOptions(tls, limits) })
    this.#clientCa = tls?.clientCa
    // Node would silently drop the fields past 2,000; ours are counted and refused.
    this.server.maxHeadersCount = 0
    this.#parser = takenFrom(this.server, tls === undefined ? 'connection' : 'secureConnection')
    this.#shakeHands = tls === undefined ? undefined : takenFrom(this.server, 'connection')
  }

  get speaksTls(): boolean {
    return this.#shakeHands !== undefined
  }

  /** The CAs, in PEM, that certificates of clients are verified by. */
  get clientCa(): string | undefined {
    return this.#clientCa
  }

  /** Takes other limits from now on; connections there are keep what Node has set for them. */
  limit(limits: Limits): void {
    // Node's types leave it out; its parser reads it for each new connection.
    Object.assign(this.server, { maxHeaderSize: limits.targetBytes + limits.headBytes })
    this.server.headersTimeout = limits.headSeconds * 1000
    this.server.keepAliveTimeout = limits.keepAliveSeconds * 1000
  }

  /** Takes other certificates from now on. A handshake that began with other CAs for clients than these does not count. */
  secure(tls: ListenerTls | undefined): void {
    if (tls === undefined || !('setSecureContext' in this.server)) return
    this.server.setSecureContext(tls.context)
    // Node's types leave it out; it is read for each new connection.
    Object.assign(this.server, { requestCert: tls.asksForCertificates })
    if (tls.clientCa !== this.#clientCa) for (const socket of this.#handshaking.values()) socket.destroy()
    this.#clientCa = tls.clientCa
  }

  /** To the HTTP parser, through TLS where the listener speaks it. */
  enter(socket: Socket): void {
    if (this.#shakeHands === undefined) return this.parse(socket)
    const ends = endsOf(socket)
    this.#handshaking.set(ends, socket)
    socket.once('close', () => {
      if (this.#handshaking.get(ends) === socket) this.#handshaking.delete(ends)
    })
    this.#shakeHands.call(this.server, socket)
  }

  /** To the HTTP parser, as it is. */
  parse(socket: Socket): void {
    this.#parser.call(this.server, socket)
  }

  /** The connection that this is the inside of, whose handshake is done now; undefined where that has closed meanwhile. */
  outsideOf(inside: TLSSocket): Socket | undefined {
    const ends = endsOf(inside)
    const outside = this.#handshaking.get(ends)
    this.#handshaking.delete(ends)
    return outside
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

/** Node's own way to take what the event is about: from here on it has to be asked for. */
function takenFrom(server: Server, event: 'connection' | 'secureConnection'): (this: Server, socket: Socket) => void {
  const [own] = server.listeners(event)
  if (own === undefined) throw new Error('this Node takes connections in another way')
  server.off(event, own as (socket: Socket) => void)
  return own as (this: Server, socket: Socket) => void
}

/**
 * A client whose certificate does not hold is let in as far as its first request, which is refused: a broken handshake would tell neither
 * the client nor the audit log why.
 */
function tlsOptions(tls: ListenerTls, { headSeconds }: Limits) {
  return {
    ...tls.context,
    requestCert: tls.asksForCertificates,
    rejectUnauthorized: false,
    handshakeTimeout: headSeconds * 1000,
    ALPNProtocols: ['http/1.1'],
    // As plain listeners have it: a client may end its side of a tunnel before its origin does.
    allowHalfOpen: true,
  }
}
