import { type Cidr, CidrSet } from '../names/cidr.ts'
import { z } from '../schema.ts'
import { cidr } from './fields.ts'

export const clients = z
  .strictObject({
    allow: z
      .array(cidr)
      .prefault(['127.0.0.0/8', '::1/128'])
      .transform((cidrs: readonly Cidr[]) => CidrSet.of(cidrs))
      .describe('address ranges that may use the gateway'),
    files: z
      .array(z.enum(['ca.pem', 'proxy.pac', 'env.sh']))
      .default([])
      .describe(
        'files that the proxy listener hands to clients, as in `http://GATEWAY:3128/ca.pem`: `ca.pem` is the CA of the inspection, `proxy.pac` and `env.sh` are proxy settings for browsers and shells',
      ),
  })
  .prefault({})
  .describe('who may use the gateway, and what it hands them')
