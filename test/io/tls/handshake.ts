import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, connect, type SecureContext, type SecureVersion, TLSSocket } from 'node:tls'

export interface ClientOptions {
  /** Absent: Node's own roots. */
  readonly ca?: string
  readonly servername?: string
  /** For an address, which has no server name. */
  readonly host?: string
  readonly version: SecureVersion
  readonly session?: Buffer | undefined
  /** Do not compare the certificate's name. */
  readonly anyName?: boolean
}

export interface Handshake {
  readonly authorized: boolean
  readonly protocol: string | null
  readonly resumed: boolean
  readonly session: Buffer | undefined
  /** The curve of the server's key. */
  readonly key: string | undefined
}

/** A server as the gateway is one inside a tunnel, on a free loopback port: it says `.` and ends. */
export async function serveTls(context: SecureContext): Promise<{ readonly port: number; close(): void }> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    const inside = new TLSSocket(socket, { isServer: true, secureContext: context })
    inside.on('error', () => socket.destroy())
    inside.on('_tlsError', () => socket.destroy())
    inside.once('secure', () => inside.end('.'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

/** Node as a client of the context. Rejects with the client's error. */
export async function handshake(
  context: SecureContext,
  { version, anyName = false, ...client }: ClientOptions,
): Promise<Handshake> {
  const { port, close } = await serveTls(context)
  const options: ConnectionOptions = {
    ...(client.ca === undefined ? {} : { ca: client.ca }),
    ...(client.servername === undefined ? {} : { servername: client.servername }),
    ...(client.session === undefined ? {} : { session: client.session }),
    ...(anyName ? { checkServerIdentity: () => undefined } : {}),
    minVersion: version,
    maxVersion: version,
    // OpenSSL itself speaks TLS 1.1 only at this level; whether it is refused is then the server's doing.
    ...(version === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
    port,
    host: '127.0.0.1',
  }
  const { host } = client
  if (host !== undefined) options.checkServerIdentity = (_, certificate) => checkServerIdentity(host, certificate)
  try {
    return await shake(options)
  } finally {
    close()
  }
}

function shake(options: ConnectionOptions): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined
    let facts: Omit<Handshake, 'session'> | undefined
    const socket = connect(options)
    socket.on('session', (ticket: Buffer) => {
      session = ticket
    })
    socket.once('secureConnect', () => {
      facts = {
        authorized: socket.authorized,
        protocol: socket.getProtocol(),
        resumed: socket.isSessionReused(),
        key: (socket.getPeerCertificate() as { asn1Curve?: string }).asn1Curve,
      }
    })
    socket.on('error', reject)
    // Tickets of TLS 1.3 come after the handshake, so the server's end is waited for.
    socket.on('data', () => undefined)
    socket.once('close', () =>
      facts === undefined ? reject(new Error('closed in the handshake')) : resolve({ ...facts, session }),
    )
  })
}
