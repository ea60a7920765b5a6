import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { TunnelEnd } from '../../core/audit-event.ts'
import { judgeHello } from '../../core/policy/judge-opening.ts'
import { err, type Result } from '../../core/result.ts'
import { ACCESS_DENIED_ALERT } from '../../core/wire/client-hello.ts'
import { hasPassedThrough } from '../../core/wire/fields.ts'
import type { RequestHead } from '../../core/wire/request-head.ts'
import { endAndLinger } from '../relay/linger.ts'
import type { RawConnection } from '../relay/raw-connection.ts'
import { breakOff } from '../relay/reset.ts'
import type { Inspection } from '../tls/inspection.ts'
import { type ClientHandshakeCause, interceptTls } from '../tls/intercept.ts'
import { CarriedTunnel } from './carried-tunnel.ts'
import { claimOf } from './claim.ts'
import { ClientConnection, type HttpSession } from './client-connection.ts'
import { answerAndClose } from './closing.ts'
import { Caller, type Dialled, type DialRequest } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { HeldBytes } from './held-bytes.ts'
import { type Allowed, admit, enforceOpening, headOf, judgeHead, rule } from './judge.ts'
import { type OpeningVerdict, TlsOpening, type TunnelOpening } from './opening.ts'
import type { ProxyContext } from './proxy-context.ts'
import { TunnelDeadlines } from './tunnel-deadlines.ts'
import { lifetimeMs } from './tunnels.ts'

/** RFC 9110 section 9.3.6: a 2xx to CONNECT has neither body nor framing. */
export const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

export const TLS_HANDSHAKE = 22

/**
 * Some clients (Node, GnuTLS) look at the certificate once the handshake is done: one that leaves so soon after it, without a
 * request, did not like what it saw. Later, it is a connection that was opened ahead and not needed.
 */
const LOOK_AT_CERTIFICATE_MS = 2_000

/** Takes a connection that carries HTTP in sight: plain, or out of TLS that was ended here. */
export type ServeHttp = (connection: ClientConnection) => void

/** The client's side of a tunnel that is not open yet: what it is told. */
export interface TunnelFront {
  /** The origin is connected. */
  established(): void
  /** Ends the connection, with what the client can read of a refusal. Nobody holds its bytes any more. */
  refuse(refusal: Refusal, held: Buffer): void
}

/** A tunnel that policy allows, as far as that can be told before its origin is connected. */
export interface TunnelStart {
  readonly ruling: Allowed
  readonly held: HeldBytes
  readonly front: TunnelFront
  /** Absent where nothing inside is judged. */
  readonly opening: TunnelOpening | undefined
  readonly serveHttp: ServeHttp
}

/**
 * The life of a CONNECT: judge, resolve, vet, dial, and only then the 200; then nothing flows either way until the opening is
 * judged. What the client sends in the meantime is held, never parsed as a request, and dropped with the connection where the
 * tunnel is refused.
 *
 * @param head what came with the CONNECT
 */
export async function openTunnel(
  context: ProxyContext,
  exchange: Exchange,
  req: IncomingMessage,
  head: Buffer,
  serveHttp: ServeHttp,
): Promise<void> {
  const { socket } = exchange.connection
  let held: HeldBytes | undefined
  /** Only what has to wait for something needs what arrives in the meantime. */
  const hold = () => {
    held ??= new HeldBytes(socket, head, exchange.generation.config.limits.heldBytes, () => context.telemetry.hit('held_bytes'))
    return held
  }
  const refuse = (refusal: Refusal) => {
    held?.release()
    answerAndClose(socket, exchange.refuse(refusal))
  }
  const admitted = admit(context, exchange, headOf(req))
  if (admitted instanceof Promise) hold()
  const barred = admitted instanceof Promise ? await admitted : admitted
  if (barred !== undefined) return refuse(barred)
  const judged = judgeConnect(context, exchange, headOf(req))
  const ruling = judged instanceof Promise ? await judged : judged
  if (!ruling.ok) return refuse(ruling.error)
  const place = context.admission.takeTunnel(exchange.countedAs)
  if (place instanceof Promise) hold()
  const full = place instanceof Promise ? await place : place
  if (full !== undefined) return refuse(full)
  await openPlaced(context, exchange, ruling.value, hold(), serveHttp)
}

