import { type CidrSet, cidrContains } from '../names/cidr.ts'
import { type IpAddress, unmapped } from '../names/ip.ts'
import { isLoopback, isUnspecified, platformAddress, specialBlock } from '../names/special-purpose.ts'
import { err, ok, type Result } from '../result.ts'

declare const vetted: unique symbol

/** An address that may be dialled. The only way to get one is `vetAddress`. */
export type VettedAddress = IpAddress & { readonly [vetted]: true }

/** What allows an address outside the public internet. */
export interface Permission {
  /** The operator fixed this one address for the name. */
  readonly pinned: boolean
  /** The entry's `destinations`, or `workspace.privateEndpoints` for the workspace's own names. */
  readonly destinations?: CidrSet | undefined
  /** `destinations.privateRanges`. */
  readonly privateRanges: CidrSet
}

export interface AddressRefusal {
  readonly address: IpAddress
  /** `platform`: never dialled whatever the config. */
  readonly kind: 'platform' | 'loopback' | 'special'
  /** What the address is, with the document that says so: `Private-Use, RFC 1918`. */
  readonly block: string
}

/** A range must be at least this narrow to include loopback by intent: `0.0.0.0/0` does not open the gateway's own host. */
const LOOPBACK_RANGE_MIN_PREFIX = 8

/**
 * An address may be dialled if IANA's special-purpose registries call it globally reachable, with every IPv4 address embedded
 * in it, or if the operator allowed that very address. The platform's own addresses are refused whatever the config: through a
 * proxy they would hand out the gateway's identity.
 */
export function vetAddress(candidate: IpAddress, permission: Permission): Result<VettedAddress, AddressRefusal> {
  const address = unmapped(candidate)
  const platform = platformAddress(address)
  if (platform !== undefined) return err({ address, kind: 'platform', block: platform })
  if (permission.pinned) return ok(address as VettedAddress)
  const special = specialBlock(address)
  if (special === undefined) return ok(address as VettedAddress)
  const block = `${special.name}, ${special.source}`
  const ranges = [permission.destinations, permission.privateRanges].filter((set) => set !== undefined)
  // Connecting to the unspecified address reaches this very host.
  if (isLoopback(address) || isUnspecified(address)) {
    const meant = ranges.some((set) =>
      set.cidrs.some((cidr) => cidr.prefixLength >= LOOPBACK_RANGE_MIN_PREFIX && cidrContains(cidr, address)),
    )
    return meant ? ok(address as VettedAddress) : err({ address, kind: 'loopback', block })
  }
  if (ranges.some((set) => set.contains(address))) return ok(address as VettedAddress)
  return err({ address, kind: 'special', block })
}
