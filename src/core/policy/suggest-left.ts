import { formatAuthority } from '../names/authority.ts'
import { parseIp } from '../names/ip.ts'
import { decide } from './decide.ts'
import type { DeniedDestination } from './denied-destinations.ts'
import { hintFor } from './hints.ts'
import type { Policy } from './policy.ts'
import { type Reason, reasonSpec } from './reasons.ts'
import { candidatesAt } from './suggest-switches.ts'
import { vetAddress } from './vet.ts'

/** A destination that no change is suggested for. */
export interface Left {
  readonly destination: DeniedDestination
  /** Why, and what to do instead. */
  readonly text: string
}

/** Undefined where nothing is to be said: it is allowed by now, or refused by a quiet rule. */
export function whyLeft(policy: Policy, destination: DeniedDestination): Left | undefined {
  const text = textFor(policy, destination)
  return text === undefined ? undefined : { destination, text }
}

function textFor(policy: Policy, destination: DeniedDestination): string | undefined {
  const { host, port, requests } = destination
  const request = { host, port }
  const decision = decide(policy, request)
  if (decision.verdict === 'deny') {
    if (decision.reason === 'denied_by_rule')
      return decision.entry?.quiet ? undefined : `\`${decision.entry?.id}\` refuses it, as you said`
    const remedies = candidatesAt(policy, destination).map(({ remedy }) => remedy.kind)
    const hint = hintFor(policy, request, decision)?.text
    return remedies.length > 0 && remedies.every((kind) => kind === 'cloud')
      ? `${hint}; a rule would let traffic out to another cloud`
      : hint
  }
  if (decision.reported !== undefined) return `\`${decision.reported.id}\` would refuse it if it were not \`mode: report\``
  const other = otherReason(destination)
  if (other === 'address_refused') return addressText(policy, destination)
  if (other !== undefined) {
    const entry = decision.verdict === 'inspect' ? (decision.awaiting ?? decision.entry) : decision.entry
    return hintFor(policy, request, { reason: other, entry })?.text ?? reasonSpec(other).means
  }
  const unclear = requests.length === 0 && destination.moreRequests > 0
  if (decision.verdict === 'inspect' && unclear)
    return `\`${decision.entry.id}\` allows only certain paths or methods, and the log does not say which were asked for (\`audit.paths\`)`
  return undefined
}

/** Reasons that stand although the policy lists the host. What is wrong with single requests is no matter of the policy. */
function otherReason({ reasons }: DeniedDestination): Reason | undefined {
  for (const reason of reasons.keys()) {
    const { class: kind, report } = reasonSpec(reason)
    if (kind === 'vetting' || reason === 'inspection_unavailable' || (kind === 'policy' && report === 'gateway')) return reason
  }
  return undefined
}

function addressText(policy: Policy, destination: DeniedDestination): string | undefined {
  const { host, port, refusedAddress = '' } = destination
  const decision = decide(policy, { host, port })
  const entry = decision.verdict === 'deny' ? undefined : decision.entry
  const address = parseIp(refusedAddress.split(' ', 1)[0] ?? '')
  const { privateRanges } = policy
  const vetted =
    address === undefined ? undefined : vetAddress(address, { pinned: false, destinations: entry?.destinations, privateRanges })
  // The config allows that address by now.
  if (vetted?.ok) return undefined
  const denial = { reason: 'address_refused', ...(entry && { entry }) } as const
  return hintFor(policy, { host, port }, denial, vetted?.error)?.text ?? reasonSpec('address_refused').means
}

/** `host:port`, for a listing. */
export function targetOf({ host, port }: DeniedDestination): string {
  return formatAuthority({ host, port })
}
