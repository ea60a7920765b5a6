import type { ForwardProtocol, Others } from '../config/subnet.ts'
import type { Config } from '../config.ts'
import { formatListenAddress, type ListenAddress } from '../listen-address.ts'
import { type Cidr, cidrContains } from '../names/cidr.ts'
import type { Hostname } from '../names/hostname.ts'
import { compareIp } from '../names/ip.ts'
import { isLoopback, isUnspecified } from '../names/special-purpose.ts'
import { err, ok, type Result } from '../result.ts'

/**
 * What carries a subnet's TCP without being asked: what comes for port 443, for port 80, and all the rest. Where `tcp` finds TLS or HTTP it
 * is judged by name like the others, so no more ports need to be told apart here.
 */
export const TRANSPARENT_KINDS = ['tls', 'http', 'tcp'] as const
export type TransparentKind = (typeof TRANSPARENT_KINDS)[number]

export interface TransparentListener {
  readonly at: ListenAddress
  /** Load balancers that connect in the clients' stead and say so with the PROXY protocol; nobody else may then, and nothing is redirected. */
  readonly proxies: readonly Cidr[]
}

/** One exception: packets that are forwarded although no listener judges them. */
export interface Forward {
  readonly name: string
  readonly proto: ForwardProtocol
  readonly ports: readonly number[]
  /** Of the config and of its service tags together. */
  readonly addresses: readonly Cidr[]
  /** Service tags have ranges side by side, in the thousands: the kernel is to join them. */
  readonly joined: boolean
  readonly hosts: readonly Hostname[]
}

/** All that the rules of a host are made of. */
export interface SubnetPlan {
  readonly ranges: readonly Cidr[]
  readonly interface: string | undefined
  readonly others: Others
  readonly listeners: Readonly<Partial<Record<TransparentKind, TransparentListener>>>
  readonly forwards: readonly Forward[]
}

type Listeners = SubnetPlan['listeners']

/**
 * Reads the plan out of a config that was checked. Error: why there are no rules to be made of it.
 *
 * @param tagged what the service tags of the exceptions amount to, by the exception's name
 */
export function subnetPlan(
  { subnet }: Config,
  listeners: Listeners,
  tagged: ReadonlyMap<string, readonly Cidr[]>,
): Result<SubnetPlan, string> {
  if (subnet.ranges.length === 0)
    return err('`subnet.ranges` is empty: name the address ranges whose route leads to this gateway')
  const misplaced = Object.entries(listeners).flatMap(([kind, { at }]) => misplacedListener(kind, at))
  if (misplaced[0] !== undefined) return err(misplaced[0])
  return ok({
    ranges: outermost(subnet.ranges),
    interface: subnet.interface,
    others: subnet.others,
    listeners,
    forwards: subnet.forward.map(({ name, proto, ports, addresses = [], hosts = [] }) => ({
      name,
      proto,
      ports: ascending(ports),
      addresses: outermost([...addresses, ...(tagged.get(name) ?? [])]),
      joined: tagged.has(name),
      hosts: [...new Set(hosts)].toSorted(),
    })),
  })
}

function misplacedListener(kind: string, at: ListenAddress): string[] {
  const shown = formatListenAddress(at)
  if (at.port === 0)
    return [`\`listen.transparent.${kind}\` is \`${shown}\`: rules cannot lead to a port that nobody knows yet; give it one`]
  if (isLoopback(at.address))
    return [
      `\`listen.transparent.${kind}\` is \`${shown}\`: packets from elsewhere never get to loopback; use \`0.0.0.0:${at.port}\``,
    ]
  return []
}

/** Whether a client's packet of this family can be led to the listener. Node's `::` takes IPv4 too. */
export function takesFamily({ at: { address }, proxies }: TransparentListener, family: 4 | 6): boolean {
  if (proxies.length > 0) return false
  return address.family === family || (address.family === 6 && isUnspecified(address))
}

function ascending(ports: readonly number[]): number[] {
  return [...new Set(ports)].toSorted((a, b) => a - b)
}

/** In order, without the ranges that lie inside another: nftables refuses a set whose intervals overlap. */
export function outermost(cidrs: readonly Cidr[]): Cidr[] {
  const sorted = cidrs.toSorted((a, b) => compareIp(a.network, b.network) || a.prefixLength - b.prefixLength)
  const kept: Cidr[] = []
  for (const cidr of sorted) {
    const last = kept.at(-1)
    if (last === undefined || !cidrContains(last, cidr.network)) kept.push(cidr)
  }
  return kept
}
