import cluster from 'node:cluster'
import { closeSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import type { ListenAddress } from '../../core/listen-address.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords, unmapped } from '../../core/names/ip.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { ProxiedPeer } from '../../core/wire/proxy-header.ts'
import { listen } from '../listen.ts'
import { LRUCache } from '../lru.ts'
import type { Door, DoorAddress, DoorDial, DoorKeeper, DoorListener } from '../relay/door.ts'
import type { RelayHandle } from '../relay/relay.ts'
import type { DoorTunnel, DoorTunnelParts } from './door-tunnel.ts'

/** A connection at the door whose first read is there. */
export interface Arrival {
  readonly client: ProxiedPeer
  /** Where it was going before it was redirected, or the system's name of why that is not known; of a listener for TLS. */
  readonly original: Result<OriginalDestination, string>
  readonly first: Buffer
}

export interface ListenerDoorOptions extends Pick<DoorTunnelParts, 'context' | 'onHanded'> {
  readonly door: Door
  readonly asks: DoorListener
  /** The life that it has at the door; nothing where it is to be Node's, as if it had never been here. */
  readonly tunnel: (arrival: Arrival, parts: DoorTunnelParts) => DoorTunnel | undefined
  /** For a connection that is Node's, unread. */
  readonly onStranger: (socket: Socket) => void
}

const NOT_ASKED = err('ENOENT')

/** Addresses that are kept as they were read. */
const REMEMBERED_ADDRESSES = 10_000

/** The door of a listener: every connection that stays there has its `DoorTunnel`. */
export class ListenerDoor implements DoorKeeper {
  readonly #options: ListenerDoorOptions
  readonly #tunnels = new Map<number, DoorTunnel>()
  readonly #addresses = new LRUCache<number, IpAddress>({ max: REMEMBERED_ADDRESSES })
  /** What the listening socket was bound with. */
  readonly #server = createServer()

  constructor(options: ListenerDoorOptions) {
    this.#options = options
  }

  /** Binds; throws what the system says. */
  async open(address: ListenAddress): Promise<ListenAddress> {
    const server = this.#server
    const bound = await listen(server, address)
    // Node's types leave the handle out. Since it listens the event loop has not turned: Node has accepted nothing.
    const { _handle: handle } = server as typeof server & { readonly _handle?: { readonly fd?: number } }
    const failed = this.#options.door.open(handle?.fd ?? -1, this.#options.asks, this)
    // In a worker the primary keeps the socket for as long as the worker has not closed it, or for one that takes its place: there the
    // handle alone goes, past what Node's cluster module put over its `close`.
    if (cluster.isWorker) Object.getPrototypeOf(handle).close.call(handle)
    else server.close()
    if (failed < 0) throw new Error(`cannot listen: errno ${-failed}`)
    return bound
  }

  /** To write an address as text costs more than to look it up. */
  #addressOf({ family, words }: DoorAddress): IpAddress {
    if (family === 6) return unmapped(ipv6FromWords(words))
    let address = this.#addresses.get(words[0])
    if (address === undefined) {
      address = ipv4FromValue(words[0])
      this.#addresses.set(words[0], address)
    }
    return address
  }

  #endOf(address: DoorAddress): { readonly address: IpAddress; readonly port: number } {
    return { address: this.#addressOf(address), port: address.port }
  }

  /** Accepts no more. */
  close(): void {
    this.#options.door.close()
    // Tells the primary, where there is one.
    if (cluster.isWorker) this.#server.close()
  }

  head(id: number, client: DoorAddress, original: DoorAddress | string, first: Buffer): void {
    const { context, door, asks, onHanded } = this.#options
    const arrival: Arrival = {
      client: this.#endOf(client),
      original: asks.reads === 'connect' ? NOT_ASKED : typeof original === 'string' ? err(original) : ok(this.#endOf(original)),
      first,
    }
    const onLeft = () => this.#tunnels.delete(id)
    const tunnel = this.#options.tunnel(arrival, { context, door, id, first, onLeft, onHanded })
    if (tunnel === undefined) return door.take(id)
    this.#tunnels.set(id, tunnel)
    tunnel.begin()
  }

  handed(id: number, fd: number, first: Buffer): void {
    const socket = socketOf(fd)
    const tunnel = this.#tunnels.get(id)
    if (tunnel !== undefined) return tunnel.handed(socket)
    if (socket === undefined) return
    if (first.length > 0) socket.unshift(first)
    this.#options.onStranger(socket)
  }

  opening(id: number, dial: DoorDial, bytes: Buffer, ended: boolean): void {
    const tunnel = this.#tunnels.get(id)
    if (tunnel === undefined) this.#endForgotten(id)
    else tunnel.opening(dial, bytes, ended)
  }

  dialFailed(id: number, dial: DoorDial, errno: number): void {
    const tunnel = this.#tunnels.get(id)
    if (tunnel === undefined) this.#endForgotten(id)
    else tunnel.dialFailed(dial, errno)
  }

  openingTimeout(id: number, dial: DoorDial): void {
    const tunnel = this.#tunnels.get(id)
    if (tunnel === undefined) this.#endForgotten(id)
    else tunnel.openingTimeout(dial)
  }

  gone(id: number, dial: DoorDial): void {
    this.#tunnels.get(id)?.gone(dial)
  }

  carried(id: number, dial: DoorDial, relay: RelayHandle): void {
    const tunnel = this.#tunnels.get(id)
    if (tunnel === undefined) relay.end('drain')
    else tunnel.carried(dial, relay)
  }

  /** A fault of ours has ended what it was for; the door would wait for an answer for ever. */
  #endForgotten(id: number): void {
    this.#options.door.reply(id, '')
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
