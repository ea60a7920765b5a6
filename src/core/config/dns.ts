import type { IpAddress } from '../names/ip.ts'
import type { Result } from '../result.ts'
import { z } from '../schema.ts'
import { parsePin } from './destinations.ts'
import { count, parsed, seconds } from './fields.ts'

/** A DNS server: an address, with a port where it is not 53. */
function parseDnsServer(text: string): Result<{ readonly address: IpAddress; readonly port: number }, string> {
  const pin = parsePin(text)
  if (!pin.ok) return { ok: false, error: `\`${text}\` is not an address; write \`10.20.0.4\` or \`10.20.0.4:5353\`` }
  return { ok: true, value: { address: pin.value.address, port: pin.value.port ?? 53 } }
}

export const dns = z
  .strictObject({
    servers: z.array(parsed(parseDnsServer, 'an address')).prefault([]).describe("instead of the system's"),
    timeoutMs: z.int().min(50).max(60_000).default(2000).describe('one try of one server (milliseconds)'),
    cacheEntries: count(10_000, 'names kept'),
    minTtlSeconds: seconds(5, 'an answer is kept at least so long'),
    maxTtlSeconds: seconds(300, 'and at most so long'),
  })
  .prefault({})
  .describe('how names are looked up, and for how long an answer is kept')
