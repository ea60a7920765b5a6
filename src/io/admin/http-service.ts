import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { ListenAddress } from '../../core/listen-address.ts'
import { parseAuthority } from '../../core/names/authority.ts'
import { listen } from '../listen.ts'

/** A small HTTP service is asked by probes, Prometheus and operators; none of them needs long. */
const REQUEST_MS = 10_000
const MAX_CONNECTIONS = 256

export interface HttpService {
  readonly server: Server
  start(address: ListenAddress): Promise<ListenAddress>
  stop(): void
}

export function createHttpService(handle: RequestListener): HttpService {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, maxHeaderSize: 16_384 }, handle)
  server.maxConnections = MAX_CONNECTIONS
  return {
    server,
    start: (address) => listen(server, address),
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Nothing here is a page: no sniffing, no framing, no caching. */
const STRICT_FIELDS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
} as const

/** RFC 9110 section 15.5.6: a 405 says what is allowed. */
export function allowsMethod(req: IncomingMessage, res: ServerResponse): boolean {
  if (req.method === 'GET' || req.method === 'HEAD') return true
  res.setHeader('Allow', 'GET, HEAD')
  return false
}

export function sendText(res: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  res.writeHead(status, { ...STRICT_FIELDS, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
  res.end(res.req.method === 'HEAD' ? undefined : body)
}

export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  sendText(res, status, `${JSON.stringify(value, undefined, 2)}\n`, 'application/json')
}

/**
 * A browser on the operator's machine can be led here under a name of the attacker's (DNS rebinding): only addresses,
 * `localhost` and the names given are answered.
 */
export function isOwnName(req: IncomingMessage, names: readonly string[]): boolean {
  const authority = parseAuthority(req.headers.host ?? '', 80)
  if (!authority.ok) return false
  const { host } = authority.value
  return host.kind === 'address' || host.text === 'localhost' || names.includes(host.text)
}

/** Path and query of a request, or nothing where the target is no path. */
export function requestUrl(req: IncomingMessage): URL | undefined {
  const target = req.url ?? ''
  // Not resolved against a base: `//` and `/\` would begin an authority there, and a bad one throws.
  return target.startsWith('/') ? new URL(`http://gateway${target}`) : undefined
}
