import type { Socket } from 'node:net'
import type { RequestKind } from '../../core/audit-event.ts'
import { addressHost } from '../../core/names/authority.ts'
import { decide } from '../../core/policy/decide.ts'
import type { Denial } from '../../core/policy/enforce.ts'
import { isFailure } from '../../core/policy/reasons.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import { err } from '../../core/result.ts'
import { ACCESS_DENIED_ALERT, type ClientHello, INTERNAL_ERROR_ALERT } from '../../core/wire/client-hello.ts'
import type { Opening } from '../../core/wire/tls-opening.ts'
import { endAndLinger } from '../relay/linger.ts'
import type { ClientConnection } from './client-connection.ts'
import { answerAndClose } from './closing.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { awaitKind } from './first-bytes.ts'
import { HeldBytes } from './held-bytes.ts'
import { identify, policyOf } from './identify.ts'
import { type Allowed, admit, ruleTransparent } from './judge.ts'
import { judgeRedirectedHello, NOT_HTTP, openingOf } from './judge-redirected.ts'
import { JudgedOpening, type OpeningVerdict, TlsOpening } from './opening.ts'
import type { ProxyContext } from './proxy-context.ts'
import { carryTunnel, type ServeHttp, type TunnelFront } from './tunnel.ts'

/** What a listener is there for: the openings that are judged by a name there. */
export type ExpectedOpening = 'tls' | 'http' | 'any'

/** What a connection turned out to begin with. */
type Spoken = Exclude<Opening, 'undecided'>

/**
 * Where an address entry allows anything at all, the client may be waiting for the server to speak first: so long is waited for a name
 * to judge by. Whoever stays silent on purpose gets what the address entry allows anyway.
 */
const SERVER_FIRST_MS = 500

/** A silent client that leaves sooner has only tried an address, as those do that try several at once (RFC 8305). */
const SILENT_MS = 1_000

export interface TransparentParts {
  readonly context: ProxyContext
  readonly expects: ExpectedOpening
  readonly exchange: (connection: ClientConnection, kind: RequestKind) => Exchange
  /** Gives the connection itself to the HTTP parser. */
  readonly parse: (connection: ClientConnection) => void
  /** Takes what is inside TLS that was ended here. */
  readonly serveInside: ServeHttp
}

/**
 * The life of a connection that was redirected here: its first bytes are read, and what it is for is judged by the name in them. Nothing
 * is dialled before that, and then what the name leads to, or the original address unchanged where only an address entry allows it. HTTP
 * goes on to the parser, where each request is judged by itself.
 */
export class TransparentConnection {
  readonly #parts: TransparentParts
  readonly #connection: ClientConnection
  readonly #socket: Socket
  readonly #held: HeldBytes
  /** Once there is something to record. */
  exchange: Exchange | undefined

  constructor(parts: TransparentParts, connection: ClientConnection) {
    this.#parts = parts
    this.#connection = connection
    this.#socket = connection.socket
    const { heldBytes } = parts.context.generation().config.limits
    this.#held = new HeldBytes(this.#socket, NOTHING, heldBytes, () => parts.context.telemetry.hit('held_bytes'))
  }

