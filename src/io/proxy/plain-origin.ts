import type { Socket } from 'node:net'
import { type IpAddress, parseIp } from '../../core/names/ip.ts'

/** Whom a connection is for just now: a request, or the pool. */
export interface OriginUser {
  onBytes(bytes: Buffer): void
  /** The origin has sent its last. */
  onEnd(): void
  /** It is closed, or broken. */
  onLost(error: NodeJS.ErrnoException | undefined): void
  /** Nothing moved for as long as may be. */
  onQuiet(): void
}

/**
 * A connection to an origin that is spoken on without Node's HTTP client: one set of listeners for as long as it lives, whoever uses
 * it. Owns the socket until it is released.
 */
export class PlainOrigin {
  readonly socket: Socket
  /** Whose address it is; absent where it has closed already. */
  readonly peer: { readonly ip: IpAddress; readonly port: number } | undefined
  #user: OriginUser | undefined
  #quietMs = 0
  #error: NodeJS.ErrnoException | undefined

  constructor(socket: Socket) {
    this.socket = socket
    const ip = parseIp(socket.remoteAddress ?? '')
    this.peer = ip && { ip, port: socket.remotePort ?? 0 }
    // An origin that ends its side has ended the connection: half-open, it would be kept and used once more.
    socket.allowHalfOpen = false
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    socket.on('error', this.#onError)
    socket.on('timeout', this.#onTimeout)
  }

  /** It may carry another request. */
  get isUsable(): boolean {
    return !this.socket.destroyed && this.socket.writable && !this.socket.readableEnded
  }

  /** From now on it is this one's. @param quietMs without a byte either way, until `onQuiet` */
  serve(user: OriginUser, quietMs: number): void {
    this.#user = user
    if (quietMs !== this.#quietMs) this.socket.setTimeout(quietMs)
    this.#quietMs = quietMs
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The socket as it was, for somebody else. */
  release(): Socket {
    const { socket } = this
    this.#user = undefined
    socket.setTimeout(0)
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onClose)
    socket.off('error', this.#onError)
    socket.off('timeout', this.#onTimeout)
    return socket
  }

  readonly #onData = (bytes: Buffer) => this.#user?.onBytes(bytes)

  readonly #onEnd = () => this.#user?.onEnd()

  readonly #onTimeout = () => this.#user?.onQuiet()

  readonly #onError = (error: NodeJS.ErrnoException) => {
    this.#error = error
    this.socket.destroy()
  }

  readonly #onClose = () => {
    const user = this.#user
    this.#user = undefined
    user?.onLost(this.#error)
  }
}
