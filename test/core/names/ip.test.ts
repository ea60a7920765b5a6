import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { IpAddress } from '../../../src/core/names/ip.ts'
import { compareIp, embeddedIpv4, ipv4FromValue, ipv6FromWords, parseIp, unmapped } from '../../../src/core/names/ip.ts'

const FIXED = { seed: 20210729, numRuns: 500 }
const uint32 = fc.integer({ min: 0, max: 0xffffffff })
/** Words with many zero groups, where `::` is decided. */
const group = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 0xffff }))
const word = fc.tuple(group, group).map(([high, low]) => ((high << 16) | low) >>> 0)
const ipv6 = fc.tuple(word, word, word, word).map(ipv6FromWords)
const anyIp: fc.Arbitrary<IpAddress> = fc.oneof(uint32.map(ipv4FromValue), ipv6)

function ip(text: string): IpAddress {
  const parsed = parseIp(text)
  if (parsed === undefined) throw new Error(`${text} is not an address`)
  return parsed
}

function number(address: IpAddress): bigint {
  if (address.family === 4) return BigInt(address.value)
  return address.words.reduce((sum, part) => (sum << 32n) | BigInt(part), 0n)
}

describe('parseIp', () => {
  const accepted = [
    { text: '0.0.0.0', canonical: '0.0.0.0' },
    { text: '255.255.255.255', canonical: '255.255.255.255' },
    { text: '127.0.0.1', canonical: '127.0.0.1' },
    { text: '::', canonical: '::' },
    { text: '::1', canonical: '::1' },
    { text: '1::', canonical: '1::' },
    { text: '2001:DB8::00AB', canonical: '2001:db8::ab' },
    { text: '2001:db8:0:0:1:0:0:1', canonical: '2001:db8::1:0:0:1' },
    { text: '2001:db8:0:1:1:1:1:1', canonical: '2001:db8:0:1:1:1:1:1' },
    { text: '2001:0:0:1:0:0:0:1', canonical: '2001:0:0:1::1' },
    { text: '1:2:3:4:5:6:7::', canonical: '1:2:3:4:5:6:7:0' },
    { text: '::2:3:4:5:6:7:8', canonical: '0:2:3:4:5:6:7:8' },
    { text: '::ffff:127.0.0.1', canonical: '::ffff:127.0.0.1' },
    { text: '::FFFF:7f00:1', canonical: '::ffff:127.0.0.1' },
    { text: '0000:0000:0000:0000:0000:ffff:255.255.255.255', canonical: '::ffff:255.255.255.255' },
    { text: '64:ff9b::192.0.2.33', canonical: '64:ff9b::c000:221' },
    { text: '::127.0.0.1', canonical: '::7f00:1' },
    { text: '1:2:3:4:5:6:1.2.3.4', canonical: '1:2:3:4:5:6:102:304' },
  ]
  for (const { text, canonical } of accepted)
    it(`reads ${text} as ${canonical}`, () => {
      expect(ip(text).text).toBe(canonical)
      expect(ip(canonical)).toEqual(ip(text))
    })

  const refused = [
    { text: '', because: 'it is empty' },
    { text: '2130706433', because: 'one number is not four octets' },
    { text: '127.1', because: 'the short form' },
    { text: '0177.0.0.1', because: 'octal or decimal, nobody agrees' },
    { text: '127.0.0.01', because: 'a leading zero' },
    { text: '00.0.0.0', because: 'a leading zero' },
    { text: '0x7f.0.0.1', because: 'hex' },
    { text: '256.0.0.1', because: 'an octet ends at 255' },
    { text: '1.2.3.4.5', because: 'five octets' },
    { text: '1.2.3.', because: 'an empty octet' },
    { text: '.1.2.3', because: 'an empty octet' },
    { text: '1.2.3.4.', because: 'a trailing dot' },
    { text: ' 1.2.3.4', because: 'a space' },
    { text: '1.2.3.4\0', because: 'a NUL behind it' },
    { text: '+1.2.3.4', because: 'a sign' },
    { text: '\uff11\uff12\uff17.0.0.1', because: 'full-width digits' },
    { text: '\u2460.1.1.1', because: 'a circled digit' },
    { text: ':', because: 'half of `::`' },
    { text: ':::', because: 'one colon too many' },
    { text: '1:::2', because: 'one colon too many' },
    { text: '1::2::3', because: 'two gaps' },
    { text: ':1::2', because: 'a lone colon in front' },
    { text: '1::2:', because: 'a lone colon behind' },
    { text: '1:2:3:4:5:6:7', because: 'seven groups' },
    { text: '1:2:3:4:5:6:7:8:9', because: 'nine groups' },
    { text: '1:2:3:4::5:6:7:8', because: 'the gap stands for nothing' },
    { text: '12345::', because: 'five digits' },
    { text: 'g::', because: 'not hex' },
    { text: '1:2:3:4:5:6:7:1.2.3.4', because: 'the quad is two groups' },
    { text: '1.2.3.4::', because: 'the quad comes last' },
    { text: '::1.2.3', because: 'three octets' },
    { text: '::01.2.3.4', because: 'a leading zero in the quad' },
    { text: '::ffff:0x7f.0.0.1', because: 'hex in the quad' },
    { text: 'fe80::1%eth0', because: 'a zone id' },
    { text: 'fe80::1%25eth0', because: 'an escaped zone id' },
    { text: '[::1]', because: 'brackets belong to the authority' },
    { text: '::1/128', because: 'a range' },
    { text: 'v1.x', because: 'no such version' },
  ]
  for (const { text, because } of refused)
    it(`refuses ${JSON.stringify(text)}: ${because}`, () => expect(parseIp(text)).toBeUndefined())

  it('accepts what Node calls an address, zone ids apart, and nothing else', () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV4Extended(),
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom(...'01f:.'), maxLength: 20 }),
    )
    fc.assert(
      fc.property(text, (typed) => {
        expect(parseIp(typed)?.family ?? 0, typed).toBe(isIPv4(typed) ? 4 : isIPv6(typed) ? 6 : 0)
      }),
      { ...FIXED, numRuns: 2000 },
    )
  })

  it('gives back every address from its text', () => {
    fc.assert(
      fc.property(anyIp, (address) => {
        expect(parseIp(address.text)).toEqual(address)
      }),
      FIXED,
    )
  })

  it('writes IPv6 as the URL standard does, mapped addresses apart', () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        if (unmapped(address).family === 4) return
        expect(new URL(`http://[${address.text}]/`).hostname).toBe(`[${address.text}]`)
      }),
      FIXED,
    )
  })

  it('cut anywhere is refused or is another address, never a fault', () => {
    for (const text of ['2001:db8:0:1::ffff:203.0.113.7', '1:2:3:4:5:6:7:8', '203.0.113.7'])
      for (let cut = 0; cut < text.length; cut++) {
        const part = text.slice(0, cut)
        expect(parseIp(part) !== undefined, `cut at ${cut}`).toBe(isIPv4(part) || isIPv6(part))
      }
  })
})

