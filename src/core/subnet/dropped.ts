import type { Hint } from '../policy/hints.ts'

/** What is said of packets that no listener carries and no exception names. */

/** A dropped packet's protocol, as a metric label: closed. `icmp` is that of both families. */
export const DROPPED_PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'other'] as const
export type DroppedProtocol = (typeof DROPPED_PROTOCOLS)[number]

/** Destination ports with a series of their own; all the rest are `other`. */
export const KNOWN_PORTS = [53, 123, 443, 445, 1194, 5831] as const

/** A series of `sallyport_subnet_dropped_packets_total`. */
export interface DroppedSeries {
  readonly proto: DroppedProtocol
  /** A known port, `other`, or `none` where the protocol has no ports. */
  readonly port: string
}

const WITH_PORTS = ['tcp', 'udp'] as const

/** Every series there is. */
export const DROPPED_SERIES: readonly DroppedSeries[] = [
  ...WITH_PORTS.flatMap((proto) => [...KNOWN_PORTS.map(String), 'other'].map((port) => ({ proto, port }))),
  ...DROPPED_PROTOCOLS.filter((proto) => proto !== 'tcp' && proto !== 'udp').map((proto) => ({ proto, port: 'none' })),
]

/** Name of the counter in the rules. */
export function counterName({ proto, port }: DroppedSeries): string {
  return `dropped-${proto}-${port}`
}

/** Packets of one kind from one client to one place. */
export interface DroppedFlow {
  readonly client: string
  readonly destination: string
  /** As the kernel's list of protocols names it: `udp`, `icmp`, `132`. */
  readonly proto: string
  /** Absent where the protocol has none. */
  readonly port?: number | undefined
  readonly packets: number
}

interface KnownPacket {
  readonly proto: 'udp' | 'tcp' | 'any'
  readonly port: number
  readonly name: string
  readonly say: string
}

const forwardLine = (name: string, proto: string, port: number, what: string): string =>
  `\`subnet.forward: [{ name: ${name}, proto: ${proto}, ports: [${port}], ${what} }]\``

const KNOWN_PACKETS: readonly KnownPacket[] = [
  {
    proto: 'any',
    port: 53,
    name: 'dns',
    say: "a name server that is not Azure's: 168.63.129.16, the VNet's default, is reached whatever the route says; DNS let through here could carry data out",
  },
  {
    proto: 'udp',
    port: 123,
    name: 'ntp',
    say: `time sync: let the node use its host's clock, or ${forwardLine('ntp', 'udp', 123, 'hosts: [YOUR_TIME_SERVER]')}`,
  },
  {
    proto: 'udp',
    port: 443,
    name: 'quic',
    say: 'QUIC, which was told at once that nobody listens: the client goes on over TCP; nothing to do',
  },
  {
    proto: 'tcp',
    port: 445,
    name: 'smb',
    say: `SMB: a private or service endpoint for the storage account, or ${forwardLine('smb', 'tcp', 445, 'hosts: [ACCOUNT.file.core.windows.net]')}`,
  },
  {
    proto: 'any',
    port: 1194,
    name: 'vpn-1194',
    say: `OpenVPN's port, which AKS nodes use to their control plane: ${forwardLine('aks', 'udp', 1194, 'addresses: [API_SERVER]')}`,
  },
  {
    proto: 'udp',
    port: 5831,
    name: 'instance-udp',
    say: `compute instances need it: ${forwardLine('instances', 'udp', 5831, 'addresses: [...]')} with the prefixes of the service tag AzureMachineLearning`,
  },
]

/** What would let the packets through, or be better than that. */
export function droppedHint({ proto, port }: Pick<DroppedFlow, 'proto' | 'port'>): Hint | undefined {
  const known = KNOWN_PACKETS.find(
    (one) => one.port === port && (one.proto === proto || (one.proto === 'any' && isTcpOrUdp(proto))),
  )
  return known && { text: known.say, remedy: { kind: 'forward', name: known.name } }
}

function isTcpOrUdp(proto: string): boolean {
  return proto === 'tcp' || proto === 'udp'
}
