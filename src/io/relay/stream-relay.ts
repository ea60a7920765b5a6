import type { Socket } from 'node:net'
import type { TunnelEnd } from '../../core/audit-event.ts'
import type { RawConnection } from './raw-connection.ts'
import type { Relay, RelayHandle, RelayOptions, RelayResult } from './relay.ts'
import { breakOff } from './reset.ts'

/** The relay that runs everywhere: through Node's streams. */
export class PortableRelay implements Relay {
  readonly kind = 'portable'

  start(client: Socket, origin: Socket | RawConnection, options: RelayOptions): RelayHandle {
    return new StreamRelay(client, 'toSocket' in origin ? origin.toSocket() : origin, options)
  }

  /** Each tunnel has its sockets and its own end. */
  close(): void {}
}

/** One tunnel through Node's streams. It owns both sockets. */
export class StreamRelay implements RelayHandle {
  readonly done: Promise<RelayResult>
  readonly #client: Socket
  readonly #origin: Socket
  readonly #resolve: (result: RelayResult) => void
  readonly #lifetime: NodeJS.Timeout | undefined
  readonly #upFrom: number
  readonly #downFrom: number
  #endedBy: TunnelEnd | undefined
  /** Who said first that it has nothing more to say; the other may go on, and a deadline may end that. */
  #firstToEnd: 'client' | 'origin' | undefined
  #closed = 0

  constructor(client: Socket, origin: Socket, options: RelayOptions) {
    this.#client = client
    this.#origin = origin
    // What was written before (the answer to CONNECT) is not the tunnel's.
    this.#upFrom = origin.bytesWritten
    this.#downFrom = client.bytesWritten
    const { promise, resolve } = withResolvers<RelayResult>()
    this.done = promise
    this.#resolve = resolve

    // Every byte either way passes the client's socket, so its idle time is the tunnel's.
    client.setTimeout(options.idleMs)
    client.once('timeout', () => this.end('idle_timeout'))
    if (options.lifetimeMs > 0) this.#lifetime = setTimeout(() => this.end('lifetime'), options.lifetimeMs)

    this.#watch(client, origin, 'client')
    this.#watch(origin, client, 'origin')
    if (options.initialUp.length > 0) origin.write(options.initialUp)
    if (options.initialDown !== undefined && options.initialDown.length > 0) client.write(options.initialDown)
    this.#join(client, origin)
    this.#join(origin, client)
  }

  get bytesUp(): number {
    return this.#origin.bytesWritten - this.#upFrom
  }

  get bytesDown(): number {
    return this.#client.bytesWritten - this.#downFrom
  }

  end(endedBy: TunnelEnd): void {
    this.#endedBy ??= endedBy
    breakOff(this.#client)
    breakOff(this.#origin)
  }

  #join(from: Socket, to: Socket): void {
    if (from.destroyed) return
    // The peer may have ended its side while its bytes were held.
    if (from.readableEnded) to.end()
    else from.pipe(to)
  }

  #watch(socket: Socket, other: Socket, side: 'client' | 'origin'): void {
    if (socket.readableEnded) this.#firstToEnd ??= side
    socket.once('end', () => {
      this.#firstToEnd ??= side
    })
    socket.on('error', () => {
      this.#endedBy ??= this.#firstToEnd ?? side
      // A connection that broke off must not look like one that ended well.
      breakOff(other)
    })
    socket.once('close', () => {
      this.#endedBy ??= this.#firstToEnd ?? side
      if (!other.destroyed && !other.writableEnded) other.end()
      if (!other.destroyed && socket.destroyed && !socket.readableEnded) other.destroySoon()
      this.#closed++
      if (this.#closed === 2) this.#settle()
    })
    if (socket.destroyed) queueMicrotask(() => socket.emit('close', false))
  }

  #settle(): void {
    clearTimeout(this.#lifetime)
    this.#resolve({ endedBy: this.#endedBy ?? 'client', bytesUp: this.bytesUp, bytesDown: this.bytesDown })
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
