import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Writable } from 'node:stream'
import type { Answer } from '../../core/wire/answer.ts'
import type { Field } from '../../core/wire/fields.ts'
import { fieldValue } from '../../core/wire/request-head.ts'
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
  onClose(callback: () => void): void
}

export class Http1Responder implements Responder {
  readonly #connection: ClientConnection
  readonly #req: IncomingMessage
  readonly #res: ServerResponse

  constructor(connection: ClientConnection, req: IncomingMessage, res: ServerResponse) {
    this.#connection = connection
    this.#req = req
    this.#res = res
    // The origin's own Date passes, or none.
    res.sendDate = false
  }

  get gone(): boolean {
    return this.#res.destroyed || this.#connection.socket.destroyed
  }

  get headSent(): boolean {
    return this.#res.headersSent
  }

  sendContinue(): void {
    this.#res.writeContinue()
  }

  begin(status: number, reasonPhrase: string, fields: readonly Field[]): Writable {
    this.#res.writeHead(status, reasonPhrase, fields.flat())
    return this.#res
  }

  /** With a body or `Expect` outstanding, the connection ends after a refusal. */
  answer(answer: Answer): void {
    if (this.gone) return
    const connection = this.#connection
    const mayHaveBody = FRAMING_FIELDS.some((name) => fieldValue(this.#req.rawHeaders, name) !== undefined)
    const closes = mayHaveBody || answer.status === 400 || isForStranger(answer)
    // Behind an earlier answer, writing past Node's queue would desynchronise the two.
    const isFirstInLine = connection.pending === 1
    if (closes && isFirstInLine && !this.#res.headersSent) {
      connection.closing = true
      return answerAndClose(connection.socket, answer, this.#req)
    }
    const fields: Field[] = closes ? [...answer.fields, ['Connection', 'close']] : [...answer.fields]
    this.#res.writeHead(answer.status, answer.reasonPhrase, fields.flat())
    this.#res.end(this.#req.method === 'HEAD' ? undefined : answer.body)
  }

  abort(): void {
    this.#res.destroy()
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
