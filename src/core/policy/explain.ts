import type { Authority } from '../names/authority.ts'
import { decide, type EgressRequest } from './decide.ts'
import { type Circumstances, enforce, letsThrough, type Ruling } from './enforce.ts'
import type { Entry, Protocol } from './entry.ts'
import { type Hint, hintFor } from './hints.ts'
import type { Policy } from './policy.ts'
import type { Reason } from './reasons.ts'
import { chooseUpstream } from './upstream.ts'
import { type AddressRefusal, vetAddress } from './vet.ts'

/** What somebody asks about: `host:port`, or a URL. */
export interface ExplainTarget {
  readonly authority: Authority
  /** Of a URL; for `host:port` nothing is known beyond the CONNECT. */
  readonly url?: { readonly scheme: 'http' | 'https'; readonly path: string; readonly method: string }
}

export interface Explanation {
  readonly host: string
  readonly port: number
  readonly path?: string
  /** What enforce mode would do, whatever the mode is. */
  readonly verdict: 'allow' | 'inspect' | 'deny'
  readonly mode: Policy['mode']
  /** The client group whose policy it is; absent: the one at the top. */
  readonly group?: string
  readonly protocol?: Protocol
  /** An entry lists the address: the opening may name any server. */
  readonly byAddress?: true
  readonly reason?: Reason
  readonly entry?: Entry
  readonly hint?: Hint
  /** Report mode lets it through all the same. */
  readonly wouldDeny: boolean
  /** Of what is let through: the parent proxies that it goes through, in the order in which they are tried. */
  readonly parents?: readonly string[]
  /** Id of a deny rule that would refuse it if it were not `mode: report`. */
  readonly reportedBy?: string
}

/**
 * The same decision the gateway would make, put into words. Asks no DNS, so of vetting only that much is part of it as needs
 * none: an address literal and a pin.
 */
export function explain(policy: Policy, target: ExplainTarget, inspectionAvailable: boolean): Explanation {
  const { authority, url } = target
  const { host, port } = authority
  const circumstances: Circumstances = { mode: 'enforce', port, inspectionAvailable }
  const opaque: EgressRequest = { host, port }
  const visible: EgressRequest = url === undefined ? opaque : { host, port, http: { method: url.method, path: url.path } }
  const first = url?.scheme === 'http' ? visible : opaque
  let request = first
  let ruling = enforce(decide(policy, first), circumstances)
  const inspected = ruling.verdict === 'allow' && ruling.inspect
  if (inspected && url !== undefined) {
    request = visible
    ruling = enforce(decide(policy, visible), circumstances)
  }
  const refusal = ruling.verdict === 'allow' ? knownRefusal(policy, request, ruling.entry) : undefined
  if (refusal !== undefined) ruling = { verdict: 'deny', reason: 'address_refused', ...(ruling.entry && { entry: ruling.entry }) }
  return {
    host: host.text,
    port,
    ...(url === undefined ? {} : { path: url.path }),
    mode: policy.mode,
    ...(policy.group === undefined ? {} : { group: policy.group }),
    ...outcome(policy, request, ruling, inspected, refusal),
    wouldDeny:
      ruling.verdict === 'deny' &&
      letsThrough(ruling.reason, policy.mode) &&
      knownRefusal(policy, request, undefined) === undefined,
  }
}

/** Why the one address that is known without a look-up may not be dialled. */
function knownRefusal(policy: Policy, { host }: EgressRequest, entry: Entry | undefined): AddressRefusal | undefined {
  const pin = host.kind === 'name' ? policy.pins.get(host.name) : undefined
  const address = host.kind === 'address' ? host.ip : pin?.address
  if (address === undefined) return undefined
  const { privateRanges } = policy
  const vetted = vetAddress(address, { pinned: pin !== undefined, destinations: entry?.destinations, privateRanges })
  return vetted.ok ? undefined : vetted.error
}

function outcome(policy: Policy, request: EgressRequest, ruling: Ruling, inspected: boolean, refusal?: AddressRefusal) {
  const entry = ruling.entry === undefined ? {} : { entry: ruling.entry }
  if (ruling.verdict === 'allow') {
    const reportedBy = ruling.wouldDeny?.entry?.id
    const verdict = inspected ? ('inspect' as const) : ('allow' as const)
    const { protocol, byAddress } = ruling
    const parents = chooseUpstream(policy.upstream, policy, request.host)?.proxy.map(({ label }) => label)
    return {
      verdict,
      protocol,
      ...(byAddress && { byAddress }),
      ...entry,
      ...(parents === undefined ? {} : { parents }),
      ...(reportedBy === undefined ? {} : { reportedBy }),
    }
  }
  const hint = hintFor(policy, request, ruling, refusal)
  return { verdict: 'deny' as const, reason: ruling.reason, ...entry, ...(hint === undefined ? {} : { hint }) }
}
