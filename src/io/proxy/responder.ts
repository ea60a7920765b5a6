import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Writable } from 'node:stream'
import type { Answer } from '../../core/wire/answer.ts'
import type { Field } from '../../core/wire/fields.ts'
import { fieldValue } from '../../core/wire/request-head.ts'
import { endAndLinger } from '../relay/linger.ts'
import { breakOff } from '../relay/reset.ts'
import type { ClientConnection } from './client-connection.ts'
import { answerAndClose } from './closing.ts'

/** The client's side of one request: how an answer reaches it, over HTTP/1.1 or as one stream of HTTP/2. */
export interface Responder {
  /** Nobody is there to be answered any more. */
  readonly gone: boolean
  readonly headSent: boolean
  sendContinue(): void
  /** Begins an answer; its body goes into the stream returned. Throws where a field has bytes that none may have. */
  begin(status: number, reasonPhrase: string, fields: readonly Field[]): Writable
  /** An answer of the gateway's own. */
  answer(answer: Answer): void
  /** Breaks the answer off, visibly. */
  abort(): void
  /** The answer is finished and nobody reads the rest of the request's body any more. */
  abandonBody(): void
  onClose(callback: () => void): void
}

export class Http1Responder implements Responder {
  readonly #connection: ClientConnection
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #isDraining: () => boolean

  /** @param isDraining whether the connection is to end after the answer */
  constructor(connection: ClientConnection, req: IncomingMessage, res: ServerResponse, isDraining: () => boolean) {
    this.#connection = connection
    this.#req = req
    this.#res = res
    this.#isDraining = isDraining
    // The origin's own Date passes, or none.
    res.sendDate = false
  }

  get gone(): boolean {
    return this.#res.destroyed || this.#connection.socket.destroyed
  }

  get headSent(): boolean {
    return this.#res.headersSent
  }

  /** What waits for the answers ahead of it. */
  #owes: 'continue' | 'abort' | undefined

  /** While other answers are ahead, Node would write the interim one behind the head of its own answer: into its body. */
  sendContinue(): void {
    if (this.#res.socket === null) this.#owes = 'continue'
    else this.#res.writeContinue()
  }

  /** The answers ahead are finished. */
  onTurn(): void {
    const owes = this.#owes
    this.#owes = undefined
    if (owes === 'abort') this.abort()
    else if (owes === 'continue' && !this.#res.headersSent) this.#res.writeContinue()
  }

  begin(status: number, reasonPhrase: string, fields: readonly Field[]): Writable {
    if (this.#isDraining()) this.#res.shouldKeepAlive = false
    this.#res.writeHead(status, reasonPhrase, fields.flat())
    return this.#res
  }

  /** With a body or `Expect` outstanding, the connection ends after a refusal. */
  answer(answer: Answer): void {
    if (this.gone) return
    const connection = this.#connection
    const mayHaveBody = FRAMING_FIELDS.some((name) => fieldValue(this.#req.rawHeaders, name) !== undefined)
    const closes = mayHaveBody || answer.status === 400 || isForStranger(answer) || this.#isDraining()
    if (closes) connection.closing = true
    const isHead = this.#req.method === 'HEAD'
    // Behind an earlier answer, writing past Node's queue would desynchronise the two.
    const isFirstInLine = connection.pending === 1
    if (closes && isFirstInLine && !this.#res.headersSent) {
      return answerAndClose(connection.socket, isHead ? { ...answer, body: '' } : answer, this.#req)
    }
    const fields: Field[] = closes ? [...answer.fields, ['Connection', 'close']] : [...answer.fields]
    this.#res.writeHead(answer.status, answer.reasonPhrase, fields.flat())
    this.#res.end(isHead ? undefined : answer.body)
  }

  abort(): void {
    // Without its turn it has no socket that Node could end.
    if (this.#res.socket === null && !this.gone) this.#owes = 'abort'
    // In HTTP/1.0 the end of the connection can be the only end there is: it must not look like one.
    else if (this.#req.httpVersion === '1.0') breakOff(this.#connection.socket)
    else this.#res.destroy()
  }

  abandonBody(): void {
    const { socket } = this.#connection
    if (this.#req.complete || socket.destroyed || this.#connection.closing) return
    this.#connection.closing = true
    endAndLinger(socket, '', this.#req)
  }

  onClose(callback: () => void): void {
    this.#res.once('close', callback)
  }
}

export class Http2Responder implements Responder {
  readonly #res: Http2ServerResponse

  constructor(res: Http2ServerResponse) {
    this.#res = res
    res.sendDate = false
  }

  get gone(): boolean {
    return this.#res.stream === undefined || this.#res.stream.destroyed
  }

  get headSent(): boolean {
    return this.#res.headersSent
  }

  sendContinue(): void {
    this.#res.writeContinue()
  }

  begin(status: number, _reasonPhrase: string, fields: readonly Field[]): Writable {
    this.#setHead(status, fields)
    return this.#res
  }

  answer(answer: Answer): void {
    if (this.gone) return
    this.#setHead(answer.status, answer.fields)
    if (this.#res.req.method === 'HEAD') this.#res.end()
    else this.#res.end(answer.body)
    // What the client still sends of a refused body is not read: the stream is reset once the answer is out.
    this.#res.stream.once('finish', () => this.#res.stream.close(constants.NGHTTP2_NO_ERROR))
  }

  abort(): void {
    if (!this.gone) this.#res.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  /** The stream is reset with its answer; see `answer`. */
  abandonBody(): void {
    if (!this.gone) this.#res.stream.close(constants.NGHTTP2_NO_ERROR)
  }

  onClose(callback: () => void): void {
    this.#res.stream.once('close', callback)
  }

  #setHead(status: number, fields: readonly Field[]): void {
    for (const [name, values] of groupedFields(fields)) this.#res.setHeader(name.toLowerCase(), values)
    this.#res.writeHead(status)
  }
}

const FRAMING_FIELDS = ['content-length', 'transfer-encoding', 'expect']

function isForStranger(answer: Answer): boolean {
  return answer.reasonPhrase === 'client_not_allowed'
}

/** Values by name, as Node's `setHeader` wants them: one value, or a list for a field that is repeated. */
export function groupedFields(fields: readonly Field[]): Map<string, string | string[]> {
  const byName = new Map<string, { name: string; values: string[] }>()
  for (const [name, value] of fields) {
    const known = byName.get(name.toLowerCase())
    if (known === undefined) byName.set(name.toLowerCase(), { name, values: [value] })
    else known.values.push(value)
  }
  return new Map([...byName.values()].map(({ name, values }) => [name, values.length === 1 ? (values[0] ?? '') : values]))
}
