import type { Result } from '../result.ts'
import { err, ok } from '../result.ts'
import type { IpAddress, Ipv6Words } from './ip.ts'
import { compareIp, ipv4FromValue, ipv6FromWords, parseIp } from './ip.ts'
import { quote } from './quote.ts'

/** A range of addresses: those that share the first `prefixLength` bits of `network`, whose other bits are zero. */
export interface Cidr {
  readonly network: IpAddress
  /** In bits: 0 to 32 or 0 to 128. */
  readonly prefixLength: number
  /** Canonical, always with the length: `10.0.0.0/8`. */
  readonly text: string
}

/**
 * Reads `address/length`, or a bare address as a range of one. Host bits must be zero: whoever writes `10.1.2.3/8` may mean either
 * sixteen million addresses or one, and the error names the network so that they can say which.
 * Error: one sentence, bounded and printable (see `quote`).
 */
export function parseCidr(text: string): Result<Cidr, string> {
  const slash = text.indexOf('/')
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash))
  if (ip === undefined)
    return err(`${quote(text)} is not an address or a range; write it like \`10.0.0.0/8\` or \`2001:db8::/32\``)
  const bits = ip.family === 4 ? 32 : 128
  if (slash < 0) return ok(cidrOf(ip, bits))
  const prefixLength = parsePrefixLength(text.slice(slash + 1))
  if (prefixLength === undefined || prefixLength > bits)
    return err(`${quote(text)} has no usable prefix length; after the \`/\` write a number from 0 to ${bits}`)
  const cidr = cidrOf(networkOf(ip, prefixLength), prefixLength)
  if (compareIp(cidr.network, ip) !== 0)
    return err(`${quote(text)} has host bits set; use \`${cidr.text}\` or \`${ip.text}/${bits}\``)
  return ok(cidr)
}

/** Whether the address is in the range. Families never mix: unmap an address (`unmapped`) before asking about IPv4. */
export function cidrContains(cidr: Cidr, ip: IpAddress): boolean {
  const { network, prefixLength } = cidr
  if (network.family === 4) return ip.family === 4 && ((network.value ^ ip.value) & mask32(prefixLength)) === 0
  if (ip.family === 4) return false
  for (let i = 0; i < 4 && prefixLength > 32 * i; i++) {
    const difference = (network.words[i] ?? 0) ^ (ip.words[i] ?? 0)
    if ((difference & mask32(prefixLength - 32 * i)) !== 0) return false
  }
  return true
}

/** A range of the set, and the place of the closest range around it, or -1. */
interface Nested {
  readonly cidr: Cidr
  readonly parent: number
}

/**
 * Many ranges, asked about one address at a time.
 *
 * Two CIDR ranges are either apart or one inside the other. So the ranges, sorted by network and then widest first, are a forest, and
 * the most specific range around an address is the last that starts at or before it, or one of that range's parents: a binary search
 * and a few steps up, however many ranges there are.
 */
export class CidrSet {
  /** As given, duplicates and all. */
  readonly cidrs: readonly Cidr[]
  readonly #nested: readonly Nested[]

  private constructor(cidrs: readonly Cidr[]) {
    this.cidrs = cidrs
    this.#nested = nest(cidrs)
  }

  static of(cidrs: Iterable<Cidr>): CidrSet {
    return new CidrSet([...cidrs])
  }

  get isEmpty(): boolean {
    return this.cidrs.length === 0
  }

  /** Whether any range contains the address. Families never mix. */
  contains(ip: IpAddress): boolean {
    return this.find(ip) !== undefined
  }

  /** The most specific range that contains the address; of equal ranges, the first given. */
  find(ip: IpAddress): Cidr | undefined {
    let at = this.#lastStartingAtOrBefore(ip)
    while (at >= 0) {
      const nested = this.#nested[at]
      if (nested === undefined) return undefined
      if (cidrContains(nested.cidr, ip)) return nested.cidr
      at = nested.parent
    }
    return undefined
  }

  #lastStartingAtOrBefore(ip: IpAddress): number {
    let low = 0
    let high = this.#nested.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const nested = this.#nested[middle]
      if (nested !== undefined && compareIp(nested.cidr.network, ip) <= 0) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

function nest(cidrs: readonly Cidr[]): readonly Nested[] {
  const sorted = cidrs.toSorted((a, b) => compareIp(a.network, b.network) || a.prefixLength - b.prefixLength)
  const nested: Nested[] = []
  for (const cidr of sorted) {
    let parent = nested.length - 1
    // The sort is stable, so of equal ranges the one given first is here already.
    if (nested[parent]?.cidr.text === cidr.text) continue
    for (let around = nested[parent]; around && !cidrContains(around.cidr, cidr.network); around = nested[parent])
      parent = around.parent
    nested.push({ cidr, parent })
  }
  return nested
}

function cidrOf(network: IpAddress, prefixLength: number): Cidr {
  return { network, prefixLength, text: `${network.text}/${prefixLength}` }
}

function networkOf(ip: IpAddress, prefixLength: number): IpAddress {
  if (ip.family === 4) return ipv4FromValue(ip.value & mask32(prefixLength))
  const [a, b, c, d] = ip.words
  const masked = (word: number, index: number): number => (word & mask32(prefixLength - 32 * index)) >>> 0
  const words: Ipv6Words = [masked(a, 0), masked(b, 1), masked(c, 2), masked(d, 3)]
  return ipv6FromWords(words)
}

/** The mask of a 32-bit word with this many leading ones, clamped to 0..32: a shift by 32 would shift by nothing. */
function mask32(ones: number): number {
  if (ones <= 0) return 0
  return ones >= 32 ? -1 : -1 << (32 - ones)
}

/** Decimal, no sign, no leading zeros; a netmask (`/255.0.0.0`) is not a length. */
function parsePrefixLength(text: string): number | undefined {
  return /^(?:0|[1-9][0-9]{0,2})$/.test(text) ? Number(text) : undefined
}
