import { type IpAddress, ipv4FromValue, ipv6FromWords, parseIp } from '../names/ip.ts'

/**
 * The header with which a load balancer says whose connection it passes on (the PROXY protocol, haproxy.org/download/3.0/doc/
 * proxy-protocol.txt, versions 1 and 2). It stands before the first byte of the client's own.
 *
 *     version 1 = "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF      at most 107 bytes
 *               / "PROXY" SP "UNKNOWN" [SP anything] CRLF
 *     version 2 = signature(12) version-command(1) family(1) length(2) addresses(12 / 36) *TLV
 *     TLV       = type(1) length(2) value(length)
 *
 * Whoever can send one can be any client, so it is read only from sources that the operator names, strictly and with a bound.
 */

/** Section 2.1: the longest line of version 1, its CRLF included. */
export const MAX_V1_BYTES = 107
/** Section 2.2 allows 65,551; balancers send 28 to 52 and some hundred bytes of TLVs. */
export const MAX_V2_BYTES = 4_096

export interface ProxiedPeer {
  readonly address: IpAddress
  /** 0 to 65535. */
  readonly port: number
}

export type ProxyHeaderReading =
  /** More bytes could make it a header; nothing else could. */
  | { readonly kind: 'incomplete' }
  /** `why`: lower case, a fixed text; never quotes the bytes. */
  | { readonly kind: 'malformed'; readonly why: string }
  | {
      readonly kind: 'header'
      /** Bytes of the header; what follows is the client's. */
      readonly length: number
      /** Absent where the balancer speaks for itself (`LOCAL`, as its health checks do) or does not know: the connection is its own. */
      readonly source?: ProxiedPeer
    }

const INCOMPLETE: ProxyHeaderReading = { kind: 'incomplete' }
const malformed = (why: string): ProxyHeaderReading => ({ kind: 'malformed', why })

const V1_START = Uint8Array.from('PROXY ', (character) => character.charCodeAt(0))
const V2_SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const V2_FIXED_BYTES = 16

const CR = 0x0d
const LF = 0x0a

/** Takes the bytes in pieces of any size; how they were cut changes nothing. Not to be pushed to after anything but `incomplete`. */
export class ProxyHeaderReader {
  #bytes: Uint8Array = new Uint8Array(0)

