import type { Socket } from 'node:net'
import type { Result } from '../../core/result.ts'
import type { Answer } from '../../core/wire/answer.ts'
import type { Door, DoorDial } from '../relay/door.ts'
import type { RelayHandle } from '../relay/relay.ts'
import { CarriedTunnel } from './carried-tunnel.ts'
import { claimOf } from './claim.ts'
import { type Destination, type DialFailure, type DirectDestination, failureOf, NEXT_ADDRESS_MS } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { HeldBytes } from './held-bytes.ts'
import type { Allowed } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'
import { lifetimeMs } from './tunnels.ts'

/** What one dial at the door takes. */
const MAX_ADDRESSES = 8

const NOTHING_RELAYED = { bytesUp: 0, bytesDown: 0, endedBy: 'client' } as const

export interface DoorTunnelParts {
  readonly context: ProxyContext
  readonly door: Door
  /** Of the connection at the door. */
  readonly id: number
  /** All of the first read. */
  readonly first: Buffer
  /** Nothing more is to be told of this connection. */
  readonly onLeft: () => void
  /** What has to be looked into goes on as one of Node's: its place goes with it. */
  readonly onHanded: (exchange: Exchange, early: Buffer, carryOn: (held: HeldBytes) => Promise<void>) => void
}

/**
 * The life of a tunnel whose connection stays at the door: the same steps in the same order as with a socket of Node's, with the same
 * functions deciding, each begun by what the door tells. What differs between a CONNECT and a redirected connection is in
 * `ConnectAtDoor` and `TransparentAtDoor`.
 */
export abstract class DoorTunnel {
  protected readonly parts: DoorTunnelParts
  protected readonly exchange: Exchange
  #ruling: Allowed | undefined
  #isTaken = false
  #hasPlace = false
  #destination: DirectDestination | undefined
  /** When it was begun to be located, and how long that took. */
  #locateSince = 0
  #locateSeconds = 0
  #isDialling = false

  constructor(parts: DoorTunnelParts, exchange: Exchange) {
    this.parts = parts
    this.exchange = exchange
  }

  /** Judges what there is, up to `placeFor` or `refuse`. */
  protected abstract judge(): void
  /** It has its place: goes on to `locate`, or to `take` or `refuse`. */
  protected abstract place(ruling: Allowed): void
  /** The origin is connected, and the opening is to be judged: goes on to `carry`, to more of it, or refuses it. */
  protected abstract opened(bytes: Buffer, ended: boolean): void
  protected abstract timedOut(): void
  /** A refusal as the client can read it, one character a byte. */
  protected abstract answerText(answer: Answer, refusal: Refusal): string
  /** So many bytes of the first read are for the gateway and not for the origin. */
  protected abstract get headBytes(): number
  /** The rest of its life where it is one of Node's. */
  protected abstract carryOn(ruling: Allowed, held: HeldBytes): Promise<void>

  begin(): void {
    this.#step(() => this.judge())
  }

