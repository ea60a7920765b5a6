import { getSystemErrorName } from 'node:util'
import type { Relay as NativeRelay } from '../../../native/index.d.ts'
import type { RelayHandle } from './relay.ts'

/** Numbers in one record, and where they are; see `DoorRecords` in `native/index.d.ts`. An address is its family, four words and a port. */
const RECORD = {
  id: 0,
  kind: 1,
  clientFamily: 2,
  fd: 8,
  errno: 9,
  address: 10,
  dialUs: 11,
  ended: 12,
  offset: 13,
  length: 14,
  listener: 15,
  originalFamily: 16,
  originalErrno: 22,
  size: 23,
} as const

const KIND = { head: 1, handed: 2, opening: 3, dialFailed: 4, gone: 5, openingTimeout: 6, carried: 7 } as const

/** How a connection to the origin stands. */
export interface DoorDial {
  /** Index of the address that was connected to, -1 before. */
  readonly address: number
  readonly seconds: number
}

/** An end of a connection. */
export interface DoorAddress {
  readonly family: 4 | 6
  /** 32 bits each, unsigned, most significant first; of IPv4 the first alone. */
  readonly words: readonly [number, number, number, number]
  readonly port: number
}

/**
 * Who is asked about connections at the door, by id. `head`, `opening`, `dialFailed` and `openingTimeout` each wait for one answer
 * through the `Door`; `handed`, `gone` and `carried` are the last that is heard of an id.
 */
export interface DoorKeeper {
  /**
   * A first read of what its listener asks about.
   *
   * @param original where a redirected connection was going, or the system's name of why that is not known; of a listener for TLS
   */
  head(id: number, client: DoorAddress, original: DoorAddress | string, first: Buffer): void
  /** The connection is the keeper's from here on, with what was read of it. The id is 0 where nobody was asked. */
  handed(id: number, fd: number, first: Buffer): void
  /** The client was told that its origin is connected, and has sent this since; `ended`: it has no more to say. */
  opening(id: number, dial: DoorDial, bytes: Buffer, ended: boolean): void
  dialFailed(id: number, dial: DoorDial, errno: number): void
  openingTimeout(id: number, dial: DoorDial): void
  gone(id: number, dial: DoorDial): void
  /** What was judged before its origin was connected is relayed since it is. */
  carried(id: number, dial: DoorDial, relay: RelayHandle): void
}

export interface DoorConnect {
  /** Vetted, in canonical text, in the order to try: at most eight. */
  readonly addresses: readonly string[]
  readonly port: number
  readonly dialMs: number
  readonly staggerMs: number
  /** So much of the first read is the head. */
  readonly headBytes: number
  /** The opening is known, or there is none to judge: relays as soon as the origin is connected, for so long. */
  readonly judged: boolean
  readonly idleMs: number
  readonly lifetimeMs: number
  readonly openingMs: number
  readonly heldBytes: number
}

/** What a listening socket is for. */
export interface DoorListener {
  /**
   * `connect`: a first read that begins as a CONNECT does and holds an empty line is asked about. `tls`: one whole TLS handshake record,
   * on a connection that was redirected.
   */
  readonly reads: 'connect' | 'tls'
  /** What a client is told once its origin is connected. */
  readonly established: string
}

/**
 * Client connections that Node does not accept: the relay's thread does, reads the first bytes of each and asks. One that is a CONNECT
 * from its first byte to its last, or redirected TLS, never becomes a socket of Node's, which is most of what a short one costs.
 */
export class Door {
  readonly #native: NativeRelay
  /** By the number of their listener. */
  readonly #keepers = new Map<number, DoorKeeper>()
  readonly #adopt: (id: number) => RelayHandle

  /** @param adopt knows a tunnel from here on that the native side has begun to relay */
  constructor(native: NativeRelay, adopt: (id: number) => RelayHandle) {
    this.#native = native
    this.#adopt = adopt
  }

  /**
   * Accepts from a listening socket, which stays the caller's to close. There may be four.
   *
   * @returns a negative errno where it does not
   */
  open(fd: number, { reads, established }: DoorListener, keeper: DoorKeeper): number {
    const number = this.#native.listen(fd, reads === 'tls', established)
    if (number >= 0) this.#keepers.set(number, keeper)
    return number
  }

  /** Accepts no more from any, and closes connections that have said nothing yet. */
  close(): void {
    this.#native.stopListening()
  }

  /** So many clients' connections at once, tunnels among them; how many were closed for that since the last call. */
  limit(connections: number): number {
    return this.#native.limitClients(Math.max(0, connections))
  }

  /** Connections that there are, tunnels among them. */
  get connections(): number {
    return this.#native.clients()
  }

  /** Says the last there is to say, one character a byte, and ends the connection. */
  reply(id: number, text: string): void {
    this.#native.reply(id, text)
  }

  /** Connects to the origin and tells the client. False where that could not be begun. */
  connect(id: number, to: DoorConnect): boolean {
    const { addresses, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs } = to
    const text = addresses.join(',')
    const native = this.#native
    return native.connect(id, text, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs) === 0
  }

  /** Waits for more of the opening. */
  more(id: number): void {
    this.#native.more(id)
  }

  /** Relays from here on, what came with the opening first. Throws where the door knows the connection no longer. */
  carry(id: number, idleMs: number, lifetimeMs: number): RelayHandle {
    const errno = this.#native.carry(id, idleMs, lifetimeMs)
    if (errno < 0) throw new Error(`the door does not carry: ${errno}`)
    return this.#adopt(id)
  }

  /** Has the connection handed over. */
  take(id: number): void {
    this.#native.take(id)
  }

  onRecords(records: Float64Array, bytes: Uint8Array): void {
    for (let at = 0; at < records.length; at += RECORD.size) this.#dispatch(records, at, bytes)
  }

  #dispatch(records: Float64Array, at: number, all: Uint8Array): void {
    const number = (field: number) => records[at + field] ?? 0
    const keeper = this.#keepers.get(number(RECORD.listener))
    if (keeper === undefined) return
    const id = number(RECORD.id)
    const bytes = Buffer.from(all.buffer, all.byteOffset + number(RECORD.offset), number(RECORD.length))
    const dial = { address: number(RECORD.address), seconds: number(RECORD.dialUs) / 1e6 }
    switch (number(RECORD.kind)) {
      case KIND.head:
        return keeper.head(id, addressAt(records, at + RECORD.clientFamily), originalOf(records, at), bytes)
      case KIND.handed:
        return keeper.handed(id, number(RECORD.fd), bytes)
      case KIND.opening:
        return keeper.opening(id, dial, bytes, number(RECORD.ended) === 1)
      case KIND.dialFailed:
        return keeper.dialFailed(id, dial, number(RECORD.errno))
      case KIND.openingTimeout:
        return keeper.openingTimeout(id, dial)
      case KIND.carried:
        return keeper.carried(id, dial, this.#adopt(id))
      default:
        return keeper.gone(id, dial)
    }
  }
}

function addressAt(records: Float64Array, at: number): DoorAddress {
  const word = (index: number) => records[at + 1 + index] ?? 0
  return { family: records[at] === 6 ? 6 : 4, words: [word(0), word(1), word(2), word(3)], port: records[at + 5] ?? 0 }
}

function originalOf(records: Float64Array, at: number): DoorAddress | string {
  const errno = records[at + RECORD.originalErrno] ?? 0
  return errno === 0 ? addressAt(records, at + RECORD.originalFamily) : getSystemErrorName(errno)
}
