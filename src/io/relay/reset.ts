import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/**
 * Ends a connection at once so that its peer sees it broken off, not ended well. TLS has no reset (Node throws where one is asked
 * for): there the missing close_notify says it.
 */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return
  if (socket instanceof TLSSocket || isShuttingDown(socket)) socket.destroy()
  else socket.resetAndDestroy()
}

/**
 * Everything is with the system, and its end is on the way there. libuv resets no connection then, and Node would leave it open, without a
 * `close`; as nothing of it is cut, there is nothing that a reset would have to say.
 */
function isShuttingDown({ writableEnded, writableFinished, writableLength }: Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0
}
