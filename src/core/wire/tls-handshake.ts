/**
 * The first handshake message of a TLS client, put together from the records that carry it (RFC 8446 section 5.1).
 *
 *     record    = type(1) version(2) length(2) fragment(length)
 *     handshake = type(1) length(3) body(length)      cut into fragments anywhere, even inside its own header
 *
 * Stricter than servers are: a fault is better refused here than read in one way by the gateway and in another by the origin.
 */

/**
 * Most bytes a ClientHello may take, record headers included; a longer one is malformed. Real hellos are 0.2 to 3 KB, with
 * large session tickets or client-side padding more; 64 KiB is four full records.
 */
export const MAX_HELLO_BYTES = 65_536
/** No client cuts its hello this small; with `MAX_HELLO_BYTES` it bounds what a flood of tiny records can cost. */
export const MAX_HELLO_RECORDS = 4_096

const RECORD_HEADER_BYTES = 5
/** RFC 8446 section 5.1: a plaintext fragment is at most 2^14 bytes. */
const FRAGMENT_BYTES_MAX = 16_384
const HANDSHAKE_HEADER_BYTES = 4
/** `ContentType.handshake`, RFC 8446 appendix B.1. */
export const HANDSHAKE_RECORD = 22
/** The major version of SSL 3.0 and of every TLS on the wire. */
export const TLS_MAJOR = 3
/** `HandshakeType.client_hello`, RFC 8446 appendix B.3. */
const CLIENT_HELLO = 1

export interface Incomplete {
  readonly kind: 'incomplete'
}

/** `why`: lower case, a fixed text; never quotes the client's bytes. */
export interface Unreadable {
  /** `not_tls`: another protocol altogether. `malformed`: meant as TLS, and no ClientHello that could be trusted to mean one thing. */
  readonly kind: 'not_tls' | 'malformed'
  readonly why: string
}

export interface HelloMessage {
  readonly kind: 'message'
  /** Without the handshake header; may be a view of the last piece. */
  readonly body: Uint8Array
  /** Bytes of input up to the end of the record that ends the message. */
  readonly length: number
}

export type Assembled = Incomplete | Unreadable | HelloMessage

export const INCOMPLETE: Incomplete = { kind: 'incomplete' }
export const notTls = (why: string): Unreadable => ({ kind: 'not_tls', why })
export const malformed = (why: string): Unreadable => ({ kind: 'malformed', why })

/**
 * Takes bytes in pieces of any size and says what they amount to so far. Every verdict falls on one certain byte of the input,
 * so how the bytes were cut cannot change it, and the earliest fault is the one reported. Each byte is looked at once and
 * copied; no more than twice what was received is kept. Not to be pushed to after anything but `incomplete`.
 */
export class HelloAssembly {
  #consumed = 0
  #records = 0
  #headerBytes = 0
  /** Bytes of the current record's fragment that have not arrived. */
  #fragmentLeft = 0
  #message: Uint8Array = new Uint8Array(0)
  #held = 0
  /** The message is a view of the piece that is being taken. */
  #isBorrowed = false

  push(chunk: Uint8Array): Assembled {
    let at = 0
    while (at < chunk.length) {
      const isHeader = this.#headerBytes < RECORD_HEADER_BYTES
      const end = isHeader ? at + 1 : Math.min(chunk.length, at + this.#fragmentLeft)
      this.#consumed += end - at
      const assembled = isHeader ? this.#takeHeaderByte(chunk[at] ?? 0) : this.#takeFragmentPart(chunk.subarray(at, end))
      if (assembled.kind !== 'incomplete') return assembled
      at = end
    }
    this.#own()
    return INCOMPLETE
  }

  /** Byte by byte, so that another protocol is known by its first byte and not by its fifth. */
  #takeHeaderByte(byte: number): Assembled {
    const first = this.#records === 0
    switch (this.#headerBytes++) {
      case 0:
        if (byte === HANDSHAKE_RECORD) return INCOMPLETE
        return first
          ? notTls('the first byte does not begin a TLS handshake record')
          : malformed('another kind of record stands inside the ClientHello')
      case 1:
        if (byte === TLS_MAJOR) return INCOMPLETE
        return first ? notTls('the record version is not one of TLS') : malformed('a record changes the major version')
      case 2:
        // RFC 8446 section 5.1: 0x0303, and 0x0301 for a first hello; clients that know TLS 1.1 alone say 0x0302.
        return byte >= 1 && byte <= 3 ? INCOMPLETE : malformed('the record version is not between 0x0301 and 0x0303')
      case 3:
        this.#fragmentLeft = byte << 8
        return INCOMPLETE
      default:
        this.#fragmentLeft |= byte
        return this.#beginFragment()
    }
  }

  #beginFragment(): Assembled {
    this.#records++
    // RFC 8446 section 5.1 forbids empty handshake fragments, and they would make the hello endless.
    if (this.#fragmentLeft === 0) return malformed('a record is empty')
    if (this.#fragmentLeft > FRAGMENT_BYTES_MAX) return malformed(`a record is longer than ${FRAGMENT_BYTES_MAX} bytes`)
    if (this.#records > MAX_HELLO_RECORDS) return malformed(`the ClientHello takes more than ${MAX_HELLO_RECORDS} records`)
    return this.#consumed + this.#fragmentLeft > MAX_HELLO_BYTES ? tooLong() : INCOMPLETE
  }

  #takeFragmentPart(part: Uint8Array): Assembled {
    this.#fragmentLeft -= part.length
    if (this.#fragmentLeft === 0) this.#headerBytes = 0
    this.#keep(part)
    if (this.#message[0] !== CLIENT_HELLO) return malformed('the first handshake message is not a ClientHello')
    if (this.#held < HANDSHAKE_HEADER_BYTES) return INCOMPLETE

    const length = HANDSHAKE_HEADER_BYTES + uint24(this.#message, 1)
    const missing = length - this.#held
    // RFC 8446 section 5.1: keys change after a ClientHello, or the client waits, so its record ends where it ends.
    if (this.#fragmentLeft > missing) return malformed('something follows the ClientHello in its record')
    if (missing > 0) return this.#consumed + missing > MAX_HELLO_BYTES ? tooLong() : INCOMPLETE
    return { kind: 'message', body: this.#message.subarray(HANDSHAKE_HEADER_BYTES, length), length: this.#consumed }
  }

  /** Grows by what arrived, never by the length that the client announces. */
  #keep(part: Uint8Array): void {
    const needed = this.#held + part.length
    if (this.#held === 0) {
      this.#message = part
      this.#isBorrowed = true
    } else {
      if (needed > this.#message.length) this.#grow(Math.max(needed, 2 * this.#held))
      this.#message.set(part, this.#held)
    }
    this.#held = needed
  }

  /** Most hellos come in one piece and are read where they are. What is to be kept for longer is copied. */
  #own(): void {
    if (this.#isBorrowed) this.#grow(this.#held)
  }

  #grow(size: number): void {
    const grown = new Uint8Array(size)
    grown.set(this.#message.subarray(0, this.#held))
    this.#message = grown
    this.#isBorrowed = false
  }
}

function uint24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
}

const tooLong = (): Unreadable => malformed(`the ClientHello is longer than ${MAX_HELLO_BYTES} bytes`)
