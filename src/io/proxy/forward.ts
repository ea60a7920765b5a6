import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import { type Authority, formatAuthority, parseAuthority } from '../../core/names/authority.ts'
import { parseIp } from '../../core/names/ip.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Answer } from '../../core/wire/answer.ts'
import { type Field, hasPassedThrough, requestFields, responseFields } from '../../core/wire/fields.ts'
import { type BodyFraming, fieldValue, pathOf, readTarget, type WireProblem } from '../../core/wire/request-head.ts'
import { answerAndClose } from './closing.ts'
import type { Destination } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { judgeHead, rule } from './judge.ts'
import type { OriginAgent, OriginPool } from './origin-pool.ts'
import type { ProxyContext } from './proxy-context.ts'

/** Interim answers an origin may send before its answer. None is passed on; a flood of them is a fault. */
const MAX_INTERIM_ANSWERS = 16

/** Methods that may be sent again when a kept connection turns out dead (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** What is to be forwarded, judged. */
export interface ForwardPlan {
  readonly authority: Authority
  readonly pathAndQuery: string
  readonly framing: BodyFraming
}

/** One forward under way, found again by its request in `http-proxy`'s events. */
interface Flight {
  readonly exchange: Exchange
  readonly plan: ForwardPlan
  readonly fields: readonly Field[]
  readonly res: ServerResponse
  readonly expectsContinue: boolean
  proxyReq?: ClientRequest
  originSocket?: Socket
  upFrom: number
  downFrom: number
}

