import { Agent } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { formatAuthority } from '../../core/names/authority.ts'
import { LRUCache } from '../lru.ts'
import type { Destination } from './dial.ts'
import type { ForwardPlan } from './forward-plan.ts'

/** Origins whose idle connections are kept; the one used longest ago makes way. */
const MAX_ORIGINS = 512

/** Idle connections kept to one origin. */
const MAX_IDLE_PER_ORIGIN = 16

/**
 * Node's agent without its dialling: it uses an idle connection, or the one that was dialled for the request. Where there is
 * neither, the request fails; nothing is ever dialled that was not vetted.
 */
export class OriginAgent extends Agent {
  readonly #offered: Socket[] = []

  constructor(idleMs: number) {
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE_PER_ORIGIN, timeout: idleMs, scheduling: 'lifo' })
  }

  get hasIdle(): boolean {
    return Object.values(this.freeSockets).some((sockets) => sockets?.some((socket) => !socket.destroyed && socket.writable))
  }

  /** Gives the connection that the next request takes if no idle one is there. */
  offer(socket: Socket): void {
    // An origin that ends its side has ended the connection: half-open, it would be kept and used once more.
    socket.allowHalfOpen = false
    this.#offered.push(socket)
  }

  /** Closes what was offered and not taken. */
  closeOffered(): void {
    for (const socket of this.#offered.splice(0)) socket.destroy()
  }

  closeIdle(): void {
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }

  override createConnection(): Duplex {
    const socket = this.#offered.shift()
    if (socket === undefined) throw new Error('no vetted connection was offered')
    return socket
  }

  /** One agent is one origin: whatever Node reads from the options, it is the same connection. */
  override getName(): string {
    return 'origin'
  }
}

/**
 * Idle origin connections, kept by policy generation, scheme, host, port and vetted addresses: when any of them changes, the old
 * connections are not used again.
 */
export class OriginPool {
  readonly #idleMs: () => number
  readonly #agents = new LRUCache<string, OriginAgent>({ max: MAX_ORIGINS, dispose: (agent) => agent.closeIdle() })

  constructor(idleMs: () => number) {
    this.#idleMs = idleMs
  }

  agentFor(
    generation: number,
    { scheme, authority }: Pick<ForwardPlan, 'scheme' | 'authority'>,
    { addresses, port }: Destination,
  ): OriginAgent {
    const vetted = addresses.map(({ text }) => text).sort()
    const key = `${generation} ${scheme} ${formatAuthority(authority)} ${port} ${vetted.join(' ')}`
    let agent = this.#agents.get(key)
    if (agent === undefined) {
      agent = new OriginAgent(this.#idleMs())
      this.#agents.set(key, agent)
    }
    return agent
  }

  /** Closes every idle connection; the ones in use end with their request. */
  retire(): void {
    this.#agents.clear()
  }
}
