/** An IPv4 address. `text` is the canonical dotted quad. Made only by `parseIp` and `ipv4FromValue`. */
export interface Ipv4 {
  readonly family: 4
  /** Unsigned, 32 bits. */
  readonly value: number
  readonly text: string
}

/** Unsigned 32-bit words, most significant first. */
export type Ipv6Words = readonly [number, number, number, number]

/** An IPv6 address. `text` is RFC 5952, without brackets or zone. Made only by `parseIp` and `ipv6FromWords`. */
export interface Ipv6 {
  readonly family: 6
  readonly words: Ipv6Words
  readonly text: string
}

export type IpAddress = Ipv4 | Ipv6

/** Eight full groups of four, the last two as a dotted quad: `0000:0000:0000:0000:0000:ffff:255.255.255.255`. */
const IPV6_CHARACTERS_MAX = 45

const COLON = 0x3a
const DOT = 0x2e

/**
 * Reads an address in its standard text form and nothing looser.
 *
 * IPv4 is four decimal octets without leading zeros (RFC 6943 section 3.1.1 "strict form"): the octal, hex and short forms that
 * `inet_aton` takes mean different addresses to different programs. IPv6 is RFC 4291 section 2.2 with `::` and an embedded quad;
 * no brackets and no zone id (a zone names an interface of this machine, which is no business of a client).
 * `undefined` for anything else.
 */
export function parseIp(text: string): IpAddress | undefined {
  const value = parseDottedQuad(text, 0)
  if (value !== undefined) return { family: 4, value, text }
  const words = parseIpv6Words(text)
  return words && ipv6FromWords(words)
}

/** The address with this unsigned 32-bit value. */
export function ipv4FromValue(value: number): Ipv4 {
  const unsigned = value >>> 0
  return { family: 4, value: unsigned, text: formatDottedQuad(unsigned) }
}

/** The address with these words (unsigned, most significant first). */
export function ipv6FromWords(words: Ipv6Words): Ipv6 {
  return { family: 6, words, text: formatIpv6(words) }
}

/** A total order: IPv4 before IPv6, then by number. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  if (a.family === 4) return b.family === 4 ? a.value - b.value : -1
  if (b.family === 4) return 1
  for (let i = 0; i < 4; i++) {
    const difference = (a.words[i] ?? 0) - (b.words[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** The quad from `start` to the end of the text as an unsigned number, or `undefined`. */
function parseDottedQuad(text: string, start: number): number | undefined {
  let value = 0
  let octet = -1
  let octets = 0
  for (let i = start; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT
    if (code === DOT) {
      if (octet < 0 || octets === 4) return undefined
      value = value * 256 + octet
      octets++
      octet = -1
    } else {
      const digit = code - 0x30
      // `octet === 0` here means a second digit behind a leading zero.
      if (digit < 0 || digit > 9 || octet === 0) return undefined
      octet = octet < 0 ? digit : octet * 10 + digit
      if (octet > 255) return undefined
    }
  }
  return octets === 4 ? value : undefined
}

function parseIpv6Words(text: string): Ipv6Words | undefined {
  if (text.length < 2 || text.length > IPV6_CHARACTERS_MAX || !text.includes(':')) return undefined
  const groups: number[] = []
  /** How many groups stand before `::`, or -1 while there was none. */
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined
    gap = 0
    at = 2
  }
  while (at < text.length) {
    const end = groupEnd(text, at)
    if (end === at || groups.length === 8) return undefined
    if (text.charCodeAt(end) === DOT) {
      const quad = parseDottedQuad(text, at)
      if (quad === undefined) return undefined
      groups.push(quad >>> 16, quad & 0xffff)
      break
    }
    groups.push(Number.parseInt(text.slice(at, end), 16))
    if (end === text.length) break
    if (text.charCodeAt(end) !== COLON || end + 1 === text.length) return undefined
    at = end + 1
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return undefined
      gap = groups.length
      at++
    }
  }
  return wordsOfGroups(groups, gap)
}

/** Where the group of one to four hex digits that starts at `start` ends; `start` itself when there is none. */
function groupEnd(text: string, start: number): number {
  let end = start
  while (end < text.length && end - start < 4 && isHexDigit(text.charCodeAt(end))) end++
  return end
}

function isHexDigit(code: number): boolean {
  const letter = code | 0x20
  return (code >= 0x30 && code <= 0x39) || (letter >= 0x61 && letter <= 0x66)
}

