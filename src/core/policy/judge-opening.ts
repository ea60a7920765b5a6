import type { Authority } from '../names/authority.ts'
import { parseHostname } from '../names/hostname.ts'
import { quote } from '../names/quote.ts'
import type { ClientHello } from '../wire/client-hello.ts'
import type { Denial } from './enforce.ts'

export const ECH_SETTINGS = ['pass', 'refuse'] as const
export type EchSetting = (typeof ECH_SETTINGS)[number]

/**
 * Whether a TLS opening is for the host the client asked to be connected with. Without this, CONNECT to a listed host whose
 * address it shares with others (a CDN) would reach them all.
 *
 * Where an entry lists the address and no name, any name will do.
 *
 * With ECH, the name that is compared is the outer one; whether an inner one hides behind it cannot be seen.
 */
export function judgeHello(hello: ClientHello, { host }: Authority, ech: EchSetting, byAddress = false): Denial | undefined {
  if (ech === 'refuse' && hello.ech) return { reason: 'ech_refused', detail: 'the ClientHello has the ECH extension' }
  if (byAddress) return undefined
  const [serverName, ...others] = hello.serverNames
  if (others.length > 0 || hello.hasOtherNameTypes)
    return { reason: 'sni_mismatch', detail: 'the ClientHello names more than one server' }
  if (serverName === undefined) {
    // RFC 6066 section 3 has no server name for an address, so there is none to compare.
    return host.kind === 'address'
      ? undefined
      : { reason: 'sni_missing', detail: `the ClientHello names no server, the tunnel is for ${host.text}` }
  }
  const name = parseHostname(serverName)
  if (host.kind === 'name' && name.ok && name.value === host.name) return undefined
  return { reason: 'sni_mismatch', detail: `the ClientHello names ${quote(serverName)}, the tunnel is for ${host.text}` }
}
