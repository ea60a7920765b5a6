import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Answer, formatClosingAnswer } from '../../core/wire/answer.ts'

/** After a refusal, what the client still sends is read and thrown away up to this much, so that the answer is not lost to a reset. */
const LINGER_BYTES = 65_536

/** And for no longer than this. */
const LINGER_MS = 1_000

/**
 * Writes an answer and ends the connection: half-close, read on a little, then close for good. The caller owns the socket and
 * nothing else writes to it.
 *
 * @param body the request whose body the HTTP parser is still reading, if there is one
 */
export function answerAndClose(socket: Socket, answer: Answer, body?: IncomingMessage): void {
  endAndLinger(socket, formatClosingAnswer(answer), body)
}

/** The same for bytes that are no HTTP answer, such as a TLS alert. */
export function endAndLinger(socket: Socket, last: string | Uint8Array, body?: IncomingMessage): void {
  if (socket.destroyed) return
  let left = LINGER_BYTES
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.on('error', () => socket.destroy())
  const discard = (chunk: Buffer) => {
    left -= chunk.length
    if (left <= 0) socket.destroy()
  }
  const source = body ?? socket
  source.on('data', discard)
  socket.once('end', () => socket.destroySoon())
  socket.end(last)
  source.resume()
}
