import type { Hostname } from '../../core/names/hostname.ts'
import type { IpAddress } from '../../core/names/ip.ts'
import type { Policy } from '../../core/policy/policy.ts'
import { vetAddress } from '../../core/policy/vet.ts'
import type { Forward, SubnetPlan } from '../../core/subnet/plan.ts'
import { elementLines } from '../../core/subnet/rule-set.ts'
import type { Resolver } from '../proxy/resolver.ts'

export interface LookedUp {
  /** Lines for nftables. */
  readonly elements: readonly string[]
  /** What was found for each exception. */
  readonly addresses: number
  /** Names without an address that may be let through, each with the reason. */
  readonly problems: readonly string[]
}

/**
 * Looks up the names of all exceptions, and vets each address as the gateway vets those it dials: a name that leads into the private
 * network needs `destinations.privateRanges`, and none leads to the Azure host itself.
 *
 * @param seconds for how long an address is let through
 */
export async function lookUp(plan: SubnetPlan, policy: Policy, resolver: Resolver, seconds: number): Promise<LookedUp> {
  const wanted = plan.forwards.flatMap((forward) => forward.hosts.map((host) => ({ forward, host })))
  const found = await Promise.all(wanted.map(({ forward, host }) => addressesOf(forward, host, policy, resolver)))
  return {
    elements: found.flatMap(({ forward, addresses }) => elementLines(forward, addresses, seconds)),
    addresses: found.reduce((sum, { addresses }) => sum + addresses.length, 0),
    problems: found.flatMap(({ problem }) => problem ?? []),
  }
}

interface Found {
  readonly forward: Forward
  readonly addresses: readonly IpAddress[]
  readonly problem?: string
}

async function addressesOf(forward: Forward, host: Hostname, policy: Policy, resolver: Resolver): Promise<Found> {
  const name = `\`${host}\` of \`subnet.forward\` \`${forward.name}\``
  const pin = policy.pins.get(host)
  const answer = pin === undefined ? await resolver.resolve(host) : { ok: true as const, value: [pin.address] }
  if (!answer.ok) return { forward, addresses: [], problem: `${name}: ${answer.error.detail}` }
  const permission = { pinned: pin !== undefined, privateRanges: policy.privateRanges }
  const addresses: IpAddress[] = []
  let refused: string | undefined
  for (const candidate of answer.value) {
    const vetted = vetAddress(candidate, permission)
    if (vetted.ok) addresses.push(vetted.value)
    else refused ??= `${vetted.error.address.text} (${vetted.error.block}) needs \`destinations.privateRanges\``
  }
  return refused === undefined ? { forward, addresses } : { forward, addresses, problem: `${name}: ${refused}` }
}
