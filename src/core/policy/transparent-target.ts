import { addressHost, nameHost } from '../names/authority.ts'
import { type Hostname, parseHostname } from '../names/hostname.ts'
import type { IpAddress } from '../names/ip.ts'
import { quote } from '../names/quote.ts'
import type { ClientHello } from '../wire/client-hello.ts'
import { decide, type EgressRequest } from './decide.ts'
import type { Denial } from './enforce.ts'
import type { EchSetting } from './judge-opening.ts'
import type { Policy } from './policy.ts'
import type { PolicyReason } from './reasons.ts'

/** Where a redirected connection was going, as the kernel tells it. */
export interface OriginalDestination {
  readonly address: IpAddress
  readonly port: number
}

/** What to decide a redirected request by. */
export interface TransparentTarget {
  readonly request: EgressRequest
  /** No name entry matches, or there is no name: the original address is decided by, and is dialled unchanged. */
  readonly byAddress: boolean
}

/** Denials that say that no entry matches the name on this port. Whatever else a name is refused for, its address does not help it. */
const NO_NAME_ENTRY: readonly PolicyReason[] = ['host_not_listed', 'port_not_listed']

/**
 * Chooses what a redirected request is decided by: the name that it gives, or where no name entry matches, and only if an address
 * entry does, the original address. So leaving out a name gains nothing: what an address entry allows, it allows under any name.
 *
 * Of a name nothing but the name is believed: its address is the gateway's to find out.
 */
export function transparentTarget(
  policy: Policy,
  name: Hostname | undefined,
  original: OriginalDestination,
  http?: NonNullable<EgressRequest['http']>,
): TransparentTarget {
  const about = { port: original.port, ...(http && { http }) }
  const byAddress: TransparentTarget = { request: { host: addressHost(original.address), ...about }, byAddress: true }
  if (name === undefined) return byAddress
  const byName: TransparentTarget = { request: { host: nameHost(name), ...about }, byAddress: false }
  const named = decide(policy, byName.request)
  if (named.verdict !== 'deny' || !NO_NAME_ENTRY.includes(named.reason)) return byName
  return decide(policy, byAddress.request).verdict === 'deny' ? byName : byAddress
}

/** What a ClientHello on a redirected connection says of its host. */
export type NamedByHello =
  /** Absent: it names none. */
  | { readonly kind: 'named'; readonly name?: Hostname }
  /** Nothing to decide by, whatever the entries say. */
  | { readonly kind: 'refused'; readonly denial: Denial }

/** Reads the one name; two of them, or one that is no host name, could mean one thing here and another at the origin. */
export function nameOfHello(hello: ClientHello, ech: EchSetting): NamedByHello {
  if (ech === 'refuse' && hello.ech) return refused('ech_refused', 'the ClientHello has the ECH extension')
  const [serverName, ...others] = hello.serverNames
  if (others.length > 0 || hello.hasOtherNameTypes) return refused('sni_mismatch', 'the ClientHello names more than one server')
  if (serverName === undefined) return { kind: 'named' }
  const name = parseHostname(serverName)
  if (!name.ok) return refused('sni_mismatch', `the ClientHello names ${quote(serverName)}, which is no host name`)
  return { kind: 'named', name: name.value }
}

function refused(reason: Denial['reason'], detail: string): NamedByHello {
  return { kind: 'refused', denial: { reason, detail } }
}