  opening(dial: DoorDial, bytes: Buffer, ended: boolean): void {
    this.#step(() => {
      this.#connected(dial)
      this.opened(bytes, ended)
    })
  }

  dialFailed({ seconds }: DoorDial, errno: number): void {
    this.#step(() => {
      const failure = failureOf(this.#addresses(), errno)
      this.#measured(failure.reason, seconds)
      this.refuse(failure)
    })
  }

  openingTimeout(dial: DoorDial): void {
    this.#step(() => {
      this.#connected(dial)
      this.timedOut()
    })
  }

  /** What was judged already is relayed. */
  carried(dial: DoorDial, relay: RelayHandle): void {
    this.#step(() => {
      try {
        this.#connected(dial)
        this.exchange.allowed()
        this.#handOver(relay)
      } catch (error) {
        // It is relayed already, and nobody would count it or end it.
        relay.end('drain')
        throw error
      }
    })
  }

  /** The client has gone, or everything ends. */
  gone(dial: DoorDial): void {
    this.#step(() => {
      if (dial.address >= 0) this.#connected(dial)
      else if (this.#isDialling) this.#measured('aborted', dial.seconds)
      this.exchange.served(NOTHING_RELAYED)
      this.#leave()
    })
  }

  /** @param socket the connection that was asked for; absent where it cannot be had */
  handed(socket: Socket | undefined): void {
    this.#step(() => {
      const ruling = this.#ruling
      if (ruling === undefined || !this.#isTaken || socket === undefined) throw new Error('a connection that nobody asked for')
      this.#hasPlace = false
      const { first, onHanded } = this.parts
      this.exchange.connection.socket = socket
      onHanded(this.exchange, first.subarray(this.headBytes), (held) => this.carryOn(ruling, held))
      this.#leave()
    })
  }

  /** A fault for which nobody made provision ends this connection, and the request still has its one line. */
  #step(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    const { context, door, id } = this.parts
    const { exchange } = this
    context.log.error({ listener: exchange.connection.listener, requestId: exchange.id, err: error }, 'request handler failed')
    exchange.refuse({ reason: 'internal_error' })
    door.reply(id, '')
    this.#leave()
  }

  /** Goes on at once where it can: a promise costs as much as a decision. */
  protected settle<T>(value: T | Promise<T>, next: (value: T) => void): void {
    if (value instanceof Promise) value.then(next).catch((error) => this.#fail(error))
    else next(value)
  }

  protected placeFor(ruling: Allowed): void {
    this.#ruling = ruling
    this.settle(this.parts.context.admission.takeTunnel(this.exchange.countedAs), (full) => {
      if (full !== undefined) return this.refuse(full)
      this.#hasPlace = true
      this.place(ruling)
    })
  }

  protected take(): void {
    this.#isTaken = true
    this.parts.door.take(this.parts.id)
  }

  /** @param judged the opening has come already, or there is none to judge */
  protected locate({ entry }: Allowed, judged: boolean): void {
    const { context } = this.parts
    const { target, generation, policy, receivedVia } = this.exchange
    if (target === undefined) throw new Error('a tunnel without a target')
    this.#locateSince = performance.now()
    const deadline = context.dialer.deadline()
    const claim = claimOf(context, this.exchange)
    const request = { policy, upstream: generation.upstream, ...target, entry, claim, receivedVia }
    this.settle(context.dialer.locateNow(request, deadline), (located) => this.#dial(located, deadline, judged))
  }

  #dial(located: Result<Destination, DialFailure>, deadline: number, judged: boolean): void {
    const { context, door, id } = this.parts
    const now = performance.now()
    this.#locateSeconds = (now - this.#locateSince) / 1000
    if (!located.ok) {
      context.dialer.measured(located.error.reason, this.#locateSeconds)
      return this.refuse(located.error)
    }
    // A parent has to be talked to before there is a tunnel through it.
    if ('way' in located.value || located.value.addresses.length > MAX_ADDRESSES) return this.take()
    this.#destination = located.value
    const { openingSeconds } = this.exchange.limits
    const { heldBytes } = this.exchange.generation.config.limits
    this.#isDialling = door.connect(id, {
      addresses: this.#addresses(),
      port: located.value.port,
      dialMs: Math.max(1, Math.ceil(deadline - now)),
      staggerMs: NEXT_ADDRESS_MS,
      headBytes: this.headBytes,
      judged,
      openingMs: openingSeconds * 1000,
      heldBytes,
      ...this.#deadlines(),
    })
    // The engine has ended, or has no memory: there is nobody to be told.
    if (!this.#isDialling) throw new Error('the door does not connect')
  }

  #addresses(): string[] {
    return this.#destination?.addresses.map(({ text }) => text) ?? []
  }

  #measured(outcome: 'connected' | 'aborted' | DialFailure['reason'], seconds: number): void {
    this.#isDialling = false
    this.parts.context.dialer.measured(outcome, this.#locateSeconds + seconds)
  }

  /** Once: what follows from there being a connection, and the 200 that was said with it. */
  #connected({ address, seconds }: DoorDial): void {
    if (!this.#isDialling) return
    this.#measured('connected', seconds)
    const { addresses, port } = this.#destination ?? {}
    const ip = addresses?.[address] ?? addresses?.[0]
    if (ip !== undefined && port !== undefined) this.exchange.address = { ip, port }
    const located = (this.#locateSince - this.exchange.startedAt) / 1000 + this.#locateSeconds
    this.parts.context.telemetry.metrics.setupSeconds.observe(located + seconds)
  }

  protected refuse(refusal: Refusal): void {
    this.end(this.answerText(this.exchange.refuse(refusal), refusal))
  }

  /** The client went before there was an opening. */
  protected closed(): void {
    this.exchange.served(NOTHING_RELAYED)
    this.end('')
  }

  protected end(lastWords: string): void {
    this.parts.door.reply(this.parts.id, lastWords)
    this.#leave()
  }

  protected carry(): void {
    const { idleMs, lifetimeMs } = this.#deadlines()
    this.exchange.allowed()
    this.#handOver(this.parts.door.carry(this.parts.id, idleMs, lifetimeMs))
  }

  #deadlines(): { readonly idleMs: number; readonly lifetimeMs: number } {
    const { limits } = this.exchange
    return { idleMs: limits.tunnelIdleSeconds * 1000, lifetimeMs: lifetimeMs(limits, this.#ruling?.narrowings) }
  }

  /** Its place goes with it. */
  #handOver(relay: RelayHandle): void {
    this.#hasPlace = false
    new CarriedTunnel(this.parts.context, this.exchange, relay, false)
    this.parts.onLeft()
  }

  #leave(): void {
    this.parts.onLeft()
    if (!this.#hasPlace) return
    this.#hasPlace = false
    this.parts.context.admission.releaseTunnel(this.exchange.countedAs)
  }
}
