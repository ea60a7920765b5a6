import type { ForwardProtocol, Others } from '../config/subnet.ts'
import type { Config } from '../config.ts'
import { formatListenAddress, type ListenAddress } from '../listen-address.ts'
import { type Cidr, cidrContains } from '../names/cidr.ts'
import type { Hostname } from '../names/hostname.ts'
import { compareIp } from '../names/ip.ts'
import { isLoopback, isUnspecified } from '../names/special-purpose.ts'
import { DEFAULT_PORTS, defaultProtocol, type Protocol } from '../policy/entry.ts'
import type { Policy } from '../policy/policy.ts'
import { err, ok, type Result } from '../result.ts'

/** What carries a subnet's TCP without being asked: what comes for a port of TLS, for one of plain HTTP, and all the rest. */
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
  readonly addresses: readonly Cidr[]
  readonly hosts: readonly Hostname[]
}

/** All that the rules of a host are made of. */
export interface SubnetPlan {
  readonly ranges: readonly Cidr[]
  readonly interface: string | undefined
  readonly others: Others
  readonly listeners: Readonly<Partial<Record<TransparentKind, TransparentListener>>>
  /** Ports whose connections go to the listener of that kind; all others go to `tcp`. */
  readonly ports: { readonly tls: readonly number[]; readonly http: readonly number[] }
  readonly forwards: readonly Forward[]
}

type Listeners = SubnetPlan['listeners']

/** Reads the plan out of a config that was checked. Error: why there are no rules to be made of it. */
export function subnetPlan({ subnet }: Config, listeners: Listeners, policy: Policy): Result<SubnetPlan, string> {
  if (subnet.ranges.length === 0)
    return err('`subnet.ranges` is empty: name the address ranges whose route leads to this gateway')
  const misplaced = Object.entries(listeners).flatMap(([kind, { at }]) => misplacedListener(kind, at))
  if (misplaced[0] !== undefined) return err(misplaced[0])
  return ok({
    ranges: outermost(subnet.ranges),
    interface: subnet.interface,
    others: subnet.others,
    listeners,
    ports: portsByProtocol(policy),
    forwards: subnet.forward.map(({ name, proto, ports, addresses = [], hosts = [] }) => ({
      name,
      proto,
      ports: ascending(ports),
      addresses: outermost(addresses),
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

/**
 * Which port carries what, as the policy's entries say: a rule for `ports: [8443]` is for TLS there, so that port's connections belong to
 * the listener that reads a ClientHello. A port that entries disagree on goes to `tcp`; 80 and 443 are what they are everywhere.
 */
function portsByProtocol({ entries }: Policy): SubnetPlan['ports'] {
  const said = new Map<number, Set<Protocol>>()
  for (const { patterns, action } of entries) {
    if (action !== 'allow') continue
    for (const { ports, protocol } of patterns) {
      if (ports === 'any') continue
      for (const port of ports) said.set(port, (said.get(port) ?? new Set()).add(protocol ?? defaultProtocol(port)))
    }
  }
  const carrying = (protocol: Protocol) =>
    [...said].filter(([port, all]) => !DEFAULT_PORTS.includes(port) && all.size === 1 && all.has(protocol)).map(([port]) => port)
  return { tls: ascending([443, ...carrying('tls')]), http: ascending([80, ...carrying('http')]) }
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
