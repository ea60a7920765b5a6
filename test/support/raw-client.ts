import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Below those that the system gives out, so that no other socket has one of them by chance. */
const FIRST_PORT = 12_000
const PORTS = 20_000
let nextPort = Math.floor(Math.random() * PORTS)

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

  /** Tests know a connection's audit lines by its port: none is used again before all have been. */
  static async connect(port: number, host = '127.0.0.1', localAddress?: string): Promise<RawClient> {
    for (;;) {
      const localPort = FIRST_PORT + (nextPort++ % PORTS)
      const from = localAddress === undefined ? { localPort } : { localPort, localAddress }
      const socket = connect({ host, port, allowHalfOpen: true, ...from })
      try {
        await once(socket, 'connect')
        return new RawClient(socket)
      } catch (error) {
        // Somebody else has it, or has had it just now.
        if (!['EADDRINUSE', 'EADDRNOTAVAIL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      }
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
