import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Relay as NativeRelay, RelayAddon } from '../../../native/index.d.ts'
import { TUNNEL_ENDS, type TunnelEnd } from '../../core/audit-event.ts'
import { Done } from './done.ts'
import { RawConnection } from './raw-connection.ts'
import type { RawDial, RawDialOutcome, Relay, RelayHandle, RelayOptions, RelayResult } from './relay.ts'
import { SpliceDoor } from './splice-door.ts'
import { StreamRelay } from './stream-relay.ts'

/** Numbers in one record, and where they are; see `EndedRecords` in `native/index.d.ts`. */
const RECORD = { id: 0, bytesUp: 1, bytesDown: 2, endedBy: 3, errno: 4, reason: 5, address: 7, fd: 8, size: 9 } as const

/** `EndedByCode`: an end by `kill` has our own reason beside it, 5 is a trouble of the relay's own. */
const ENDED_BY: readonly (TunnelEnd | undefined)[] = ['client', 'origin', 'idle_timeout', 'lifetime']
const KILLED = 4
const OWN_TROUBLE = 5
const DIAL_FAILED = 6
const DIALLED = 7

/** What one native dial takes. */
const MAX_DIALLED_ADDRESSES = 8

export interface SpliceRelayOptions {
  /** Called with the number of tunnels whose sockets Node has no longer. */
  readonly onTaken: (tunnels: number) => void
  /** Called with the errno where a tunnel ended for a trouble of the relay's own. */
  readonly onTrouble: (errno: number) => void
}

/**
 * The kernel relay: once a tunnel is decided, its sockets leave Node, and a thread moves the bytes with `splice(2)`. What cannot
 * be handed over (TLS, bytes that still wait to be written, a socket that is closing, no descriptor left) goes through streams.
 */
export class SpliceRelay implements Relay {
  readonly kind = 'kernel'
  readonly door: SpliceDoor
  readonly #options: SpliceRelayOptions
  readonly #native: NativeRelay
  readonly #tunnels = new Map<number, SplicedTunnel>()
  readonly #dials = new Map<number, (outcome: RawDialOutcome) => void>()
  /** For live figures; read at once after it was written. */
  readonly #stats = new Float64Array(3)

  constructor(addon: RelayAddon, options: SpliceRelayOptions) {
    this.#options = options
    this.#native = addon.createRelay(
      {},
      (records) => this.#onEnded(records),
      (records, bytes) => this.door.onRecords(records, bytes),
      () => setImmediate(() => this.#native.drain()),
    )
    this.door = new SpliceDoor(this.#native, (id) => this.#adopt(id))
  }

  start(client: Socket, origin: Socket | RawConnection, options: RelayOptions): RelayHandle {
    const tunnel =
      origin instanceof RawConnection ? this.#handOverRaw(client, origin, options) : this.#handOver(client, origin, options)
    if (tunnel !== undefined) return tunnel
    return new StreamRelay(client, origin instanceof RawConnection ? origin.toSocket() : origin, options)
  }

  readonly dial: RawDial = (addresses, port, dialMs, staggerMs, onEnd) => {
    if (addresses.length > MAX_DIALLED_ADDRESSES) return undefined
    const id = this.#native.dial(addresses.join(','), port, dialMs, staggerMs)
    if (id < 0) return undefined
    this.#dials.set(id, onEnd)
    return () => this.#native.kill(id, 0)
  }

  close(): void {
    this.#native.close(TUNNEL_ENDS.indexOf('drain'))
  }

  /** The recipe of `native/index.d.ts`: from the last read to `destroy` the event loop does not turn. */
  #handOver(client: Socket, origin: Socket, options: RelayOptions): SplicedTunnel | undefined {
    const clientFd = descriptorOf(client)
    const originFd = descriptorOf(origin)
    if (clientFd < 0 || originFd < 0) return undefined
    const { initialUp, initialDown = NO_BYTES, idleMs, lifetimeMs } = options
    const up = withUnread(client, initialUp)
    const down = withUnread(origin, initialDown)
    const id = this.#native.relay(clientFd, originFd, up, down, idleMs, lifetimeMs, false)
    if (id < 0) {
      // Nothing was done to the sockets: streams carry on with what was taken out of them.
      if (up.length > initialUp.length) client.unshift(up.subarray(initialUp.length))
      if (down.length > initialDown.length) origin.unshift(down.subarray(initialDown.length))
      return undefined
    }
    letGo(origin)
    return this.#begin(client, id)
  }