/** The rest of that life, of a tunnel that has its place. */
export async function openPlaced(
  context: ProxyContext,
  exchange: Exchange,
  ruling: Allowed,
  held: HeldBytes,
  serveHttp: ServeHttp,
): Promise<void> {
  const { socket } = exchange.connection
  const front: TunnelFront = {
    established: () => socket.write(ESTABLISHED),
    refuse: (refusal) => {
      held.release()
      answerAndClose(socket, exchange.refuse(refusal))
    },
  }
  await carryTunnel(context, exchange, { ruling, held, front, opening: openingOf(exchange, ruling, held), serveHttp })
}

function openingOf({ target, ech }: Exchange, { protocol, byAddress }: Allowed, held: HeldBytes): TlsOpening | undefined {
  if (target === undefined || protocol !== 'tls') return undefined
  return new TlsOpening(held, (hello) => judgeHello(hello, target, ech, byAddress))
}

/** Opens a tunnel that has its place, and gives the place back. */
export async function carryTunnel(context: ProxyContext, exchange: Exchange, start: TunnelStart): Promise<void> {
  const { ruling, front, held } = start
  const endsTls = ruling.inspect && ruling.protocol === 'tls'
  const roomInside = !endsTls || context.admission.takeInspected()
  if (!(roomInside instanceof Promise ? await roomInside : roomInside)) {
    context.admission.releaseTunnel(exchange.countedAs)
    return front.refuse(INSPECTION_FULL, held.release())
  }
  const tunnel = new Tunnel(context, exchange, start)
  try {
    await tunnel.open()
  } finally {
    if (endsTls) context.admission.releaseInspected()
    if (!tunnel.isCarried) {
      context.tunnels.remove(exchange.id)
      context.admission.releaseTunnel(exchange.countedAs)
    }
  }
}

const INSPECTION_FULL: Refusal = { reason: 'gateway_full', detail: 'no more tunnels are looked into at once' }

/** What the head of a CONNECT asks for, and whether the policy allows it. */
export function judgeConnect(
  context: ProxyContext,
  exchange: Exchange,
  head: RequestHead,
): Result<Allowed, Refusal> | Promise<Result<Allowed, Refusal>> {
  const judged = judgeHead(exchange, head)
  if (!judged.ok) return judged
  const { target } = judged.value
  if (target.form !== 'authority') return err({ reason: 'malformed_request', detail: 'CONNECT without an authority' })
  exchange.target = target.authority
  if (hasPassedThrough(head.rawHeaders, context.via)) return err(CAME_BACK)
  // A CONNECT inside a tunnel would be a second, unjudged way out of it.
  const { session, original } = exchange.connection
  if (session !== undefined) return err({ reason: 'method_not_listed', detail: 'CONNECT inside a tunnel' })
  if (original !== undefined) return err({ reason: 'method_not_listed', detail: 'CONNECT to no proxy' })
  return rule(exchange, target.authority, head.rawHeaders)
}

/** Sent by us to a parent, and by it, or by one further on, to us. */
const CAME_BACK: Refusal = { reason: 'loop_detected', detail: '`Via` names this gateway' }

/** A tunnel from its admission until the relay has it, or to its end where its inside is in sight. */
class Tunnel {
  readonly #context: ProxyContext
  readonly #exchange: Exchange
  readonly #ruling: Allowed
  readonly #held: HeldBytes
  readonly #socket: Socket
  readonly #opening: TunnelOpening | undefined
  readonly #front: TunnelFront
  readonly #serveHttp: ServeHttp
  /** Report mode let an opening through that cannot be looked into. */
  #passesUnseen = false
  /** The relay has it, and its end is seen to. */
  isCarried = false

  constructor(context: ProxyContext, exchange: Exchange, { ruling, held, front, opening, serveHttp }: TunnelStart) {
    this.#context = context
    this.#exchange = exchange
    this.#ruling = ruling
    this.#held = held
    this.#front = front
    this.#opening = opening
    this.#serveHttp = serveHttp
    this.#socket = exchange.connection.socket
  }

