import type { Socket } from 'node:net'
import type { TunnelEnd } from '../../core/audit-event.ts'
import { Done } from './done.ts'
import { FULL_READ_BYTES, withOwnBuffers } from './own-buffers.ts'
import { probe } from './probe.ts'
import type { RelayHandle, RelayOptions } from './relay.ts'
import { breakOff } from './reset.ts'

/** Most tunnels end sooner, and nobody on the way forgets one that was silent for no longer. */
const PROBE_FROM_MS = 30_000

/** One tunnel through Node's streams. It owns both sockets. */
export class StreamRelay extends Done implements RelayHandle {
  readonly #client: Side
  readonly #origin: Side
  readonly #lifetime: NodeJS.Timeout | undefined
  readonly #probing: NodeJS.Timeout
  readonly #upFrom: number
  readonly #downFrom: number
  #endedBy: TunnelEnd | undefined
  /** Who said first that it has nothing more to say; the other may go on, and a deadline may end that. */
  #firstToEnd: SideName | undefined
  #closed = 0

  constructor(client: Socket, origin: Socket, { initialUp, initialDown, idleMs, lifetimeMs }: RelayOptions) {
    super()
    // What was written before (the answer to CONNECT) is not the tunnel's.
    this.#upFrom = origin.bytesWritten
    this.#downFrom = client.bytesWritten
    // Every byte either way passes the client's socket, so its idle time is the tunnel's.
    this.#client = new Side(this, 'client', client, idleMs)
    this.#origin = new Side(this, 'origin', origin, 0)
    if (lifetimeMs > 0) this.#lifetime = setTimeout(() => this.end('lifetime'), lifetimeMs)
    this.#probing = setTimeout(probeBoth, PROBE_FROM_MS, this)
    this.#client.join(this.#origin, initialUp)
    this.#origin.join(this.#client, initialDown)
  }

  get bytesUp(): number {
    return this.#origin.socket.bytesWritten - this.#upFrom
  }

  get bytesDown(): number {
    return this.#client.socket.bytesWritten - this.#downFrom
  }

  end(endedBy: TunnelEnd): void {
    this.#endedBy ??= endedBy
    breakOff(this.#client.socket)
    breakOff(this.#origin.socket)
  }

  /** Whoever has gone without a word is noticed from here on. */
  probe(): void {
    probe(this.#client.socket)
    probe(this.#origin.socket)
  }

  onEnd(side: SideName): void {
    this.#firstToEnd ??= side
  }

  onError(side: SideName): void {
    this.#endedBy ??= this.#firstToEnd ?? side
  }

  onClose(side: SideName): void {
    this.#endedBy ??= this.#firstToEnd ?? side
    if (++this.#closed < 2) return
    clearTimeout(this.#lifetime)
    clearTimeout(this.#probing)
    this.settle({ endedBy: this.#endedBy, bytesUp: this.bytesUp, bytesDown: this.bytesDown })
  }
}

function probeBoth(relay: StreamRelay): void {
  relay.probe()
}

type SideName = 'client' | 'origin'

/** One of the two connections of a tunnel: what is read of it is written to the other. */
class Side {
  readonly #relay: StreamRelay
  readonly #name: SideName
  readonly #idleMs: number
  /** Another one once much was read of it. */
  socket: Socket
  #other: Side | undefined
  /** Whether it may be had with buffers of its own. */
  #mayChange = true
  #isClosed = false

  constructor(relay: StreamRelay, name: SideName, socket: Socket, idleMs: number) {
    this.#relay = relay
    this.#name = name
    this.#idleMs = idleMs
    this.socket = socket
    if (socket.readableEnded) relay.onEnd(name)
    this.#own(socket)
    // Whether its event is still to come or has been, it counts once.
    if (socket.destroyed) queueMicrotask(() => this.onClose())
  }

  /** @param initial sent to the other before anything that this one sends */
  join(other: Side, initial: Buffer | undefined): void {
    this.#other = other
    if (initial !== undefined && initial.length > 0) other.socket.write(initial)
    if (this.socket.destroyed) return
    // The peer may have ended its side while its bytes were held.
    if (this.socket.readableEnded) other.end()
    else this.socket.on('data', onData).resume()
  }

  #own(socket: Relayed): void {
    socket[SIDE] = this
    socket.setTimeout(this.#idleMs)
    if (this.#idleMs > 0) socket.on('timeout', onTimeout)
    socket.on('end', onEnd).on('error', onError).on('close', onClose).on('drain', onDrain)
  }

  onData(bytes: Buffer): void {
    const other = this.#other?.socket
    if (other?.writable !== true) return
    if (bytes.length === FULL_READ_BYTES && this.#mayChange) this.#change()
    if (!other.write(bytes)) this.socket.pause()
  }

  /** More is coming: reads it into buffers of its own. */
  #change(): void {
    const before = this.socket
    const socket = withOwnBuffers(before, (bytes, release) => {
      const other = this.#other?.socket
      if (other?.writable === true) other.write(bytes, release)
      else release()
    })
    this.#mayChange = false
    if (socket === undefined) return
    disown(before)
    this.socket = socket
    this.#own(socket)
    socket.resume()
  }

  onDrain(): void {
    this.#other?.socket.resume()
  }

  onEnd(): void {
    this.#relay.onEnd(this.#name)
    this.#other?.end()
  }

  /** Nothing more comes. What waits goes before, and until it has the connection can still be broken off. */
  end(): void {
    const { socket } = this
    if (socket.writableLength === 0) socket.end()
    else
      socket.write(NOTHING, () => {
        if (socket.writable) socket.end()
      })
  }

  onTimeout(): void {
    this.#relay.end('idle_timeout')
  }

  onError(): void {
    this.#relay.onError(this.#name)
    // A connection that broke off must not look like one that ended well.
    if (this.#other !== undefined) breakOff(this.#other.socket)
  }

  onClose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const { socket } = this
    const other = this.#other?.socket
    if (other?.destroyed === false) {
      // It was reset before there was a tunnel.
      if (socket.errored) breakOff(other)
      else if (!socket.readableEnded) other.destroySoon()
      else if (!other.writableEnded) this.#other?.end()
    }
    this.#relay.onClose(this.#name)
  }
}

const NOTHING = Buffer.alloc(0)

/** Found on the socket itself, so that a tunnel takes no closures. */
const SIDE = Symbol('side')
type Relayed = Socket & { [SIDE]?: Side }

function onData(this: Relayed, bytes: Buffer): void {
  this[SIDE]?.onData(bytes)
}
function onDrain(this: Relayed): void {
  this[SIDE]?.onDrain()
}
function onEnd(this: Relayed): void {
  this[SIDE]?.onEnd()
}
function onTimeout(this: Relayed): void {
  this[SIDE]?.onTimeout()
}
function onError(this: Relayed): void {
  this[SIDE]?.onError()
}
function onClose(this: Relayed): void {
  this[SIDE]?.onClose()
}

/** The connection goes on in another socket. */
function disown(socket: Relayed): void {
  socket.setTimeout(0)
  socket.off('data', onData).off('end', onEnd).off('close', onClose).off('drain', onDrain)
}
