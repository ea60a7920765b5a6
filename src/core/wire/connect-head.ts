import type { RequestHead } from './request-head.ts'

/** The head of a CONNECT in its plainest form, and how many characters of the input it is. */
export interface PlainConnect {
  readonly head: RequestHead
  readonly length: number
}

/** What host and port are written in; a target of anything else is for the full parser to name the fault. */
const START = /^CONNECT ([A-Za-z0-9.:_[\]-]+) HTTP\/(1\.[01])\r\n/

/** One field, printable ASCII, on a line of its own. */
const FIELD = /([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e]*)\r\n/y

/** Fields that change what follows a head; a CONNECT has no use for them. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'trailer', 'te', 'expect', 'upgrade'])

/**
 * Reads the head of a CONNECT that leaves nothing to interpretation: one line and fields of printable ASCII, every line ended by CRLF,
 * no folding, no body. Undefined for all else, which is not a refusal: the full HTTP parser is to be asked then. What this reads, it
 * reads as that one does (a test compares the two).
 *
 * @param text what was received, one character a byte, the whole head at its front
 */
export function readPlainConnect(text: string): PlainConnect | undefined {
  const start = START.exec(text)
  if (start === null) return undefined
  const [line, target = '', httpVersion = ''] = start
  const rawHeaders: string[] = []
  let at = line.length
  while (!text.startsWith('\r\n', at)) {
    FIELD.lastIndex = at
    const field = FIELD.exec(text)
    if (field === null) return undefined
    const [whole, name = '', value = ''] = field
    if (FRAMING.has(name.toLowerCase())) return undefined
    rawHeaders.push(name, withoutBlanks(value))
    at += whole.length
  }
  return { head: { method: 'CONNECT', target, httpVersion, rawHeaders }, length: at + 2 }
}

/** RFC 9112 section 5: what stands around a value is no part of it. There are no tabs here. */
function withoutBlanks(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && value.charCodeAt(from) === BLANK) from++
  while (to > from && value.charCodeAt(to - 1) === BLANK) to--
  return value.slice(from, to)
}

const BLANK = 0x20
