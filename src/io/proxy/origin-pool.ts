import { Agent, type ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { formatAuthority } from '../../core/names/authority.ts'
import { LRUCache } from '../lru.ts'
import type { Destination } from './dial.ts'
import type { Exchange } from './exchange.ts'
import type { ForwardPlan } from './forward-plan.ts'
import { PlainOrigin } from './plain-origin.ts'

/** Origins whose idle connections are kept; the one used longest ago makes way. */
const MAX_ORIGINS = 512

/**
 * How much is kept. As many connections as there were requests at once come free together: with few kept to an origin, busy clients
 * would make a new one, and a TLS handshake, for every other request. Each was needed once, and they go after `idleMs`.
 */
export interface PoolLimits {
  readonly idleMs: number
  readonly connections: number
  readonly perOrigin: number
}

export type PoolLimit = 'origin_keep_alive_seconds' | 'origin_idle_connections' | 'origin_idle_connections_per_origin'

export interface PoolHooks {
  readonly limits: () => PoolLimits
  readonly onHit: (limit: PoolLimit) => void
  /** Called with the number of idle connections, whenever it changes. */
  readonly onChange: (idle: number) => void
}

/** The idle connections of every origin together: past the limit the one that has been idle longest is closed. */
class IdleConnections {
  readonly #hooks: PoolHooks
  readonly #sockets = new Set<Duplex>()

  constructor(hooks: PoolHooks) {
    this.#hooks = hooks
  }

  add(socket: Duplex): void {
    this.#sockets.add(socket)
    const [oldest] = this.#sockets
    if (this.#sockets.size > this.#hooks.limits().connections && oldest !== undefined) {
      this.#sockets.delete(oldest)
      this.#hooks.onHit('origin_idle_connections')
      oldest.destroy()
    }
    this.#hooks.onChange(this.#sockets.size)
  }

  delete(socket: Duplex): void {
    if (this.#sockets.delete(socket)) this.#hooks.onChange(this.#sockets.size)
  }
}

/**
 * The connections of one origin. To Node it is an agent without its dialling: it uses an idle connection, or the one that was dialled for
 * the request. Where there is neither, the request fails; nothing is ever dialled that was not vetted. Plain requests take their
 * connections without Node's client; what is idle is there for both.
 */
export class OriginAgent extends Agent {
  readonly #offered: Socket[] = []
  /** Idle after a plain request, the one used last at the end. */
  readonly #plain: PlainOrigin[] = []
  readonly #hooks: PoolHooks
  readonly #all: IdleConnections
  readonly #onClose: (this: Duplex) => void
  readonly #onTimeout: () => void
  #isRetired = false

  constructor(hooks: PoolHooks, all: IdleConnections) {
    // With `lifo` Node may take a connection that is closed already; with `fifo` it steps over those.
    super({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY, timeout: hooks.limits().idleMs, scheduling: 'fifo' })
    this.#hooks = hooks
    this.#all = all
    this.#onClose = function (this: Duplex) {
      all.delete(this)
    }
    this.#onTimeout = () => hooks.onHit('origin_keep_alive_seconds')
  }

  get hasIdle(): boolean {
    return this.#plain.some(({ isUsable }) => isUsable) || this.#hasFree
  }

  /** Idle after a request through Node. */
  get #hasFree(): boolean {
    return this.freeSockets[NAME]?.some((socket) => !socket.destroyed && socket.writable) === true
  }

  /** An idle connection for a plain request. */
  takePlain(): PlainOrigin | undefined {
    for (let origin = this.#plain.pop(); origin !== undefined; origin = this.#plain.pop()) {
      this.#all.delete(origin.socket)
      if (origin.isUsable) return origin
    }
    const free = this.freeSockets[NAME] ?? []
    for (let socket = free.pop(); socket !== undefined; socket = free.pop()) {
      // It is to no request of Node's that it goes; what is to be undone for one is to be undone all the same.
      this.reuseSocket(socket, {} as ClientRequest)
      // It is no longer the agent's: Node's own word for it.
      socket.emit('agentRemove')
      if (!socket.destroyed && socket.writable) return new PlainOrigin(socket)
    }
    return undefined
  }

  /**
   * Keeps the connection of a plain request whose answer is complete. It can be taken once the loop has looked at it once more: what an
   * origin has sent ahead would else answer the request that takes it.
   *
   * @param idleMs for no longer than this, if the origin says so
   */
  keepPlain(origin: PlainOrigin, idleMs = Number.POSITIVE_INFINITY): void {
    const end = () => origin.destroy()
    origin.serve({ onBytes: end, onEnd: end, onLost: end, onQuiet: end }, this.#hooks.limits().idleMs)
    setImmediate(() => this.#keepQuiet(origin, idleMs))
  }

  #keepQuiet(origin: PlainOrigin, idleMs: number): void {
    if (!origin.isUsable) return origin.destroy()
    const isFull = this.#plain.length + (this.freeSockets[NAME]?.length ?? 0) >= this.#hooks.limits().perOrigin
    if (isFull) this.#hooks.onHit('origin_idle_connections_per_origin')
    if (this.#isRetired || isFull || idleMs <= 0) return origin.destroy()
    const leave = () => {
      const at = this.#plain.indexOf(origin)
      if (at >= 0) this.#plain.splice(at, 1)
      this.#all.delete(origin.socket)
      origin.destroy()
    }
    const onQuiet = () => {
      this.#hooks.onHit('origin_keep_alive_seconds')
      leave()
    }
    // What an origin sends now answers nothing: the next request would take it for its answer.
    origin.serve({ onBytes: leave, onEnd: leave, onLost: leave, onQuiet }, Math.min(idleMs, this.#hooks.limits().idleMs))
    this.#plain.push(origin)
    this.#all.add(origin.socket)
  }

  /** Where Node has no idle connection, its next request gets one that a plain request has left. */
  offerKept(): void {
    if (this.#hasFree) return
    const origin = this.takePlain()
    if (origin !== undefined) this.offer(origin.release())
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
    for (const socket of this.freeSockets[NAME] ?? []) socket.destroy()
    for (const origin of [...this.#plain]) origin.destroy()
  }

  /** Keeps nothing from now on: what is in use ends with its request. */
  retire(): void {
    this.#isRetired = true
    this.closeIdle()
  }

  /** What an origin sends on an idle connection answers nothing: the next request would take it for its answer. */
  override keepSocketAlive(socket: Duplex): boolean {
    if (this.#isRetired) return false
    if (this.#plain.length + (this.freeSockets[NAME]?.length ?? 0) >= this.#hooks.limits().perOrigin) {
      this.#hooks.onHit('origin_idle_connections_per_origin')
      return false
    }
    // Typed as nothing, documented as a boolean.
    const isKept: unknown = super.keepSocketAlive(socket)
    if (isKept !== true || socket.readableLength > 0) return false
    socket.on('data', endUnasked)
    socket.once('close', this.#onClose)
    socket.once('timeout', this.#onTimeout)
    this.#all.add(socket)
    return true
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    this.#unwatch(socket)
    super.reuseSocket(socket, request)
  }

  #unwatch(socket: Duplex): void {
    socket.off('data', endUnasked)
    socket.off('close', this.#onClose)
    socket.off('timeout', this.#onTimeout)
    this.#all.delete(socket)
  }

  override createConnection(): Duplex {
    const socket = this.#offered.shift()
    if (socket === undefined) throw new Error('no vetted connection was offered')
    return socket
  }

  /** One agent is one origin: whatever Node reads from the options, it is the same connection. */
  override getName(): string {
    return NAME
  }
}

const NAME = 'origin'

function endUnasked(this: Duplex): void {
  this.destroy()
}

type PooledExchange = Pick<Exchange, 'generation' | 'group'>
type PooledPlan = Pick<ForwardPlan, 'scheme' | 'authority'>

function keyOf({ generation, group }: PooledExchange, { scheme, authority }: PooledPlan, destination: Destination): string {
  const way = `${destination.port} ${wayTo(destination)}`
  return `${generation.number} ${group?.name ?? ''} ${scheme} ${formatAuthority(authority)} ${way}`
}

function wayTo(destination: Destination): string {
  if ('way' in destination) return destination.way.proxy.map(({ label }) => label).join(' ')
  const vetted = destination.addresses.map(({ text }) => text)
  return vetted.sort().join(' ')
}

/**
 * Idle origin connections, kept by policy generation, client group, scheme, host, port and vetted addresses, or parents: when any of
 * them changes, the old connections are not used again.
 */
export class OriginPool {
  readonly #hooks: PoolHooks
  readonly #all: IdleConnections
  readonly #agents = new LRUCache<string, OriginAgent>({ max: MAX_ORIGINS, dispose: (agent) => agent.retire() })
  /** Requests of an older one keep no connection. */
  #generation = 1

  constructor(hooks: PoolHooks) {
    this.#hooks = hooks
    this.#all = new IdleConnections(hooks)
  }

  /** Whether a request would be given a connection that is kept. */
  hasIdle(exchange: PooledExchange, plan: PooledPlan, destination: Destination): boolean {
    return this.#agents.get(keyOf(exchange, plan, destination))?.hasIdle === true
  }

  agentFor(exchange: PooledExchange, plan: PooledPlan, destination: Destination): OriginAgent {
    const key = keyOf(exchange, plan, destination)
    let agent = this.#agents.get(key)
    if (agent === undefined) {
      agent = new OriginAgent(this.#hooks, this.#all)
      if (exchange.generation.number !== this.#generation) agent.retire()
      this.#agents.set(key, agent)
    }
    return agent
  }

  /** Closes every idle connection; the ones in use end with their request. From now on it is another generation's turn. */
  retire(generation: number): void {
    this.#generation = generation
    this.#agents.clear()
  }
}
