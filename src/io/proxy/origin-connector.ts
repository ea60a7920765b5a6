import type { Socket } from 'node:net'
import { err, ok, type Result } from '../../core/result.ts'
import { handshakeWithOrigin } from '../tls/origin-trust.ts'
import type { Caller, Destination, Dialled } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { ProxyContext } from './proxy-context.ts'

/**
 * Gives a request its connection to the origin: the one that was made before the tunnel's 200, or a new one; with verified TLS
 * on it where the request came out of TLS.
 *
 * @param deadline on the clock of `performance.now()`
 */
export async function connectOrigin(
  context: ProxyContext,
  exchange: Exchange,
  destination: Destination,
  caller: Caller,
  deadline: number,
): Promise<Result<Socket, Refusal>> {
  const early = takeDialled(exchange, destination)
  if (early !== undefined) {
    const secured = await secure(context, exchange, early, deadline)
    // It may have waited long for its first request, and its origin no longer.
    if (secured.ok || secured.error.reason !== 'origin_protocol_error') return secured
  }
  const dialled = await context.dialer.connect(destination, caller, deadline)
  return dialled.ok ? secure(context, exchange, dialled.value, deadline) : dialled
}

/** Verified TLS where the request came out of TLS. Owns the socket: a failure ends it. */
async function secure(
  context: ProxyContext,
  exchange: Exchange,
  { socket, parent }: Dialled,
  deadline: number,
): Promise<Result<Socket, Refusal>> {
  const { session } = exchange.connection
  if (parent !== undefined) context.dialer.parentOf.set(socket, parent)
  if (session?.scheme !== 'https') return ok(socket)
  const { inspection } = exchange.generation
  if (inspection === undefined) {
    socket.destroy()
    return err({ reason: 'inspection_unavailable' })
  }
  const leftMs = Math.max(0, deadline - performance.now())
  const secured = await handshakeWithOrigin(socket, session.authority.host, inspection.originTrust, leftMs)
  if (!secured.ok) {
    const cause = secured.error.reason === 'origin_certificate_invalid' ? 'origin_certificate' : 'origin_protocol'
    context.telemetry.metrics.tlsHandshakeFailures.inc({ cause })
  }
  if (secured.ok && parent !== undefined) context.dialer.parentOf.set(secured.value, parent)
  return secured
}

/** The session's own connection, once, and only if the name still leads to its address and the origin has not ended it meanwhile. */
function takeDialled({ connection }: Exchange, destination: Destination): Dialled | undefined {
  const { session } = connection
  const dialled = session?.dialled
  if (session === undefined || dialled === undefined) return undefined
  session.dialled = undefined
  const stands = !dialled.socket.destroyed && !dialled.socket.readableEnded
  if (stands && isWayOf(destination, dialled)) return dialled
  dialled.socket.destroy()
  return undefined
}

function isWayOf(destination: Destination, { address, parent }: Dialled): boolean {
  if ('way' in destination) return destination.way.proxy.some(({ label }) => label === parent)
  return parent === undefined && destination.addresses.some(({ text }) => text === address.text)
}
