import type { Cidr } from './cidr.ts'
import { CidrSet, parseCidr } from './cidr.ts'
import type { IpAddress } from './ip.ts'
import { compareIp, embeddedIpv4, parseIp, unmapped } from './ip.ts'

/** A block of addresses that is not the public internet. */
export interface SpecialBlock {
  readonly cidr: Cidr
  /** IANA's name, such as `Private-Use`. */
  readonly name: string
  /** Where it is defined, such as `RFC 1918`. */
  readonly source: string
}

/**
 * Whether an address of the block can be on the public internet:
 * `yes` as IANA's "Globally Reachable" column says, or because the block only carries IPv4 and the IPv4 address decides;
 * `no` also where that column is "N/A" or silent.
 */
type Reachable = 'yes' | 'no'

type Row = readonly [cidr: string, name: string, source: string, reachable: Reachable]

/**
 * IANA's IPv4 and IPv6 Special-Purpose Address Registries as of 2025-10-09, with multicast (IPv4 Multicast Address Space Registry)
 * and what the IPv6 address architecture keeps back. The most specific row decides, so exceptions stand beside the blocks that they
 * are taken from.
 */
const ROWS: readonly Row[] = [
  ['0.0.0.0/0', 'Unicast', 'RFC 791', 'yes'],
  ['0.0.0.0/8', 'This network', 'RFC 791', 'no'],
  ['0.0.0.0/32', 'This host on this network', 'RFC 1122', 'no'],
  ['10.0.0.0/8', 'Private-Use', 'RFC 1918', 'no'],
  ['100.64.0.0/10', 'Shared Address Space', 'RFC 6598', 'no'],
  ['127.0.0.0/8', 'Loopback', 'RFC 1122', 'no'],
  ['169.254.0.0/16', 'Link Local', 'RFC 3927', 'no'],
  ['172.16.0.0/12', 'Private-Use', 'RFC 1918', 'no'],
  ['192.0.0.0/24', 'IETF Protocol Assignments', 'RFC 6890', 'no'],
  ['192.0.0.0/29', 'IPv4 Service Continuity Prefix', 'RFC 7335', 'no'],
  ['192.0.0.8/32', 'IPv4 dummy address', 'RFC 7600', 'no'],
  ['192.0.0.9/32', 'Port Control Protocol Anycast', 'RFC 7723', 'yes'],
  ['192.0.0.10/32', 'Traversal Using Relays around NAT Anycast', 'RFC 8155', 'yes'],
  ['192.0.0.170/31', 'NAT64/DNS64 Discovery', 'RFC 8880', 'no'],
  ['192.0.2.0/24', 'Documentation (TEST-NET-1)', 'RFC 5737', 'no'],
  ['192.31.196.0/24', 'AS112-v4', 'RFC 7535', 'yes'],
  ['192.52.193.0/24', 'AMT', 'RFC 7450', 'yes'],
  ['192.88.99.0/24', 'Deprecated (6to4 Relay Anycast)', 'RFC 7526', 'no'],
  ['192.88.99.2/32', '6a44-relay anycast address', 'RFC 6751', 'no'],
  ['192.168.0.0/16', 'Private-Use', 'RFC 1918', 'no'],
  ['192.175.48.0/24', 'Direct Delegation AS112 Service', 'RFC 7534', 'yes'],
  ['198.18.0.0/15', 'Benchmarking', 'RFC 2544', 'no'],
  ['198.51.100.0/24', 'Documentation (TEST-NET-2)', 'RFC 5737', 'no'],
  ['203.0.113.0/24', 'Documentation (TEST-NET-3)', 'RFC 5737', 'no'],
  ['224.0.0.0/4', 'Multicast', 'RFC 5771', 'no'],
  ['240.0.0.0/4', 'Reserved', 'RFC 1112', 'no'],
  ['255.255.255.255/32', 'Limited Broadcast', 'RFC 919', 'no'],

  // RFC 4291 section 2.4: global unicast is assigned from 2000::/3 and nowhere else; the rest waits for a standard.
  ['::/0', 'Reserved by IETF', 'RFC 4291', 'no'],
  ['::/96', 'IPv4-compatible (deprecated)', 'RFC 4291', 'no'],
  ['::/128', 'Unspecified Address', 'RFC 4291', 'no'],
  ['::1/128', 'Loopback Address', 'RFC 4291', 'no'],
  // IANA says no, because it may not be on the wire; in a socket call it is the IPv4 address, and that decides.
  ['::ffff:0:0/96', 'IPv4-mapped Address', 'RFC 4291', 'yes'],
  ['::ffff:0:0:0/96', 'IPv4-translated (deprecated)', 'RFC 2765', 'no'],
  ['64:ff9b::/96', 'IPv4-IPv6 Translat.', 'RFC 6052', 'yes'],
  ['64:ff9b:1::/48', 'IPv4-IPv6 Translat.', 'RFC 8215', 'no'],
  ['100::/64', 'Discard-Only Address Block', 'RFC 6666', 'no'],
  ['100:0:0:1::/64', 'Dummy IPv6 Prefix', 'RFC 9780', 'no'],
  ['2000::/3', 'Global Unicast', 'RFC 4291', 'yes'],
  ['2001::/23', 'IETF Protocol Assignments', 'RFC 2928', 'no'],
  // "N/A" at IANA: a Teredo relay sends to the UDP port of somebody's NAT, which no server is behind.
  ['2001::/32', 'TEREDO', 'RFC 4380', 'no'],
  ['2001:1::1/128', 'Port Control Protocol Anycast', 'RFC 7723', 'yes'],
  ['2001:1::2/128', 'Traversal Using Relays around NAT Anycast', 'RFC 8155', 'yes'],
  ['2001:1::3/128', 'DNS-SD Service Registration Protocol Anycast', 'RFC 9665', 'yes'],
  ['2001:2::/48', 'Benchmarking', 'RFC 5180', 'no'],
  ['2001:3::/32', 'AMT', 'RFC 7450', 'yes'],
  ['2001:4:112::/48', 'AS112-v6', 'RFC 7535', 'yes'],
  ['2001:10::/28', 'Deprecated (previously ORCHID)', 'RFC 4843', 'no'],
  ['2001:20::/28', 'ORCHIDv2', 'RFC 7343', 'yes'],
  ['2001:30::/28', 'Drone Remote ID Protocol Entity Tags (DETs) Prefix', 'RFC 9374', 'yes'],
  ['2001:db8::/32', 'Documentation', 'RFC 3849', 'no'],
  // "N/A" at IANA: it goes wherever the IPv4 address inside is.
  ['2002::/16', '6to4', 'RFC 3056', 'yes'],
  ['2620:4f:8000::/48', 'Direct Delegation AS112 Service', 'RFC 7534', 'yes'],
  ['3fff::/20', 'Documentation', 'RFC 9637', 'no'],
  ['5f00::/16', 'Segment Routing (SRv6) SIDs', 'RFC 9602', 'no'],
  ['fc00::/7', 'Unique-Local', 'RFC 4193', 'no'],
  ['fe80::/10', 'Link-Local Unicast', 'RFC 4291', 'no'],
  ['fec0::/10', 'Site-Local Unicast (deprecated)', 'RFC 3879', 'no'],
  ['ff00::/8', 'Multicast', 'RFC 4291', 'no'],
]

