import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import { parseIp } from '../../core/names/ip.ts'
import { type Field, requestFields, responseFields } from '../../core/wire/fields.ts'
import type { RequestHead } from '../../core/wire/request-head.ts'
import { Caller, type Destination } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { admitForward, type ForwardPlan, locateForward } from './forward-plan.ts'
import { connectOrigin } from './origin-connector.ts'
import type { ProxyContext } from './proxy-context.ts'
import { groupedFields, type Responder } from './responder.ts'

/** Interim answers an origin may send before its answer. None is passed on; a flood of them is a fault. */
export const MAX_INTERIM_ANSWERS = 16

/** Methods that may be sent again when a kept connection turns out dead (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** A request to be forwarded, and the client's side of it. */
export interface ForwardRequest {
  readonly exchange: Exchange
  readonly head: RequestHead
  readonly expectsContinue: boolean
  readonly responder: Responder
  /** Node's own objects, which `http-proxy` wants: the body comes out of the one, the end of the client shows on the other. */
  readonly req: IncomingMessage
  readonly res: ServerResponse
}

/** One forward under way, found again by its request in `http-proxy`'s events. */
interface Flight {
  readonly request: ForwardRequest
  readonly plan: ForwardPlan
  readonly fields: readonly Field[]
  readonly destination: Destination
  /** Made when there was none to take up: it cannot have been dead before. */
  readonly isFresh: boolean
  proxyReq?: ClientRequest
  answer?: IncomingMessage
  brokenBy?: 'origin'
  /** Bytes so far, while the connection is this request's. */
  relayed: () => { readonly bytesUp: number; readonly bytesDown: number }
}

/** Carries HTTP requests: judged, rebuilt field by field on both sides, and sent through `http-proxy` on a vetted connection. */
export class Forwarder {
  readonly #context: ProxyContext
  readonly #proxy = httpProxy.createProxyServer({})
  readonly #flights = new WeakMap<IncomingMessage, Flight>()

  constructor(context: ProxyContext) {
    // With this variable set, http-proxy would fetch by itself, past our vetted connections.
    if (process.env['FORCE_FETCH_PATH'] === 'true') throw new Error('unset FORCE_FETCH_PATH: it makes requests bypass vetting')
    this.#context = context
    this.#proxy.on('proxyReq', (proxyReq, req) => this.#onSocket(proxyReq, req))
    this.#proxy.on('proxyRes', (proxyRes, req) => this.#onAnswer(proxyRes, req))
    // Each request has its own error callback; this one only keeps a late event from being uncaught.
    this.#proxy.on('error', () => {})
  }

