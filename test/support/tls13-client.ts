import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { extension, handshake, helloBody, record, serverName, vector8, vector16, versions } from '../core/wire/hellos/build.ts'
import type { RawClient } from './raw-client.ts'

const X25519 = 0x001d
const AES_128_GCM_SHA256 = [0x13, 0x01]
/** RFC 8446 section 4.1.3: a ServerHello with this random is a HelloRetryRequest. */
const RETRY_RANDOM = createHash('sha256').update('HelloRetryRequest').digest()
/** SubjectPublicKeyInfo of an X25519 key, up to the key. */
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')

/**
 * Just enough of a TLS 1.3 client (RFC 8446) to do what no honest one does: it asks for a HelloRetryRequest and names another
 * server in its second ClientHello. It verifies nothing.
 */
export class Tls13Client {
  readonly #raw: RawClient
  readonly #from: number
  readonly #key = generateKeyPairSync('x25519')
  readonly #transcript: Buffer[] = []
  #at = 0

  /** @param raw a connection on which nothing of TLS was said */
  constructor(raw: RawClient) {
    this.#raw = raw
    this.#from = raw.bytes.length
  }

  /** The first hello, without a key share, and the HelloRetryRequest that it provokes. */
  async provokeRetry(name: string): Promise<void> {
    const first = this.#hello(name, [])
    this.#raw.send(Uint8Array.from(record(first)))
    const retry = await this.#nextRecord(22)
    if (!retry.subarray(6, 38).equals(RETRY_RANDOM)) throw new Error('no HelloRetryRequest')
    // RFC 8446 section 4.4.1: the first hello stands in the transcript as its hash.
    this.#transcript.push(Buffer.from([254, 0, 0, 32]), createHash('sha256').update(Uint8Array.from(first)).digest(), retry)
  }

  /** The second hello, and the handshake to its end; then one request. Resolves once it is sent. */
  async finish(name: string, request: string): Promise<void> {
    const share = this.#key.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    const second = Buffer.from(this.#hello(name, [...shareOf(share)]))
    this.#raw.send(Uint8Array.from(record([...second], 22, [3, 3])))
    const serverHello = await this.#nextRecord(22)
    this.#transcript.push(second, serverHello)
    const secret = diffieHellman({ privateKey: this.#key.privateKey, publicKey: keyShareOf(serverHello) })
    const early = extract(Buffer.alloc(32), Buffer.alloc(32))
    const handshakeSecret = extract(expand(early, 'derived', hash([])), secret)
    const at = hash(this.#transcript)
    const client = expand(handshakeSecret, 'c hs traffic', at)
    const server = new Sealer(expand(handshakeSecret, 's hs traffic', at))
    let flight = Buffer.alloc(0)
    while (!endsWithFinished(flight)) flight = Buffer.concat([flight, server.open(await this.#nextRecord(23))])
    this.#transcript.push(flight)
    const whole = hash(this.#transcript)
    const verify = createHmac('sha256', expand(client, 'finished', Buffer.alloc(0)))
      .update(whole)
      .digest()
    const master = extract(expand(handshakeSecret, 'derived', hash([])), Buffer.alloc(32))
    this.#raw.send(new Sealer(client).seal(Buffer.concat([Buffer.from([20, 0, 0, 32]), verify]), 22))
    this.#raw.send(new Sealer(expand(master, 'c ap traffic', whole)).seal(Buffer.from(request, 'latin1'), 23))
  }

  #hello(name: string, shares: readonly number[]): readonly number[] {
    const extensions = [
      serverName(name),
      versions(0x0304),
      extension(10, vector16([X25519 >> 8, X25519 & 0xff])),
      extension(13, vector16([4, 3, 8, 4, 4, 1])),
      extension(51, vector16(shares)),
    ]
    return handshake(
      helloBody({ cipherSuites: vector16(AES_128_GCM_SHA256), sessionId: vector8([]), extensions: vector16(extensions.flat()) }),
    )
  }

  /** The content of the next record of a type; others (ChangeCipherSpec) are passed over. An encrypted one comes with its header. */
  async #nextRecord(type: number): Promise<Buffer> {
    for (;;) {
      const start = this.#from + this.#at
      await this.#raw.until(() => {
        const { bytes } = this.#raw
        return bytes.length >= start + 5 && bytes.length >= start + 5 + bytes.readUInt16BE(start + 3)
      }, 'a TLS record')
      const { bytes } = this.#raw
      const end = start + 5 + bytes.readUInt16BE(start + 3)
      this.#at = end - this.#from
      if (bytes[start] === type) return bytes.subarray(type === 23 ? start : start + 5, end)
      if (bytes[start] === 21) throw new Error(`alert ${bytes[start + 6]}`)
    }
  }
}

const shareOf = (key: Uint8Array) => [X25519 >> 8, X25519 & 0xff, ...vector16([...key])]

/** The server's share stands at the end of its `key_share`. */
function keyShareOf(serverHello: Buffer): KeyObject {
  const marker = Buffer.from([0, 51, 0, 36, 0, X25519, 0, 32])
  const at = serverHello.indexOf(marker)
  const key = serverHello.subarray(at + marker.length, at + marker.length + 32)
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), type: 'spki', format: 'der' })
}

function endsWithFinished(flight: Buffer): boolean {
  let last: number | undefined
  let at = 0
  while (at + 4 <= flight.length && at + 4 + flight.readUIntBE(at + 1, 3) <= flight.length) {
    last = flight[at]
    at += 4 + flight.readUIntBE(at + 1, 3)
  }
  return last === 20 && at === flight.length
}

const hash = (parts: readonly Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const extract = (salt: Uint8Array, secret: Uint8Array): Buffer => createHmac('sha256', salt).update(secret).digest()

/** HKDF-Expand-Label (RFC 8446 section 7.1), of at most one block. */
function expand(secret: Uint8Array, label: string, context: Uint8Array, length = 32): Buffer {
  const name = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([
    Buffer.from([0, length, name.length]),
    name,
    Buffer.from([context.length]),
    context,
    Buffer.from([1]),
  ])
  return createHmac('sha256', secret).update(info).digest().subarray(0, length)
}

/** One direction's record protection (RFC 8446 section 5.2). */
class Sealer {
  readonly #key: Buffer
  readonly #iv: Buffer
  #sequence = 0

  constructor(secret: Uint8Array) {
    this.#key = expand(secret, 'key', Buffer.alloc(0), 16)
    this.#iv = expand(secret, 'iv', Buffer.alloc(0), 12)
  }

  seal(content: Uint8Array, type: number): Buffer {
    const header = Buffer.from([23, 3, 3, 0, 0])
    header.writeUInt16BE(content.length + 1 + 16, 3)
    const cipher = createCipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(header)
    const sealed = Buffer.concat([cipher.update(Buffer.concat([content, Buffer.from([type])])), cipher.final()])
    return Buffer.concat([header, sealed, cipher.getAuthTag()])
  }

  open(sealed: Buffer): Buffer {
    const decipher = createDecipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(sealed.subarray(0, 5))
    decipher.setAuthTag(sealed.subarray(-16))
    const content = Buffer.concat([decipher.update(sealed.subarray(5, -16)), decipher.final()])
    return content.subarray(0, -1)
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence++) >>> 0, 8)
    return nonce
  }
}