  /** @param obstacle why it is refused whatever it says */
  async open(obstacle?: Refusal): Promise<void> {
    const { context, expects } = this.#parts
    const { clients, limits } = context.generation().config
    const assumed = expects === 'any' ? 'other' : expects
    if (!clients.allow.contains(this.#connection.client)) return this.#refuse({ reason: 'client_not_allowed' }, assumed)
    const { original } = this.#connection
    if (obstacle !== undefined || original === undefined)
      return this.#refuse(obstacle ?? { reason: 'internal_error', detail: 'no original destination' }, assumed)

    const started = performance.now()
    const openingMs = limits.openingSeconds * 1000
    const waitMs = expects !== 'http' && this.#allowsAnything(original) ? Math.min(openingMs, SERVER_FIRST_MS) : openingMs
    const spoken = await awaitKind(this.#held, waitMs)
    if (spoken === 'closed' || this.#socket.destroyed) return this.#onSilence(original, performance.now() - started)
    if (spoken === 'timeout') return waitMs < openingMs ? this.#judgeOther(original, 'other') : this.#onTimeout(original, assumed)
    if (spoken === 'http' && expects !== 'tls') return this.#toParser()
    if (spoken !== 'tls' || expects === 'http') return this.#judgeOther(original, spoken)
    const opening = new TlsOpening(this.#held, () => undefined)
    const verdict = await opening.wait(Math.max(0, openingMs - (performance.now() - started)))
    return this.#judgeTls(original, verdict)
  }

  /** An address entry that relays unseen. */
  #allowsAnything({ address, port }: OriginalDestination): boolean {
    const policy = policyOf(this.#connection, this.#parts.context.generation())
    const decision = decide(policy, { host: addressHost(address), port })
    return decision.verdict === 'allow' && decision.protocol === 'any'
  }

  async #judgeTls(original: OriginalDestination, verdict: OpeningVerdict): Promise<void> {
    switch (verdict.kind) {
      case 'closed':
        return this.#close()
      case 'timeout':
        return this.#refuse({ reason: 'opening_timeout' }, 'tls', original)
      case 'refused':
        return this.#judgeUnnamed(original, 'tls', verdict.denial)
      case 'hello':
        return this.#judgeHello(original, verdict.hello)
    }
  }

  async #judgeHello(original: OriginalDestination, hello: ClientHello): Promise<void> {
    const exchange = this.#begin(original)
    exchange.serverName = hello.serverNames[0]
    if (await this.#isBarred(exchange, 'tls')) return
    const allowed = await judgeRedirectedHello(exchange, hello, original)
    if (!allowed.ok) return this.#refuse(allowed.error, 'tls')
    await this.#carry(exchange, allowed.value.ruling, 'tls', openingOf(allowed.value, hello))
  }

  /** What is neither TLS nor HTTP where those are expected: nothing names a host, so only an address entry can allow it. */
  #judgeOther(original: OriginalDestination, spoken: Spoken): Promise<void> {
    const { expects } = this.#parts
    if (expects === 'http') return this.#judgeUnnamed(original, spoken, NOT_HTTP)
    const detail =
      expects === 'tls' ? 'no TLS came on a listener for TLS' : 'what came is neither TLS nor HTTP, and names no host'
    return this.#judgeUnnamed(original, spoken, { reason: 'not_tls', detail })
  }

  /** @param denial what is wrong with it wherever something is judged */
  async #judgeUnnamed(original: OriginalDestination, spoken: Spoken, denial: Denial): Promise<void> {
    const exchange = this.#begin(original)
    if (await this.#isBarred(exchange, spoken)) return
    const ruling = await ruleTransparent(exchange, undefined, original)
    const { expects } = this.#parts
    // On a listener for all ports it is first of all the address that nobody listed.
    if (!ruling.ok) return this.#refuse(expects === 'any' ? { ...ruling.error, detail: denial.detail ?? '' } : denial, spoken)
    const { protocol } = ruling.value
    if (protocol === 'http') return this.#refuse(NOT_HTTP, spoken)
    const opening = protocol === 'any' ? undefined : new JudgedOpening({ kind: 'refused', denial })
    await this.#carry(exchange, ruling.value, spoken, opening)
  }

  async #carry(exchange: Exchange, ruling: Allowed, spoken: Spoken, opening: JudgedOpening | undefined): Promise<void> {
    const { context, serveInside } = this.#parts
    const place = context.admission.takeTunnel(exchange.countedAs)
    const full = place instanceof Promise ? await place : place
    if (full !== undefined) return this.#refuse(full, spoken)
    await carryRedirected(context, exchange, { ruling, held: this.#held, spoken, opening, serveInside })
  }

  /** Every request is judged on its own from here on. */
  #toParser(): void {
    const bytes = this.#held.release()
    if (this.#held.ended)
      return this.#refuse({ reason: 'malformed_request', detail: 'the client ended before its request' }, 'http')
    this.#socket.unshift(bytes)
    this.#parts.parse(this.#connection)
  }

  #onTimeout(original: OriginalDestination, assumed: Spoken): void | Promise<void> {
    const isSilent = this.#held.bytes().length === 0
    if (!isSilent || this.#parts.expects !== 'any') return this.#refuse({ reason: 'opening_timeout' }, assumed, original)
    return this.#judgeUnnamed(original, 'other', SILENT)
  }

  /** A client that left without a word asked for nothing, unless it waited: then it was for the server to speak. */
  async #onSilence(original: OriginalDestination, afterMs: number): Promise<void> {
    if (this.#parts.expects !== 'any' || afterMs < SILENT_MS || this.#held.bytes().length > 0) return this.#close()
    const exchange = this.#begin(original)
    const stranger = await identify(this.#parts.context, exchange, undefined)
    const ruling = stranger === undefined ? await ruleTransparent(exchange, undefined, original) : err(stranger)
    if (ruling.ok) exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    else exchange.refuse(stranger ?? { ...ruling.error, detail: SILENT.detail })
    this.#close()
  }

  #begin(original: OriginalDestination | undefined): Exchange {
    this.exchange ??= this.#parts.exchange(this.#connection, 'transparent')
    if (original !== undefined) this.exchange.target ??= { host: addressHost(original.address), port: original.port }
    return this.exchange
  }

  async #isBarred(exchange: Exchange, spoken: Spoken): Promise<boolean> {
    const admitted = admit(this.#parts.context, exchange)
    const barred = admitted instanceof Promise ? await admitted : admitted
    if (barred !== undefined) this.#refuse(barred, spoken)
    return barred !== undefined
  }

  #refuse(refusal: Refusal, spoken: Spoken, original = this.#connection.original): void {
    // Somebody who may not use the gateway is told nothing, nor is it told of where they were going.
    const exchange = this.#begin(refusal.reason === 'client_not_allowed' ? undefined : original)
    this.#held.release()
    answerRefusal(exchange, refusal, spoken)
  }

  #close(): void {
    this.#held.release()
    this.#socket.destroySoon()
  }
}

const NOTHING = Buffer.alloc(0)

const SILENT = {
  reason: 'not_tls',
  detail: 'the client sent nothing: where the server speaks first, only an address entry with `protocol: any` can allow it',
} as const satisfies Refusal

/** A redirected connection that is allowed, as far as that can be told before its origin is connected. */
export interface RedirectedStart {
  readonly ruling: Allowed
  readonly held: HeldBytes
  readonly spoken: Spoken
  /** Absent where nothing inside is judged. */
  readonly opening: JudgedOpening | undefined
  readonly serveInside: ServeHttp
}

/** The rest of its life, of a tunnel that has its place. */
export async function carryRedirected(
  context: ProxyContext,
  exchange: Exchange,
  { ruling, held, spoken, opening, serveInside }: RedirectedStart,
): Promise<void> {
  const front: TunnelFront = {
    established: () => {},
    refuse: (refusal) => answerRefusal(exchange, refusal, spoken),
  }
  await carryTunnel(context, exchange, { ruling, held, front, opening, serveHttp: serveInside })
}

/** Records a refusal and tells it as far as the client can read it. */
function answerRefusal(exchange: Exchange, refusal: Refusal, spoken: Spoken): void {
  const { socket } = exchange.connection
  const answer = exchange.refuse(refusal)
  if (spoken === 'http') return answerAndClose(socket, answer)
  endAndLinger(socket, spoken === 'tls' ? alertFor(refusal) : '')
}

export function alertFor({ reason }: Refusal): Uint8Array {
  return isFailure(reason) ? INTERNAL_ERROR_ALERT : ACCESS_DENIED_ALERT
}
