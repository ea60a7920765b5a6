import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Of the last connections, the oldest first. */
const PLACES_USED = new Set<string>()
/** There are some 14,000 ports to go round. */
const PLACES_REMEMBERED = 2_000

/** A client that sends exactly the bytes it is told, and shows exactly what comes back. */
export class RawClient {
  readonly socket: Socket
  /** Its own port, which audit lines carry; known also after the end. */
  readonly localPort: number
  readonly #chunks: Buffer[] = []
  #closed = false
  #wake: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    this.localPort = socket.localPort ?? 0
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#notify()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed = true
      this.#notify()
    })
    socket.on('end', () => this.#notify())
  }

  static async connect(port: number, host = '127.0.0.1', localAddress?: string): Promise<RawClient> {
    for (;;) {
      const socket = connect({ host, port, allowHalfOpen: true, ...(localAddress === undefined ? {} : { localAddress }) })
      await once(socket, 'connect')
      const client = new RawClient(socket)
      // Tests know a connection's audit lines by its port, which the system gives out again.
      const place = `${socket.localAddress} ${client.localPort}`
      if (PLACES_USED.has(place)) {
        client.close()
        continue
      }
      PLACES_USED.add(place)
      const [oldest] = PLACES_USED
      if (PLACES_USED.size > PLACES_REMEMBERED && oldest !== undefined) PLACES_USED.delete(oldest)
      return client
    }
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString('latin1')
  }

  get closed(): boolean {
    return this.#closed
  }

  send(data: string | Uint8Array): void {
    this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
  }

  /** Resolves once what was received satisfies the condition; rejects when the connection closes before. */
  async until(condition: (text: string) => boolean, what = 'the expected answer'): Promise<string> {
    while (!condition(this.text)) {
      // A reset that overtakes bytes shows as an end, and no more than that.
      if (this.#closed || this.socket.readableEnded)
        throw new Error(`closed before ${what}; received ${JSON.stringify(this.text.slice(0, 2000))}`)
      await this.#more()
    }
    return this.text
  }

  /** The head and, by Content-Length, the body of the first answer. */
  async answer(): Promise<string> {
    return this.until((text) => {
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return false
      const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))
      return length === null || text.length >= end + 4 + Number(length[1])
    }, 'a whole answer')
  }

  /** Resolves with everything received once the other side has closed. */
  async untilClosed(): Promise<string> {
    while (!this.#closed && !this.socket.readableEnded) await this.#more()
    return this.text
  }

  close(): void {
    this.socket.destroy()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/** Sends bytes on a connection of their own and returns all that comes back until the other side closes. */
export async function exchangeRaw(port: number, data: string | Uint8Array): Promise<string> {
  const client = await RawClient.connect(port)
  try {
    client.send(data)
    return await client.untilClosed()
  } finally {
    client.close()
  }
}
