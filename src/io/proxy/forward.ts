import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import { parseIp } from '../../core/names/ip.ts'
import { ok, type Result } from '../../core/result.ts'
import { type Field, requestFields, responseFields } from '../../core/wire/fields.ts'
import type { RequestHead } from '../../core/wire/request-head.ts'
import type { Destination } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type ForwardPlan, planForward } from './forward-plan.ts'
import { connectOrigin } from './origin-connector.ts'
import type { OriginAgent, OriginPool } from './origin-pool.ts'
import type { ProxyContext } from './proxy-context.ts'
import { groupedFields, type Responder } from './responder.ts'

/** Interim answers an origin may send before its answer. None is passed on; a flood of them is a fault. */
const MAX_INTERIM_ANSWERS = 16

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
  proxyReq?: ClientRequest
  originSocket?: Socket
  upFrom: number
  downFrom: number
}

/** Carries HTTP requests: judged, rebuilt field by field on both sides, and sent through `http-proxy` on a vetted connection. */
export class Forwarder {
  readonly #context: ProxyContext
  readonly #pool: OriginPool
  readonly #proxy = httpProxy.createProxyServer({})
  readonly #flights = new WeakMap<IncomingMessage, Flight>()

  constructor(context: ProxyContext, pool: OriginPool) {
    // With this variable set, http-proxy would fetch by itself, past our vetted connections.
    if (process.env['FORCE_FETCH_PATH'] === 'true') throw new Error('unset FORCE_FETCH_PATH: it makes requests bypass vetting')
    this.#context = context
    this.#pool = pool
    this.#proxy.on('proxyReq', (proxyReq, req) => this.#onSocket(proxyReq, req))
    this.#proxy.on('proxyRes', (proxyRes, req) => this.#onAnswer(proxyRes, req))
    this.#proxy.on('econnreset', (_error, req) => this.#onClientGone(req))
    // Each request has its own error callback; this one only keeps a late event from being uncaught.
    this.#proxy.on('error', () => {})
  }

  async forward(request: ForwardRequest): Promise<void> {
    const { exchange, head } = request
    const plan = planForward(this.#context, exchange, head)
    if (!plan.ok) return refuse(request, plan.error)
    const { authority } = plan.value
    const located = await this.#context.dialer.locate({ policy: exchange.generation.policy, ...authority, entry: exchange.entry })
    if (!located.ok) return refuse(request, located.error)
    await this.#send(request, plan.value, located.value, false)
  }

  /** @param fresh use no kept connection */
  async #send(request: ForwardRequest, plan: ForwardPlan, destination: Destination, fresh: boolean): Promise<void> {
    const { exchange, req, res, responder, head } = request
    const agent = this.#pool.agentFor(exchange.generation.number, plan, destination)
    if (fresh) agent.closeIdle()
    const provided = await this.#provide(request, destination, agent)
    if (responder.gone) {
      agent.closeOffered()
      return exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    }
    if (!provided.ok) return refuse(request, provided.error)
    const fields = requestFields({ ...plan, rawHeaders: head.rawHeaders, httpVersion: req.httpVersion, via: this.#context.via })
    const flight: Flight = { request, plan, fields, upFrom: 0, downFrom: 0 }
    this.#flights.set(req, flight)
    // http-proxy copies the request's fields: it gets none, and ours are set once it has made its request.
    req.headers = {}
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
      (error) => this.#onError(error, flight, destination),
    )
    agent.closeOffered()
  }

  /** Sees to it that the agent has a vetted connection for the next request. */
  async #provide(
    { exchange, responder }: ForwardRequest,
    destination: Destination,
    agent: OriginAgent,
  ): Promise<Result<undefined, Refusal>> {
    if (agent.hasIdle && exchange.connection.session?.dialled === undefined) return ok(undefined)
    const gone = new AbortController()
    responder.onClose(() => gone.abort())
    const connected = await connectOrigin(this.#context, exchange, destination, gone.signal)
    if (!connected.ok) return connected
    agent.offer(connected.value)
    return ok(undefined)
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
      flight.originSocket = socket
      flight.upFrom = socket.bytesWritten
      flight.downFrom = socket.bytesRead
      const peer = parseIp(socket.remoteAddress ?? '')
      if (peer !== undefined) exchange.address = { ip: peer, port: socket.remotePort ?? 0 }
    }
    let interim = 0
    proxyReq.on('information', () => {
      if (++interim > MAX_INTERIM_ANSWERS) proxyReq.destroy(new Error('a flood of interim answers'))
    })
    // Not asked for, so an origin that switches protocols anyway is at fault.
    proxyReq.on('upgrade', (_answer, upgraded) => {
      upgraded.destroy()
      proxyReq.destroy(new Error('an upgrade that was not asked for'))
    })
    proxyReq.setTimeout(exchange.generation.config.limits.originSeconds * 1000, () => proxyReq.destroy(new OriginTimeout()))
    if (expectsContinue) responder.sendContinue()
  }

  #onAnswer(answer: IncomingMessage, req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    if (flight === undefined) return void answer.destroy()
    const { exchange, responder } = flight.request
    const { statusCode = 502, statusMessage = '', httpVersion, rawHeaders } = answer
    try {
      answer.pipe(responder.begin(statusCode, statusMessage, responseFields(rawHeaders, httpVersion, this.#context.via)))
    } catch {
      answer.destroy()
      return refuse(flight.request, { reason: 'origin_protocol_error', detail: 'the answer has bytes that no field may have' })
    }
    exchange.allowed()
    responder.onClose(() => finish(flight))
    // A body that broke off must not look complete.
    answer.once('close', () => {
      if (!answer.complete) responder.abort()
    })
  }

  /** The client left while the origin was at work: http-proxy has this event for it instead of the request's error callback. */
  #onClientGone(req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    if (flight !== undefined) finish(flight, 'client')
  }

  #onError(error: NodeJS.ErrnoException, flight: Flight, destination: Destination): void {
    const { request, plan, proxyReq } = flight
    const { exchange, responder, req, head } = request
    if (exchange.settled) return
    if (responder.headSent || responder.gone) {
      finish(flight)
      return responder.abort()
    }
    const isReplayable = plan.framing.kind === 'none' && IDEMPOTENT.has(head.method)
    if (proxyReq?.reusedSocket === true && isReplayable && error.code === 'ECONNRESET') {
      this.#flights.delete(req)
      return void this.#send(request, plan, destination, true).catch(() => responder.abort())
    }
    refuse(request, failureOf(error))
  }
}

class OriginTimeout extends Error {}

function refuse({ exchange, responder }: ForwardRequest, refusal: Refusal): void {
  responder.answer(exchange.refuse(refusal))
}

function finish({ request, originSocket, upFrom, downFrom }: Flight, endedBy?: 'client'): void {
  request.exchange.served({
    bytesUp: (originSocket?.bytesWritten ?? 0) - upFrom,
    bytesDown: (originSocket?.bytesRead ?? 0) - downFrom,
    ...(endedBy === undefined ? {} : { endedBy }),
  })
}

function failureOf(error: NodeJS.ErrnoException): Refusal {
  if (error instanceof OriginTimeout) return { reason: 'origin_timeout', detail: 'the origin sent nothing for too long' }
  if (error.code?.startsWith('HPE_')) return { reason: 'origin_protocol_error', detail: `the parser says ${error.code}` }
  return { reason: 'origin_protocol_error', detail: error.code ?? error.message }
}