describe('compareIp', () => {
  it('orders IPv4 before IPv6 and each by number', () => {
    fc.assert(
      fc.property(anyIp, anyIp, (a, b) => {
        const byFamily = a.family - b.family
        const byNumber = number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : 0
        expect(Math.sign(compareIp(a, b))).toBe(Math.sign(byFamily || byNumber))
      }),
      FIXED,
    )
  })
})

describe('unmapped', () => {
  const cases = [
    { from: '::ffff:127.0.0.1', to: '127.0.0.1', because: 'it is the IPv4 address' },
    { from: '::ffff:0:127.0.0.1', to: '::ffff:0:7f00:1', because: 'SIIT is not the mapped prefix' },
    { from: '::127.0.0.1', to: '::7f00:1', because: 'IPv4-compatible is not mapped' },
    { from: '1::ffff:127.0.0.1', to: '1::ffff:7f00:1', because: 'the prefix is not zero' },
    { from: '127.0.0.1', to: '127.0.0.1', because: 'there is nothing to unwrap' },
  ]
  for (const { from, to, because } of cases) it(`makes ${from} ${to}: ${because}`, () => expect(unmapped(ip(from)).text).toBe(to))
})

describe('embeddedIpv4', () => {
  const cases = [
    { text: '::ffff:10.1.2.3', holds: ['10.1.2.3'], because: 'mapped' },
    { text: '::10.1.2.3', holds: ['10.1.2.3'], because: 'IPv4-compatible' },
    { text: '::2', holds: ['0.0.0.2'], because: 'IPv4-compatible, however small' },
    { text: '::', holds: [], because: 'the unspecified address is its own' },
    { text: '::1', holds: [], because: 'loopback is its own' },
    { text: '::ffff:0:10.1.2.3', holds: ['10.1.2.3'], because: 'SIIT' },
    { text: '64:ff9b::10.1.2.3', holds: ['10.1.2.3'], because: 'NAT64' },
    { text: '64:ff9b:0:0:0:1:a01:203', holds: [], because: 'the well-known prefix is 96 bits long' },
    {
      text: '64:ff9b:1::10.1.2.3',
      holds: ['0.0.0.0', '0.0.0.10', '10.1.2.3'],
      because: 'local NAT64, /96 and what shorter prefixes read',
    },
    { text: '64:ff9b:1:a01:2:300::', holds: ['10.1.2.3', '1.2.3.0', '2.3.0.0', '0.0.0.0'], because: 'local NAT64, /48' },
    { text: '64:ff9b:1:a:1:203::', holds: ['0.10.1.2', '10.1.2.3', '1.2.3.0', '0.0.0.0'], because: 'local NAT64, /56' },
    { text: '64:ff9b:1:7:a:102:300::', holds: ['0.7.10.1', '7.10.1.2', '10.1.2.3', '3.0.0.0'], because: 'local NAT64, /64' },
    { text: '64:ff9b:2::10.1.2.3', holds: [], because: 'it is outside the local block' },
    { text: '2002:a01:203::1', holds: ['10.1.2.3'], because: '6to4' },
    { text: '2003:a01:203::1', holds: [], because: 'it is not 6to4' },
    { text: '2001:0:a01:203:8000:6e57:f5fe:fdfc', holds: ['10.1.2.3', '10.1.2.3'], because: 'Teredo, server and client alike' },
    { text: '2001:0:4136:e378:8000:63bf:3fff:fdd2', holds: ['65.54.227.120', '192.0.2.45'], because: 'the example of RFC 4380' },
    { text: '2001:1:a01:203::', holds: [], because: 'Teredo is 32 bits long' },
    { text: '2606:4700::5efe:10.1.2.3', holds: ['10.1.2.3'], because: 'ISATAP' },
    { text: 'fe80::200:5efe:10.1.2.3', holds: ['10.1.2.3'], because: 'ISATAP with the global bit' },
    { text: '2606:4700::100:5efe:10.1.2.3', holds: [], because: 'another interface identifier' },
    { text: '2002:a01:203::5efe:10.9.9.9', holds: ['10.1.2.3', '10.9.9.9'], because: 'ISATAP inside 6to4' },
    { text: '2606:4700::a01:203', holds: [], because: 'the last bits of a plain address mean nothing' },
    { text: '10.1.2.3', holds: [], because: 'it is IPv4' },
  ]
  for (const { text, holds, because } of cases)
    it(`finds ${holds.join(' and ') || 'nothing'} in ${text}: ${because}`, () =>
      expect(embeddedIpv4(ip(text)).map((found) => found.text)).toEqual([...new Set(holds)]))

  it('finds any IPv4 address in every form', () => {
    fc.assert(
      fc.property(uint32, uint32, (value, other) => {
        const v4 = ipv4FromValue(value)
        const [high, low] = [(value >>> 16).toString(16), (value & 0xffff).toString(16)]
        const inverted = ipv4FromValue(~value).text
        const server = ipv4FromValue(other)
        const serverGroups = `${(other >>> 16).toString(16)}:${(other & 0xffff).toString(16)}`
        const forms = [`::ffff:${v4.text}`, `::ffff:0:${v4.text}`, `64:ff9b::${v4.text}`, `64:ff9b:1:2:3:4:${v4.text}`]
        forms.push(`2002:${high}:${low}:1::2`, `2001:0:${serverGroups}:0:1:${inverted}`, `2a00::5efe:${v4.text}`)
        if (value > 1) forms.push(`::${v4.text}`)
        for (const form of forms) expect(embeddedIpv4(ip(form)), form).toContainEqual(v4)
        expect(embeddedIpv4(ip(`2001:0:${serverGroups}:0:1:${inverted}`))).toContainEqual(server)
      }),
      FIXED,
    )
  })
})
