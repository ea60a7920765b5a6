import type { Socket } from 'node:net'

/** TCP keep-alive: Azure's load balancers and NAT forget a flow after 4 idle minutes. */
export const PROBE_AFTER_MS = 60_000

/** Has the system ask the peer whether it is still there, where the connection is silent: four options, each a call to the system. */
export function probe(socket: Socket): void {
  socket.setKeepAlive(true, PROBE_AFTER_MS)
}
