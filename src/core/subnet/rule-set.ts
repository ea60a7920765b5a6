import type { Cidr } from '../names/cidr.ts'
import { type IpAddress, unmapped } from '../names/ip.ts'
import { isUnspecified, PLATFORM_ADDRESSES } from '../names/special-purpose.ts'
import { counterName, DROPPED_SERIES, KNOWN_PORTS } from './dropped.ts'
import { type Forward, outermost, type SubnetPlan, TRANSPARENT_KINDS, type TransparentKind, takesFamily } from './plan.ts'

/**
 * The rules of a gateway host, as `nft -f` takes them: one transaction, a table of its own, the same text for the same plan.
 *
 * Four things stand between the subnet and the internet. `redirected` leads TCP to the listeners. `arriving` drops what is left and is for
 * another host, before it is routed: so it is counted, and QUIC is refused at once, also where the host forwards nothing at all.
 * `forwarded` drops the same once more where the host does forward. `listening` keeps others than the subnet from the listeners.
 * No chain sees what the host sends itself.
 */

export const TABLE = 'inet sallyport'

const FAMILIES = [4, 6] as const
type Family = (typeof FAMILIES)[number]

/** Own chains come before those of Docker, kube-proxy and others at the same hook: the first to translate an address wins. */
const BEFORE_OTHERS = 10

/** Flows remembered for the audit log, and for how long. A full set forgets who is new, and drops them all the same. */
const FLOWS_MAX = 4096
const FLOW_SECONDS = 300

/** The whole rule set. Without `elements` the names in `forward` let nothing through yet. */
export function ruleSet(plan: SubnetPlan, elements: readonly string[] = []): string {
  return [
    '# Made by `sallyport subnet`: changes by hand are lost with the next --apply.',
    `add table ${TABLE}`,
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    ...[...sets(plan), ...redirected(plan), ...arriving(plan), ...forwarded(plan), ...listening(plan), ...excepted(plan)].map(
      (line) => (line === '' ? '' : `  ${line}`),
    ),
    ...dropped().map((line) => (line === '' ? '' : `  ${line}`)),
    '}',
    ...elements,
    '',
  ].join('\n')
}

/** Takes the table away, and says nothing where there is none. */
export const REMOVAL = `add table ${TABLE}\ndelete table ${TABLE}\n`

/**
 * Lines that let addresses through for so long from now on; the time of one that is there begins anew.
 *
 * @param seconds how long, a whole number
 */
export function elementLines(forward: Forward, addresses: readonly IpAddress[], seconds: number): string[] {
  return addresses.map(unmapped).flatMap(({ family, text }) => {
    const set = `${TABLE} ${named(forward, family)}`
    // An element that is added again keeps its old time (before Linux 6.12 it cannot be changed either).
    return [
      `add element ${set} { ${text} }`,
      `delete element ${set} { ${text} }`,
      `add element ${set} { ${text} timeout ${seconds}s }`,
    ]
  })
}

const ip = (family: Family) => (family === 4 ? 'ip' : 'ip6')
const subnetSet = (family: Family) => `subnet${family}`
const fixed = ({ name }: Forward, family: Family) => `fixed${family}/${name}`
const named = ({ name }: Forward, family: Family) => `named${family}/${name}`
const flows = (family: Family, ports: 'with-ports' | 'without-ports') => `flows${family}/${ports}`

const of = (family: Family, cidrs: readonly Cidr[]): readonly Cidr[] => cidrs.filter(({ network }) => network.family === family)

function chain(name: string, lines: readonly string[]): string[] {
  return [`chain ${name} {`, ...lines.map((line) => `  ${line}`), '}', '']
}

function set(name: string, lines: readonly string[]): string[] {
  return [`set ${name} {`, ...lines.map((line) => `  ${line}`), '}', '']
}

