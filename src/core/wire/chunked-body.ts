/** Bytes of one chunk; more digits than this are a length that nobody means. */
const MAX_SIZE_DIGITS = 13

/** Extensions of one chunk, and all trailers together: nobody uses the first, and no trailer is passed on. */
const MAX_EXTENSION_BYTES = 1_024
const MAX_TRAILER_BYTES = 16_384

const CR = 0x0d
const LF = 0x0a
const SEMICOLON = 0x3b
const COLON = 0x3a
const BLANK = 0x20
const TAB = 0x09

/** What is being read. */
type Place =
  | 'size'
  | 'extension'
  | 'size_lf'
  | 'data'
  | 'data_cr'
  | 'data_lf'
  | 'trailer_start'
  | 'trailer_name'
  | 'trailer_value'
  | 'trailer_lf'
  | 'end_lf'
  | 'done'

export type ChunkedReading = 'more' | 'done' | { readonly problem: string }

/**
 * Reads a chunked body (RFC 9112 section 7.1), in pieces of any size: what it carries goes out, extensions and trailers are dropped.
 * Only CRLF ends a line, and a size has nothing but digits before its extension.
 */
export class ChunkedBody {
  #place: Place = 'size'
  #left = 0
  #digits = 0
  #spare = 0

  /**
   * @param onData gets views of the piece, none of them empty
   * @returns `done` at the last byte of the body; then `consumed` tells how much of this piece that was
   */
  push(piece: Uint8Array, onData: (bytes: Uint8Array) => void): ChunkedReading {
    let at = 0
    while (at < piece.length && this.#place !== 'done') {
      if (this.#place === 'data') {
        const end = Math.min(piece.length, at + this.#left)
        onData(piece.subarray(at, end))
        this.#left -= end - at
        at = end
        if (this.#left === 0) this.#place = 'data_cr'
        continue
      }
      const problem = this.#take(piece[at] ?? 0)
      if (problem !== undefined) return { problem }
      at++
    }
    this.consumed = at
    return this.#place === 'done' ? 'done' : 'more'
  }

  /** Bytes of the piece that was pushed last. */
  consumed = 0

  #take(byte: number): string | undefined {
    switch (this.#place) {
      case 'size':
        return this.#takeSize(byte)
      case 'extension':
        if (byte === CR) this.#place = 'size_lf'
        else if (isControl(byte) || ++this.#spare > MAX_EXTENSION_BYTES) return 'a chunk extension is not one, or too long'
        return undefined
      case 'size_lf':
        if (byte !== LF) return 'the line of a chunk size does not end in CRLF'
        this.#place = this.#left === 0 ? 'trailer_start' : 'data'
        this.#spare = 0
        return undefined
      case 'data_cr':
        this.#place = 'data_lf'
        return byte === CR ? undefined : 'a chunk is longer than its size'
      case 'data_lf':
        this.#place = 'size'
        this.#digits = 0
        return byte === LF ? undefined : 'a chunk does not end in CRLF'
      default:
        return this.#takeTrailer(byte)
    }
  }

  #takeSize(byte: number): string | undefined {
    const digit = hexDigit(byte)
    if (digit !== undefined) {
      if (++this.#digits > MAX_SIZE_DIGITS) return 'a chunk size is too large'
      this.#left = this.#left * 16 + digit
      return undefined
    }
    if (this.#digits === 0) return 'a chunk size is not a number'
    if (byte === CR) this.#place = 'size_lf'
    else if (byte === SEMICOLON) this.#place = 'extension'
    else return 'a chunk size is not a number'
    return undefined
  }

  #takeTrailer(byte: number): string | undefined {
    if (++this.#spare > MAX_TRAILER_BYTES) return 'the trailers are too long'
    switch (this.#place) {
      case 'trailer_start':
        this.#place = byte === CR ? 'end_lf' : 'trailer_name'
        // A line that begins with a blank would be the end of the one before it (RFC 9112 section 5.2).
        return byte === COLON || byte === BLANK || (byte !== CR && isControl(byte)) ? 'a trailer is no field' : undefined
      case 'trailer_name':
        if (byte === COLON) this.#place = 'trailer_value'
        return byte === BLANK || isControl(byte) ? 'a trailer is no field' : undefined
      case 'trailer_value':
        if (byte === CR) this.#place = 'trailer_lf'
        else if (isControl(byte) && byte !== TAB) return 'a trailer does not end in CRLF'
        return undefined
      case 'trailer_lf':
        this.#place = 'trailer_start'
        return byte === LF ? undefined : 'a trailer does not end in CRLF'
      default:
        this.#place = 'done'
        return byte === LF ? undefined : 'the body does not end in CRLF'
    }
  }
}

function isControl(byte: number): boolean {
  return byte < 0x20 || byte === 0x7f
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined
}
