import type { Denial } from '../../core/policy/enforce.ts'
import { judgeHello } from '../../core/policy/judge-opening.ts'
import type { Result } from '../../core/result.ts'
import { formatClosingAnswer } from '../../core/wire/answer.ts'
import { ACCESS_DENIED_ALERT, HelloReader, type HelloReading } from '../../core/wire/client-hello.ts'
import type { PlainConnect } from '../../core/wire/connect-head.ts'
import type { Door, DoorDial } from '../relay/door.ts'
import { CarriedTunnel } from './carried-tunnel.ts'
import { type Destination, type DialFailure, type DirectDestination, failureOf, NEXT_ADDRESS_MS } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type Allowed, admit, enforceOpening } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'
import { judgeConnect, TLS_HANDSHAKE } from './tunnel.ts'
import { lifetimeMs } from './tunnels.ts'

/** What one dial at the door takes. */
const MAX_ADDRESSES = 8

const ALERT = Buffer.from(ACCESS_DENIED_ALERT).toString('latin1')

const NOTHING_RELAYED = { bytesUp: 0, bytesDown: 0, endedBy: 'client' } as const

export interface DoorTunnelParts {
  readonly context: ProxyContext
  readonly door: Door
  readonly exchange: Exchange
  /** Id of the connection at the door. */
  readonly id: number
  readonly plain: PlainConnect
  /** What came behind the head in the first read. */
  readonly early: Buffer
  /** Nothing more is to be told of this connection. */
  readonly onLeft: () => void
  /** What has to be looked into goes on as one of Node's: its place goes with it. */
  readonly onHanded: (ruling: Allowed, fd: number, first: Buffer) => void
}

/**
 * The life of a CONNECT whose connection stays at the door: the same steps in the same order as `openTunnel`, with the same functions
 * deciding, each begun by what the door tells.
 */
export class DoorTunnel {
  readonly #parts: DoorTunnelParts
  readonly #exchange: Exchange
  /** Of the opening; absent where none is judged. */
  #reader: HelloReader | undefined
  #firstByte: number | undefined
  #received = 0
  #isJudged = false
  #ruling: Allowed | undefined
  #isTaken = false
  #hasPlace = false
  #destination: DirectDestination | undefined
  /** When it was begun to be located, and how long that took. */
  #locateSince = 0
  #locateSeconds = 0
  #isDialling = false

  constructor(parts: DoorTunnelParts) {
    this.#parts = parts
    this.#exchange = parts.exchange
  }

