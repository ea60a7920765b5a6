import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { err, ok, type Result } from '../../core/result.ts'

/** Why a client's handshake failed; a metric label. */
export type ClientHandshakeCause =
  | 'client_distrusts_ca'
  | 'client_closed'
  | 'client_protocol'
  | 'client_timeout'
  | 'server_name_changed'

export interface InterceptOptions {
  /** Made for exactly the tunnel's host. Each has its own ticket keys, so that no session can be resumed under another name. */
  readonly context: SecureContext
  /** What the client said so far: its ClientHello and perhaps more. */
  readonly initial: Buffer
  readonly serverName: string | undefined
  readonly deadlineMs: number
}

/** Protocols offered inside, the preferred first. */
const ALPN = ['h2', 'http/1.1']

/** Ends the client's TLS with the minted certificate. Owns the socket: a failure ends it. */
export function interceptTls(socket: Socket, options: InterceptOptions): Promise<Result<TLSSocket, ClientHandshakeCause>> {
  return new Promise((resolve) => {
    // The TLS socket takes what was put back before it reads on.
    if (options.initial.length > 0) socket.unshift(options.initial)
    const inside = new TLSSocket(socket, { isServer: true, secureContext: options.context, ALPNProtocols: ALPN })
    let done = false
    const settle = (result: Result<TLSSocket, ClientHandshakeCause>) => {
      if (done) return
      done = true
      clearTimeout(timer)
      if (!result.ok) {
        inside.destroy()
        socket.destroy()
      }
      resolve(result)
    }
    const timer = setTimeout(() => settle(err('client_timeout')), options.deadlineMs)
    const onError = (error: NodeJS.ErrnoException) => settle(err(causeOf(error)))
    // Before the handshake is done Node says `_tlsError` for what goes wrong in it, after it `error`.
    inside.on('_tlsError', onError)
    inside.on('error', onError)
    // It has had the certificate by now. Node, and GnuTLS in most programs, say nothing when they do not like it.
    inside.once('end', () => settle(err('client_distrusts_ca')))
    inside.once('close', () => settle(err('client_closed')))
    inside.once('secure', () => {
      // As `tls.Server` does for its own sockets: HTTP/2 waits for it.
      Object.assign(inside, { secureConnecting: false })
      settle(keptServerName(inside, options.serverName) ? ok(inside) : err('server_name_changed'))
    })
  })
}

/**
 * In TLS 1.3 a second ClientHello, after a HelloRetryRequest, could have named another host than the one that was judged. Before,
 * there is no second one (and of a resumed session OpenSSL does not tell the name).
 */
function keptServerName(inside: TLSSocket, judged: string | undefined): boolean {
  if (inside.getProtocol() !== 'TLSv1.3') return true
  const { servername } = inside as { servername?: string | false }
  return (servername || undefined)?.toLowerCase() === judged?.toLowerCase()
}

/** Alerts with which a client says that it does not accept who signed (RFC 8446 section 6.2). */
const DISTRUST = /ALERT_(?:UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/

function causeOf(error: NodeJS.ErrnoException): ClientHandshakeCause {
  if (DISTRUST.test(error.code ?? '')) return 'client_distrusts_ca'
  return error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'client_closed' : 'client_protocol'
}
