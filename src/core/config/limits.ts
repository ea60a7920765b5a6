import { z } from '../schema.ts'
import { bytes, count, deadline, seconds } from './fields.ts'

export const limits = z
  .strictObject({
    headSeconds: deadline(10, 'from the first byte of a request to the end of its head'),
    openingSeconds: deadline(10, 'from the answer to CONNECT to the first whole opening inside the tunnel'),
    dialSeconds: deadline(10, 'resolving and connecting, over all addresses'),
    originSeconds: deadline(300, 'waiting for an origin, or a client, to go on with a plain-HTTP exchange'),
    tunnelIdleSeconds: seconds(3600, 'a tunnel without a byte either way; 0 is without limit'),
    tunnelLifetimeSeconds: seconds(0, 'a tunnel altogether; 0 is without limit'),
    keepAliveSeconds: deadline(60, 'a client connection between two requests'),
    originKeepAliveSeconds: deadline(15, 'an origin connection between two requests'),
    drainDelaySeconds: seconds(0, 'accepting on after SIGTERM, while `/readyz` says 503'),
    drainSeconds: seconds(300, 'letting tunnels end by themselves after that'),
    connections: count(25_000, 'client connections altogether'),
    tunnels: count(20_000, 'tunnels altogether'),
    tunnelsPerClient: count(2_000, 'tunnels of one client address'),
    inspectedTunnels: count(5_000, 'tunnels whose TLS is ended here, altogether'),
    requestsPerSecondPerClient: count(200, 'requests of one client address, with a burst of twice as many'),
    headBytes: bytes(16_384, 'header fields of a request'),
    headFields: count(200, 'header fields of a request'),
    targetBytes: bytes(8_192, 'target of a request'),
    originIdleConnections: count(2_048, 'origin connections kept between two requests, altogether'),
    originIdleConnectionsPerOrigin: count(128, 'origin connections kept between two requests to one origin'),
    heldBytes: bytes(131_072, 'bytes held that a client sends before its tunnel stands'),
    eventLoopStallMs: z
      .int()
      .min(50)
      .max(60_000)
      .default(500)
      .describe('a pause of the whole process longer than this is logged and counted (milliseconds)'),
  })
  .prefault({})
  .describe('deadlines and bounds; each is of the whole gateway')
