import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { RequestKind } from '../../core/audit-event.ts'
import type { Limits } from '../../core/config.ts'
import type { ListenAddress } from '../../core/listen-address.ts'
import type { Answer } from '../../core/wire/answer.ts'
import { asksForWebSocket, withoutUpgrade } from '../../core/wire/fields.ts'
import type { RequestHead, WireProblem } from '../../core/wire/request-head.ts'
import { listen } from '../listen.ts'
import type { Door } from '../relay/door.ts'
import { endAndLinger } from '../relay/linger.ts'
import type { ListenerTls } from '../tls/listener-tls.ts'
import { ClientConnection, type PendingRequest } from './client-connection.ts'
import { answerWithFile, asksForFile } from './client-files.ts'
import { answerAndClose } from './closing.ts'
import { connectAtDoor } from './connect-at-door.ts'
import { Exchange } from './exchange.ts'
import type { Forwarder } from './forward.ts'
import { type FrontOptions, type FrontParts, openFront } from './front.ts'
import { HeldBytes } from './held-bytes.ts'
import { Http2Inside } from './http2-inside.ts'
import { headOf } from './judge.ts'
import { ListenerDoor } from './listener-door.ts'
import { NodeServer } from './node-server.ts'
import { HEAD_TIMEOUT, wireProblemOf } from './parser-error.ts'
import type { ClientPlaces } from './places.ts'
import { PlainHttp } from './plain-http.ts'
import type { ProxyContext } from './proxy-context.ts'
import type { Redirected } from './redirected.ts'
import { Http1Responder } from './responder.ts'
import { transparentAtDoor } from './transparent-at-door.ts'
import { ESTABLISHED, openTunnel } from './tunnel.ts'
import { forwardWebSocket } from './websocket.ts'

export interface ListenerOptions extends FrontOptions {
  /** Clients speak TLS to it, after a PROXY header if there is one. */
  readonly tls: ListenerTls | undefined
  readonly places: ClientPlaces
}

/**
 * A listener for explicit proxying: CONNECT, absolute-form HTTP and WebSockets over plain HTTP. Node parses; what it lets
 * through is judged again by `core/wire`, and every connection has a record of its own. A transparent listener is the same behind
 * another front.
 */
export class ProxyListener {
  readonly name: string
  readonly #context: ProxyContext
  readonly #forwarder: Forwarder
  readonly #node: NodeServer
  readonly #server: NodeServer['server']
  #http2: Http2Inside
  readonly #plain: PlainHttp
  /** Every connection that is open, and what is inside one. */
  readonly #connections = new Map<Socket, ClientConnection>()
  readonly #places: ClientPlaces
  readonly #front: FrontParts | undefined
  #onConnection: (() => void) | undefined
  #accepted = 0
  /** Where connections come in that Node does not accept; absent where every one has to be Node's. */
  readonly #door: Door | undefined
  #opened: ListenerDoor | undefined
  #redirected: Redirected | undefined

  constructor(name: string, context: ProxyContext, forwarder: Forwarder, limits: Limits, options: ListenerOptions) {
    this.name = name
    this.#context = context
    this.#forwarder = forwarder
    this.#node = new NodeServer(limits, options.tls)
    this.#server = this.#node.server
    this.#http2 = this.#http2Inside(limits)
    this.#plain = this.#plainHttp()
    this.#front = this.#frontOf(options)
    this.#door = opensAtDoor(options, context.relay.door) ? context.relay.door : undefined
    this.#redirected = options.transparent?.redirected
    this.#listen()
    this.#places = options.places
    this.#places.share({ leave: (places) => this.#leave(places) })
  }

  /** Takes other limits from now on; connections there are keep what Node has set for them. */
  limit(limits: Limits): void {
    this.#node.limit(limits)
    this.#http2 = this.#http2Inside(limits)
  }

  /** Takes other certificates from now on. A handshake that began with other CAs for clients than these does not count. */
  secure(tls: ListenerTls | undefined): void {
    this.#node.secure(tls)
  }

