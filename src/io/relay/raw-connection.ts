import { closeSync } from 'node:fs'
import { Socket } from 'node:net'

/**
 * A connection that was made outside Node: a descriptor that nobody reads until it is handed on. A tunnel that is relayed unseen
 * never needs more of its origin's side; a socket of Node's would be a third of what its set-up costs.
 */
export class RawConnection {
  #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  /** -1 once it was handed on or closed. */
  get fd(): number {
    return this.#fd
  }

  /** Whoever has it from here on has it alone. */
  release(): void {
    this.#fd = -1
  }

  /** Makes it a socket of Node's, paused, as `connect` would have. */
  toSocket(): Socket {
    const socket = new Socket({ fd: this.#fd, allowHalfOpen: true, readable: true, writable: true })
    this.#fd = -1
    return socket
  }

  destroy(): void {
    if (this.#fd < 0) return
    closeSync(this.#fd)
    this.#fd = -1
  }
}
