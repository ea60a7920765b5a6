import type { Socket } from 'node:net'
import type { Limits } from '../../core/config.ts'
import type { Answer } from '../../core/wire/answer.ts'
import type { Field } from '../../core/wire/fields.ts'
import { mayWaitItsTurn, readPlainRequest } from '../../core/wire/plain-head.ts'
import { breakOff } from '../relay/reset.ts'
import type { ClientConnection } from './client-connection.ts'
import { answerAndClose } from './closing.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type PlainAnswer, type PlainAsker, PlainForward } from './plain-forward.ts'
import type { ProxyContext } from './proxy-context.ts'

/** A longer first piece than this is no plain request. */
const PLAIN_BYTES = 16_384

const EMPTY = Buffer.alloc(0)

export interface PlainHttpParts {
  readonly context: ProxyContext
  readonly exchange: (connection: ClientConnection) => Exchange
  /** Node's parser, from here on. */
  readonly parse: (socket: Socket) => void
  /** A connection has been without a request for too long. */
  readonly onIdle: (connection: ClientConnection) => void
  /** The first request of a connection has not come in time. */
  readonly onSilence: (connection: ClientConnection) => void
  /** While an answer is pending something came that cannot wait for it. */
  readonly onOvertaking: (connection: ClientConnection) => void
  readonly onFault: (error: unknown, exchange: Exchange) => Answer
  /** Does it; an unexpected error ends the connection. */
  readonly guard: (socket: Socket, act: () => void) => void
}

/**
 * HTTP/1.1 without Node's parser and streams, for connections on which there is nothing to interpret: one plain request at a time, each
 * whole in one piece. The first thing that is anything else, and all that follows, is Node's: nothing is read twice, and nothing here is
 * a second parser for what could be read in two ways.
 */
export class PlainHttp {
  readonly #parts: PlainHttpParts
  readonly #clients = new Set<PlainClient>()

  constructor(parts: PlainHttpParts) {
    this.#parts = parts
  }

