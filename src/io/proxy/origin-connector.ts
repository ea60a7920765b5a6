import type { Socket } from 'node:net'
import { err, ok, type Result } from '../../core/result.ts'
import { handshakeWithOrigin } from '../tls/origin-trust.ts'
import type { Destination, Dialled } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { ProxyContext } from './proxy-context.ts'

/**
 * Gives a request its connection to the origin: the one that was made before the tunnel's 200, or a new one; with verified TLS
 * on it where the request came out of TLS.
 */
export async function connectOrigin(
  context: ProxyContext,
  exchange: Exchange,
  destination: Destination,
  signal: AbortSignal,
): Promise<Result<Socket, Refusal>> {
  const early = takeDialled(exchange, destination)
  const dialled = early === undefined ? await context.dialer.connect(destination, signal) : ok(early)
  if (!dialled.ok) return dialled
  const { socket } = dialled.value
  const { session } = exchange.connection
  if (session?.scheme !== 'https') return ok(socket)
  const { inspection, config } = exchange.generation
  if (inspection === undefined) {
    socket.destroy()
    return err({ reason: 'inspection_unavailable' })
  }
  const secured = await handshakeWithOrigin(
    socket,
    session.authority.host,
    inspection.originTrust,
    config.limits.dialSeconds * 1000,
  )
  if (!secured.ok) {
    const cause = secured.error.reason === 'origin_certificate_invalid' ? 'origin_certificate' : 'origin_protocol'
    context.telemetry.metrics.tlsHandshakeFailures.inc({ cause })
  }
  return secured
}

/** The session's own connection, once, and only if the name still leads to its address. */
function takeDialled({ connection }: Exchange, destination: Destination): Dialled | undefined {
  const { session } = connection
  const dialled = session?.dialled
  if (session === undefined || dialled === undefined) return undefined
  session.dialled = undefined
  if (!dialled.socket.destroyed && destination.addresses.some(({ text }) => text === dialled.address.text)) return dialled
  dialled.socket.destroy()
  return undefined
}
