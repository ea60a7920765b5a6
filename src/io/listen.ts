import type { Server } from 'node:net'
import { formatListenAddress, type ListenAddress } from '../core/listen-address.ts'

const WHY_NOT: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there',
  EADDRNOTAVAIL: 'this host has no such address',
  EACCES: 'ports below 1024 need the right to use them (CAP_NET_BIND_SERVICE)',
}

/**
 * Binds a server. Resolves to where it listens, with port 0 become a real one; throws with the address and what is wrong with it.
 */
export async function listen(server: Server, at: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => {
      const why = WHY_NOT[error.code ?? ''] ?? error.message
      reject(new Error(`cannot listen on ${formatListenAddress(at)}: ${why}`, { cause: error }))
    }
    server.once('error', onError)
    server.listen({ host: at.address.text, port: at.port, ipv6Only: false }, () => {
      server.off('error', onError)
      resolve()
    })
  })
  const bound = server.address()
  return { address: at.address, port: bound !== null && typeof bound === 'object' ? bound.port : at.port }
}
