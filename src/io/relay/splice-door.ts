import cluster from 'node:cluster'
import { closeSync } from 'node:fs'
import { type Server, Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Relay as NativeRelay } from '../../../native/index.d.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords, unmapped } from '../../core/names/ip.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { LRUCache } from '../lru.ts'
import type { Door, DoorAddress, DoorConnect, DoorKeeper, DoorListener } from './door.ts'
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

/** Addresses that are kept as they were read. */
const REMEMBERED_ADDRESSES = 10_000

/**
 * Client connections that Node does not accept: the relay's thread does, reads the first bytes of each and asks. One that is a CONNECT
 * from its first byte to its last, or redirected TLS, never becomes a socket of Node's, which is most of what a short one costs.
 */
export class SpliceDoor implements Door {
  readonly readsTls = true
  readonly #native: NativeRelay
  /** By the number of their listener. */
  readonly #keepers = new Map<number, DoorKeeper>()
  readonly #adopt: (id: number) => RelayHandle
  readonly #servers: Server[] = []
  readonly #addresses = new LRUCache<number, IpAddress>({ max: REMEMBERED_ADDRESSES })

  /** @param adopt knows a tunnel from here on that the native side has begun to relay */
  constructor(native: NativeRelay, adopt: (id: number) => RelayHandle) {
    this.#native = native
    this.#adopt = adopt
  }

  open(server: Server, { reads, established }: DoorListener, keeper: DoorKeeper): void {
    // Node's types leave the handle out. Since it listens the event loop has not turned: Node has accepted nothing.
    const { _handle: handle } = server as Server & { readonly _handle?: { readonly fd?: number } }
    const number = this.#native.listen(handle?.fd ?? -1, reads === 'tls', established)
    // In a worker the primary keeps the socket for as long as the worker has not closed it, or for one that takes its place: there the
    // handle alone goes, past what Node's cluster module put over its `close`.
    if (cluster.isWorker) Object.getPrototypeOf(handle).close.call(handle)
    else server.close()
    if (number < 0) throw new Error(`cannot listen: errno ${-number}`)
    this.#servers.push(server)
    this.#keepers.set(number, keeper)
  }

  close(): void {
    this.#native.stopListening()
    // Tells the primary, where there is one.
    if (cluster.isWorker) for (const server of this.#servers) server.close()
  }

  limit(connections: number): number {
    return this.#native.limitClients(Math.max(0, connections))
  }

  get connections(): number {
    return this.#native.clients()
  }

  reply(id: number, text: string): void {
    this.#native.reply(id, text)
  }

  connect(id: number, to: DoorConnect): boolean {
    const { addresses, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs } = to
    const text = addresses.join(',')
    const native = this.#native
    return native.connect(id, text, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs) === 0
  }

  more(id: number): void {
    this.#native.more(id)
  }

  carry(id: number, idleMs: number, lifetimeMs: number): RelayHandle {
    const errno = this.#native.carry(id, idleMs, lifetimeMs)
    if (errno < 0) throw new Error(`the door does not carry: ${errno}`)
    return this.#adopt(id)
  }

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
        return keeper.head(id, this.#addressAt(records, at + RECORD.clientFamily), this.#originalOf(records, at), bytes)
      case KIND.handed:
        return keeper.handed(id, socketOf(number(RECORD.fd)), bytes)
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

  #addressAt(records: Float64Array, at: number): DoorAddress {
    const word = (index: number) => records[at + 1 + index] ?? 0
    const port = records[at + 5] ?? 0
    if (records[at] === 6) return { address: unmapped(ipv6FromWords([word(0), word(1), word(2), word(3)])), port }
    return { address: this.#ipv4(word(0)), port }
  }

  /** To write an address as text costs more than to look it up. */
  #ipv4(value: number): IpAddress {
    let address = this.#addresses.get(value)
    if (address === undefined) {
      address = ipv4FromValue(value)
      this.#addresses.set(value, address)
    }
    return address
  }

  #originalOf(records: Float64Array, at: number): Result<DoorAddress, string> {
    const errno = records[at + RECORD.originalErrno] ?? 0
    return errno === 0 ? ok(this.#addressAt(records, at + RECORD.originalFamily)) : err(getSystemErrorName(errno))
  }
}

/** A socket of Node's as its own listener would have made it. */
function socketOf(fd: number): Socket | undefined {
  try {
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
  } catch {
    closeSync(fd)
    return undefined
  }
}
