import cluster from 'node:cluster'
import { closeSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import type { ListenAddress } from '../../core/listen-address.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords } from '../../core/names/ip.ts'
import { readPlainConnect } from '../../core/wire/connect-head.ts'
import { listen } from '../listen.ts'
import { LRUCache } from '../lru.ts'
import type { Door, DoorDial, DoorKeeper, DoorPeer } from '../relay/door.ts'
import { ClientConnection } from './client-connection.ts'
import { DoorTunnel } from './door-tunnel.ts'
import type { Exchange } from './exchange.ts'
import type { Allowed } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'
import { ESTABLISHED } from './tunnel.ts'

export interface ProxyDoorOptions {
  /** Key of the listener in `listen`. */
  readonly listener: string
  readonly context: ProxyContext
  readonly door: Door
  readonly exchange: (connection: ClientConnection) => Exchange
  /** For a connection that is no plain CONNECT, unread. */
  readonly onStranger: (socket: Socket) => void
  /** For a CONNECT that was allowed and has to be looked into, with what came behind its head. */
  readonly onHanded: (exchange: Exchange, ruling: Allowed, early: Buffer) => void
}

/** Clients whose address is kept as it was read. */
const REMEMBERED_CLIENTS = 10_000

/** The door of a listener: every CONNECT that stays there has its `DoorTunnel`. */
export class ProxyDoor implements DoorKeeper {
  readonly #options: ProxyDoorOptions
  readonly #tunnels = new Map<number, DoorTunnel>()
  readonly #addresses = new LRUCache<number, IpAddress>({ max: REMEMBERED_CLIENTS })
  /** What the listening socket was bound with. */
  readonly #server = createServer()

  constructor(options: ProxyDoorOptions) {
    this.#options = options
  }

  /** Binds; throws what the system says. */
  async open(address: ListenAddress): Promise<ListenAddress> {
    const server = this.#server
    const bound = await listen(server, address)
    // Node's types leave the handle out. Since it listens the event loop has not turned: Node has accepted nothing.
    const { _handle: handle } = server as typeof server & { readonly _handle?: { readonly fd?: number } }
    const failed = this.#options.door.open(handle?.fd ?? -1, ESTABLISHED, this)
    // In a worker the primary keeps the socket for as long as the worker has not closed it, or for one that takes its place: there the
    // handle alone goes, past what Node's cluster module put over its `close`.
    if (cluster.isWorker) Object.getPrototypeOf(handle).close.call(handle)
    else server.close()
    if (failed < 0) throw new Error(`cannot listen: errno ${-failed}`)
    return bound
  }

  /** To write an address as text costs more than to look it up. */
  #addressOf({ family, words }: DoorPeer): IpAddress {
    if (family === 6) return ipv6FromWords(words)
    let address = this.#addresses.get(words[0])
    if (address === undefined) {
      address = ipv4FromValue(words[0])
      this.#addresses.set(words[0], address)
    }
    return address
  }

  /** Accepts no more. */
  close(): void {
    this.#options.door.close()
    // Tells the primary, where there is one.
    if (cluster.isWorker) this.#server.close()
  }

  head(id: number, peer: DoorPeer, first: Buffer): void {
    const { listener, context, door, exchange: begin, onHanded } = this.#options
    const { targetBytes, headBytes } = context.generation().config.limits
    const plain = readPlainConnect(first.toString('latin1'))
    // What the parser would not read to its end is for it to refuse.
    if (plain === undefined || plain.length > targetBytes + headBytes) return door.take(id)
    const exchange = begin(ClientConnection.atDoor(listener, { address: this.#addressOf(peer), port: peer.port }))
    const tunnel = new DoorTunnel({
      context,
      door,
      exchange,
      id,
      plain,
      early: first.subarray(plain.length),
      onLeft: () => this.#tunnels.delete(id),
      onHanded: (ruling, fd, all) => {
        const socket = socketOf(fd)
        if (socket === undefined) throw new Error('a descriptor that is no socket')
        exchange.connection.socket = socket
        onHanded(exchange, ruling, all.subarray(plain.length))
      },
    })
    this.#tunnels.set(id, tunnel)
    tunnel.begin()
  }

  handed(id: number, fd: number, first: Buffer): void {
    const tunnel = this.#tunnels.get(id)
    if (tunnel !== undefined) return tunnel.handed(fd, first)
    const socket = socketOf(fd)
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
