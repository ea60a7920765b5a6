/**
 * Reads TLS's presentation language (RFC 8446 section 3) from the front of some bytes: big-endian numbers, and vectors led by
 * their length in bytes. A read that wants more than is left gives undefined, and so does every later one: after a row of reads
 * it is enough to look at the last. Nothing is copied.
 */
export class TlsVector {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  bytes(count: number): Uint8Array | undefined {
    if (count > this.left) {
      this.#at = this.#bytes.length
      return undefined
    }
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  uint8(): number | undefined {
    return this.bytes(1)?.[0]
  }

  uint16(): number | undefined {
    const [high, low] = this.bytes(2) ?? []
    return high === undefined || low === undefined ? undefined : (high << 8) | low
  }

  /** A vector led by one byte of length. */
  vector8(): TlsVector | undefined {
    return this.#vector(this.uint8())
  }

  /** A vector led by two bytes of length. */
  vector16(): TlsVector | undefined {
    return this.#vector(this.uint16())
  }

  #vector(length: number | undefined): TlsVector | undefined {
    const inside = length === undefined ? undefined : this.bytes(length)
    return inside && new TlsVector(inside)
  }

  /** What is left as Latin-1, one character a byte whatever it is: nothing is decoded, so nothing is lost or merged. */
  text(): string {
    let text = ''
    for (const byte of this.bytes(this.left) ?? []) text += String.fromCharCode(byte)
    return text
  }
}