  #leave(places: number): void {
    const most = this.#accepted + places
    // To Node 20 nought is no bound at all.
    this.#server.maxConnections = most > 0 ? most : -1
  }

  #frontOf({ proxyProtocol, transparent }: FrontOptions): FrontParts | undefined {
    if (proxyProtocol === undefined && transparent === undefined) return undefined
    return {
      proxyProtocol,
      transparent,
      context: this.#context,
      exchange: (connection, kind) => this.#exchange(connection, kind),
      adopt: (connection) => this.#connections.set(connection.socket, connection),
      parse: ({ socket }) => {
        this.#node.enter(socket)
        // It was paused while its front was read; inside TLS it is not read from here.
        if (!this.#node.speaksTls) socket.resume()
      },
      serveInside: this.#serveInside,
      onFault: (error, { socket }, exchange) => {
        if (exchange === undefined) this.#context.log.error({ listener: this.name, err: error }, 'connection handler failed')
        else this.#fault(error, exchange)
        socket.destroy()
      },
    }
  }

  #http2Inside(limits: Limits): Http2Inside {
    return new Http2Inside(limits, {
      exchange: (connection) => this.#exchange(connection, 'inspected'),
      forward: (request) => this.#forwarder.forward(request),
      onFault: (error, exchange) => this.#fault(error, exchange),
      onIdle: () => this.#context.telemetry.hit('keep_alive_seconds'),
    })
  }

  #plainHttp(): PlainHttp {
    return new PlainHttp({
      context: this.#context,
      exchange: (connection) => this.#exchange(connection, kindOf(connection)),
      parse: (socket) => this.#parse(socket),
      onIdle: ({ socket }) => this.#onIdle(socket),
      onSilence: (connection) => this.#refuseUnread(connection, HEAD_TIMEOUT),
      onOvertaking: (connection) => {
        const detail = 'an answer is pending, and what came is no request that could wait for it'
        this.#exchange(connection, kindOf(connection)).refuse({ reason: 'malformed_request', detail })
        connection.socket.destroy()
      },
      onFault: (error, exchange) => this.#fault(error, exchange),
      guard: (socket, act) => this.#guard(socket, act),
    })
  }

  /** Calls back after each connection that is accepted. */
  onConnection(callback: () => void): void {
    this.#onConnection = callback
  }

  /** Binds; throws what the system says. */
  async start(address: ListenAddress): Promise<ListenAddress> {
    if (this.#door !== undefined) return this.#openDoor(this.#door, address)
    const bound = await listen(this.#server, address)
    this.#server.on('error', (error) => this.#context.log.error({ listener: this.name, err: error }, 'listener failed'))
    return bound
  }

  async #openDoor(door: Door, address: ListenAddress): Promise<ListenAddress> {
    const redirected = this.#redirected
    let port = address.port
    const begin = (kind: RequestKind) => (connection: ClientConnection) => {
      this.#onConnection?.()
      return this.#exchange(connection, kind)
    }
    const { name: listener } = this
    const serveInside = this.#serveInside
    const connect = { listener, exchange: begin('connect'), serveInside }
    const transparent = { listener, exchange: begin('transparent'), serveInside }
    const opened = new ListenerDoor({
      listener,
      context: this.#context,
      door,
      asks: redirected === undefined ? { reads: 'connect', established: ESTABLISHED } : { reads: 'tls', established: '' },
      tunnel: (arrival, parts) =>
        redirected === undefined
          ? connectAtDoor(arrival, parts, connect)
          : transparentAtDoor(arrival, parts, { ...transparent, redirected, port }),
      onStranger: (socket) => this.#server.emit('connection', socket),
      onHanded: (exchange, early, carryOn) => this.#onHanded(exchange, early, carryOn),
    })
    const bound = await opened.open(address)
    port = bound.port
    this.#opened = opened
    // Node's server listens nowhere, and looks for overdue heads only once it has been told that it does.
    this.#server.emit('listening')
    return bound
  }

  #onHanded(exchange: Exchange, early: Buffer, carryOn: (held: HeldBytes) => Promise<void>): void {
    const { connection } = exchange
    connection.closing = true
    this.#occupy(connection.socket)
    this.#own(connection)
    const held = new HeldBytes(connection.socket, early, exchange.generation.config.limits.heldBytes, () =>
      this.#context.telemetry.hit('held_bytes'),
    )
    this.#carry(exchange, carryOn(held))
  }

  /** Accepts no more connections, and closes those that wait for a request. */
  stop(): void {
    this.#opened?.close()
    this.#server.close()
    this.#server.closeIdleConnections()
    this.#http2.stop()
    this.#plain.stop()
  }

  /** Closes everything at once. */
  destroy(): void {
    this.#server.close()
    for (const socket of this.#connections.keys()) socket.destroy()
  }

  #listen(): void {
    const server = this.#server
    server.on('connection', (socket: Socket) => this.#accept(socket))
    server.on('secureConnection', (socket: TLSSocket) => this.#handshakeDone(socket))
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => {
      this.#context.telemetry.metrics.tlsHandshakeFailures.inc({ cause: 'listener' })
      socket.destroy()
    })
    server.on('timeout', (socket: Socket) => this.#onIdle(socket))
    server.on('drop', () => this.#context.telemetry.metrics.limitHits.inc({ limit: 'connections' }))
    server.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#guard(socket, () => this.#onConnect(req, socket, head)),
    )
    server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#guard(socket, () => this.#onUpgrade(req, socket, head)),
    )
    server.on('request', (req, res) => this.#guard(req.socket, () => this.#onRequest(req, res, false)))
    server.on('checkContinue', (req, res) => this.#guard(req.socket, () => this.#onRequest(req, res, true)))
    server.on('checkExpectation', (req, res) => this.#guard(req.socket, () => this.#onRequest(req, res, false)))
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => this.#onParserError(error, socket))
  }

  #accept(socket: Socket): void {
    this.#occupy(socket)
    const connection = new ClientConnection(socket, this.name)
    // What comes past the door is no CONNECT, and mostly a request.
    const isPlain = this.#opened !== undefined && this.#front === undefined
    if (this.#front === undefined && !isPlain) this.#node.enter(socket)
    this.#own(connection)
    if (isPlain) this.#plain.serve(connection)
    this.#onConnection?.()
    const front = this.#front
    if (front !== undefined) this.#guard(socket, () => openFront(front, connection))
  }

  #occupy(socket: Socket): void {
    this.#accepted++
    this.#places.take()
    socket.once('close', () => {
      this.#accepted--
      this.#places.giveBack()
    })
  }

  /** From here on the connection is what is inside its TLS. */
  #handshakeDone(socket: TLSSocket): void {
    const outside = this.#node.outsideOf(socket)
    const before = outside && this.#connections.get(outside)
    // It has closed meanwhile: nobody knows any more whose it was.
    if (outside === undefined || before === undefined) return void socket.destroy()
    this.#connections.delete(outside)
    const source = { address: before.client, port: before.clientPort }
    this.#node.parse(socket)
    this.#own(new ClientConnection(socket, this.name, undefined, { source, clientCa: this.#node.clientCa }))
  }

  /** Nothing came in `keepAliveSeconds`, or in the time that the new owner of a connection has set. */
  #onIdle(socket: Socket): void {
    if (this.#connection(socket).closing) return
    this.#context.telemetry.hit('keep_alive_seconds')
    socket.destroy()
  }

  /** An unexpected error ends one connection, never the process. */
  #guard(socket: Socket, handle: () => void | Promise<void>): void {
    const fail = (error: unknown) => {
      this.#context.log.error({ listener: this.name, id: randomUUID(), err: error }, 'connection handler failed')
      socket.destroy()
    }
    try {
      handle()?.catch(fail)
    } catch (error) {
      fail(error)
    }
  }

  /** A fault for which nobody made provision ends one connection, and the request still has its one line. */
  #carry(exchange: Exchange, carried: Promise<void>): void {
    carried.catch((error) => {
      this.#fault(error, exchange)
      exchange.connection.socket.destroy()
    })
  }

  #fault(error: unknown, exchange: Exchange): Answer {
    this.#context.log.error({ listener: this.name, requestId: exchange.id, err: error }, 'request handler failed')
    return exchange.refuse({ reason: 'internal_error' })
  }

  #own(connection: ClientConnection): void {
    const { socket } = connection
    this.#connections.set(socket, connection)
    socket.on('close', () => this.#connections.delete(socket))
    // Until somebody else owns the socket, an error on it ends it and nothing more.
    socket.on('error', destroyThis)
  }

  /** One that has closed meanwhile has a record for what is still said of it, and no other trace. */
  #connection(socket: Socket): ClientConnection {
    return this.#connections.get(socket) ?? new ClientConnection(socket, this.name)
  }

  #exchange(connection: ClientConnection, kind: RequestKind): Exchange {
    const { telemetry, gateway } = this.#context
    const exchange = new Exchange(telemetry, gateway, this.#context.generation(), connection, kind)
    const { session } = connection
    if (session !== undefined) {
      session.wasUsed = true
      exchange.parent = session.parent
      // Whatever the request says, it is about this host.
      exchange.target = session.authority
    }
    this.#context.exchanges.add(exchange)
    return exchange
  }

  #onConnect(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const connection = this.#connection(socket)
    if (this.#wouldOvertake(connection, 'connect')) return
    connection.closing = true
    const exchange = this.#exchange(connection, 'connect')
    this.#carry(exchange, openTunnel(this.#context, exchange, req, head, this.#serveInside))
  }

  #onUpgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const connection = this.#connection(socket)
    if (this.#wouldOvertake(connection, 'websocket')) return
    if (!asksForWebSocket(req.method ?? '', req.rawHeaders)) return this.#withoutUpgrade(req, socket, head)
    connection.closing = true
    const exchange = this.#exchange(connection, 'websocket')
    this.#carry(exchange, forwardWebSocket(this.#context, exchange, req, head))
  }

  /**
   * Node would answer a CONNECT or an upgrade before the requests ahead of it, and the client would take our 200 for one of their
   * answers: with an answer pending, the connection ends.
   */
  #wouldOvertake(connection: ClientConnection, kind: RequestKind): boolean {
    const { socket, pending, closing } = connection
    if (pending === 0 && !closing) return false
    // Where the last answer is being written, only what follows it is thrown away.
    if (closing && pending <= 1) socket.resume()
    else {
      const detail = 'CONNECT or an upgrade while an earlier answer is pending'
      if (!closing) this.#exchange(connection, kind).refuse({ reason: 'malformed_request', detail })
      socket.destroy()
    }
    return true
  }

  /**
   * An upgrade that is not forwarded (`h2c`, which Java's client offers on every plain request) is an ordinary request: its head
   * goes back in front of the connection without the offer.
   */
  #withoutUpgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const fields = withoutUpgrade(req.rawHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
    const text = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n${fields.join('')}\r\n`
    socket.unshift(Buffer.concat([Buffer.from(text, 'latin1'), head]))
    this.#parse(socket)
  }

  /** A tunnel's inside that is HTTP in sight: parsed like a connection of its own. */
  readonly #serveInside = (inside: ClientConnection): void => {
    const { socket } = inside
    this.#own(inside)
    if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') this.#http2.serve(inside)
    else this.#plain.serve(inside)
  }

  /** Gives a connection to the HTTP parser, or back to it. */
  #parse(socket: Socket): void {
    this.#node.parse(socket)
    // It was paused while nobody owned its bytes, and a new listener alone does not undo that.
    socket.resume()
  }

  async #onRequest(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): Promise<void> {
    const connection = this.#connection(req.socket)
    if (connection.closing) return
    const exchange = this.#exchange(connection, kindOf(connection))
    const responder = new Http1Responder(connection, req, res, this.#context.isDraining)
    const pending = { exchange, req, responder }
    connection.requests.add(pending)
    connection.newest = pending
    responder.onClose(() => {
      connection.requests.delete(pending)
      const [next] = connection.requests
      next?.responder.onTurn()
    })
    const head = headOf(req)
    try {
      if (asksForFile(exchange, head)) await this.#serveFile(exchange, head, responder)
      else await this.#forwarder.forward({ exchange, head, expectsContinue, responder, req, res })
    } catch (error) {
      const answer = this.#fault(error, exchange)
      if (responder.headSent) responder.abort()
      else responder.answer(answer)
    }
  }

  async #serveFile(exchange: Exchange, head: RequestHead, responder: Http1Responder): Promise<void> {
    const file = await answerWithFile(this.#context, exchange, head)
    // In the meantime the rest of the request may have turned out malformed.
    if (exchange.settled) return
    if (!file.ok) return responder.answer(exchange.refuse(file.error))
    responder.answer(file.value)
    exchange.served({ bytesUp: 0, bytesDown: file.value.body.length })
  }

  /** What the parser refused: an answer if none is under way, and the end of the connection. */
  #onParserError(error: NodeJS.ErrnoException, socket: Socket): void {
    const problem = wireProblemOf(error)
    const connection = this.#connection(socket)
    if (problem === undefined) return void socket.destroy()
    // The last answer is on its way out; what else the client sends is not looked at.
    if (connection.closing) return
    connection.closing = true
    const { newest } = connection
    if (newest?.req.complete === false) {
      // A client that ends in the middle of a body has gone; with any other error it is still there.
      if (error.code === 'HPE_INVALID_EOF_STATE') socket.destroy()
      else this.#onBrokenBody(connection, newest, problem)
      return
    }
    this.#refuseUnread(connection, problem)
  }

  /** Nothing was read as a request: there is a line for what came all the same, or for what did not. */
  #refuseUnread(connection: ClientConnection, problem: WireProblem): void {
    const { socket, pending } = connection
    connection.closing = true
    const client = this.#context.generation().config.clients.allow
    const exchange = this.#exchange(connection, kindOf(connection))
    const refusal = client.contains(connection.client) ? problem : ({ reason: 'client_not_allowed' } as const)
    const answer = exchange.refuse(refusal)
    // With an answer under way, another would be taken for a part of it.
    if (pending > 0) socket.destroy()
    else answerAndClose(socket, answer)
  }

  /** The body of a request that was taken on is malformed: its own answer says so, if that has not begun. */
  #onBrokenBody({ socket, pending }: ClientConnection, { exchange, responder }: PendingRequest, { detail }: WireProblem): void {
    const answer = exchange.refuse({ reason: 'body_malformed', detail })
    if (pending === 1 && !responder.headSent) answerAndClose(socket, answer)
    // The origin did not wait for the body: its answer is out and stays the only one.
    else if (pending === 0) endAndLinger(socket, '')
    else socket.destroy()
  }
}

/** Where Node need not see a connection before it is known what it is for. */
function opensAtDoor({ tls, proxyProtocol, transparent }: ListenerOptions, { readsTls }: Door): boolean {
  if (tls !== undefined || proxyProtocol !== undefined) return false
  return transparent === undefined || (readsTls && transparent.expects !== 'http')
}

function destroyThis(this: Socket): void {
  this.destroy()
}

/** Of an ordinary request on the connection. */
function kindOf({ session, original }: ClientConnection): RequestKind {
  if (original !== undefined) return 'transparent'
  return session?.scheme === 'https' ? 'inspected' : 'forward'
}
