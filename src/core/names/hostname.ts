import type { Result } from '../result.ts'
import { err, ok } from '../result.ts'
import { parseIp } from './ip.ts'
import { quote } from './quote.ts'

declare const hostname: unique symbol

/**
 * A DNS name in the one form the gateway compares: ASCII (A-labels), lower case, no trailing dot.
 * The only way to get one is `parseHostname`.
 */
export type Hostname = string & { readonly [hostname]: true }

/** RFC 1035 section 2.3.4: 255 octets on the wire, which is 253 characters of text without the trailing dot. */
const NAME_CHARACTERS_MAX = 253
/** RFC 1035 section 2.3.4. */
const LABEL_CHARACTERS_MAX = 63

const DOT = 0x2e
const HYPHEN = 0x2d

/** What an ASCII character may do in a name; a character without a class may not occur. */
const REFUSED = 0
const LOWER = 1
const UPPER = 2
const CLASS_OF = classTable()

function classTable(): Uint8Array {
  const table = new Uint8Array(128)
  for (const character of 'abcdefghijklmnopqrstuvwxyz0123456789_-.') table[character.charCodeAt(0)] = LOWER
  for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') table[character.charCodeAt(0)] = UPPER
  return table
}

/**
 * Reads a DNS name: labels of 1 to 63 of `a-z0-9_-` (no hyphen first or last), 253 characters in all, one trailing dot dropped,
 * upper case folded. Underscores are let through because real names carry them (`_dmarc`, SRV, CDN hosts).
 *
 * A name whose last label is a number is refused: the URL standard and `getaddrinfo` both read it as an IPv4 address
 * (`2130706433`, `0x7f.1` and `127.1` are all 127.0.0.1), so as a name it would go around address vetting.
 *
 * One pass over the characters, no regular expressions; a canonical name is returned as it came.
 * Error: one sentence, bounded and printable (see `quote`).
 */
export function parseHostname(text: string): Result<Hostname, string> {
  const end = text.charCodeAt(text.length - 1) === DOT ? text.length - 1 : text.length
  if (end === 0) return err(text === '' ? 'the host name is empty' : `${quote(text)} is not a host name`)
  if (end > NAME_CHARACTERS_MAX) return err(`${quote(text)} is longer than ${NAME_CHARACTERS_MAX} characters`)

  let folded = false
  let labelStart = 0
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i)
    const kind = code < 128 ? CLASS_OF[code] : REFUSED
    if (kind === LOWER) {
      if (code !== DOT) continue
      if (!isLabel(text, labelStart, i)) return err(labelProblem(text, labelStart, i))
      labelStart = i + 1
    } else if (kind === UPPER) folded = true
    else return err(characterProblem(text, text.charAt(i)))
  }
  if (!isLabel(text, labelStart, end)) return err(labelProblem(text, labelStart, end))
  if (isNumber(text, labelStart, end)) return err(numberProblem(text.slice(0, end), text))

  const name = end === text.length ? text : text.slice(0, end)
  return ok((folded ? name.toLowerCase() : name) as Hostname)
}

function isLabel(text: string, start: number, end: number): boolean {
  const length = end - start
  if (length === 0 || length > LABEL_CHARACTERS_MAX) return false
  return text.charCodeAt(start) !== HYPHEN && text.charCodeAt(end - 1) !== HYPHEN
}

/** The URL standard's "ends in a number" for one label: all digits, or `0x` and any hex digits (also none). */
function isNumber(text: string, start: number, end: number): boolean {
  if (!isDigit(text.charCodeAt(start))) return false
  const hex = text.charCodeAt(start) === 0x30 && (text.charCodeAt(start + 1) | 0x20) === 0x78 && end - start >= 2
  for (let i = hex ? start + 2 : start + 1; i < end; i++) {
    const code = text.charCodeAt(i)
    const letter = code | 0x20
    if (!isDigit(code) && !(hex && letter >= 0x61 && letter <= 0x66)) return false
  }
  return true
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function labelProblem(text: string, start: number, end: number): string {
  if (start === end) return `${quote(text)} has an empty label`
  if (end - start > LABEL_CHARACTERS_MAX) return `${quote(text)} has a label longer than ${LABEL_CHARACTERS_MAX} characters`
  return `${quote(text)} has a label that begins or ends with \`-\``
}

/** What the refused characters usually mean, and what to write instead. */
const CHARACTER_REMEDIES: Readonly<Record<string, string>> = {
  ':': 'give the host without a port; an IPv6 address goes in brackets',
  '/': 'give the host alone, without a scheme or path',
  '@': 'give the host alone, without user information',
  '*': 'a single host is needed here, not a wildcard',
  '%': 'write the host without percent escapes or a zone id',
  ',': 'give one host',
  ';': 'give one host',
  ' ': 'remove the space',
  '[': 'brackets are for IPv6 addresses',
  ']': 'brackets are for IPv6 addresses',
}

function characterProblem(text: string, character: string): string {
  if (character.charCodeAt(0) >= 128) return `${quote(text)} is not ASCII; use its A-label (\`xn--\`) form`
  const remedy = CHARACTER_REMEDIES[character]
  const problem = `${quote(text)} holds ${quote(character)}, which no host name may`
  return remedy === undefined ? problem : `${problem}; ${remedy}`
}

function numberProblem(name: string, text: string): string {
  if (parseIp(name) === undefined)
    return `${quote(text)} ends in a number, so it could be read as an IPv4 address; write an address as four decimal octets without leading zeros`
  return name === text
    ? `${quote(text)} is an address, not a host name`
    : `${quote(text)} is an address with a trailing dot; use ${quote(name)}`
}