/** Carries plain-HTTP requests: judged, rebuilt field by field on both sides, and sent through `http-proxy` on a vetted connection. */
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
    // Each request has its own error callback; this one only keeps a late event from being uncaught.
    this.#proxy.on('error', () => {})
  }

  async forward(exchange: Exchange, req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): Promise<void> {
    const plan = planForward(this.#context, exchange, req)
    if (!plan.ok) return this.#refuse(exchange, req, res, plan.error)
    const { generation, target } = exchange
    if (target === undefined) throw new Error('a forward without a target')
    const located = await this.#context.dialer.locate({ policy: generation.policy, ...target, entry: exchange.entry })
    if (!located.ok) return this.#refuse(exchange, req, res, located.error)
    await this.#send(exchange, plan.value, located.value, req, res, expectsContinue)
  }

  async #send(
    exchange: Exchange,
    plan: ForwardPlan,
    destination: Destination,
    req: IncomingMessage,
    res: ServerResponse,
    expectsContinue: boolean,
    fresh = false,
  ): Promise<void> {
    const agent = this.#pool.agentFor(exchange.generation.number, plan.authority, destination)
    if (fresh) agent.closeIdle()
    const connected = await this.#provide(exchange, destination, agent, res)
    if (res.destroyed || req.destroyed || res.socket?.destroyed) {
      agent.closeOffered()
      return exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    }
    if (!connected.ok) return this.#refuse(exchange, req, res, connected.error)
    const flight: Flight = {
      exchange,
      plan,
      fields: requestFields({
        rawHeaders: req.rawHeaders,
        authority: plan.authority,
        defaultPort: 80,
        framing: plan.framing,
        httpVersion: req.httpVersion,
        via: this.#context.via,
      }),
      res,
      expectsContinue,
      upFrom: 0,
      downFrom: 0,
    }
    this.#flights.set(req, flight)
    const retry = () => this.#send(exchange, plan, destination, req, res, expectsContinue, true)
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
        method: req.method ?? '',
      },
      (error) => this.#onError(error, req, flight, retry),
    )
    agent.closeOffered()
  }

  /** Sees to it that the agent has a vetted connection for the next request. */
  async #provide(
    exchange: Exchange,
    destination: Destination,
    agent: OriginAgent,
    res: ServerResponse,
  ): Promise<Result<undefined, Refusal>> {
    const { session } = exchange.connection
    const dialled = session?.dialled
    if (session !== undefined && dialled !== undefined) {
      session.dialled = undefined
      if (!dialled.socket.destroyed && destination.addresses.some(({ text }) => text === dialled.address.text)) {
        agent.closeIdle()
        agent.offer(dialled.socket)
        return ok(undefined)
      }
      dialled.socket.destroy()
    }
    if (agent.hasIdle) return ok(undefined)
    const gone = new AbortController()
    const onClose = () => gone.abort()
    res.once('close', onClose)
    const fresh = await this.#context.dialer.connect(destination, gone.signal)
    res.off('close', onClose)
    if (!fresh.ok) return fresh
    agent.offer(fresh.value.socket)
    return ok(undefined)
  }

  /** The request has its connection and nothing has been sent: now it gets the judged path and fields, and no others. */
  #onSocket(proxyReq: ClientRequest, req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    if (flight === undefined) return void proxyReq.destroy()
    const { exchange, plan, fields, res } = flight
    proxyReq.path = plan.pathAndQuery
    for (const name of proxyReq.getHeaderNames()) proxyReq.removeHeader(name)
    for (const [name, values] of grouped(fields)) proxyReq.setHeader(name, values)
    const socket = proxyReq.socket
    flight.proxyReq = proxyReq
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
    if (flight.expectsContinue) res.writeContinue()
  }

  #onAnswer(answer: IncomingMessage, req: IncomingMessage): void {
    const flight = this.#flights.get(req)
    if (flight === undefined) return void answer.destroy()
    const { exchange, res } = flight
    const { statusCode = 502, statusMessage = '', httpVersion, rawHeaders } = answer
    exchange.allowed()
    res.sendDate = false
    try {
      res.writeHead(statusCode, statusMessage, responseFields(rawHeaders, httpVersion, this.#context.via).flat())
    } catch {
      // Bytes in a field that may not be passed on.
      answer.destroy()
      return this.#refuse(exchange, req, res, {
        reason: 'origin_protocol_error',
        detail: 'a field of the answer has bytes that no field may have',
      })
    }
    answer.pipe(res)
    res.once('close', () => this.#finish(flight))
    // A body that broke off must not look complete.
    answer.once('close', () => {
      if (!answer.complete) res.destroy()
    })
  }

  #finish({ exchange, originSocket, upFrom, downFrom }: Flight): void {
    exchange.served({ bytesUp: (originSocket?.bytesWritten ?? 0) - upFrom, bytesDown: (originSocket?.bytesRead ?? 0) - downFrom })
  }

  #onError(error: NodeJS.ErrnoException, req: IncomingMessage, flight: Flight, retry: () => Promise<void>): void {
    const { exchange, res, proxyReq, plan } = flight
    if (exchange.settled) return
    if (res.headersSent || res.destroyed) {
      this.#finish(flight)
      return void res.destroy()
    }
    const isReplayable = plan.framing.kind === 'none' && IDEMPOTENT.has(req.method ?? '')
    if (proxyReq?.reusedSocket === true && isReplayable && error.code === 'ECONNRESET') {
      this.#flights.delete(req)
      return void retry().catch(() => res.destroy())
    }
    this.#refuse(exchange, req, res, failureOf(error))
  }

  #refuse(exchange: Exchange, req: IncomingMessage, res: ServerResponse, refusal: Refusal | WireProblem): void {
    respond(exchange, req, res, exchange.refuse(refusal))
  }
}

class OriginTimeout extends Error {}

/** Answers a forward. With a body or `Expect` outstanding, the connection ends after it. */
function respond(exchange: Exchange, req: IncomingMessage, res: ServerResponse, answer: Answer): void {
  const { connection } = exchange
  if (res.destroyed || connection.socket.destroyed) return
  // Not `req.complete`: while the head is being handled, even a request without a body is not complete yet.
  const mayHaveBody = ['content-length', 'transfer-encoding', 'expect'].some(
    (name) => fieldValue(req.rawHeaders, name) !== undefined,
  )
  const isFirstInLine = connection.pending === 1
  const closes =
    mayHaveBody ||
    answer.status === 400 ||
    answer.fields.some(([name, value]) => name === 'Sallyport-Reason' && value === 'client_not_allowed')
  if (closes && isFirstInLine && !res.headersSent) {
    connection.closing = true
    return answerAndClose(connection.socket, answer, req)
  }
  res.sendDate = false
  const fields: Field[] = closes ? [...answer.fields, ['Connection', 'close']] : [...answer.fields]
  res.writeHead(answer.status, answer.reasonPhrase, fields.flat())
  res.end(req.method === 'HEAD' ? undefined : answer.body)
}

