import type { RequestHead } from './request-head.ts'

/** A head in its plainest form, and how many characters of the input it is. */
export interface PlainHead {
  readonly head: RequestHead
  readonly length: number
}

/** What host and port are written in; a target of anything else is for the full parser to name the fault. */
const CONNECT_LINE = /^CONNECT ([A-Za-z0-9.:_[\]-]+) HTTP\/(1\.[01])\r\n/

/** Of the methods that have no body. The target is judged like any other. */
const REQUEST_LINE = /^(GET|HEAD) ([\x21-\x7e]+) HTTP\/1\.1\r\n/

/** One field, printable ASCII, on a line of its own. */
const FIELD = /([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e]*)\r\n/y

/** What says whether a connection stays; Node's parser takes the second for the first. */
const CONNECTION: ReadonlySet<string> = new Set(['connection', 'proxy-connection'])

/** Fields that change what follows a head. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'trailer', 'te', 'expect', 'upgrade'])

/**
 * Reads the head of a CONNECT that leaves nothing to interpretation: one line and fields of printable ASCII, every line ended by CRLF,
 * no folding, no body. Undefined for all else, which is not a refusal: the full HTTP parser is to be asked then. What this reads, it
 * reads as that one does (a test compares the two).
 *
 * @param text what was received, one character a byte, the whole head at its front
 */
export function readPlainConnect(text: string): PlainHead | undefined {
  const start = CONNECT_LINE.exec(text)
  if (start === null) return undefined
  const [line, target = '', httpVersion = ''] = start
  const rawHeaders: string[] = []
  const length = readPlainFields(text, line.length, rawHeaders)
  return length === undefined ? undefined : { head: { method: 'CONNECT', target, httpVersion, rawHeaders }, length }
}

/**
 * The same for a request without a body on a connection that is to stay: GET or HEAD in HTTP/1.1, and `Connection`, where it is there,
 * says `keep-alive` and nothing else. A target that the full parser would not take is for the rules to refuse.
 */
export function readPlainRequest(text: string): PlainHead | undefined {
  const start = REQUEST_LINE.exec(text)
  if (start === null) return undefined
  const [line, method = '', target = ''] = start
  const rawHeaders: string[] = []
  const length = readPlainFields(text, line.length, rawHeaders)
  if (length === undefined) return undefined
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (CONNECTION.has(rawHeaders[at]?.toLowerCase() ?? '') && rawHeaders[at + 1]?.toLowerCase() !== 'keep-alive')
      return undefined
  }
  return { head: { method, target, httpVersion: '1.1', rawHeaders }, length }
}

/** Whatever the full parser may take for a request, but for CONNECT, which turns the connection into something else. */
const OTHER_HEAD =
  /^(?!CONNECT )[A-Z][A-Z-]* [\x21-\x7e]+ HTTP\/1\.[01]\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/

/**
 * Whether what stands behind a request may wait for its answer: the head of another that leaves the connection what it is. Undefined
 * where more has to come before that can be told.
 */
export function mayWaitItsTurn(received: string): boolean | undefined {
  // RFC 9112 section 2.2: empty lines in front of a request are overlooked.
  const text = received.replace(/^(?:\r\n)+/, '')
  if (text === '' || text === '\r') return undefined
  if (!/^[A-Z]/.test(text) || text.startsWith('CONNECT ')) return false
  if (!text.includes('\r\n\r\n')) return undefined
  const head = OTHER_HEAD.exec(text)
  return head !== null && !/\r\nupgrade:/i.test(head[0])
}

/** Gives where the head ends. */
function readPlainFields(text: string, start: number, rawHeaders: string[]): number | undefined {
  let at = start
  while (!text.startsWith('\r\n', at)) {
    FIELD.lastIndex = at
    const field = FIELD.exec(text)
    if (field === null) return undefined
    const [whole, name = '', value = ''] = field
    if (FRAMING.has(name.toLowerCase())) return undefined
    rawHeaders.push(name, withoutBlanks(value))
    at += whole.length
  }
  return at + 2
}

/** RFC 9112 section 5: what stands around a value is no part of it. */
export function withoutBlanks(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--
  return from === 0 && to === value.length ? value : value.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
