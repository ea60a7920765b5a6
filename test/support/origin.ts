import { createServer, type Server, type Socket } from 'node:net'

/** A TCP server that records every connection and byte, so that a test can prove that nothing arrived. */
export class Origin {
  readonly #server: Server
  readonly sockets: Socket[] = []
  readonly #chunks: Buffer[][] = []

  private constructor(server: Server) {
    this.#server = server
  }

  /**
   * @param serve what to do with a connection; by default every byte is sent back
   */
  static async start(serve: (socket: Socket) => void = echo, host = '127.0.0.1'): Promise<Origin> {
    const server = createServer({ allowHalfOpen: true })
    const origin = new Origin(server)
    server.on('connection', (socket) => {
      const index = origin.sockets.push(socket) - 1
      const chunks: Buffer[] = []
      origin.#chunks[index] = chunks
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      serve(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, host, resolve))
    return origin
  }

  /** Answers each complete request head with the given bytes. */
  static answering(answer: string | ((head: string) => string), host?: string): Promise<Origin> {
    return Origin.start((socket) => {
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          const head = text.slice(0, end + 4)
          text = text.slice(end + 4)
          socket.write(Buffer.from(typeof answer === 'string' ? answer : answer(head), 'latin1'))
        }
      })
      socket.on('end', () => socket.end())
    }, host)
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  get connections(): number {
    return this.sockets.length
  }

  /** What each connection has received. */
  get received(): readonly Buffer[] {
    return this.#chunks.map((chunks) => {
      // Put together once, not again at every look.
      if (chunks.length > 1) chunks.splice(0, chunks.length, Buffer.concat(chunks))
      return chunks[0] ?? Buffer.alloc(0)
    })
  }

  /** Everything received on all connections. */
  get text(): string {
    return Buffer.concat(this.received).toString('latin1')
  }

  /** Forgets what was received, and the connections that have ended: for a load that would fill memory with it. */
  forget(): void {
    for (let index = this.sockets.length - 1; index >= 0; index--) {
      this.#chunks[index]?.splice(0)
      if (this.sockets[index]?.destroyed !== true) continue
      this.sockets.splice(index, 1)
      this.#chunks.splice(index, 1)
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

function echo(socket: Socket): void {
  socket.pipe(socket)
}

/** An HTTP answer with a body and its length. */
export function httpAnswer(body: string, fields = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields}\r\n${body}`
}
