import type { Config } from '../../core/config.ts'
import { formatListenAddress } from '../../core/listen-address.ts'
import type { Policy } from '../../core/policy/policy.ts'
import { ok, type Result } from '../../core/result.ts'
import { type DroppedReading, readListing } from '../../core/subnet/listing.ts'
import type { SubnetPlan } from '../../core/subnet/plan.ts'
import { REMOVAL, ruleSet } from '../../core/subnet/rule-set.ts'
import { Resolver } from '../proxy/resolver.ts'
import { type LookedUp, lookUp } from './addresses.ts'
import { Nft } from './nft.ts'

/** What the rules are made of. */
export interface RuleSource {
  readonly plan: SubnetPlan
  readonly policy: Policy
  /** How long an address of a name is let through, seconds. */
  readonly addressSeconds: number
}

const NO_NAMES: LookedUp = { elements: [], addresses: 0, problems: [] }

/** The table of this host: put there, looked after, taken away. */
export class HostRules {
  readonly #nft: Nft
  readonly #resolver: Resolver
  /** As the kernel told it right after it was put there. */
  #applied: string | undefined

  /** @param hostsFile names with fixed addresses, as the gateway has them */
  constructor({ dns }: Config, hostsFile: string, nft = new Nft()) {
    this.#nft = nft
    this.#resolver = new Resolver({ ...dns, servers: dns.servers.map(formatListenAddress), hostsFile, onLookup: () => {} })
  }

  /** Gives up look-ups under way. The rules stay. */
  close(): void {
    this.#resolver.close()
  }

  /**
   * Replaces the whole table in one transaction, the addresses of names included.
   *
   * @param names false leaves names out, for a boot before there is a network
   */
  async apply({ plan, policy, addressSeconds }: RuleSource, names = true): Promise<Result<LookedUp, string>> {
    const found = names ? await lookUp(plan, policy, this.#resolver, Math.ceil(addressSeconds)) : NO_NAMES
    const applied = await this.#nft.apply(ruleSet(plan, found.elements))
    if (!applied.ok) return applied
    const rules = await this.#nft.rules()
    if (!rules.ok) return rules
    this.#applied = rules.value
    return ok(found)
  }

  /** Looks the names up again; what they have now is let through from now on for as long again. */
  async refresh({ plan, policy, addressSeconds }: RuleSource): Promise<Result<LookedUp, string>> {
    if (plan.forwards.every(({ hosts }) => hosts.length === 0)) return ok(NO_NAMES)
    const found = await lookUp(plan, policy, this.#resolver, Math.ceil(addressSeconds))
    if (found.elements.length === 0) return ok(found)
    const added = await this.#nft.apply(`${found.elements.join('\n')}\n`)
    return added.ok ? ok(found) : added
  }

  /** Whether the kernel still has what was put there: another program may have flushed or changed it. */
  async isInForce(): Promise<boolean> {
    const rules = await this.#nft.rules()
    return rules.ok && rules.value !== undefined && rules.value === this.#applied
  }

  async read(): Promise<Result<DroppedReading, string>> {
    const listing = await this.#nft.listing()
    return listing.ok ? readListing(listing.value) : listing
  }
}

/** Takes the table away. Whether there was one. */
export async function removeRules(nft: Nft): Promise<Result<boolean, string>> {
  const rules = await nft.rules()
  if (!rules.ok) return rules
  const removed = await nft.apply(REMOVAL)
  return removed.ok ? ok(rules.value !== undefined) : removed
}
