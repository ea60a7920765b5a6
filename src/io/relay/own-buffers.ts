import { Socket, type SocketConstructorOpts } from 'node:net'
import { TLSSocket } from 'node:tls'

/** What one read of Node's takes at most. A read of so many bytes is seldom the last. */
export const FULL_READ_BYTES = 65_536

/** What one takes into a buffer of the connection's own. */
const BUFFER_BYTES = 131_072

/** They take turns: one is read into while the other is being written. */
const BUFFERS = 2

/** Connections with buffers of their own at once: 32 MiB in all. Others are read as Node does, for more of the processor. */
const MOST = 128

let readers = 0

/** The part of a socket that Node's types leave out. */
interface Handled {
  _handle?: { readonly useUserBuffer?: unknown } | null
}

/**
 * Has a connection read into two buffers that it keeps for as long as it lives. Node makes a new one for every read, and to collect those
 * costs more than to move what is in them. `onread` is for whoever makes a socket, so the connection goes on in another one, which the first
 * is closed with. No buffer is ever another connection's.
 *
 * @param onBytes what was read; `release` says that nobody needs it any more, and until then it is not read over
 * @returns the other socket, paused; undefined where there is none to be had, and then nothing was done to the first
 */
export function withOwnBuffers(socket: Socket, onBytes: (bytes: Buffer, release: () => void) => void): Socket | undefined {
  const first: Handled = socket as object
  const { _handle: handle } = first
  if (readers >= MOST || !handle || handle.useUserBuffer === undefined || socket instanceof TLSSocket) return undefined
  const isBusy = socket.readableLength > 0 || socket.writableLength > 0 || socket.writableEnded !== socket.writableFinished
  if (isBusy || socket.readableEnded || socket.destroyed) return undefined
  readers++
  first._handle = null
  const buffers = new OwnBuffers(onBytes, () => reader.resume())
  const onread = { buffer: buffers.next, callback: buffers.onRead }
  const options = { handle, onread, allowHalfOpen: true, writable: !socket.writableEnded, manualStart: true }
  const reader = new Socket(options as SocketConstructorOpts)
  reader.pause()
  reader.once('close', () => {
    readers--
    socket.destroy()
  })
  socket.once('close', () => reader.destroy())
  return reader
}

class OwnBuffers {
  readonly #onBytes: (bytes: Buffer, release: () => void) => void
  readonly #onFree: () => void
  readonly #free: Buffer[] = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafeSlow(BUFFER_BYTES))
  /** What the system reads into next. */
  #current: Buffer
  /** Nothing is to be read, for want of a buffer. */
  #stands = false

  constructor(onBytes: (bytes: Buffer, release: () => void) => void, onFree: () => void) {
    this.#onBytes = onBytes
    this.#onFree = onFree
    this.#current = this.#next()
  }

  #next(): Buffer {
    const buffer = this.#free.pop()
    if (buffer === undefined) throw new Error('no buffer is free')
    return buffer
  }

  /** Node asks after every read. */
  readonly next = (): Buffer => this.#current

  /** False where no more is to be read for now. */
  readonly onRead = (count: number): boolean => {
    const full = this.#current
    // Node goes on with the one that it had where there is no other, so that one it must be that is waited for.
    if (this.#free.length === 0) this.#stands = true
    else this.#current = this.#next()
    this.#onBytes(full.subarray(0, count), () => this.#release(full))
    return !this.#stands
  }

  #release(buffer: Buffer): void {
    if (buffer !== this.#current) this.#free.push(buffer)
    else if (this.#stands) {
      this.#stands = false
      this.#onFree()
    }
  }
}
