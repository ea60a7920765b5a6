/** Hand-made ClientHellos: every part can be put in wrong. */

type Bytes = readonly number[]

export const ascii = (text: string): Bytes => Array.from(text, (character) => character.charCodeAt(0))
export const zeros = (count: number): Bytes => new Array<number>(count).fill(0)
export const uint16 = (value: number): Bytes => [value >> 8, value & 0xff]
export const vector8 = (content: Bytes): Bytes => [content.length, ...content]
export const vector16 = (content: Bytes): Bytes => [...uint16(content.length), ...content]

export const extension = (type: number, content: Bytes): Bytes => [...uint16(type), ...vector16(content)]
export const nameEntry = (name: string, type = 0): Bytes => [type, ...vector16(ascii(name))]
export const serverName = (...names: readonly string[]): Bytes =>
  extension(0, vector16(names.flatMap((name) => [...nameEntry(name)])))
export const alpn = (...names: readonly string[]): Bytes =>
  extension(16, vector16(names.flatMap((name) => [...vector8(ascii(name))])))
export const versions = (...list: readonly number[]): Bytes => extension(43, vector8(list.flatMap((v) => [...uint16(v)])))

export interface BodyParts {
  readonly version?: Bytes
  readonly random?: Bytes
  readonly sessionId?: Bytes
  readonly cipherSuites?: Bytes
  readonly compression?: Bytes
  /** The whole block with its length, or nothing at all. */
  readonly extensions?: Bytes
}

/** A body that is right wherever `parts` does not say otherwise. Vectors are given with their length. */
export function helloBody(parts: BodyParts = {}): Bytes {
  return [
    ...(parts.version ?? [3, 3]),
    ...(parts.random ?? zeros(32)),
    ...(parts.sessionId ?? vector8([])),
    ...(parts.cipherSuites ?? vector16([0x13, 0x01])),
    ...(parts.compression ?? vector8([0])),
    ...(parts.extensions ?? vector16(serverName('a.example'))),
  ]
}

export const handshake = (body: Bytes, type = 1): Bytes => [type, body.length >> 16, ...uint16(body.length & 0xffff), ...body]
export const record = (fragment: Bytes, type = 22, version: Bytes = [3, 1]): Bytes => [type, ...version, ...vector16(fragment)]

/** Cuts a message into records of at most `size` bytes. */
export function records(message: Bytes | Uint8Array, size = 16_384): Uint8Array {
  const out: number[] = []
  for (let at = 0; at < message.length; at += size) {
    const length = Math.min(size, message.length - at)
    out.push(22, 3, 1, length >> 8, length & 0xff)
    for (let i = at; i < at + length; i++) out.push(message[i] ?? 0)
  }
  return Uint8Array.from(out)
}

/** One record with a hello of these extensions. */
export const helloWith = (...extensions: readonly Bytes[]): Uint8Array => hello({ extensions: vector16(extensions.flat()) })
export const hello = (parts: BodyParts = {}): Uint8Array => records(handshake(helloBody(parts)))

/** The handshake message inside records, their headers taken off. */
export function messageOf(bytes: Uint8Array): Uint8Array {
  const message: number[] = []
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
    message.push(...bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return Uint8Array.from(message)
}

const PADDING = 21

/** A hello whose message has exactly this many bytes, filled up with the padding extension. */
export function messageOfLength(length: number): Bytes {
  const spare =
    length - handshake(helloBody({ extensions: vector16([...serverName('a.example'), ...extension(PADDING, [])]) })).length
  return handshake(helloBody({ extensions: vector16([...serverName('a.example'), ...extension(PADDING, zeros(spare))]) }))
}