  async open(): Promise<void> {
    // A hello that came with the CONNECT can still be refused in plain words.
    if (this.#refusedEarly()) return
    const isKept = await this.#isOriginKept()
    if (isKept && this.#hasLeft()) return
    const dialled = isKept ? undefined : await this.#dial()
    if (!isKept && dialled === undefined) return
    if (this.#refusedEarly()) return void dialled?.socket.destroy()
    this.#front.established()
    this.#context.telemetry.metrics.setupSeconds.observe(this.#exchange.elapsedMs / 1000)
    if (this.#opening === undefined) {
      this.#exchange.allowed()
      if (this.#ruling.protocol === 'http') return this.#serve('http', this.#socket, dialled && withSocket(dialled))
      return this.#carry(dialled)
    }
    const { limits } = this.#exchange
    if (!this.#isAcceptable(await this.#opening.wait(limits.openingSeconds * 1000))) return void dialled?.socket.destroy()
    this.#exchange.allowed()
    const { inspection } = this.#exchange.generation
    return this.#ruling.inspect && !this.#passesUnseen && inspection !== undefined
      ? this.#inspect(inspection, dialled && withSocket(dialled))
      : this.#carry(dialled)
  }

  /** The first request inside would be given a connection that is kept, its origin verified: none need be made ahead of it. */
  async #isOriginKept(): Promise<boolean> {
    const { dialer, pool } = this.#context
    const request = this.#dialRequest()
    if (!this.#ruling.inspect || this.#ruling.protocol !== 'tls') return false
    // Report mode may let pass unseen what needs its connection then; and what a client claims is judged once, by the dial.
    if (request.policy.mode === 'report' || request.claim !== undefined) return false
    const located = await dialer.locate(request, dialer.deadline())
    // What is wrong with it is told by the dial.
    return located.ok && pool.hasIdle(this.#exchange, { scheme: 'https', authority: request }, located.value)
  }

  #hasLeft(): boolean {
    if (!this.#socket.destroyed) return false
    this.#held.release()
    this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    return true
  }

  #dialRequest(): DialRequest {
    const { policy, target, generation, receivedVia } = this.#exchange
    if (target === undefined) throw new Error('a tunnel without a target')
    const claim = claimOf(this.#context, this.#exchange)
    return { policy, upstream: generation.upstream, ...target, entry: this.#ruling.entry, claim, receivedVia }
  }

  /** Whether what has arrived before the 200 refuses the tunnel already. */
  #refusedEarly(): boolean {
    const verdict = this.#opening?.now()
    if (verdict === undefined || verdict.kind === 'timeout' || verdict.kind === 'closed') return false
    const denial = this.#denialOf(verdict)
    if (denial === undefined) return false
    this.#front.refuse(denial, this.#held.release())
    return true
  }

  /** After the 200 a refusal can only be an alert, where the client speaks TLS, and the end of the connection. */
  #isAcceptable(verdict: OpeningVerdict): boolean {
    if (verdict.kind === 'closed' || this.#socket.destroyed) {
      this.#held.release()
      this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
      this.#socket.destroySoon()
      return false
    }
    const denial = verdict.kind === 'timeout' ? ({ reason: 'opening_timeout' } as const) : this.#denialOf(verdict)
    if (denial === undefined) return true
    const speaksTls = this.#held.release()[0] === TLS_HANDSHAKE
    this.#exchange.refuse(denial)
    endAndLinger(this.#socket, speaksTls ? ACCESS_DENIED_ALERT : '')
    return false
  }

  /** The verdict after the mode: what report mode lets through is noted. */
  #denialOf(verdict: Extract<OpeningVerdict, { kind: 'hello' | 'refused' }>): Refusal | undefined {
    if (verdict.kind === 'hello') this.#exchange.serverName = verdict.hello.serverNames[0]
    const { denial } = verdict
    if (denial === undefined) return undefined
    const refusal = enforceOpening(this.#exchange, this.#ruling, denial)
    if (refusal === undefined) this.#passesUnseen = true
    return refusal
  }

  /** The connected origin, or nothing where the client was refused or has gone. */
  async #dial(): Promise<DialledOrigin | undefined> {
    const caller = new Caller()
    this.#held.onGone(() => caller.leave())
    const dialled = await this.#context.dialer.dial(this.#dialRequest(), caller)
    this.#held.onGone(undefined)
    if (this.#socket.destroyed) {
      if (dialled.ok) dialled.value.socket.destroy()
      this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
      return undefined
    }
    if (!dialled.ok) {
      this.#front.refuse(dialled.error, this.#held.release())
      return undefined
    }
    this.#exchange.parentProxy = dialled.value.parent
    this.#exchange.address = { ip: dialled.value.address, port: dialled.value.port }
    const isRead = this.#ruling.protocol === 'http' || this.#ruling.inspect
    const origin = isRead ? withSocket(dialled.value) : dialled.value
    // Nobody reads from it before the opening is judged, but somebody must hear it break.
    if ('on' in origin.socket) origin.socket.on('error', destroyThis)
    return origin
  }

  #carry(dialled: DialledOrigin | undefined): void {
    if (dialled === undefined) throw new Error('a tunnel without its origin')
    const { limits } = this.#exchange
    const relay = this.#context.relay.start(this.#socket, dialled.socket, {
      initialUp: this.#held.release(),
      idleMs: limits.tunnelIdleSeconds * 1000,
      lifetimeMs: lifetimeMs(limits, this.#ruling.narrowings),
    })
    new CarriedTunnel(this.#context, this.#exchange, relay, false)
    this.isCarried = true
  }

  /** Ends the client's TLS here; the origin's handshake waits for the first allowed request. */
  async #inspect(inspection: Inspection, dialled: Dialled | undefined): Promise<void> {
    const { target, serverName, limits } = this.#exchange
    if (target === undefined) throw new Error('a tunnel without a target')
    const intercepted = await interceptTls(this.#socket, {
      context: inspection.contexts.contextFor(target.host),
      initial: this.#held.release(),
      serverName,
      deadlineMs: limits.openingSeconds * 1000,
    })
    if (intercepted.ok) return this.#serve('https', intercepted.value, dialled)
    dialled?.socket.destroy()
    this.#handshakeFailed(intercepted.error)
  }

  #handshakeFailed(cause: ClientHandshakeCause): void {
    this.#context.telemetry.metrics.tlsHandshakeFailures.inc({ cause })
    this.#exchange.handshakeFailed(cause)
  }

  /** The client goes on in HTTP that is in sight; each request is an exchange of its own. */
  #serve(scheme: HttpSession['scheme'], inside: Socket, dialled: Dialled | undefined): Promise<void> {
    const { connection, target, proved } = this.#exchange
    if (target === undefined) throw new Error('a tunnel without a target')
    const { narrowings } = this.#ruling
    const session: HttpSession = {
      scheme,
      authority: target,
      parent: this.#exchange.id,
      proved,
      narrowings,
      hookFields: this.#exchange.hookFields,
      dialled,
      wasUsed: false,
    }
    const since = performance.now()
    let endedBy: TunnelEnd = 'client'
    const { bytesRead, bytesWritten } = this.#socket
    const end = (by: TunnelEnd) => {
      endedBy = by
      inside.destroySoon()
    }
    const { limits } = this.#exchange.generation.config
    const deadlines = new TunnelDeadlines(this.#socket, limits, lifetimeMs(limits, narrowings), (by) => {
      endedBy = by
      // Neither side wanted it: a cut answer must not look like a whole one.
      breakOff(inside)
    })
    this.#context.tunnels.add({
      exchange: this.#exchange,
      sinceMs: Date.now(),
      isInspected: true,
      bytesUp: () => this.#socket.bytesRead - bytesRead,
      bytesDown: () => this.#socket.bytesWritten - bytesWritten,
      end,
    })
    const done = new Promise<void>((resolve) => {
      inside.once('close', () => {
        deadlines.clear()
        session.dialled?.socket.destroy()
        const leftAtOnce = endedBy === 'client' && !session.wasUsed && performance.now() - since < LOOK_AT_CERTIFICATE_MS
        if (leftAtOnce && scheme === 'https') this.#handshakeFailed('client_distrusts_ca')
        // What was relayed is told by the lines of the requests inside.
        else this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy })
        resolve()
      })
    })
    if (scheme === 'http') {
      const early = this.#held.release()
      if (this.#held.ended) inside.destroySoon()
      else if (early.length > 0) inside.unshift(early)
    }
    if (!inside.destroyed) this.#serveHttp(new ClientConnection(inside, connection.listener, { connection, session }))
    return done
  }
}

function destroyThis(this: Socket): void {
  this.destroy()
}

type DialledOrigin = Dialled<Socket | RawConnection>

/** As what is read here needs it. */
function withSocket(dialled: DialledOrigin): Dialled {
  const socket = 'toSocket' in dialled.socket ? dialled.socket.toSocket() : dialled.socket
  return { ...dialled, socket }
}
