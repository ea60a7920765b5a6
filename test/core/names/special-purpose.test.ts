import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { IpAddress } from '../../../src/core/names/ip.ts'
import { ipv4FromValue, ipv6FromWords, parseIp } from '../../../src/core/names/ip.ts'
import {
  isLoopback,
  isUnspecified,
  PLATFORM_ADDRESSES,
  platformAddress,
  specialBlock,
} from '../../../src/core/names/special-purpose.ts'

const FIXED = { seed: 20210729, numRuns: 500 }
const uint32 = fc.integer({ min: 0, max: 0xffffffff })

function ip(text: string): IpAddress {
  const parsed = parseIp(text)
  if (parsed === undefined) throw new Error(`${text} is not an address`)
  return parsed
}

describe('specialBlock', () => {
  /** Each block with its first and last address. */
  const special = [
    { from: '0.0.0.0', to: '0.0.0.0', name: 'This host on this network' },
    { from: '0.0.0.1', to: '0.255.255.255', name: 'This network' },
    { from: '10.0.0.0', to: '10.255.255.255', name: 'Private-Use' },
    { from: '100.64.0.0', to: '100.127.255.255', name: 'Shared Address Space' },
    { from: '127.0.0.0', to: '127.255.255.255', name: 'Loopback' },
    { from: '169.254.0.0', to: '169.254.255.255', name: 'Link Local' },
    { from: '172.16.0.0', to: '172.31.255.255', name: 'Private-Use' },
    { from: '192.0.0.0', to: '192.0.0.7', name: 'IPv4 Service Continuity Prefix' },
    { from: '192.0.0.8', to: '192.0.0.8', name: 'IPv4 dummy address' },
    { from: '192.0.0.11', to: '192.0.0.169', name: 'IETF Protocol Assignments' },
    { from: '192.0.0.170', to: '192.0.0.171', name: 'NAT64/DNS64 Discovery' },
    { from: '192.0.0.172', to: '192.0.0.255', name: 'IETF Protocol Assignments' },
    { from: '192.0.2.0', to: '192.0.2.255', name: 'Documentation (TEST-NET-1)' },
    { from: '192.88.99.0', to: '192.88.99.255', name: 'Deprecated (6to4 Relay Anycast)' },
    { from: '192.88.99.2', to: '192.88.99.2', name: '6a44-relay anycast address' },
    { from: '192.168.0.0', to: '192.168.255.255', name: 'Private-Use' },
    { from: '198.18.0.0', to: '198.19.255.255', name: 'Benchmarking' },
    { from: '198.51.100.0', to: '198.51.100.255', name: 'Documentation (TEST-NET-2)' },
    { from: '203.0.113.0', to: '203.0.113.255', name: 'Documentation (TEST-NET-3)' },
    { from: '224.0.0.0', to: '239.255.255.255', name: 'Multicast' },
    { from: '240.0.0.0', to: '255.255.255.254', name: 'Reserved' },
    { from: '255.255.255.255', to: '255.255.255.255', name: 'Limited Broadcast' },
    { from: '::', to: '::', name: 'Unspecified Address' },
    { from: '::1', to: '::1', name: 'Loopback Address' },
    { from: '::2', to: '::ffff:ffff', name: 'IPv4-compatible (deprecated)' },
    { from: '::8.8.8.8', to: '::127.0.0.1', name: 'IPv4-compatible (deprecated)' },
    { from: '::ffff:0:8.8.8.8', to: '::ffff:0:127.0.0.1', name: 'IPv4-translated (deprecated)' },
    { from: '1::', to: '63:ffff::', name: 'Reserved by IETF' },
    { from: '64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff', to: '64:ff9b::1:0:0', name: 'Reserved by IETF' },
    { from: '64:ff9b:1::', to: '64:ff9b:1:ffff:ffff:ffff:ffff:ffff', name: 'IPv4-IPv6 Translat.' },
    { from: '64:ff9b:1::8.8.8.8', to: '64:ff9b:1::8.8.8.8', name: 'IPv4-IPv6 Translat.' },
    { from: '64:ff9b:2::', to: 'ff:ffff::', name: 'Reserved by IETF' },
    { from: '100::', to: '100::ffff:ffff:ffff:ffff', name: 'Discard-Only Address Block' },
    { from: '100:0:0:1::', to: '100:0:0:1:ffff:ffff:ffff:ffff', name: 'Dummy IPv6 Prefix' },
    { from: '100:0:0:2::', to: '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Reserved by IETF' },
    { from: '2001:0:4136:e378:8000:63bf:3fff:fdd2', to: '2001:0:808:808::f7f7:f7f7', name: 'TEREDO' },
    { from: '2001:1::', to: '2001:1::', name: 'IETF Protocol Assignments' },
    { from: '2001:1::4', to: '2001:1:ffff::', name: 'IETF Protocol Assignments' },
    { from: '2001:2::', to: '2001:2:0:ffff:ffff:ffff:ffff:ffff', name: 'Benchmarking' },
    { from: '2001:2:1::', to: '2001:2:ffff::', name: 'IETF Protocol Assignments' },
    { from: '2001:4::', to: '2001:4:111:ffff::', name: 'IETF Protocol Assignments' },
    { from: '2001:4:113::', to: '2001:f:ffff::', name: 'IETF Protocol Assignments' },
    { from: '2001:10::', to: '2001:1f:ffff::', name: 'Deprecated (previously ORCHID)' },
    { from: '2001:40::', to: '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'IETF Protocol Assignments' },
    { from: '2001:db8::', to: '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Documentation' },
    { from: '3fff::', to: '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Documentation' },
    { from: '4000::', to: '5eff:ffff::', name: 'Reserved by IETF' },
    { from: '5f00::', to: '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Segment Routing (SRv6) SIDs' },
    { from: '5f01::', to: 'fbff:ffff::', name: 'Reserved by IETF' },
    { from: 'fc00::', to: 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Unique-Local' },
    { from: 'fe00::', to: 'fe7f:ffff::', name: 'Reserved by IETF' },
    { from: 'fe80::', to: 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Link-Local Unicast' },
    { from: 'fec0::', to: 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Site-Local Unicast (deprecated)' },
    { from: 'ff00::', to: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', name: 'Multicast' },
  ]
  for (const { from, to, name } of special)
    it(`calls ${from}${from === to ? '' : ` and ${to}`} ${name}`, () => {
      expect(specialBlock(ip(from))?.name).toBe(name)
      expect(specialBlock(ip(to))?.name).toBe(name)
    })

  it('names the range and the document', () =>
    expect(specialBlock(ip('172.20.0.1'))).toMatchObject({
      cidr: { text: '172.16.0.0/12' },
      name: 'Private-Use',
      source: 'RFC 1918',
    }))

  /** The neighbours of the blocks above, and IANA's exceptions inside them. */
  const reachable = [
    { addresses: ['1.0.0.0', '8.8.8.8', '9.255.255.255', '11.0.0.0'], because: 'they are ordinary' },
    { addresses: ['100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0'], because: 'they are next to a block' },
    { addresses: ['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0'], because: 'they are next to a block' },
    { addresses: ['192.0.0.9', '192.0.0.10'], because: 'PCP and TURN anycast are exceptions' },
    { addresses: ['192.0.1.0', '192.0.3.0', '192.88.98.255', '192.88.100.0'], because: 'they are next to a block' },
    { addresses: ['192.31.196.0', '192.52.193.255', '192.175.48.1'], because: 'AS112 and AMT are registered and reachable' },
    {
      addresses: ['198.17.255.255', '198.20.0.0', '203.0.112.255', '203.0.114.0', '223.255.255.255'],
      because: 'next to a block',
    },
    { addresses: ['168.63.129.16'], because: 'to IANA it is an ordinary address; `platformAddress` knows it' },
    { addresses: ['2000::', '2606:4700::1111', '2a00:1450::1', '3ffe:ffff::', '3fff:1000::'], because: 'global unicast' },
    { addresses: ['2001:1::1', '2001:1::2', '2001:1::3'], because: 'anycast exceptions inside 2001::/23' },
    { addresses: ['2001:3::', '2001:3:ffff::', '2001:4:112::1'], because: 'AMT and AS112-v6' },
    { addresses: ['2001:20::', '2001:2f:ffff::', '2001:30::', '2001:3f:ffff::'], because: 'ORCHIDv2 and DRIP' },
    { addresses: ['2001:200::', '2001:db7:ffff::', '2001:db9::', '2620:4f:8000::1'], because: 'they are outside 2001::/23' },
    { addresses: ['::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1'], because: 'the embedded address is' },
    { addresses: ['2606:4700::5efe:8.8.8.8', '2606:4700::200:5efe:8.8.8.8'], because: 'the ISATAP address is' },
  ]
  for (const { addresses, because } of reachable)
    it(`calls ${addresses.join(', ')} reachable: ${because}`, () => {
      for (const address of addresses) expect(specialBlock(ip(address)), address).toBeUndefined()
    })

  const embedded = [
    { text: '::ffff:127.0.0.1', name: 'Loopback' },
    { text: '::ffff:10.0.0.1', name: 'Private-Use' },
    { text: '::ffff:0.0.0.0', name: 'This host on this network' },
    { text: '64:ff9b::169.254.169.254', name: 'Link Local' },
    { text: '64:ff9b::192.168.0.1', name: 'Private-Use' },
    { text: '2002:7f00:1::', name: 'Loopback' },
    { text: '2002:a9fe:a9fe::1', name: 'Link Local' },
    { text: '2606:4700::5efe:10.0.0.1', name: 'Private-Use' },
    { text: '2606:4700::200:5efe:10.0.0.1', name: 'Private-Use' },
    { text: '2002:808:808::5efe:10.0.0.1', name: 'Private-Use' },
  ]
  for (const { text, name } of embedded) it(`sees ${name} inside ${text}`, () => expect(specialBlock(ip(text))?.name).toBe(name))

  it('judges NAT64, 6to4 and mapped addresses exactly as the IPv4 address inside', () => {
    fc.assert(
      fc.property(uint32, uint32, uint32, (value, host, rest) => {
        const v4 = specialBlock(ipv4FromValue(value))
        const sixToFour = ipv6FromWords([(0x20020000 | (value >>> 16)) >>> 0, ((value << 16) | (host & 0xffff)) >>> 0, 1, rest])
        for (const form of [ipv6FromWords([0, 0, 0xffff, value]), ipv6FromWords([0x64ff9b, 0, 0, value]), sixToFour])
          expect(specialBlock(form), form.text).toEqual(v4)
      }),
      FIXED,
    )
  })

  it('has an answer for every address, and reaches IPv6 only through global unicast, NAT64 and mapped addresses', () => {
    fc.assert(
      fc.property(uint32, uint32, uint32, uint32, (a, b, c, d) => {
        const reached = specialBlock(ipv6FromWords([a, b, c, d])) === undefined
        if (a >>> 29 !== 1) expect(reached).toBe(false)
      }),
      FIXED,
    )
  })
})

describe('platformAddress', () => {
  const cases = [
    { text: '169.254.169.254', name: 'instance metadata service' },
    { text: '168.63.129.16', name: 'Azure wire server and DNS' },
    { text: 'fd00:ec2::254', name: 'EC2 instance metadata service' },
    { text: '::ffff:168.63.129.16', name: 'Azure wire server and DNS' },
    { text: '::169.254.169.254', name: 'instance metadata service' },
    { text: '::ffff:0:169.254.169.254', name: 'instance metadata service' },
    { text: '64:ff9b::168.63.129.16', name: 'Azure wire server and DNS' },
    { text: '64:ff9b:1::169.254.169.254', name: 'instance metadata service' },
    { text: '64:ff9b:1:a9fe:a9:fe00::', name: 'instance metadata service' },
    { text: '2002:a83f:8110::1', name: 'Azure wire server and DNS' },
    { text: '2001:0:808:808::5601:5601', name: 'instance metadata service' },
    { text: 'fe80::5efe:169.254.169.254', name: 'instance metadata service' },
    { text: '169.254.169.253', name: undefined },
    { text: '168.63.129.17', name: undefined },
    { text: 'fd00:ec2::253', name: undefined },
    { text: '2606:4700::a9fe:a9fe', name: undefined },
  ]
  for (const { text, name } of cases)
    it(`calls ${text} ${name ?? 'no platform address'}`, () => expect(platformAddress(ip(text))).toBe(name))

  it('lists each address once', () =>
    expect(new Set(PLATFORM_ADDRESSES.map(({ address }) => address.text)).size).toBe(PLATFORM_ADDRESSES.length))
})

describe('isLoopback and isUnspecified', () => {
  const cases = [
    { text: '127.0.0.1', loopback: true, unspecified: false },
    { text: '127.255.255.254', loopback: true, unspecified: false },
    { text: '::1', loopback: true, unspecified: false },
    { text: '::ffff:127.0.0.1', loopback: true, unspecified: false },
    { text: '::127.0.0.1', loopback: true, unspecified: false },
    { text: '64:ff9b::127.0.0.1', loopback: true, unspecified: false },
    { text: '2002:7f00:1::', loopback: true, unspecified: false },
    { text: '0.0.0.0', loopback: false, unspecified: true },
    { text: '::', loopback: false, unspecified: true },
    { text: '::ffff:0.0.0.0', loopback: false, unspecified: true },
    { text: '126.255.255.255', loopback: false, unspecified: false },
    { text: '128.0.0.1', loopback: false, unspecified: false },
    { text: '::2', loopback: false, unspecified: false },
    { text: '1::1', loopback: false, unspecified: false },
    { text: '0.0.0.1', loopback: false, unspecified: false },
  ]
  for (const { text, loopback, unspecified } of cases)
    it(`calls ${text} ${loopback ? 'loopback' : unspecified ? 'unspecified' : 'neither'}`, () => {
      expect(isLoopback(ip(text))).toBe(loopback)
      expect(isUnspecified(ip(text))).toBe(unspecified)
    })
})
