import { connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { ServerCertificate } from './openssl-ca.ts'

/** What a parent does with a CONNECT. */
export type ParentConduct =
  /** Connects to that port of this host and answers 200, with `early` behind it in the same write. */
  | { readonly to: number; readonly early?: string }
  /** Answers with these bytes and leaves the connection as it is. */
  | { readonly says: string }
  | 'close'
  | 'silence'

/** A proxy for CONNECT alone, which does as it is told and remembers what it was asked. */
export class ParentProxy {
  readonly heads: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(conduct: (head: string) => ParentConduct, tls: ServerCertificate | undefined) {
    const serve = (socket: Socket) => this.#serve(socket, conduct)
    this.#server =
      tls === undefined ? createServer({ allowHalfOpen: true }, serve) : createTlsServer({ ...tls, allowHalfOpen: true }, serve)
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
    })
  }

  static async start(
    conduct: (head: string) => ParentConduct,
    { tls, port = 0 }: { tls?: ServerCertificate; port?: number } = {},
  ): Promise<ParentProxy> {
    const parent = new ParentProxy(conduct, tls)
    await new Promise<void>((resolve) => parent.#server.listen(port, '127.0.0.1', resolve))
    return parent
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #serve(socket: Socket, conduct: (head: string) => ParentConduct): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    let text = ''
    const read = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      socket.off('data', read).pause()
      const head = text.slice(0, end + 4)
      this.heads.push(head)
      const does = conduct(head)
      if (does === 'close') return void socket.end()
      if (does === 'silence') return void socket.resume()
      if ('says' in does) return void socket.resume().write(Buffer.from(does.says, 'latin1'))
      const origin = connect({ host: '127.0.0.1', port: does.to, allowHalfOpen: true })
      this.#sockets.add(origin)
      origin.on('error', () => socket.destroy())
      origin.once('connect', () => {
        socket.write(`HTTP/1.1 200 OK\r\n\r\n${does.early ?? ''}`)
        socket.pipe(origin).pipe(socket)
      })
    }
    socket.on('data', read)
  }
}
