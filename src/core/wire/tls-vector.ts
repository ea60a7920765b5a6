/**
 * Reads TLS's presentation language (RFC 8446 section 3) from a stretch of some bytes: big-endian numbers, and vectors led by
 * their length in bytes. A read that wants more than is left gives undefined, and so does every later one: after a row of reads
 * it is enough to look at the last. Nothing is copied, and no view is made: a hello has some forty vectors.
 */
export class TlsVector {
  readonly #bytes: Uint8Array
  #at: number
  readonly #end: number

  /** @param end exclusive; both within the bytes */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#end - this.#at
  }

  /** Reads past so many bytes; false where there are fewer. */
  skip(count: number): boolean {
    const isThere = count <= this.left
    this.#at = isThere ? this.#at + count : this.#end
    return isThere
  }

  uint8(): number | undefined {
    return this.skip(1) ? this.#bytes[this.#at - 1] : undefined
  }

  uint16(): number | undefined {
    if (!this.skip(2)) return undefined
    const high = this.#bytes[this.#at - 2] ?? 0
    const low = this.#bytes[this.#at - 1] ?? 0
    return (high << 8) | low
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
    if (length === undefined || !this.skip(length)) return undefined
    return new TlsVector(this.#bytes, this.#at - length, this.#at)
  }

  /** What is left as Latin-1, one character a byte whatever it is: nothing is decoded, so nothing is lost or merged. */
  text(): string {
    let text = ''
    for (let byte = this.uint8(); byte !== undefined; byte = this.uint8()) text += String.fromCharCode(byte)
    return text
  }
}
