import { HANDSHAKE_RECORD, TLS_MAJOR } from './tls-handshake.ts'

/** What the first bytes of a connection look like; `undecided` while more of them could still make it `tls` or `http`. */
export type Opening = 'tls' | 'http' | 'other' | 'undecided'

/** The longest registered method, `UPDATEREDIRECTREF`, has 17 characters (IANA, HTTP Method Registry). */
const METHOD_BYTES_MAX = 24

const SPACE = 0x20
const HYPHEN = 0x2d
const SCHEMES = ['http://', 'https://']

/**
 * Names the protocol of a connection by its first bytes, for hints and for choosing a reader; it allows nothing. Looks at no more
 * than 33 bytes, and a decided answer stays whatever follows. It never says
 * `tls` where `readClientHello` says `not_tls`, and `http` or `other` only where that does.
 *
 * HTTP is an upper-case method, a space, and what a request target can begin with, so that `EHLO mail.example`, `SSH-2.0-...` and
 * Redis' `GET key` are `other`. The empty line that RFC 9112 section 2.2 lets a server skip is `other` too: no client sends it first.
 */
export function classifyOpening(bytes: Uint8Array): Opening {
  const [first, second] = bytes
  if (first === undefined) return 'undecided'
  if (first !== HANDSHAKE_RECORD) return classifyText(bytes)
  if (second === undefined) return 'undecided'
  return second === TLS_MAJOR ? 'tls' : 'other'
}

function classifyText(bytes: Uint8Array): Opening {
  let end = 0
  while (end < bytes.length && end <= METHOD_BYTES_MAX && isMethodByte(bytes[end])) end++
  if (end > METHOD_BYTES_MAX) return 'other'
  if (end === bytes.length) return 'undecided'
  if (end === 0 || bytes[end] !== SPACE) return 'other'

  const target = asciiText(bytes.subarray(end + 1, end + 1 + 'https://'.length)).toLowerCase()
  if (target === '') return 'undecided'
  // CONNECT's target is an authority: a name, an address or a bracket.
  const authority = asciiText(bytes.subarray(0, end)) === 'CONNECT' && /^[a-z0-9[]/.test(target)
  if (authority || target.startsWith('/') || target.startsWith('*')) return 'http'
  if (SCHEMES.some((scheme) => target.startsWith(scheme))) return 'http'
  return SCHEMES.some((scheme) => scheme.startsWith(target)) ? 'undecided' : 'other'
}

function isMethodByte(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x41 && byte <= 0x5a) || byte === HYPHEN)
}

function asciiText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}