  async forward(request: ForwardRequest): Promise<void> {
    const { exchange, head, responder } = request
    const admitted = admitForward(this.#context, exchange, head)
    const plan = admitted instanceof Promise ? await admitted : admitted
    if (plan === undefined) return
    if (!plan.ok) return refuse(request, plan.error)
    if (responder.gone) return exchange.served({ ...NOTHING_RELAYED, endedBy: 'client' })
    responder.onClose(() => this.#onClientDone(request))
    const deadline = this.#context.dialer.deadline()
    const located = await locateForward(this.#context, exchange, plan.value, deadline)
    if (!located.ok) return refuse(request, located.error)
    await this.#send(request, plan.value, located.value, deadline)
  }

  async #send(request: ForwardRequest, plan: ForwardPlan, destination: Destination, deadline: number): Promise<void> {
    const { exchange, req, res, responder, head } = request
    const agent = this.#context.pool.agentFor(exchange, plan, destination)
    const isKept = agent.hasIdle && mayUseKept(exchange, head, plan)
    // From here to `web` nothing may wait where a kept connection is counted on: another request could take it.
    if (!isKept) {
      const connected = await this.#connect(request, destination, deadline)
      if (responder.gone || exchange.settled) {
        if (connected.ok) connected.value.destroy()
        return exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
      }
      if (!connected.ok) return refuse(request, connected.error)
      agent.offer(connected.value)
    } else agent.offerKept()
    const fields = requestFields({ ...plan, rawHeaders: head.rawHeaders, httpVersion: req.httpVersion, via: this.#context.via })
    const flight: Flight = { request, plan, destination, fields, isFresh: !isKept, relayed: () => NOTHING_RELAYED }
    this.#flights.set(req, flight)
    // http-proxy copies the request's fields and reads its target: it gets none, and ours are set once it has made its request.
    req.headers = {}
    req.url = ''
    this.#proxy.web(
      req,
      res,
      {
        target: { protocol: 'http:', host: 'origin.invalid', port: destination.port },
        agent,
        selfHandleResponse: true,
        ignorePath: true,
        method: head.method,
      },
      (error) => this.#onError(error, flight),
    )
    agent.closeOffered()
  }

  /** A vetted connection, given up when the client goes. */
  async #connect({ exchange, responder }: ForwardRequest, destination: Destination, deadline: number) {
    const caller = new Caller()
    responder.onClose(() => caller.leave())
    if (responder.gone) caller.leave()
    return connectOrigin(this.#context, exchange, destination, caller, deadline)
  }

  /** The request has its connection and nothing has been sent: now it gets the judged path and fields, and no others. */
  #onSocket(proxyReq: ClientRequest, req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    if (flight === undefined) return void proxyReq.destroy()
    const { exchange, responder, expectsContinue } = flight.request
    proxyReq.path = flight.plan.pathAndQuery
    for (const name of proxyReq.getHeaderNames()) proxyReq.removeHeader(name)
    for (const [name, values] of groupedFields(flight.fields)) proxyReq.setHeader(name, values)
    flight.proxyReq = proxyReq
    const { socket } = proxyReq
    if (socket !== null) {
      flight.relayed = bytesThrough(socket)
      const peer = parseIp(socket.remoteAddress ?? '')
      exchange.parentProxy = this.#context.dialer.parentOf.get(socket)
      if (peer !== undefined) exchange.address = { ip: peer, port: socket.remotePort ?? 0 }
    }
    let interim = 0
    proxyReq.on('information', () => {
      if (++interim > MAX_INTERIM_ANSWERS) proxyReq.destroy(new Error('a flood of interim answers'))
    })
    // Not asked for, so an origin that switches protocols anyway is at fault. Node has let go of the request by then.
    proxyReq.on('upgrade', (_answer, upgraded) => {
      upgraded.destroy()
      refuse(flight.request, UNASKED_SWITCH)
    })
    // An origin that answers early and closes leaves no error behind, and nobody would read what the client still sends.
    proxyReq.once('close', () => {
      if (exchange.settled) responder.abandonBody()
    })
    proxyReq.setTimeout(exchange.limits.originSeconds * 1000, () => proxyReq.destroy(new OriginTimeout()))
    // Node would hold the head back until there is something of the body.
    if (flight.plan.framing.kind !== 'none' && req.readableLength === 0) proxyReq.flushHeaders()
    if (expectsContinue) responder.sendContinue()
  }

  #onAnswer(answer: IncomingMessage, req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    // Refused in the meantime: its body turned out malformed.
    if (flight === undefined || flight.request.exchange.settled) return void answer.destroy()
    const { exchange, responder } = flight.request
    flight.answer = answer
    const { statusCode = 502, statusMessage = '', httpVersion, rawHeaders } = answer
    if (statusCode < 200) {
      // A 101 that does not say to what; with an `Upgrade` field Node has an event of its own for it.
      answer.destroy()
      return refuse(flight.request, UNASKED_SWITCH)
    }
    try {
      answer.pipe(responder.begin(statusCode, statusMessage, responseFields(rawHeaders, httpVersion, this.#context.via)))
    } catch {
      answer.destroy()
      return refuse(flight.request, { reason: 'origin_protocol_error', detail: 'the answer has bytes that no field may have' })
    }
    exchange.allowed()
    answer.once('end', () => {
      // From here on the connection is another request's.
      const relayed = flight.relayed()
      flight.relayed = () => relayed
    })
    // A body that broke off must not look complete.
    answer.once('close', () => {
      if (answer.complete) return
      flight.brokenBy = 'origin'
      responder.abort()
    })
  }

  /** The answer is out, or the client has gone. */
  #onClientDone({ exchange, responder, req }: ForwardRequest): void {
    const flight = this.#flights.get(req)
    const endedBy = flight?.answer?.complete === true ? undefined : (flight?.brokenBy ?? 'client')
    exchange.served({ ...(flight?.relayed() ?? NOTHING_RELAYED), ...(endedBy && { endedBy }) })
    if (flight?.proxyReq?.destroyed === true) responder.abandonBody()
  }

  #onError(error: NodeJS.ErrnoException, flight: Flight): void {
    const { request, plan, answer } = flight
    const { exchange, responder, head, req } = request
    if (exchange.settled) return responder.abandonBody()
    // A whole answer goes out even where the origin would not have the rest of the request.
    if (answer?.complete === true) return
    if (responder.headSent || responder.gone) {
      if (!responder.gone) flight.brokenBy = 'origin'
      return responder.abort()
    }
    const wasDead = !flight.isFresh && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    if (wasDead && isReplayable(head, plan)) {
      this.#flights.delete(req)
      // The others that were kept are no younger.
      this.#context.pool.agentFor(exchange, plan, flight.destination).closeIdle()
      const again = this.#send(request, plan, flight.destination, this.#context.dialer.deadline())
      return void again.catch(() => refuse(request, { reason: 'internal_error' }))
    }
    refuse(request, failureOf(error))
  }
}

export const UNASKED_SWITCH: Refusal = {
  reason: 'origin_protocol_error',
  detail: 'the origin switched protocols without being asked',
}

const NOTHING_RELAYED = { bytesUp: 0, bytesDown: 0 }

/** Counts from now what passes through a connection that others have used before. */
function bytesThrough(socket: Socket): Flight['relayed'] {
  const { bytesWritten, bytesRead } = socket
  return () => ({ bytesUp: socket.bytesWritten - bytesWritten, bytesDown: socket.bytesRead - bytesRead })
}

class OriginTimeout extends Error {}

/**
 * A kept connection may have died unseen. A request that cannot be sent again rather takes the one that was made for its tunnel,
 * if that is still to be had; any other lets that one go.
 */
export function mayUseKept({ connection: { session } }: Exchange, head: RequestHead, plan: ForwardPlan): boolean {
  if (session?.dialled === undefined) return true
  if (!isReplayable(head, plan)) return false
  session.dialled.socket.destroy()
  session.dialled = undefined
  return true
}

function isReplayable({ method }: RequestHead, { framing }: ForwardPlan): boolean {
  return framing.kind === 'none' && IDEMPOTENT.has(method)
}

function refuse({ exchange, responder }: ForwardRequest, refusal: Refusal): void {
  responder.answer(exchange.refuse(refusal))
}

function failureOf(error: NodeJS.ErrnoException): Refusal {
  if (error instanceof OriginTimeout) return { reason: 'origin_timeout', detail: 'the origin sent nothing for too long' }
  if (error.code?.startsWith('HPE_')) return { reason: 'origin_protocol_error', detail: `the parser says ${error.code}` }
  return { reason: 'origin_protocol_error', detail: error.code ?? error.message }
}