/** Wire, session and policy: what may be sent, or why nothing is. */
export function planForward(
  context: ProxyContext,
  exchange: Exchange,
  req: IncomingMessage,
): Result<ForwardPlan, Refusal | WireProblem> {
  const judged = judgeHead(context, exchange, req)
  if (!judged.ok) return judged
  const where = locateRequest(exchange, req)
  if (!where.ok) return where
  const { authority, pathAndQuery } = where.value
  exchange.target = authority
  exchange.pathAndQuery = pathAndQuery
  if (hasPassedThrough(req.rawHeaders, context.via)) return err({ reason: 'loop_detected', detail: '`Via` names this gateway' })
  if (fieldValue(req.rawHeaders, 'max-forwards') === '0')
    return err({ reason: 'malformed_request', detail: '`Max-Forwards` is used up' })
  const expectation = fieldValue(req.rawHeaders, 'expect')
  if (expectation !== undefined && expectation.toLowerCase() !== '100-continue') {
    return err({ reason: 'malformed_request', detail: 'the only expectation met is `100-continue`' })
  }
  const allowed = rule(exchange, { ...authority, http: { method: req.method ?? '', path: pathOf(pathAndQuery) } })
  if (!allowed.ok) return allowed
  return ok({ authority, pathAndQuery, framing: judged.value.framing })
}

/** Which host and path the request is for. Inside a tunnel, it must be the tunnel's host. */
function locateRequest(
  { connection }: Exchange,
  req: IncomingMessage,
): Result<{ authority: Authority; pathAndQuery: string }, WireProblem> {
  const target = readTarget({ method: req.method ?? '', target: req.url ?? '' })
  if (!target.ok) return target
  const { session } = connection
  if (target.value.form === 'absolute') {
    const { authority, pathAndQuery } = target.value
    if (session !== undefined && !sameAuthority(authority, session.authority)) return err(MISMATCH)
    return ok({ authority, pathAndQuery })
  }
  if (session === undefined) return err({ reason: 'not_a_proxy_request', detail: 'the request is for the proxy itself' })
  if (target.value.form !== 'origin') return err({ reason: 'host_mismatch', detail: 'CONNECT inside a tunnel' })
  const host = parseAuthority(fieldValue(req.rawHeaders, 'host') ?? '', 80)
  if (!host.ok) return err({ reason: 'malformed_request', detail: 'Host is not valid' })
  return sameAuthority(host.value, session.authority)
    ? ok({ authority: host.value, pathAndQuery: target.value.pathAndQuery })
    : err(MISMATCH)
}

const MISMATCH: WireProblem = { reason: 'host_mismatch', detail: 'the request is for another host than its tunnel' }

function sameAuthority(a: Authority, b: Authority): boolean {
  return formatAuthority(a) === formatAuthority(b)
}

function failureOf(error: NodeJS.ErrnoException): Refusal {
  if (error instanceof OriginTimeout) return { reason: 'origin_timeout', detail: 'the origin sent nothing for too long' }
  if (error.code?.startsWith('HPE_')) return { reason: 'origin_protocol_error', detail: `the parser says ${error.code}` }
  return { reason: 'origin_protocol_error', detail: error.code ?? error.message }
}

/** Values by name, as Node's `setHeader` wants them: one value, or a list for a field that is repeated. */
function grouped(fields: readonly Field[]): Map<string, string | string[]> {
  const byName = new Map<string, { name: string; values: string[] }>()
  for (const [name, value] of fields) {
    const known = byName.get(name.toLowerCase())
    if (known === undefined) byName.set(name.toLowerCase(), { name, values: [value] })
    else known.values.push(value)
  }
  return new Map([...byName.values()].map(({ name, values }) => [name, values.length === 1 ? (values[0] ?? '') : values]))
}