  begin(): void {
    this.#step(() =>
      this.#settle(admit(this.#parts.context, this.#exchange, this.#parts.plain.head), (barred) => this.#judge(barred)),
    )
  }

  opening(dial: DoorDial, bytes: Buffer, ended: boolean): void {
    this.#step(() => {
      this.#connected(dial)
      if (this.#isJudged) return this.#carry()
      const denial = this.#judgeOpening(bytes)
      if (denial === 'incomplete') return ended ? this.#closed() : this.#parts.door.more(this.#parts.id)
      if (denial !== undefined) return this.#refuseOpening(denial)
      this.#carry()
    })
  }

  dialFailed({ seconds }: DoorDial, errno: number): void {
    this.#step(() => {
      const failure = failureOf(this.#addresses(), errno)
      this.#measured(failure.reason, seconds)
      this.#refuse(failure)
    })
  }

  openingTimeout(dial: DoorDial): void {
    this.#step(() => {
      this.#connected(dial)
      this.#refuseOpening({ reason: 'opening_timeout' })
    })
  }

  /** The client has gone, or everything ends. */
  gone(dial: DoorDial): void {
    this.#step(() => {
      if (dial.address >= 0) this.#connected(dial)
      else if (this.#isDialling) this.#measured('aborted', dial.seconds)
      this.#exchange.served(NOTHING_RELAYED)
      this.#leave()
    })
  }

  /** The connection that was asked for. */
  handed(fd: number, first: Buffer): void {
    this.#step(() => {
      const ruling = this.#ruling
      if (ruling === undefined || !this.#isTaken) throw new Error('a connection that nobody asked for')
      this.#hasPlace = false
      this.#parts.onHanded(ruling, fd, first)
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
    const { context, exchange, door, id } = this.#parts
    context.log.error({ listener: exchange.connection.listener, requestId: exchange.id, err: error }, 'request handler failed')
    exchange.refuse({ reason: 'internal_error' })
    door.reply(id, '')
    this.#leave()
  }

  /** Goes on at once where it can: a promise costs as much as a decision. */
  #settle<T>(value: T | Promise<T>, next: (value: T) => void): void {
    if (value instanceof Promise) value.then(next).catch((error) => this.#fail(error))
    else next(value)
  }

  #judge(barred: Refusal | undefined): void {
    if (barred !== undefined) return this.#refuse(barred)
    const { context, plain } = this.#parts
    this.#settle(judgeConnect(context, this.#exchange, plain.head), (ruling) => {
      if (!ruling.ok) return this.#refuse(ruling.error)
      this.#ruling = ruling.value
      this.#settle(context.admission.takeTunnel(this.#exchange.countedAs), (full) => {
        if (full !== undefined) return this.#refuse(full)
        this.#hasPlace = true
        this.#place(ruling.value)
      })
    })
  }

  #place(ruling: Allowed): void {
    const { early } = this.#parts
    if (ruling.protocol === 'http' || ruling.inspect) return this.#take()
    if (ruling.protocol === 'any') this.#isJudged = true
    else {
      this.#reader = new HelloReader()
      // A hello that came with the CONNECT can still be refused in plain words.
      const denial = early.length === 0 ? 'incomplete' : this.#judgeOpening(early)
      if (denial !== 'incomplete' && denial !== undefined) return this.#refuse(denial)
    }
    const { dialer } = this.#parts.context
    const { target, generation, policy, receivedVia } = this.#exchange
    if (target === undefined) throw new Error('a tunnel without a target')
    this.#locateSince = performance.now()
    const deadline = dialer.deadline()
    const request = { policy, upstream: generation.upstream, ...target, entry: ruling.entry, receivedVia }
    this.#settle(dialer.locateNow(request, deadline), (located) => this.#dial(located, deadline))
  }

  #take(): void {
    this.#isTaken = true
    this.#parts.door.take(this.#parts.id)
  }

  #dial(located: Result<Destination, DialFailure>, deadline: number): void {
    const { door, id, plain } = this.#parts
    const now = performance.now()
    this.#locateSeconds = (now - this.#locateSince) / 1000
    if (!located.ok) {
      this.#parts.context.dialer.measured(located.error.reason, this.#locateSeconds)
      return this.#refuse(located.error)
    }
    // A parent has to be talked to before there is a tunnel through it.
    if ('way' in located.value || located.value.addresses.length > MAX_ADDRESSES) return this.#take()
    this.#destination = located.value
    const { openingSeconds } = this.#exchange.limits
    const { heldBytes } = this.#exchange.generation.config.limits
    this.#isDialling = door.connect(id, {
      addresses: this.#addresses(),
      port: located.value.port,
      dialMs: Math.max(1, Math.ceil(deadline - now)),
      staggerMs: NEXT_ADDRESS_MS,
      headBytes: plain.length,
      judged: this.#isJudged,
      openingMs: openingSeconds * 1000,
      heldBytes,
    })
    // The engine has ended, or has no memory: there is nobody to be told.
    if (!this.#isDialling) throw new Error('the door does not connect')
  }

  #addresses(): string[] {
    return this.#destination?.addresses.map(({ text }) => text) ?? []
  }

  #measured(outcome: 'connected' | 'aborted' | DialFailure['reason'], seconds: number): void {
    this.#isDialling = false
    this.#parts.context.dialer.measured(outcome, this.#locateSeconds + seconds)
  }

  /** Once: what follows from there being a connection, and the 200 that was said with it. */
  #connected({ address, seconds }: DoorDial): void {
    if (!this.#isDialling) return
    this.#measured('connected', seconds)
    const { addresses, port } = this.#destination ?? {}
    const ip = addresses?.[address] ?? addresses?.[0]
    if (ip !== undefined && port !== undefined) this.#exchange.address = { ip, port }
    const located = (this.#locateSince - this.#exchange.startedAt) / 1000 + this.#locateSeconds
    this.#parts.context.telemetry.metrics.setupSeconds.observe(located + seconds)
  }

  /** What the opening refuses, nothing where it is in order, or that there is not enough of it. */
  #judgeOpening(bytes: Buffer): Refusal | undefined | 'incomplete' {
    const { limits } = this.#exchange.generation.config
    this.#firstByte ??= bytes[0]
    this.#received += bytes.length
    const reading = this.#reader?.push(bytes)
    if (reading === undefined) throw new Error('an opening that nobody reads')
    const isFull = this.#received >= limits.heldBytes
    if (isFull) this.#parts.context.telemetry.hit('held_bytes')
    if (reading.kind === 'incomplete' && !isFull) return 'incomplete'
    this.#isJudged = true
    if (reading.kind !== 'incomplete') return this.#denialOf(reading)
    return this.#enforce({ reason: 'not_tls', detail: 'no ClientHello within what is held' })
  }

  #denialOf(reading: Exclude<HelloReading, { kind: 'incomplete' }>): Refusal | undefined {
    const { target, ech } = this.#exchange
    if (reading.kind !== 'hello') return this.#enforce({ reason: 'not_tls', detail: reading.why })
    this.#exchange.serverName = reading.hello.serverNames[0]
    const denial = target && judgeHello(reading.hello, target, ech, this.#ruling?.byAddress)
    return denial && this.#enforce(denial)
  }

  #enforce(denial: Denial): Refusal | undefined {
    if (this.#ruling === undefined) throw new Error('an opening before the ruling')
    return enforceOpening(this.#exchange, this.#ruling, denial)
  }

  #refuse(refusal: Refusal): void {
    this.#parts.door.reply(this.#parts.id, formatClosingAnswer(this.#exchange.refuse(refusal)))
    this.#leave()
  }

  /** After the 200 a refusal can only be an alert, where the client speaks TLS, and the end of the connection. */
  #refuseOpening(refusal: Refusal): void {
    this.#exchange.refuse(refusal)
    this.#parts.door.reply(this.#parts.id, this.#firstByte === TLS_HANDSHAKE ? ALERT : '')
    this.#leave()
  }

  #closed(): void {
    this.#exchange.served(NOTHING_RELAYED)
    this.#parts.door.reply(this.#parts.id, '')
    this.#leave()
  }

  #carry(): void {
    const { limits } = this.#exchange
    this.#exchange.allowed()
    const lifetime = lifetimeMs(limits, this.#ruling?.narrowings)
    const relay = this.#parts.door.carry(this.#parts.id, limits.tunnelIdleSeconds * 1000, lifetime)
    this.#hasPlace = false
    new CarriedTunnel(this.#parts.context, this.#exchange, relay, false)
    this.#parts.onLeft()
  }

  #leave(): void {
    this.#parts.onLeft()
    if (!this.#hasPlace) return
    this.#hasPlace = false
    this.#parts.context.admission.releaseTunnel(this.#exchange.countedAs)
  }
}
