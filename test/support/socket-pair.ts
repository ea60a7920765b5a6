import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** Two ends of one TCP connection; the second is the gateway's. */
export async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [near] = (await once(server, 'connection')) as [Socket]
  server.close()
  far.on('error', () => {})
  return [far, near]
}
