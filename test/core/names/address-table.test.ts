import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AddressRanges, readRanges } from '../../../src/core/names/address-ranges.ts'
import { AddressTable } from '../../../src/core/names/address-table.ts'
import { type Cidr, cidrContains, parseCidr } from '../../../src/core/names/cidr.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords, parseIp } from '../../../src/core/names/ip.ts'
import { unwrap } from '../../support/policy.ts'

const FIXED = { seed: 20260720, numRuns: 400 }

function ip(text: string): IpAddress {
  const parsed = parseIp(text)
  if (parsed === undefined) throw new Error(`${text} is not an address`)
  return parsed
}

const cidrs = (texts: readonly string[]): Cidr[] => texts.map((text) => unwrap(parseCidr(text)))
const ranges = (...texts: readonly string[]): AddressRanges => AddressRanges.of(cidrs(texts))

function tableOf(sets: Readonly<Record<string, readonly string[]>>): AddressTable<string> {
  return AddressTable.of(Object.entries(sets).map(([value, texts]) => ({ ranges: ranges(...texts), value })))
}

describe('the address table', () => {
  const table = tableOf({
    wide: ['20.0.0.0/8', '2603:1000::/24'],
    narrow: ['20.38.0.0/16', '20.38.98.0/24', '2603:1030::/32'],
    other: ['20.38.98.0/24', '13.66.140.0/26'],
    everything: ['0.0.0.0/0'],
  })

  const cases = [
    {
      address: '20.38.98.7',
      found: ['narrow', 'other', 'wide', 'everything'],
      because: 'the narrowest is first, equals in order',
    },
    { address: '20.38.1.1', found: ['narrow', 'wide', 'everything'], because: 'it is in the /16, beside the /24' },
    { address: '20.39.0.0', found: ['wide', 'everything'], because: 'it is the first address after the /16' },
    { address: '19.255.255.255', found: ['everything'], because: 'it is the last address before the /8' },
    { address: '13.66.140.63', found: ['other', 'everything'], because: 'it is the last of the /26' },
    { address: '13.66.140.64', found: ['everything'], because: 'it is the first after the /26' },
    { address: '2603:1030::1', found: ['narrow', 'wide'], because: 'a /32 in a /24' },
    { address: '2603:1031::', found: ['wide'], because: 'beside the /32' },
    { address: '2604::', found: [], because: 'no range of its family has it, and families never mix' },
    { address: '::', found: [], because: '0.0.0.0/0 is no IPv6 range' },
  ] as const
  for (const { address, found, because } of cases)
    it(`finds ${found.join(', ') || 'nothing'} for ${address}: ${because}`, () => {
      expect(table.find(ip(address))).toEqual(found)
    })

  it('gives a value once, though two of its ranges are one inside the other', () => {
    expect(tableOf({ one: ['10.0.0.0/8', '10.1.0.0/16'] }).find(ip('10.1.2.3'))).toEqual(['one'])
  })

  it('finds nothing where there is nothing', () => {
    expect(tableOf({}).find(ip('10.1.2.3'))).toEqual([])
    expect(tableOf({ only: ['::/0'] }).find(ip('10.1.2.3'))).toEqual([])
  })

  it('takes a range of mapped addresses for the IPv4 range it is', () => {
    expect(tableOf({ mapped: ['::ffff:10.0.0.0/104'] }).find(ip('10.1.2.3'))).toEqual(['mapped'])
  })

  const value = fc.integer({ min: 0, max: 0xffffffff })
  /** Few distinct bits, so that ranges nest and coincide. */
  const crowded = fc.constantFrom(0, 1, 0x0a000000, 0x0a010000, 0x0a010203, 0x7fffffff, 0x80000000, 0xffffffff)
  const word = fc.oneof(crowded, value)
  const address = fc.oneof(
    word.map(ipv4FromValue),
    fc.tuple(fc.constantFrom(0x20010db8, 0xfe800000), word, crowded, word).map((words) => ipv6FromWords(words)),
  )
  const range = fc.tuple(address, fc.nat(128)).map(([ip, bits]): Cidr => {
    const length = Math.min(bits, ip.family === 4 ? 32 : 128)
    const masked = parseCidr(`${ip.text}/${length}`)
    if (masked.ok) return masked.value
    // The message names the network.
    return unwrap(parseCidr(/use `([^`]+)`/.exec(masked.error)?.[1] ?? ''))
  })

  it('finds what asking every range finds, for any ranges and addresses (seeded)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(range, { maxLength: 12 }), { maxLength: 6 }),
        fc.array(address, { maxLength: 20 }),
        (sets, asked) => {
          const table = AddressTable.of(sets.map((cidrs, value) => ({ ranges: AddressRanges.of(cidrs), value })))
          const edges = sets.flat().map(({ network }) => network)
          for (const ip of [...asked, ...edges]) {
            const naive = sets.flatMap((set, at) => (set.some((cidr) => cidrContains(cidr, ip)) ? [at] : []))
            expect(
              table.find(ip).toSorted((a, b) => a - b),
              ip.text,
            ).toEqual(naive)
          }
        },
      ),
      FIXED,
    )
  })
})

describe('address ranges', () => {
  it('give back what was put in, IPv4 before IPv6', () => {
    const texts = ['20.0.0.0/8', '2603:1000::/24', '13.66.140.0/26', '2001:db8::1/128']
    expect(ranges(...texts).toJSON()).toEqual(['20.0.0.0/8', '13.66.140.0/26', '2603:1000::/24', '2001:db8::1/128'])
    expect(ranges(...texts).size).toBe(4)
  })

  it('contain what one of them contains', () => {
    const both = ranges('13.66.140.0/26', '2603:1000::/24')
    expect([ip('13.66.140.63'), ip('13.66.140.64'), ip('2603:10ff::')].map((one) => both.contains(one))).toEqual([
      true,
      false,
      true,
    ])
  })

  it('are not read where one of them is none, and say which', () => {
    expect(readRanges(['20.0.0.0/8', '20.0.0.1/8'])).toMatchObject({ problem: expect.stringContaining('`20.0.0.1/8`') })
  })
})