  serve(connection: ClientConnection): void {
    const client = new PlainClient(this.#parts, connection, () => this.#clients.delete(client))
    this.#clients.add(client)
  }

  /** Closes what waits for a request. */
  stop(): void {
    for (const client of this.#clients) client.stop()
  }
}

class PlainClient implements PlainAsker {
  readonly #parts: PlainHttpParts
  readonly #connection: ClientConnection
  readonly #socket: Socket
  readonly #onOver: () => void
  readonly #keepAliveMs: number
  #forward: PlainForward | undefined
  #exchange: Exchange | undefined
  #isHead = false
  #hadRequest = false
  /** An answer has. */
  #hasBegun = false
  /** The connection ends with it. */
  #endsHere = false
  /** What came while a request was under way. */
  #behind: Buffer = EMPTY
  #over = false

  constructor(parts: PlainHttpParts, connection: ClientConnection, onOver: () => void) {
    this.#parts = parts
    this.#connection = connection
    this.#socket = connection.socket
    this.#onOver = onOver
    const { headSeconds, keepAliveSeconds }: Limits = parts.context.generation().config.limits
    this.#keepAliveMs = keepAliveSeconds * 1000
    const socket = this.#socket
    socket.setTimeout(headSeconds * 1000)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    socket.on('timeout', this.#onTimeout)
    socket.on('drain', this.#onDrain)
    socket.resume()
  }

  /** Takes no more requests. */
  stop(): void {
    if (this.#forward === undefined) this.#socket.destroySoon()
  }

  get gone(): boolean {
    return this.#socket.destroyed
  }

  refuse(refusal: Refusal): void {
    if (this.#exchange !== undefined) this.#answer(this.#exchange.refuse(refusal))
  }

  begin({ status, reasonPhrase, fields, isChunked }: PlainAnswer, body: Buffer, onOut?: () => void): boolean {
    this.#hasBegun = true
    this.#endsHere = this.#parts.context.isDraining()
    let text = `HTTP/1.1 ${status} ${reasonPhrase}\r\n${lines(fields)}`
    text += this.#endsHere ? 'Connection: close\r\n' : this.#staysOpen()
    text += isChunked ? 'Transfer-Encoding: chunked\r\n\r\n' : '\r\n'
    // A TLS record of its own, and a system call, is more than the copy.
    const head = Buffer.allocUnsafe(text.length + body.length)
    head.write(text, 'latin1')
    body.copy(head, text.length)
    return this.write(head, onOut)
  }

  write(bytes: Buffer, onOut?: () => void): boolean {
    if (onOut === undefined) return this.#socket.write(bytes)
    return this.#socket.write(bytes, () => {
      onOut()
      this.#next()
    })
  }

  abort(): void {
    breakOff(this.#socket)
  }

  fail(error: unknown): void {
    if (this.#exchange === undefined) return void this.#socket.destroy()
    const answer = this.#parts.onFault(error, this.#exchange)
    if (this.#hasBegun) this.abort()
    else this.#answer(answer)
  }

  #answer(answer: Answer): void {
    if (this.gone) return
    const shown = this.#isHead ? { ...answer, body: '' } : answer
    const closes = answer.status === 400 || answer.reasonPhrase === 'client_not_allowed' || this.#parts.context.isDraining()
    if (!closes) {
      const { status, reasonPhrase, fields, body } = shown
      const text = `HTTP/1.1 ${status} ${reasonPhrase}\r\n${lines(fields)}${this.#staysOpen()}\r\n${body}`
      // Until it is out, nothing more is read: a client that only asks would have all its answers wait here.
      this.#socket.write(text, 'latin1', () => this.#next())
      return
    }
    this.#connection.closing = true
    this.#detach()
    answerAndClose(this.#socket, shown)
  }

  #staysOpen(): string {
    return `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(this.#keepAliveMs / 1000)}\r\n`
  }

  readonly #onData = (bytes: Buffer) => this.#parts.guard(this.#socket, () => this.#take(bytes))

  #take(bytes: Buffer): void {
    if (this.#forward !== undefined) return this.#hold(bytes)
    const plain = bytes.length > PLAIN_BYTES ? undefined : readPlainRequest(bytes.toString('latin1'))
    if (plain === undefined || plain.length !== bytes.length || !this.#isForward(plain.head.target)) return this.#handOver(bytes)
    if (!this.#hadRequest) this.#socket.setTimeout(this.#keepAliveMs)
    this.#hadRequest = true
    this.#isHead = plain.head.method === 'HEAD'
    this.#hasBegun = false
    const exchange = this.#parts.exchange(this.#connection)
    const forward = new PlainForward(this.#parts.context, exchange, plain.head, this)
    this.#exchange = exchange
    this.#forward = forward
    forward.run().catch((error: unknown) => this.fail(error))
  }

  /** What comes before its turn waits, if it is a request that may. */
  #hold(bytes: Buffer): void {
    this.#behind = Buffer.concat([this.#behind, bytes])
    const mayWait = mayWaitItsTurn(this.#behind.toString('latin1'))
    if (mayWait === true) this.#socket.pause()
    else if (mayWait === false || this.#behind.length > PLAIN_BYTES) this.#parts.onOvertaking(this.#connection)
  }

  /** Outside a tunnel, a path asks for something of the gateway's own. */
  #isForward(target: string): boolean {
    return this.#connection.session !== undefined || !target.startsWith('/')
  }

  /** The answer is out. */
  #next(): void {
    this.#forward = undefined
    this.#exchange = undefined
    if (this.#over) return
    if (this.#endsHere || this.#parts.context.isDraining()) return void this.#socket.destroySoon()
    const behind = this.#behind
    if (behind.length === 0) return
    this.#behind = EMPTY
    this.#socket.resume()
    this.#take(behind)
  }

  /** To Node's parser, with what it has not seen. */
  #handOver(bytes: Buffer): void {
    this.#detach()
    this.#socket.setTimeout(0)
    this.#socket.pause()
    this.#socket.unshift(bytes)
    this.#parts.parse(this.#socket)
  }

  readonly #onDrain = () => this.#forward?.onDrain()

  readonly #onTimeout = () => {
    // While its origin is waited for, that has a deadline of its own; a client that does not take the rest of an answer has this one.
    if (this.#forward?.isOver) return breakOff(this.#socket)
    if (this.#forward !== undefined) return
    if (this.#hadRequest) return this.#parts.onIdle(this.#connection)
    this.#detach()
    this.#parts.onSilence(this.#connection)
  }

  /** A client that ends its side does not wait for an answer any more, as to Node's server. */
  readonly #onEnd = () => {
    this.#leave()
    this.#socket.destroySoon()
  }

  readonly #onClose = () => {
    this.#leave()
    this.#detach()
  }

  #leave(): void {
    const forward = this.#forward
    this.#forward = undefined
    forward?.leave()
  }

  #detach(): void {
    if (this.#over) return
    this.#over = true
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onClose)
    socket.off('timeout', this.#onTimeout)
    socket.off('drain', this.#onDrain)
    this.#onOver()
  }
}

function lines(fields: readonly Field[]): string {
  let text = ''
  for (const [name, value] of fields) text += `${name}: ${value}\r\n`
  return text
}
