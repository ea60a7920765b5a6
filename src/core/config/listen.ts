import { type ListenAddress, parseListenAddress } from '../listen-address.ts'
import { z } from '../schema.ts'
import { parsed } from './fields.ts'

const listener = (value: string, doc: string) => {
  const address = parsed(parseListenAddress, '`address:port`; port 0 takes any free one')
  return z
    .union([address, z.strictObject({ address }).transform((object): ListenAddress => object.address)])
    .prefault(value)
    .describe(doc)
}

export const listen = z
  .strictObject({
    proxy: listener('127.0.0.1:3128', 'the explicit proxy'),
    metrics: listener('127.0.0.1:9464', '`/metrics`, `/livez` and `/readyz`, nothing else'),
    admin: listener('127.0.0.1:9465', '`/api/v1/...`; loopback only'),
  })
  .prefault({})
  .describe('where the gateway listens; the key names the listener in log and metrics')
