import { addressHost } from '../../core/names/authority.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import type { Answer } from '../../core/wire/answer.ts'
import { type ClientHello, readClientHello } from '../../core/wire/client-hello.ts'
import { ClientConnection } from './client-connection.ts'
import { DoorTunnel, type DoorTunnelParts } from './door-tunnel.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { HeldBytes } from './held-bytes.ts'
import { type Allowed, admit, enforceOpening } from './judge.ts'
import { type AllowedHello, judgeRedirectedHello, openingOf } from './judge-redirected.ts'
import type { Arrival } from './listener-door.ts'
import type { Redirected } from './redirected.ts'
import { alertFor, carryRedirected } from './transparent.ts'
import type { ServeHttp } from './tunnel.ts'

export interface TransparentAtDoorOptions {
  /** Key of the listener in `listen`. */
  readonly listener: string
  /** What it listens on. */
  readonly port: number
  readonly redirected: Redirected
  readonly exchange: (connection: ClientConnection) => Exchange
  readonly serveInside: ServeHttp
}

/** A redirected connection that came with its whole ClientHello, from a client that may speak to the gateway; others are Node's. */
export function transparentAtDoor(
  arrival: Arrival,
  parts: DoorTunnelParts,
  { listener, port, redirected, exchange, serveInside }: TransparentAtDoorOptions,
): DoorTunnel | undefined {
  const { clients, limits } = parts.context.generation().config
  if (arrival.first.length >= limits.heldBytes) return undefined
  const reading = readClientHello(arrival.first)
  const { original, obstacle } = redirected.from(arrival.original, port)
  if (reading.kind !== 'hello' || original === undefined || obstacle !== undefined) return undefined
  const connection = ClientConnection.atDoor(listener, { source: arrival.client, original })
  // Whoever may not is told so, and recorded, in one place.
  if (!clients.allow.contains(connection.client)) return undefined
  return new TransparentAtDoor(parts, exchange(connection), reading.hello, original, serveInside)
}

/** The life of a redirected connection at the door: what `TransparentConnection` does for one that is a socket of Node's. */
class TransparentAtDoor extends DoorTunnel {
  readonly #hello: ClientHello
  readonly #original: OriginalDestination
  readonly #serveInside: ServeHttp
  #allowed: AllowedHello | undefined

  constructor(
    parts: DoorTunnelParts,
    exchange: Exchange,
    hello: ClientHello,
    original: OriginalDestination,
    serveInside: ServeHttp,
  ) {
    super(parts, exchange)
    this.#hello = hello
    this.#original = original
    this.#serveInside = serveInside
  }

  protected get headBytes(): number {
    return 0
  }

  protected judge(): void {
    const { exchange } = this
    exchange.target = { host: addressHost(this.#original.address), port: this.#original.port }
    exchange.serverName = this.#hello.serverNames[0]
    this.settle(admit(this.parts.context, exchange), (barred) => {
      if (barred !== undefined) return this.refuse(barred)
      this.settle(judgeRedirectedHello(exchange, this.#hello, this.#original), (judged) => {
        if (!judged.ok) return this.refuse(judged.error)
        this.#allowed = judged.value
        this.placeFor(judged.value.ruling)
      })
    })
  }

  protected place(ruling: Allowed): void {
    const denial = this.#allowed?.denial
    const refusal = denial && ruling.protocol !== 'any' ? enforceOpening(this.exchange, ruling, denial) : undefined
    if (refusal !== undefined) return this.refuse(refusal)
    // What report mode lets through although it cannot be looked into is relayed unseen.
    if (ruling.inspect && denial === undefined) return this.take()
    this.locate(ruling, true)
  }

  /** There is no opening to wait for. */
  protected opened(): void {
    throw new Error('an opening that was judged before')
  }

  protected timedOut(): void {
    throw new Error('an opening that was judged before')
  }

  protected answerText(_answer: Answer, refusal: Refusal): string {
    return Buffer.from(alertFor(refusal)).toString('latin1')
  }

  protected carryOn(ruling: Allowed, held: HeldBytes): Promise<void> {
    const { context } = this.parts
    const allowed = this.#allowed ?? { ruling, denial: undefined }
    return carryRedirected(context, this.exchange, {
      ruling,
      held,
      spoken: 'tls',
      opening: openingOf(allowed, this.#hello),
      serveInside: this.#serveInside,
    })
  }
}
