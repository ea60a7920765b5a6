import type { Socket } from 'node:net'

/** After the last words, what the peer still sends is read and thrown away up to this much, so that they are not lost to a reset. */
const LINGER_BYTES = 65_536

/** And for no longer than this. */
const LINGER_MS = 1_000

/** What reads the rest of a connection; mostly the socket itself. */
export interface Rest {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  resume(): unknown
}

/**
 * Says the last and ends the connection: half-close, read on a little, then close for good. The caller owns the socket and nothing else
 * writes to it.
 *
 * @param rest whatever reads the connection, where that is not the socket
 */
export function endAndLinger(socket: Socket, last: string | Uint8Array, rest: Rest = socket): void {
  if (socket.destroyed) return
  let left = LINGER_BYTES
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.on('error', () => socket.destroy())
  rest.on('data', (chunk) => {
    left -= chunk.length
    if (left <= 0) socket.destroy()
  })
  socket.once('end', () => socket.destroySoon())
  if (last.length > 0) socket.end(last)
  else socket.end()
  rest.resume()
}