function sets({ ranges, forwards }: SubnetPlan): string[] {
  const intervals = (name: string, family: Family, cidrs: readonly Cidr[], joined = false) =>
    set(name, [
      `type ipv${family}_addr`,
      'flags interval',
      ...(joined ? ['auto-merge'] : []),
      ...(cidrs.length === 0 ? [] : [`elements = { ${cidrs.map(({ text }) => text).join(', ')} }`]),
    ])
  return [
    ...FAMILIES.flatMap((family) => intervals(subnetSet(family), family, of(family, ranges))),
    ...forwards.flatMap((forward) =>
      FAMILIES.flatMap((family) => [
        ...(forward.addresses.length === 0
          ? []
          : intervals(fixed(forward, family), family, of(family, forward.addresses), forward.joined)),
        ...(forward.hosts.length === 0
          ? []
          : set(named(forward, family), [`type ipv${family}_addr`, 'flags timeout', 'size 4096'])),
      ]),
    ),
    ...FAMILIES.flatMap((family) => {
      const limits = ['flags dynamic,timeout', `timeout ${FLOW_SECONDS}s`, `size ${FLOWS_MAX}`]
      const addresses = `type ipv${family}_addr . ipv${family}_addr . inet_proto`
      return [
        ...set(flows(family, 'with-ports'), [`${addresses} . inet_service`, ...limits]),
        ...set(flows(family, 'without-ports'), [addresses, ...limits]),
      ]
    }),
    ...DROPPED_SERIES.map((series) => `counter ${counterName(series)} { }`),
    '',
  ]
}

/** Both sets of an exception, as far as there are any in that family. */
function destinationSets(forward: Forward, family: Family): string[] {
  return [
    ...(forward.addresses.length > 0 ? [fixed(forward, family)] : []),
    ...(forward.hosts.length > 0 ? [named(forward, family)] : []),
  ]
}

function redirected(plan: SubnetPlan): string[] {
  const past = plan.forwards
    .filter(({ proto }) => proto === 'tcp')
    .flatMap((forward) =>
      FAMILIES.flatMap((family) =>
        destinationSets(forward, family).map((name) => `tcp dport ${list(forward.ports)} ${ip(family)} daddr @${name} return`),
      ),
    )
  return chain('redirected', [
    `type nat hook prerouting priority dstnat - ${BEFORE_OTHERS}; policy accept;`,
    ...(plan.interface === undefined ? [] : [`iifname != "${plan.interface}" return`]),
    'fib daddr type local return',
    ...past,
    ...TRANSPARENT_KINDS.flatMap((kind) =>
      FAMILIES.flatMap((family) => {
        const listener = plan.listeners[kind]
        if (listener === undefined || !takesFamily(listener, family)) return []
        return [`${ip(family)} saddr @${subnetSet(family)} ${TAKES[kind]} ${destinationOf(listener.at, family)}`]
      }),
    ),
  ])
}

/** Where `tcp` alone is there, 80 and 443 are still not its: they would be judged otherwise than on a host with all three. */
const TAKES: Readonly<Record<TransparentKind, string>> = {
  tls: 'tcp dport 443',
  http: 'tcp dport 80',
  tcp: 'tcp dport != { 80, 443 }',
}

/** A listener on one address is led to by that; one on all of them by whichever the packet came in at. */
function destinationOf({ address, port }: { address: IpAddress; port: number }, family: Family): string {
  if (isUnspecified(address)) return `redirect to :${port}`
  return family === 4 ? `dnat ip to ${address.text}:${port}` : `dnat ip6 to [${address.text}]:${port}`
}

function arriving(plan: SubnetPlan): string[] {
  return chain('arriving', [
    `type filter hook prerouting priority dstnat + ${BEFORE_OTHERS}; policy accept;`,
    'fib daddr type { local, broadcast, multicast } accept',
    'ip6 daddr { fe80::/10, ff00::/8 } accept',
    ...(plan.forwards.length === 0 ? [] : ['jump excepted']),
    ...unforwardable(plan, 'goto dropped'),
  ])
}

function forwarded(plan: SubnetPlan): string[] {
  const policy = plan.others === 'drop' ? 'drop' : 'accept'
  return chain('forwarded', [
    `type filter hook forward priority filter - ${BEFORE_OTHERS}; policy ${policy};`,
    ...(plan.forwards.length === 0 ? [] : ['jump excepted']),
    ...(plan.others === 'drop' ? [] : unforwardable(plan, 'drop')),
  ])
}

/** What the host must not forward. */
function unforwardable({ others, interface: name }: SubnetPlan, verdict: string): string[] {
  if (others === 'drop') return [verdict]
  return [
    ...(name === undefined ? [] : [`iifname "${name}" ${verdict}`]),
    ...FAMILIES.flatMap((family) => [
      `${ip(family)} saddr @${subnetSet(family)} ${verdict}`,
      `${ip(family)} daddr @${subnetSet(family)} ${verdict}`,
    ]),
  ]
}

