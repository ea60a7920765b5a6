import { parseListenAddress } from '../listen-address.ts'
import { type Hostname, parseHostname } from '../names/hostname.ts'
import { parseIp } from '../names/ip.ts'
import type { Pin } from '../policy/policy.ts'
import type { Result } from '../result.ts'
import { z } from '../schema.ts'
import { cidrSet, parsed } from './fields.ts'

/** In normal form, so that two spellings of one host cannot both be pinned. */
function parsePinnedHost(text: string): Result<Hostname, string> {
  const host = parseHostname(text)
  if (!host.ok || host.value === text) return host
  return { ok: false, error: `\`${text}\` is not in normal form; use \`${host.value}\`` }
}

/** `10.20.0.7`, `10.20.0.7:8443` or `[2001:db8::1]:443`. */
export function parsePin(text: string): Result<Pin, string> {
  const bare = parseIp(text)
  if (bare !== undefined) return { ok: true, value: { address: bare } }
  const full = parseListenAddress(text)
  if (full.ok && full.value.port > 0) return { ok: true, value: { address: full.value.address, port: full.value.port } }
  return { ok: false, error: `\`${text}\` is not an address; write \`10.20.0.7\`, \`10.20.0.7:8443\` or \`[2001:db8::1]:443\`` }
}

export const destinations = z
  .strictObject({
    privateRanges: cidrSet("ranges outside the public internet for every entry; a rule's own `destinations` is better"),
    pin: z
      .record(parsed(parsePinnedHost, 'a host'), parsed(parsePin, 'an address, with or without a port'))
      .prefault({})
      .describe('dial here instead of asking DNS; does not list the host'),
  })
  .prefault({})
  .describe('where allowed hosts may lead, beyond the public internet')