export interface RegisteredBlock extends SpecialBlock {
  readonly reachable: Reachable
}

/** Every block of both families, each IPv4 block before the IPv6 ones. */
export const REGISTERED_BLOCKS: readonly RegisteredBlock[] = ROWS.map(registeredBlock)

const BLOCKS: ReadonlyMap<Cidr, RegisteredBlock> = new Map(REGISTERED_BLOCKS.map((block) => [block.cidr, block]))
const BLOCK_RANGES = CidrSet.of(BLOCKS.keys())

function registeredBlock([text, name, source, reachable]: Row): RegisteredBlock {
  const parsed = parseCidr(text)
  if (!parsed.ok) throw new Error(parsed.error)
  return { cidr: parsed.value, name, source, reachable }
}

/**
 * The block because of which an address is not on the public internet, or `undefined` when it is globally reachable.
 *
 * Looks through `embeddedIpv4`: a 6to4, NAT64, mapped or ISATAP address is reachable only when every IPv4 address in it is, and the
 * answer is then the block of that IPv4 address. Teredo, the local NAT64 block and the deprecated forms are refused as they are.
 * Reachable is not yet permitted: see `platformAddress`.
 */
export function specialBlock(ip: IpAddress): SpecialBlock | undefined {
  const own = ownSpecialBlock(ip)
  if (own !== undefined) return own
  for (const embedded of embeddedIpv4(ip)) {
    const block = ownSpecialBlock(embedded)
    if (block !== undefined) return block
  }
  return undefined
}

function ownSpecialBlock(ip: IpAddress): SpecialBlock | undefined {
  const cidr = BLOCK_RANGES.find(ip)
  const block = cidr && BLOCKS.get(cidr)
  // The table has a row for every address; without one, being reachable is not what to assume.
  if (block === undefined) throw new Error(`no registry row covers ${ip.text}`)
  return block.reachable === 'yes' ? undefined : block
}

/**
 * Addresses at which a cloud answers its own machines, with credentials for the asking. They are never dialled, whatever the
 * configuration says. 168.63.129.16 needs saying here: by IANA's registry it is an ordinary public address.
 */
export const PLATFORM_ADDRESSES: readonly { readonly address: IpAddress; readonly name: string }[] = [
  { address: literal('169.254.169.254'), name: 'instance metadata service' },
  { address: literal('168.63.129.16'), name: 'Azure wire server and DNS' },
  { address: literal('fd00:ec2::254'), name: 'EC2 instance metadata service' },
]

function literal(text: string): IpAddress {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`${text} is not an address`)
  return ip
}

/** The platform service at this address or at any IPv4 address embedded in it. */
export function platformAddress(ip: IpAddress): string | undefined {
  const reached = [ip, ...embeddedIpv4(ip)]
  return PLATFORM_ADDRESSES.find(({ address }) => reached.some((one) => compareIp(one, address) === 0))?.name
}

/** 127/8 and `::1`, also embedded. */
export function isLoopback(ip: IpAddress): boolean {
  if (ip.family === 4) return ip.value >>> 24 === 127
  return isIpv6WithLastWord(ip, 1) || embeddedIpv4(ip).some(isLoopback)
}

/**
 * `0.0.0.0` and `::`, also mapped. As a destination it reaches this machine, like loopback (Linux and macOS connect to it), so
 * whoever vets an address asks both; as a listening address it is every interface, so it is not part of `isLoopback`.
 */
export function isUnspecified(ip: IpAddress): boolean {
  const reached = unmapped(ip)
  return reached.family === 4 ? reached.value === 0 : isIpv6WithLastWord(reached, 0)
}

function isIpv6WithLastWord(ip: IpAddress, last: number): boolean {
  return ip.family === 6 && ip.words[0] === 0 && ip.words[1] === 0 && ip.words[2] === 0 && ip.words[3] === last
}
