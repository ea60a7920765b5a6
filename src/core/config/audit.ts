import { z } from '../schema.ts'
import { bytes } from './fields.ts'

export const audit = z
  .strictObject({
    file: z.string().min(1).default('-').describe('`-` is standard output'),
    events: z.enum(['all', 'denied']).default('all').describe('`denied` leaves out what was allowed'),
    query: z.enum(['drop', 'keep']).default('drop').describe('whether a logged path keeps its query'),
    paths: z.enum(['keep', 'drop']).default('keep').describe('`drop` logs no paths at all'),
    clients: z
      .enum(['keep', 'hash', 'drop'])
      .default('keep')
      .describe('addresses of clients: `hash` logs a pseudonym instead, `drop` nothing; both leave out the port'),
    hashKeyFile: z
      .string()
      .min(1)
      .optional()
      .describe('key for `clients: hash`, so that several gateways agree; without it each start makes one of its own'),
    bufferBytes: bytes(8_388_608, 'lines held while the log cannot be written; past that they are dropped and counted'),
    onFailure: z
      .enum(['drop', 'deny'])
      .default('drop')
      .describe('while the log cannot be written: `drop` serves on, `deny` refuses new requests with 503 and keeps tunnels'),
  })
  .prefault({})
  .describe('the log of requests, one JSON line each')
