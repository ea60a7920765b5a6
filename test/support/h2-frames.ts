import type { RawClient } from './raw-client.ts'

/** RFC 9113 section 3.4. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** RFC 9113 section 4.1. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export const settings = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer =>
  frame(
    FRAME.settings,
    0,
    0,
    Buffer.concat(
      pairs.map(([id, value]) => {
        const pair = Buffer.alloc(6)
        pair.writeUInt16BE(id, 0)
        pair.writeUInt32BE(value, 2)
        return pair
      }),
    ),
  )

export const resetStream = (stream: number, code = 8): Buffer => frame(FRAME.resetStream, 0, stream, uint32(code))

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** HPACK in its plainest form (RFC 7541 section 6.2.2): literals, never indexed, no Huffman, so that every byte is as written. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

/** RFC 7541 section 5.1. */
function integer(value: number, bits: number): Buffer {
  const max = 2 ** bits - 1
  if (value < max) return Buffer.from([value])
  const out = [max]
  let rest = value - max
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128)
  return Buffer.from([...out, rest])
}

export interface Http2Request {
  readonly method?: string
  readonly path?: string
  readonly authority?: string
  readonly scheme?: string
  readonly fields?: readonly (readonly [string, string])[]
}

/** The fields of a request, pseudo-fields first. */
export function requestBlock({ method = 'GET', path = '/', authority, scheme = 'https', fields = [] }: Http2Request): Buffer {
  return headerBlock([
    [':method', method],
    [':scheme', scheme],
    ...(authority === undefined ? [] : ([[':authority', authority]] as const)),
    [':path', path],
    ...fields,
  ])
}

export const requestFrame = (stream: number, request: Http2Request): Buffer =>
  frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream, requestBlock(request))

/** A client that sends HTTP/2 frames exactly as told. */
export class FrameClient {
  readonly raw: RawClient

  constructor(raw: RawClient) {
    this.raw = raw
    raw.send(Buffer.concat([PREFACE, settings()]))
  }

  /** Whole frames received so far. */
  get frames(): Frame[] {
    const { bytes } = this.raw
    const frames: Frame[] = []
    for (let at = 0; at + 9 <= bytes.length; ) {
      const end = at + 9 + bytes.readUIntBE(at, 3)
      if (end > bytes.length) break
      const stream = bytes.readUInt32BE(at + 5) & 0x7fff_ffff
      frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, stream, payload: bytes.subarray(at + 9, end) })
      at = end
    }
    return frames
  }

  of(type: number, stream?: number): Frame[] {
    return this.frames.filter((candidate) => candidate.type === type && (stream === undefined || candidate.stream === stream))
  }

  send(...frames: readonly Buffer[]): void {
    this.raw.send(Buffer.concat(frames))
  }

  /** Resolves once the frames received satisfy the condition; rejects when the connection closes before. */
  async until(condition: (client: FrameClient) => boolean, what: string): Promise<void> {
    await this.raw.until(() => condition(this), what)
  }

  /** Resolves once the server has ended the connection, with the error code of its GOAWAY. */
  async untilClosed(): Promise<number | undefined> {
    await this.raw.untilClosed()
    return this.of(FRAME.goaway).at(-1)?.payload.readUInt32BE(4)
  }
}
