import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Cidr } from '../../../src/core/names/cidr.ts'
import { CidrSet, cidrContains, parseCidr } from '../../../src/core/names/cidr.ts'
import type { IpAddress } from '../../../src/core/names/ip.ts'
import { ipv4FromValue, ipv6FromWords, parseIp } from '../../../src/core/names/ip.ts'

const FIXED = { seed: 20210729, numRuns: 300 }

function ip(text: string): IpAddress {
  const parsed = parseIp(text)
  if (parsed === undefined) throw new Error(`${text} is not an address`)
  return parsed
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (!parsed.ok) throw new Error(parsed.error)
  return parsed.value
}

describe('parseCidr', () => {
  const accepted = [
    { text: '10.0.0.0/8', canonical: '10.0.0.0/8' },
    { text: '10.1.2.3', canonical: '10.1.2.3/32' },
    { text: '0.0.0.0/0', canonical: '0.0.0.0/0' },
    { text: '128.0.0.0/1', canonical: '128.0.0.0/1' },
    { text: '255.255.255.255/32', canonical: '255.255.255.255/32' },
    { text: '::/0', canonical: '::/0' },
    { text: '2001:DB8:0::/32', canonical: '2001:db8::/32' },
    { text: '2001:db8::1', canonical: '2001:db8::1/128' },
    { text: 'fc00::/7', canonical: 'fc00::/7' },
    { text: '::ffff:0:0/96', canonical: '::ffff:0.0.0.0/96' },
  ]
  for (const { text, canonical } of accepted)
    it(`reads ${text} as ${canonical}`, () => {
      expect(cidr(text).text).toBe(canonical)
      expect(cidr(canonical)).toEqual(cidr(text))
    })

  const refused = [
    { text: '10.1.2.3/8', says: '`10.1.2.3/8` has host bits set; use `10.0.0.0/8` or `10.1.2.3/32`' },
    { text: '10.0.0.1/31', says: 'use `10.0.0.0/31`' },
    { text: '10.0.0.0/0', says: 'use `0.0.0.0/0`' },
    { text: '2001:db8::1/64', says: 'use `2001:db8::/64` or `2001:db8::1/128`' },
    { text: '2001:db8:8000::/33x', says: 'has no usable prefix length' },
    { text: '10.0.0.0/33', says: 'write a number from 0 to 32' },
    { text: '::/129', says: 'write a number from 0 to 128' },
    { text: '10.0.0.0/', says: 'has no usable prefix length' },
    { text: '10.0.0.0/08', says: 'has no usable prefix length' },
    { text: '10.0.0.0/+8', says: 'has no usable prefix length' },
    { text: '10.0.0.0/8/8', says: 'has no usable prefix length' },
    { text: '10.0.0.0/255.0.0.0', says: 'has no usable prefix length' },
    { text: '10.0.0.0 /8', says: 'is not an address or a range; write it like `10.0.0.0/8` or `2001:db8::/32`' },
    { text: '10/8', says: 'is not an address or a range' },
    { text: '[::]/0', says: 'is not an address or a range' },
    { text: 'example.com', says: 'is not an address or a range' },
    { text: '', says: '`` is not an address or a range' },
    { text: `1\n${'9'.repeat(500)}`, says: `\`1\\n${'9'.repeat(62)}...\` is not an address or a range` },
  ]
  for (const { text, says } of refused)
    it(`refuses ${JSON.stringify(text.slice(0, 30))}: ${says}`, () => {
      const parsed = parseCidr(text)
      expect(parsed.ok ? parsed.value : parsed.error).toContain(says)
    })
})

describe('cidrContains', () => {
  const cases = [
    { range: '10.0.0.0/8', address: '10.255.255.255', inside: true, because: 'it is the last one' },
    { range: '10.0.0.0/8', address: '11.0.0.0', inside: false, because: 'it is the next one' },
    { range: '10.0.0.0/8', address: '9.255.255.255', inside: false, because: 'it is the one before' },
    { range: '0.0.0.0/0', address: '255.255.255.255', inside: true, because: 'every IPv4 address is' },
    { range: '0.0.0.0/0', address: '::ffff:1.2.3.4', inside: false, because: 'families never mix' },
    { range: '::/0', address: '1.2.3.4', inside: false, because: 'families never mix' },
    { range: '128.0.0.0/1', address: '200.0.0.1', inside: true, because: 'the top bit is no sign' },
    { range: '2001:db8::/33', address: '2001:db8:7fff::1', inside: true, because: 'the 33rd bit is clear' },
    { range: '2001:db8::/33', address: '2001:db8:8000::', inside: false, because: 'the 33rd bit is set' },
    {
      range: '2001:db8::/64',
      address: '2001:db8::ffff:ffff:ffff:ffff',
      inside: true,
      because: 'a prefix may end between two words',
    },
    { range: '::1/128', address: '::2', inside: false, because: 'one address is one address' },
  ]
  for (const { range, address, inside, because } of cases)
    it(`says ${inside} for ${address} in ${range}: ${because}`, () => expect(cidrContains(cidr(range), ip(address))).toBe(inside))
})

