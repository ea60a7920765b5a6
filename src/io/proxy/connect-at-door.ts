import type { Denial } from '../../core/policy/enforce.ts'
import { judgeHello } from '../../core/policy/judge-opening.ts'
import { type Answer, formatClosingAnswer } from '../../core/wire/answer.ts'
import { ACCESS_DENIED_ALERT, HelloReader, type HelloReading } from '../../core/wire/client-hello.ts'
import { type PlainHead, readPlainConnect } from '../../core/wire/plain-head.ts'
import { ClientConnection } from './client-connection.ts'
import { DoorTunnel, type DoorTunnelParts } from './door-tunnel.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { HeldBytes } from './held-bytes.ts'
import { type Allowed, admit, enforceOpening } from './judge.ts'
import type { Arrival } from './listener-door.ts'
import { judgeConnect, openPlaced, type ServeHttp, TLS_HANDSHAKE } from './tunnel.ts'

const ALERT = Buffer.from(ACCESS_DENIED_ALERT).toString('latin1')

export interface ConnectAtDoorOptions {
  /** Key of the listener in `listen`. */
  readonly listener: string
  readonly exchange: (connection: ClientConnection) => Exchange
  readonly serveInside: ServeHttp
}

/** A CONNECT that is plain enough to stay at the door, from its first byte to its last; others are for the parser. */
export function connectAtDoor(
  { client, first }: Arrival,
  parts: DoorTunnelParts,
  { listener, exchange, serveInside }: ConnectAtDoorOptions,
): DoorTunnel | undefined {
  const { targetBytes, headBytes } = parts.context.generation().config.limits
  const plain = readPlainConnect(first.toString('latin1'))
  // What the parser would not read to its end is for it to refuse.
  if (plain === undefined || plain.length > targetBytes + headBytes) return undefined
  return new ConnectAtDoor(parts, exchange(ClientConnection.atDoor(listener, { source: client })), plain, serveInside)
}

/** The life of a CONNECT at the door: what `openTunnel` does for one that is a socket of Node's. */
class ConnectAtDoor extends DoorTunnel {
  readonly #plain: PlainHead
  readonly #serveInside: ServeHttp
  /** Of the opening; absent where none is judged. */
  #reader: HelloReader | undefined
  #firstByte: number | undefined
  #received = 0
  #isJudged = false
  #ruling: Allowed | undefined

  constructor(parts: DoorTunnelParts, exchange: Exchange, plain: PlainHead, serveInside: ServeHttp) {
    super(parts, exchange)
    this.#plain = plain
    this.#serveInside = serveInside
  }

  protected get headBytes(): number {
    return this.#plain.length
  }

  protected judge(): void {
    const { context } = this.parts
    this.settle(admit(context, this.exchange, this.#plain.head), (barred) => {
      if (barred !== undefined) return this.refuse(barred)
      this.settle(judgeConnect(context, this.exchange, this.#plain.head), (ruling) =>
        ruling.ok ? this.placeFor(ruling.value) : this.refuse(ruling.error),
      )
    })
  }

  protected place(ruling: Allowed): void {
    this.#ruling = ruling
    if (ruling.protocol === 'http' || ruling.inspect) return this.take()
    if (ruling.protocol === 'any') this.#isJudged = true
    else {
      this.#reader = new HelloReader()
      const early = this.parts.first.subarray(this.headBytes)
      // A hello that came with the CONNECT can still be refused in plain words.
      const denial = early.length === 0 ? 'incomplete' : this.#judgeOpening(early)
      if (denial !== 'incomplete' && denial !== undefined) return this.refuse(denial)
    }
    this.locate(ruling, this.#isJudged)
  }

  protected opened(bytes: Buffer, ended: boolean): void {
    const denial = this.#judgeOpening(bytes)
    if (denial === 'incomplete') return ended ? this.closed() : this.parts.door.more(this.parts.id)
    if (denial !== undefined) return this.#refuseOpening(denial)
    this.carry()
  }

  protected timedOut(): void {
    this.#refuseOpening({ reason: 'opening_timeout' })
  }

  protected answerText(answer: Answer): string {
    return formatClosingAnswer(answer)
  }

  protected carryOn(ruling: Allowed, held: HeldBytes): Promise<void> {
    return openPlaced(this.parts.context, this.exchange, ruling, held, this.#serveInside)
  }

  /** What the opening refuses, nothing where it is in order, or that there is not enough of it. */
  #judgeOpening(bytes: Buffer): Refusal | undefined | 'incomplete' {
    const { limits } = this.exchange.generation.config
    this.#firstByte ??= bytes[0]
    this.#received += bytes.length
    const reading = this.#reader?.push(bytes)
    if (reading === undefined) throw new Error('an opening that nobody reads')
    const isFull = this.#received >= limits.heldBytes
    if (isFull) this.parts.context.telemetry.hit('held_bytes')
    if (reading.kind === 'incomplete' && !isFull) return 'incomplete'
    this.#isJudged = true
    if (reading.kind !== 'incomplete') return this.#denialOf(reading)
    return this.#enforce({ reason: 'not_tls', detail: 'no ClientHello within what is held' })
  }

  #denialOf(reading: Exclude<HelloReading, { kind: 'incomplete' }>): Refusal | undefined {
    const { target, ech } = this.exchange
    if (reading.kind !== 'hello') return this.#enforce({ reason: 'not_tls', detail: reading.why })
    this.exchange.serverName = reading.hello.serverNames[0]
    const denial = target && judgeHello(reading.hello, target, ech, this.#ruling?.byAddress)
    return denial && this.#enforce(denial)
  }

  #enforce(denial: Denial): Refusal | undefined {
    if (this.#ruling === undefined) throw new Error('an opening before the ruling')
    return enforceOpening(this.exchange, this.#ruling, denial)
  }

  /** After the 200 a refusal can only be an alert, where the client speaks TLS, and the end of the connection. */
  #refuseOpening(refusal: Refusal): void {
    this.exchange.refuse(refusal)
    this.end(this.#firstByte === TLS_HANDSHAKE ? ALERT : '')
  }
}