function wordsOfGroups(groups: readonly number[], gap: number): Ipv6Words | undefined {
  // RFC 4291: `::` stands for one or more groups, so with it at most seven are written out.
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return undefined
  const missing = 8 - groups.length
  const group = (index: number): number => {
    if (gap < 0 || index < gap) return groups[index] ?? 0
    return index < gap + missing ? 0 : (groups[index - missing] ?? 0)
  }
  const word = (index: number): number => ((group(2 * index) << 16) | group(2 * index + 1)) >>> 0
  return [word(0), word(1), word(2), word(3)]
}

function formatDottedQuad(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`
}

/**
 * RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`.
 * Section 5 keeps the quad where the prefix says that one is inside; only the mapped prefix does so beyond doubt.
 */
function formatIpv6(words: Ipv6Words): string {
  if (isMapped(words)) return `::ffff:${formatDottedQuad(words[3])}`
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff])
  const { start, length } = longestZeroRun(groups)
  const hex = groups.map((group) => group.toString(16))
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start }
  })
  return best
}

/** `::ffff:0:0/96`, RFC 4291 section 2.5.5.2: how a dual-stack socket spells an IPv4 peer. */
export function isMapped(words: Ipv6Words): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/** A mapped address as the IPv4 address that it stands for, anything else as it is. */
export function unmapped(ip: IpAddress): IpAddress {
  return ip.family === 6 && isMapped(ip.words) ? ipv4FromValue(ip.words[3]) : ip
}

/**
 * Every IPv4 address to which a translator, a tunnel or the kernel could deliver what is sent to this IPv6 address; empty for IPv4
 * and for plain IPv6. An address can have several (Teredo: the server and the client), and those in doubt are given too:
 * whoever vets an address must vet all of them, or `64:ff9b::169.254.169.254` is a way to the metadata service.
 */
export function embeddedIpv4(ip: IpAddress): readonly Ipv4[] {
  if (ip.family === 4) return []
  const values = new Set([...valuesBehindPrefix(ip.words), ...isatapValues(ip.words)])
  return [...values].map(ipv4FromValue)
}

/** The low 16 bits of one word and the high 16 bits of the next. */
function straddle(high: number, low: number): number {
  return ((high << 16) | (low >>> 16)) >>> 0
}

function valuesBehindPrefix([a, b, c, d]: Ipv6Words): readonly number[] {
  if (a === 0 && b === 0) {
    const mapped = c === 0xffff
    // RFC 2765 section 2.1 (SIIT): `::ffff:0:a.b.c.d`.
    const translated = c === 0xffff0000
    // RFC 4291 section 2.5.5.1, deprecated: `::a.b.c.d`. `::` and `::1` are addresses of their own.
    const compatible = c === 0 && d > 1
    return mapped || translated || compatible ? [d] : []
  }
  if (a === 0x0064ff9b) {
    // RFC 6052 section 2.1: the well-known prefix has one layout.
    if (b === 0 && c === 0) return [d]
    // RFC 8215: a local network cuts its own prefix, of any RFC 6052 length from 48 on, from this block.
    if (b >>> 16 === 1) return localTranslationValues([a, b, c, d])
  }
  // RFC 3056 section 2: `2002:V4ADDR::/48`.
  if (a >>> 16 === 0x2002) return [straddle(a, b)]
  // RFC 4380 section 4: the server in the second word, the client's mapped address inverted in the last.
  if (a === 0x20010000) return [b, ~d >>> 0]
  return []
}

/**
 * RFC 6052 section 2.2, prefix lengths 48, 56, 64 and 96. Bits 64 to 71 are the `u` octet, which the first three step over; it ought
 * to be zero, but a translator that does not look would still deliver.
 */
function localTranslationValues([, b, c, d]: Ipv6Words): readonly number[] {
  const at48 = ((b << 16) | ((c >>> 8) & 0xffff)) >>> 0
  const at56 = ((b << 24) | (c & 0xffffff)) >>> 0
  const at64 = ((c << 8) | (d >>> 24)) >>> 0
  return [at48, at56, at64, d]
}

/** RFC 5214 section 6.1: under any prefix, an interface identifier `0:5efe:a.b.c.d`, or `200:5efe:` when the quad is a global one. */
function isatapValues([, , c, d]: Ipv6Words): readonly number[] {
  return c === 0x00005efe || c === 0x02005efe ? [d] : []
}