describe('CidrSet', () => {
  it('finds the most specific range', () => {
    const set = CidrSet.of(['10.1.2.0/24', '10.0.0.0/8', '10.1.0.0/16', '10.200.0.0/16', '::/0', 'fd00::/8'].map(cidr))
    const found = (text: string): string | undefined => set.find(ip(text))?.text
    expect(found('10.1.2.3')).toBe('10.1.2.0/24')
    expect(found('10.1.3.3')).toBe('10.1.0.0/16')
    expect(found('10.100.0.0')).toBe('10.0.0.0/8')
    expect(found('10.255.0.0')).toBe('10.0.0.0/8')
    expect(found('11.0.0.0')).toBeUndefined()
    expect(found('fd12::1')).toBe('fd00::/8')
    expect(found('fe00::')).toBe('::/0')
  })

  it('contains nothing when it is empty, and says so', () => {
    expect(CidrSet.of([]).contains(ip('127.0.0.1'))).toBe(false)
    expect(CidrSet.of([]).isEmpty).toBe(true)
    expect(CidrSet.of([cidr('::1')]).isEmpty).toBe(false)
  })

  it('keeps the ranges as they were given', () => {
    const given = ['10.1.0.0/16', '10.0.0.0/8', '10.1.0.0/16'].map(cidr)
    expect(CidrSet.of(given).cidrs).toEqual(given)
    expect(CidrSet.of(given).find(ip('10.1.0.0'))).toBe(given[0])
  })

  it('agrees with comparing numbers, range by range', () => {
    // Few distinct bits, so that ranges nest, touch and repeat, and addresses fall on their edges.
    const octet = fc.constantFrom(0, 1, 127, 128, 255)
    const word = fc.tuple(octet, octet, octet, octet).map(([a, b, c, d]) => ((a << 24) | (b << 16) | (c << 8) | d) >>> 0)
    const ipv4 = word.map(ipv4FromValue)
    const ipv6 = fc.tuple(fc.constantFrom(0, 0x20010db8), word, fc.constantFrom(0, 1, 0xffffffff), word).map(ipv6FromWords)
    const address: fc.Arbitrary<IpAddress> = fc.oneof(ipv4, ipv6)
    const range = fc
      .tuple(address, fc.integer({ min: 0, max: 128 }))
      .map(([ip, length]) => rangeAround(ip, ip.family === 4 ? length % 33 : length))
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 30 }),
        fc.array(address, { minLength: 20, maxLength: 20 }),
        (ranges, addresses) => {
          const set = CidrSet.of(ranges)
          for (const one of [...addresses, ...ranges.map(({ network }) => network)]) {
            const around = ranges.filter((candidate) => oracleContains(candidate, one))
            expect(set.contains(one)).toBe(around.length > 0)
            expect(set.find(one)?.prefixLength ?? -1).toBe(Math.max(-1, ...around.map(({ prefixLength }) => prefixLength)))
            expect(ranges.filter((candidate) => cidrContains(candidate, one))).toEqual(around)
          }
        },
      ),
      FIXED,
    )
  })
})

function bits(address: IpAddress): string {
  const words: readonly number[] = address.family === 4 ? [address.value] : address.words
  const number = words.reduce<bigint>((sum, part) => (sum << 32n) | BigInt(part), 0n)
  return number.toString(2).padStart(32 * words.length, '0')
}

function oracleContains({ network, prefixLength }: Cidr, address: IpAddress): boolean {
  return network.family === address.family && bits(network).slice(0, prefixLength) === bits(address).slice(0, prefixLength)
}

/** Through the text, so that the remedy for host bits is tested on the way. */
function rangeAround(address: IpAddress, prefixLength: number): Cidr {
  const parsed = parseCidr(`${address.text}/${prefixLength}`)
  if (parsed.ok) return parsed.value
  const network = /use `([^`]+)` or/.exec(parsed.error)?.[1] ?? ''
  return cidr(network)
}
