import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/**
 * Ends a connection at once so that its peer sees it broken off, not ended well. TLS has no reset (Node throws where one is asked
 * for): there the missing close_notify says it.
 */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
