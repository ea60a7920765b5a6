import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2'
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import type { Limits } from '../../core/config.ts'
import { headOfHttp2 } from '../../core/wire/http2-head.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange } from './exchange.ts'
import type { ForwardRequest } from './forward.ts'
import { Http2Responder } from './responder.ts'

/** Streams of one connection at once; RFC 9113 section 6.5.2 advises at least 100. */
const MAX_STREAMS = 100

/** Memory that one session may hold, in megabytes as Node counts it. */
const SESSION_MEMORY_MB = 4

/** Frames that make no sense, and streams refused, before the session is ended: both are floods. */
const MAX_INVALID_FRAMES = 100
const MAX_REJECTED_STREAMS = 100

export interface Http2Handlers {
  readonly exchange: (connection: ClientConnection) => Exchange
  readonly forward: (request: ForwardRequest) => Promise<void>
  readonly onFault: (error: unknown, exchange: Exchange) => void
  /** A connection has been without a request for too long. */
  readonly onIdle: () => void
}

/** HTTP/2 inside an inspected tunnel: each stream is one request, judged like any other. Node's own limits are none at all. */
export class Http2Inside {
  readonly #server: Http2Server
  readonly #handlers: Http2Handlers
  readonly #keepAliveMs: number
  readonly #connections = new WeakMap<ServerHttp2Session, ClientConnection>()
  readonly #sessions = new Set<ServerHttp2Session>()

  constructor(limits: Limits, handlers: Http2Handlers) {
    this.#handlers = handlers
    this.#keepAliveMs = limits.keepAliveSeconds * 1000
    this.#server = createServer({
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: limits.headBytes + limits.targetBytes,
        enablePush: false,
      },
      maxHeaderListPairs: limits.headFields + PSEUDO_FIELDS,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSessionInvalidFrames: MAX_INVALID_FRAMES,
      maxSessionRejectedStreams: MAX_REJECTED_STREAMS,
    })
    this.#server.on('request', (req, res) => this.#onRequest(req, res, false))
    this.#server.on('checkContinue', (req, res) => this.#onRequest(req, res, true))
    // Node would answer these by itself, past the audit log.
    this.#server.on('checkExpectation', (req, res) => this.#onRequest(req, res, false))
    this.#server.on('connect', (req, res) => this.#onRequest(req, res, false))
    this.#server.on('sessionError', (_error, session) => session.destroy())
  }

  /** Speaks HTTP/2 on the TLS inside a tunnel. */
  serve(connection: ClientConnection): void {
    // Half-open, Node's session would not learn that its client has gone, and its requests would go on at the origins.
    connection.socket.allowHalfOpen = false
    // Node announces the session before `emit` returns.
    this.#server.once('session', (session) => {
      this.#connections.set(session, connection)
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      session.setTimeout(this.#keepAliveMs, () => {
        this.#handlers.onIdle()
        session.close()
      })
    })
    this.#server.emit('connection', connection.socket)
  }

  /** Takes no more streams: each session ends with those it has. */
  stop(): void {
    for (const session of this.#sessions) session.close()
  }

  #onRequest(req: Http2ServerRequest, res: Http2ServerResponse, expectsContinue: boolean): void {
    const session = req.stream.session
    const connection = session === undefined ? undefined : this.#connections.get(session as ServerHttp2Session)
    if (connection === undefined) return void req.stream.destroy()
    // A stream that the client resets, after its refusal too, is over for itself and nobody else.
    req.on('error', () => {})
    const exchange = this.#handlers.exchange(connection)
    const responder = new Http2Responder(res)
    const head = headOfHttp2(req.rawHeaders, !req.stream.endAfterHeaders)
    if (!head.ok) {
      exchange.method = req.method
      return responder.answer(exchange.refuse(head.error))
    }
    const request: ForwardRequest = {
      exchange,
      head: head.value,
      expectsContinue,
      responder,
      req: plainRequest(req, connection.socket),
      res: plainResponse(res),
    }
    this.#handlers.forward(request).catch((error: unknown) => {
      this.#handlers.onFault(error, exchange)
      responder.abort()
    })
  }
}

/** `:method`, `:scheme`, `:authority`, `:path`. */
const PSEUDO_FIELDS = 4

/**
 * The stream as the request that `http-proxy` expects: its body, and nothing of HTTP/2 that it would copy.
 *
 * @param socket the real one: Node's stand-in for a session's socket throws once the session has ended
 */
function plainRequest(req: Http2ServerRequest, socket: Socket): IncomingMessage {
  const body = new PassThrough()
  req.pipe(body)
  req.once('aborted', () => body.destroy())
  req.on('error', () => body.destroy())
  body.on('error', () => {})
  // It has what http-proxy reads of a request, and no more.
  return Object.assign(body, {
    headers: {},
    httpVersion: '2.0',
    httpVersionMajor: 1,
    socket,
  }) as unknown as IncomingMessage
}

/** The stream as the response that `http-proxy` watches for the client's end. */
function plainResponse(res: Http2ServerResponse): ServerResponse {
  const { stream } = res
  const watched = new EventEmitter()
  stream.once('close', () => watched.emit('close'))
  // The stream says that it is finished also where its session broke off.
  Object.defineProperty(watched, 'writableFinished', { get: () => res.writableEnded })
  // It has what http-proxy reads of a response, and no more.
  return watched as unknown as ServerResponse
}