function listening({ listeners, interface: name }: SubnetPlan): string[] {
  const present = TRANSPARENT_KINDS.flatMap((kind) => listeners[kind] ?? [])
  if (present.length === 0) return []
  const ports = list([...new Set(present.map(({ at }) => at.port))].toSorted((a, b) => a - b))
  const arrives = name === undefined ? '' : `iifname "${name}" `
  return chain('listening', [
    `type filter hook input priority filter - ${BEFORE_OTHERS}; policy accept;`,
    'meta l4proto != tcp accept',
    `tcp dport != ${ports} accept`,
    'iifname "lo" accept',
    ...present.flatMap(({ at, proxies }) =>
      FAMILIES.flatMap((family) => {
        if (proxies.length === 0) return [`${arrives}tcp dport ${at.port} ${ip(family)} saddr @${subnetSet(family)} accept`]
        const ranges = of(family, outermost(proxies)).map(({ text }) => text)
        return ranges.length === 0 ? [] : [`tcp dport ${at.port} ${ip(family)} saddr { ${ranges.join(', ')} } accept`]
      }),
    ),
    'drop',
  ])
}

/** Replies are let in one by one as well: a flow that was there before the rules has no way through them. */
function excepted({ forwards, interface: arrival }: SubnetPlan): string[] {
  if (forwards.length === 0) return []
  const from = arrival === undefined ? '' : `iifname "${arrival}" `
  return [
    ...chain('excepted', [
      ...FAMILIES.map((family) => `${ip(family)} daddr ${platform(family)} return`),
      ...forwards.flatMap((forward) =>
        FAMILIES.flatMap((family) =>
          destinationSets(forward, family).flatMap((name) => {
            const { proto, ports } = forward
            const client = `@${subnetSet(family)}`
            return [
              `${from}${ip(family)} saddr ${client} ${proto} dport ${list(ports)} ${ip(family)} daddr @${name} accept`,
              `ct direction reply ct state established ${ip(family)} daddr ${client} ${proto} sport ${list(ports)} ${ip(family)} saddr @${name} accept`,
            ]
          }),
        ),
      ),
      'ct direction reply ct state related ip daddr @subnet4 icmp type { destination-unreachable, time-exceeded } accept',
      'ct direction reply ct state related ip6 daddr @subnet6 icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } accept',
    ]),
    ...chain('masqueraded', [
      `type nat hook postrouting priority srcnat - ${BEFORE_OTHERS}; policy accept;`,
      ...FAMILIES.map((family) => `${ip(family)} saddr @${subnetSet(family)} masquerade`),
    ]),
  ]
}

/** Addresses of the Azure host itself, which no exception reaches. */
function platform(family: Family): string {
  const own = PLATFORM_ADDRESSES.filter(({ address }) => address.family === family).map(({ address }) => address.text)
  return `{ ${own.join(', ')} }`
}

function dropped(): string[] {
  const remembering = FAMILIES.flatMap((family) => {
    const who = `${ip(family)} saddr . ${ip(family)} daddr . meta l4proto`
    return [
      `meta nfproto ipv${family} meta l4proto { tcp, udp, sctp } update @${flows(family, 'with-ports')} { ${who} . th dport counter }`,
      `meta nfproto ipv${family} meta l4proto != { tcp, udp, sctp } update @${flows(family, 'without-ports')} { ${who} counter }`,
    ]
  })
  const byPort = (proto: 'tcp' | 'udp') =>
    KNOWN_PORTS.map((port) => {
      // Port unreachable: a client that tried QUIC goes on over TCP at once.
      const verdict = proto === 'udp' && port === 443 ? 'reject with icmpx port-unreachable' : 'drop'
      return `${proto} dport ${port} counter name "${counterName({ proto, port: String(port) })}" ${verdict}`
    })
  return chain('dropped', [
    ...remembering,
    ...byPort('udp'),
    `meta l4proto udp counter name "${counterName({ proto: 'udp', port: 'other' })}" drop`,
    ...byPort('tcp'),
    `meta l4proto tcp counter name "${counterName({ proto: 'tcp', port: 'other' })}" drop`,
    `meta l4proto sctp counter name "${counterName({ proto: 'sctp', port: 'none' })}" drop`,
    `meta l4proto { icmp, icmpv6 } counter name "${counterName({ proto: 'icmp', port: 'none' })}" drop`,
    `counter name "${counterName({ proto: 'other', port: 'none' })}" drop`,
  ]).slice(0, -1)
}

function list(ports: readonly number[]): string {
  return `{ ${ports.join(', ')} }`
}