  push(chunk: Uint8Array): ProxyHeaderReading {
    // A header is at most this long, so a long first piece is not copied whole.
    const room = MAX_V2_BYTES - this.#bytes.length
    const joined = new Uint8Array(this.#bytes.length + Math.min(room, chunk.length))
    joined.set(this.#bytes)
    joined.set(chunk.subarray(0, room), this.#bytes.length)
    this.#bytes = joined
    return readProxyHeader(joined)
  }
}

/** Reads the header at the front of a connection's bytes. Pure and total. */
export function readProxyHeader(bytes: Uint8Array): ProxyHeaderReading {
  const [first] = bytes
  if (first === undefined) return INCOMPLETE
  const [start, read] = first === V1_START[0] ? [V1_START, readV1] : [V2_SIGNATURE, readV2]
  for (let i = 0; i < Math.min(start.length, bytes.length); i++)
    if (bytes[i] !== start[i]) return malformed('the connection does not begin with a PROXY header')
  return bytes.length < start.length ? INCOMPLETE : read(bytes)
}

function readV1(bytes: Uint8Array): ProxyHeaderReading {
  for (let i = V1_START.length; i < Math.min(bytes.length, MAX_V1_BYTES); i++) {
    const byte = bytes[i] ?? 0
    if (byte === LF) {
      if (bytes[i - 1] !== CR) return malformed('the line does not end in CR LF')
      return readLine(String.fromCharCode(...bytes.subarray(V1_START.length, i - 1)), i + 1)
    }
    if (bytes[i - 1] === CR) return malformed('the line has a CR inside')
    if (byte !== CR && (byte < 0x20 || byte > 0x7e)) return malformed('the line has bytes that are not printable ASCII')
  }
  return bytes.length < MAX_V1_BYTES ? INCOMPLETE : malformed(`the line is longer than ${MAX_V1_BYTES} bytes`)
}

/** @param text behind `PROXY ` */
function readLine(text: string, length: number): ProxyHeaderReading {
  if (text === 'UNKNOWN' || text.startsWith('UNKNOWN ')) return { kind: 'header', length }
  const [protocol, source = '', destination = '', sourcePort = '', destinationPort = '', ...more] = text.split(' ')
  const family = protocol === 'TCP4' ? 4 : protocol === 'TCP6' ? 6 : undefined
  if (family === undefined) return malformed('the line is for neither TCP4, TCP6 nor UNKNOWN')
  const address = parseIp(source)
  if (address?.family !== family || parseIp(destination)?.family !== family)
    return malformed('an address is not one of the family that the line is for')
  const port = portOf(sourcePort)
  if (port === undefined || portOf(destinationPort) === undefined || more.length > 0)
    return malformed('the line does not end in two ports')
  return { kind: 'header', length, source: { address, port } }
}

function portOf(text: string): number | undefined {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined
}

/** Section 2.2: version 2 in the upper half, the command in the lower. */
const LOCAL = 0x20
const PROXY = 0x21
/** Address family in the upper half, transport in the lower; the bytes that both addresses and ports take. */
const UNSPECIFIED = 0x00
const TCP4 = { code: 0x11, bytes: 12 } as const
const TCP6 = { code: 0x21, bytes: 36 } as const

function readV2(bytes: Uint8Array): ProxyHeaderReading {
  const command = bytes[12]
  const family = bytes[13]
  if (command !== undefined && command !== LOCAL && command !== PROXY)
    return malformed('the version is not 2, or the command neither LOCAL nor PROXY')
  if (command === PROXY && family !== undefined && ![UNSPECIFIED, TCP4.code, TCP6.code].includes(family))
    return malformed('the header is not for TCP')
  if (bytes.length < V2_FIXED_BYTES) return INCOMPLETE
  const length = V2_FIXED_BYTES + uint16(bytes, 14)
  if (length > MAX_V2_BYTES) return malformed(`the header is longer than ${MAX_V2_BYTES} bytes`)
  if (bytes.length < length) return INCOMPLETE
  // Section 2.2: of LOCAL, whatever else is there is to be skipped.
  if (command === LOCAL) return { kind: 'header', length }
  const header = bytes.subarray(0, length)
  const addresses = family === TCP4.code ? TCP4.bytes : family === TCP6.code ? TCP6.bytes : 0
  if (length < V2_FIXED_BYTES + addresses) return malformed('the header is shorter than its addresses')
  const fault = faultOfTlvs(header, V2_FIXED_BYTES + addresses)
  if (fault !== undefined) return malformed(fault)
  const source = sourceOf(header, family)
  return { kind: 'header', length, ...(source === undefined ? {} : { source }) }
}

function sourceOf(header: Uint8Array, family: number | undefined): ProxiedPeer | undefined {
  if (family === TCP4.code) return { address: ipv4FromValue(uint32(header, 16)), port: uint16(header, 24) }
  if (family !== TCP6.code) return undefined
  const words = [16, 20, 24, 28].map((at) => uint32(header, at)) as [number, number, number, number]
  return { address: ipv6FromWords(words), port: uint16(header, 48) }
}

/** `PP2_TYPE_CRC32C`, section 2.2.4. */
const CRC32C = 0x03

/** What is wrong with what follows the addresses. */
function faultOfTlvs(header: Uint8Array, from: number): string | undefined {
  let checked = false
  for (let at = from; at < header.length; ) {
    if (header.length - at < 3) return 'a TLV ends before its length'
    const value = at + 3
    const next = value + uint16(header, at + 1)
    if (next > header.length) return 'a TLV runs past the header'
    if (header[at] === CRC32C) {
      if (next - value !== 4) return 'the checksum is not four bytes long'
      if (checked) return 'there is more than one checksum'
      checked = true
      // A copy: `slice` of a Buffer is none.
      const without = Uint8Array.from(header)
      without.fill(0, value, next)
      if (crc32c(without) !== uint32(header, value)) return 'the checksum does not match'
    }
    at = next
  }
  return undefined
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((uint16(bytes, at) << 16) | uint16(bytes, at + 2)) >>> 0
}

/** Castagnoli's polynomial, reflected (RFC 9260 appendix A). */
const CRC_POLYNOMIAL = 0x82f63b78

/** CRC32c of the bytes, unsigned. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC_POLYNOMIAL : crc >>> 1
  }
  return ~crc >>> 0
}
