import type { Socket } from 'node:net'

/**
 * What a client sends before its tunnel stands: kept, bounded, and handed over whole. While it holds, the socket is read, so
 * that a client that goes away is noticed; past the limit it is no longer read and the kernel pushes back.
 */
export class HeldBytes {
  readonly #socket: Socket
  readonly #limit: number
  readonly #chunks: Buffer[] = []
  #taken = 0
  #length = 0
  #onMore: (() => void) | undefined
  readonly #onFull: () => void
  #onGone: (() => void) | undefined
  /** The client has sent all it will send, or has gone. */
  ended: boolean

  /** @param onFull called once, when no more is taken in */
  constructor(socket: Socket, first: Buffer, limit: number, onFull: () => void) {
    this.#onFull = onFull
    this.#socket = socket
    this.#limit = limit
    this.ended = socket.readableEnded
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    if (first.length > 0) this.#onData(first)
    else socket.resume()
  }

  /** No more is taken in. */
  get isFull(): boolean {
    return this.#length >= this.#limit
  }

  /** Everything held so far. */
  bytes(): Buffer {
    const [only, ...others] = this.#chunks
    return only === undefined ? Buffer.alloc(0) : others.length === 0 ? only : Buffer.concat(this.#chunks)
  }

  /** The pieces that came since the last call. */
  takeNew(): readonly Buffer[] {
    const fresh = this.#chunks.slice(this.#taken)
    this.#taken = this.#chunks.length
    return fresh
  }

  /** Calls back on every further piece and at the end. */
  onMore(callback: () => void): void {
    this.#onMore = callback
  }

  /** Calls back once the connection is closed altogether. */
  onGone(callback: (() => void) | undefined): void {
    this.#onGone = callback
  }

  /** Stops holding, and gives the bytes to whoever reads the socket next: they come before anything else. */
  release(): Buffer {
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.off('close', this.#onClose)
    this.#onMore = undefined
    this.#onGone = undefined
    this.#socket.pause()
    return this.bytes()
  }

  readonly #onData = (chunk: Buffer) => {
    const wasFull = this.isFull
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.isFull && !wasFull) this.#onFull()
    if (this.isFull) this.#socket.pause()
    else this.#socket.resume()
    this.#onMore?.()
  }

  readonly #onClose = () => {
    this.#onEnd()
    this.#onGone?.()
  }

  readonly #onEnd = () => {
    this.ended = true
    this.#onMore?.()
  }
}
