import { type Cidr, cidrContains, parseCidr } from './cidr.ts'
import { type IpAddress, type Ipv6Words, ipv4FromValue, ipv6FromWords, isMapped } from './ip.ts'

/** Ranges of one family as numbers in a row: `width` unsigned 32-bit words each, most significant first. */
export interface PackedRanges {
  readonly width: 1 | 4
  readonly starts: Uint32Array
  /** In bits. */
  readonly lengths: Uint8Array
}

const NO_IPV4: PackedRanges = { width: 1, starts: new Uint32Array(0), lengths: new Uint8Array(0) }
const NO_IPV6: PackedRanges = { width: 4, starts: new Uint32Array(0), lengths: new Uint8Array(0) }

/** How many bits of `::ffff:0:0/96` are the prefix of every mapped address. */
const MAPPED_PREFIX_BITS = 96

/**
 * Many ranges of addresses in as few bytes as they need (5 for IPv4, 17 for IPv6): a service tag can have ten thousand. In the order
 * given. For the look-up of one address in many such sets see `AddressTable`.
 */
export class AddressRanges {
  readonly ipv4: PackedRanges
  readonly ipv6: PackedRanges

  private constructor(ipv4: PackedRanges, ipv6: PackedRanges) {
    this.ipv4 = ipv4
    this.ipv6 = ipv6
  }

  /** A range of IPv4-mapped addresses becomes the IPv4 range: addresses are unmapped before anybody asks about them. */
  static of(cidrs: readonly Cidr[]): AddressRanges {
    const plain = cidrs.map(unmappedRange)
    return new AddressRanges(packed(plain, 4), packed(plain, 6))
  }

  get size(): number {
    return this.ipv4.lengths.length + this.ipv6.lengths.length
  }

  /** One after the other, so for one question now and then. IPv4-mapped addresses must be unmapped before. */
  contains(ip: IpAddress): boolean {
    return this.cidrs().some((cidr) => cidrContains(cidr, ip))
  }

  /** As ranges again: IPv4 first, each family in the order given. */
  cidrs(): readonly Cidr[] {
    const { ipv4, ipv6 } = this
    return [
      ...Array.from(ipv4.lengths, (length, at) => cidr(ipv4FromValue(ipv4.starts[at] ?? 0), length)),
      ...Array.from(ipv6.lengths, (length, at) => cidr(ipv6FromWords(wordsAt(ipv6.starts, at)), length)),
    ]
  }

  /** What makes two sets of ranges the same, for the hash of a policy. */
  toJSON(): readonly string[] {
    return this.cidrs().map(({ text }) => text)
  }
}

function cidr(network: IpAddress, prefixLength: number): Cidr {
  return { network, prefixLength, text: `${network.text}/${prefixLength}` }
}

function wordsAt(starts: Uint32Array, at: number): Ipv6Words {
  return [starts[4 * at] ?? 0, starts[4 * at + 1] ?? 0, starts[4 * at + 2] ?? 0, starts[4 * at + 3] ?? 0]
}

function unmappedRange(range: Cidr): Cidr {
  const { network, prefixLength } = range
  if (network.family === 4 || prefixLength < MAPPED_PREFIX_BITS || !isMapped(network.words)) return range
  return cidr(ipv4FromValue(network.words[3]), prefixLength - MAPPED_PREFIX_BITS)
}

function packed(cidrs: readonly Cidr[], family: 4 | 6): PackedRanges {
  const own = cidrs.filter(({ network }) => network.family === family)
  if (own.length === 0) return family === 4 ? NO_IPV4 : NO_IPV6
  const width = family === 4 ? 1 : 4
  const starts = new Uint32Array(own.length * width)
  const lengths = new Uint8Array(own.length)
  own.forEach(({ network, prefixLength }, at) => {
    starts.set(network.family === 4 ? [network.value] : network.words, at * width)
    lengths[at] = prefixLength
  })
  return { width, starts, lengths }
}

/** Reads ranges that some file lists, or names the first that is none. */
export function readRanges(texts: readonly string[]): AddressRanges | { readonly problem: string } {
  const cidrs: Cidr[] = []
  for (const text of texts) {
    const range = parseCidr(text)
    if (!range.ok) return { problem: range.error }
    cidrs.push(range.value)
  }
  return AddressRanges.of(cidrs)
}
