import { proxyLine } from './proxy-header.ts'
import { RawClient } from './raw-client.ts'

/** Who has a client's connection first: the relay's thread, Node without an HTTP parser, or Node's HTTP server, as behind a load balancer. */
export const WAYS_IN = ['kernel', 'portable', 'node'] as const
export type WayIn = (typeof WAYS_IN)[number]

/** The beginning of a gateway's config by which clients come in that way. */
export function configOf(way: WayIn): string {
  if (way !== 'node') return `relay: ${way === 'kernel' ? 'auto' : way}\n`
  const proxy = '{ address: "127.0.0.1:0", proxyProtocol: { from: ["127.0.0.1"] } }'
  return `listen: { proxy: ${proxy}, metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\n`
}

/** A client of such a gateway, that can say what it wants from here on. */
export async function comeIn(way: WayIn, port: number): Promise<RawClient> {
  const client = await RawClient.connect(port)
  if (way === 'node') {
    client.send(proxyLine('127.0.0.1', client.localPort))
    await new Promise((resolve) => client.socket.write('', resolve))
  }
  return client
}
