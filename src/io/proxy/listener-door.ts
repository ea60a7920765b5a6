import { createServer, type Socket } from 'node:net'
import type { ListenAddress } from '../../core/listen-address.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import type { Result } from '../../core/result.ts'
import type { ProxiedPeer } from '../../core/wire/proxy-header.ts'
import { listen } from '../listen.ts'
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
  /** Key of the listener in `listen`. */
  readonly listener: string
  readonly door: Door
  readonly asks: DoorListener
  /** The life that it has at the door; nothing where it is to be Node's, as if it had never been here. */
  readonly tunnel: (arrival: Arrival, parts: DoorTunnelParts) => DoorTunnel | undefined
  /** For a connection that is Node's, unread. */
  readonly onStranger: (socket: Socket) => void
}

/** The door of a listener: every connection that stays there has its `DoorTunnel`. */
export class ListenerDoor implements DoorKeeper {
  readonly #options: ListenerDoorOptions
  readonly #tunnels = new Map<number, DoorTunnel>()

  constructor(options: ListenerDoorOptions) {
    this.#options = options
  }

  /** Binds; throws what the system says. */
  async open(address: ListenAddress): Promise<ListenAddress> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    const bound = await listen(server, address)
    server.on('error', (err) => this.#options.context.log.error({ listener: this.#options.listener, err }, 'listener failed'))
    this.#options.door.open(server, this.#options.asks, this)
    return bound
  }

  /** Accepts no more. */
  close(): void {
    this.#options.door.close()
  }

  head(id: number, client: DoorAddress, original: Result<DoorAddress, string>, first: Buffer): void {
    const { context, door, onHanded } = this.#options
    const onLeft = () => this.#tunnels.delete(id)
    try {
      const tunnel = this.#options.tunnel({ client, original, first }, { context, door, id, first, onLeft, onHanded })
      if (tunnel === undefined) return door.take(id)
      this.#tunnels.set(id, tunnel)
      tunnel.begin()
    } catch (error) {
      // One connection, never the process.
      context.log.error({ listener: this.#options.listener, err: error }, 'connection handler failed')
      this.#endForgotten(id)
    }
  }

  handed(id: number, socket: Socket | undefined, first: Buffer): void {
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