  /** The same for an origin that Node has never had. */
  #handOverRaw(client: Socket, origin: RawConnection, options: RelayOptions): SplicedTunnel | undefined {
    const clientFd = descriptorOf(client)
    if (clientFd < 0) return undefined
    const { initialUp, initialDown = null, idleMs, lifetimeMs } = options
    const up = withUnread(client, initialUp)
    const id = this.#native.relay(clientFd, origin.fd, up, initialDown, idleMs, lifetimeMs, true)
    if (id < 0) {
      if (up.length > initialUp.length) client.unshift(up.subarray(initialUp.length))
      return undefined
    }
    origin.release()
    return this.#begin(client, id)
  }

  #begin(client: Socket, id: number): SplicedTunnel {
    letGo(client)
    return this.#adopt(id)
  }

  #adopt(id: number): SplicedTunnel {
    const tunnel = new SplicedTunnel(this, id)
    this.#tunnels.set(id, tunnel)
    this.#options.onTaken(this.#tunnels.size)
    return tunnel
  }

  /** Live figures of one tunnel: bytes up and down. */
  stats(id: number): readonly [up: number, down: number] {
    this.#native.stats(id, this.#stats)
    return [this.#stats[0] ?? 0, this.#stats[1] ?? 0]
  }

  kill(id: number, endedBy: TunnelEnd): void {
    this.#native.kill(id, TUNNEL_ENDS.indexOf(endedBy))
  }

  #onEnded(records: Float64Array): void {
    for (let at = 0; at < records.length; at += RECORD.size) {
      const id = records[at + RECORD.id] ?? 0
      const code = records[at + RECORD.endedBy] ?? OWN_TROUBLE
      const onDialled = this.#dials.get(id)
      if (onDialled !== undefined) {
        this.#dials.delete(id)
        onDialled(dialOutcome(code, records, at))
        continue
      }
      const tunnel = this.#tunnels.get(id)
      this.#tunnels.delete(id)
      if (code === OWN_TROUBLE) this.#options.onTrouble(records[at + RECORD.errno] ?? 0)
      const endedBy = code === KILLED ? TUNNEL_ENDS[records[at + RECORD.reason] ?? 0] : ENDED_BY[code]
      tunnel?.settle({
        ...(endedBy && { endedBy }),
        bytesUp: records[at + RECORD.bytesUp] ?? 0,
        bytesDown: records[at + RECORD.bytesDown] ?? 0,
      })
    }
    this.#options.onTaken(this.#tunnels.size)
  }
}

function dialOutcome(code: number, records: Float64Array, at: number): RawDialOutcome {
  if (code === DIALLED) {
    const connection = new RawConnection(records[at + RECORD.fd] ?? -1)
    return { kind: 'connected', connection, index: records[at + RECORD.address] ?? 0 }
  }
  const errno = records[at + RECORD.errno] ?? 0
  return code === DIAL_FAILED || code === OWN_TROUBLE ? { kind: 'failed', errno } : { kind: 'given_up' }
}

class SplicedTunnel extends Done implements RelayHandle {
  readonly #relay: SpliceRelay
  readonly #id: number
  /** Why it was told to end: the client's or origin's part in it may be seen first, but came later. */
  #endedBy: TunnelEnd | undefined

  constructor(relay: SpliceRelay, id: number) {
    super()
    this.#relay = relay
    this.#id = id
  }

  get bytesUp(): number {
    return this.result?.bytesUp ?? this.#relay.stats(this.#id)[0]
  }

  get bytesDown(): number {
    return this.result?.bytesDown ?? this.#relay.stats(this.#id)[1]
  }

  end(endedBy: TunnelEnd): void {
    if (this.result !== undefined || this.#endedBy !== undefined) return
    this.#endedBy = endedBy
    this.#relay.kill(this.#id, endedBy)
  }

  override settle(result: RelayResult): void {
    super.settle(this.#endedBy === undefined ? result : { ...result, endedBy: this.#endedBy })
  }
}

const NO_BYTES = Buffer.alloc(0)

const ignore = () => {}

/** Its connection lives on in the duplicate. */
function letGo(socket: Socket): void {
  socket.on('error', ignore)
  socket.destroy()
}

/** The descriptor of a socket that can be handed over, or -1: its bytes must be the connection's, and none may wait to be written. */
function descriptorOf(socket: Socket): number {
  if (socket.destroyed || socket.writableLength > 0 || socket.writableEnded || socket instanceof TLSSocket) return -1
  if (!(socket instanceof Socket)) return -1
  // Node's types leave the handle out.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null }
  return handle?.fd ?? -1
}

/** Takes what Node has read of the connection already, behind what was taken before. */
function withUnread(socket: Socket, before: Buffer): Buffer {
  socket.pause()
  const unread: Buffer | null = socket.readableLength > 0 ? socket.read() : null
  if (unread === null) return before
  return before.length === 0 ? unread : Buffer.concat([before, unread])
}
