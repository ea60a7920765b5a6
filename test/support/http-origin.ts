import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'

export interface HttpOriginOptions {
  /** Serves HTTPS with this certificate. */
  readonly tls?: { readonly key: string; readonly cert: string }
  readonly host?: string
  readonly port?: number
}

/** An HTTP server that remembers what it was asked, so that a test can prove what arrived and what did not. */
export class HttpOrigin {
  readonly server: Server
  /** In the order of arrival, as `GET /path`. */
  readonly asked: string[] = []
  readonly requests: IncomingMessage[] = []
  /** TCP connections, those that never got through a handshake among them. */
  readonly sockets: Socket[] = []

  private constructor(server: Server) {
    this.server = server
    server.on('connection', (socket: Socket) => this.sockets.push(socket))
    server.on('request', (req) => {
      this.requests.push(req)
      this.asked.push(`${req.method} ${req.url}`)
    })
  }

  static async start(
    handle: RequestListener,
    { tls, host = '127.0.0.1', port = 0 }: HttpOriginOptions = {},
  ): Promise<HttpOrigin> {
    const server = tls === undefined ? createServer() : createTlsServer(tls)
    const origin = new HttpOrigin(server)
    server.on('request', handle)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
    return origin
  }

  /** Serves these files; anything else is a 404. */
  static serving(files: (path: string) => Uint8Array | string | undefined, options?: HttpOriginOptions): Promise<HttpOrigin> {
    return HttpOrigin.start((req, res) => {
      const { pathname } = new URL(req.url ?? '/', 'http://origin')
      const body = files(decodeURIComponent(pathname))
      const type = typeof body === 'string' && body.startsWith('<!DOCTYPE html>') ? 'text/html' : 'application/octet-stream'
      res.writeHead(body === undefined ? 404 : 200, { 'Content-Type': type })
      res.end(req.method === 'HEAD' ? undefined : body)
    }, options)
  }

  get connections(): number {
    return this.sockets.length
  }

  get port(): number {
    const address = this.server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  /** Forgets what was asked, and the connections that have ended: for a load that would fill memory with it. */
  forget(): void {
    this.asked.length = 0
    this.requests.length = 0
    const open = this.sockets.filter((socket) => !socket.destroyed)
    this.sockets.splice(0, this.sockets.length, ...open)
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve())
      this.server.closeAllConnections()
    })
  }
}
