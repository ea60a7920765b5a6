import { err, ok, type Result } from '../result.ts'
import { withoutBlanks } from './plain-head.ts'

/** How an answer's body is delimited (RFC 9112 section 6.3). */
export type AnswerFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until_close' }

/** The head of an origin's answer. */
export interface AnswerHead {
  readonly status: number
  /** As received, Latin-1. */
  readonly reasonPhrase: string
  /** `1.0` or `1.1`. */
  readonly httpVersion: string
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[]
  readonly framing: AnswerFraming
  /** Another request may follow on the connection; for so long at most, where the origin says so. */
  readonly keepsAlive: boolean
  readonly keepAliveSeconds?: number
}

/** Most bytes that a head may take; Node's own limit is the same. */
export const ANSWER_HEAD_BYTES = 16_384

/** RFC 9112 section 4; the reason phrase may be absent, and some origins leave out the blank before it as well. */
const STATUS_LINE = /^HTTP\/(1\.[01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/

/** RFC 9112 section 5: one line, ended by CRLF. Folded lines have been obsolete since 2014, and are refused. */
const FIELD = /([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y

/**
 * Reads the head of an answer, and whatever is wrong with it, lower case. Stricter than the RFC asks: an answer whose end two readers
 * could see in different places is refused, and so is one that is both chunked and something else.
 *
 * @param text one character a byte, up to and with the empty line
 * @param method of the request
 */
export function readAnswerHead(text: string, method: string): Result<AnswerHead, string> {
  const start = STATUS_LINE.exec(text)
  if (start === null) return err('the status line is not one of HTTP/1.0 or HTTP/1.1')
  const [line, httpVersion = '', statusText = '', reasonPhrase = ''] = start
  const status = Number(statusText)
  const rawHeaders: string[] = []
  const seen: Seen = { length: undefined, encoding: undefined, connection: '', keepAlive: undefined, isRepeated: false }
  let at = line.length
  while (!text.startsWith('\r\n', at)) {
    FIELD.lastIndex = at
    const field = FIELD.exec(text)
    if (field === null) return err('a field of the answer cannot be read')
    const [whole, name = '', value = ''] = field
    const trimmed = withoutBlanks(value)
    rawHeaders.push(name, trimmed)
    note(seen, name, trimmed)
    at += whole.length
  }
  if (seen.isRepeated) return err('the answer states its length, or its encoding, twice')
  const framing = framingOf(method, status, httpVersion, seen)
  if (!framing.ok) return framing
  // An origin that sends a body after HEAD all the same would have it taken for the next answer.
  const isSure = framing.value.kind !== 'until_close' && method !== 'HEAD'
  const keepsAlive = isSure && staysOpen(httpVersion, seen.connection)
  const hint = /(?:^|[ ,])timeout=(\d{1,9})/i.exec(seen.keepAlive ?? '')?.[1]
  return ok({
    status,
    reasonPhrase,
    httpVersion,
    rawHeaders,
    framing: framing.value,
    keepsAlive,
    ...(hint === undefined ? {} : { keepAliveSeconds: Number(hint) }),
  })
}

interface Seen {
  length: string | undefined
  encoding: string | undefined
  connection: string
  keepAlive: string | undefined
  isRepeated: boolean
}

function note(seen: Seen, name: string, value: string): void {
  switch (name.toLowerCase()) {
    case 'content-length':
      seen.isRepeated ||= seen.length !== undefined
      seen.length = value
      return
    case 'transfer-encoding':
      seen.isRepeated ||= seen.encoding !== undefined
      seen.encoding = value
      return
    case 'connection':
      seen.connection += `,${value.toLowerCase()}`
      return
    case 'keep-alive':
      seen.keepAlive = value
  }
}

function framingOf(
  method: string,
  status: number,
  httpVersion: string,
  { length, encoding }: Seen,
): Result<AnswerFraming, string> {
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return err('Content-Length is not a number')
  if (encoding !== undefined) {
    if (length !== undefined) return err('both Content-Length and Transfer-Encoding')
    // RFC 9112 section 6.1: its framing is faulty, as whatever passed it on may not have known the encoding.
    if (httpVersion === '1.0') return err('Transfer-Encoding in HTTP/1.0')
    if (encoding.toLowerCase() !== 'chunked') return err('Transfer-Encoding is not `chunked`')
  }
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return ok({ kind: 'none' })
  if (encoding !== undefined) return ok({ kind: 'chunked' })
  return ok(length === undefined ? { kind: 'until_close' } : { kind: 'length', bytes: Number(length) })
}

function staysOpen(httpVersion: string, connection: string): boolean {
  const options = connection.split(',').map((option) => option.trim())
  return !options.includes('close') && (httpVersion === '1.1' || options.includes('keep-alive'))
}
