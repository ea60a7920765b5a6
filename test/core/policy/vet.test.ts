import { describe, expect, it } from 'vitest'
import { type Cidr, CidrSet, parseCidr } from '../../../src/core/names/cidr.ts'
import { type IpAddress, parseIp } from '../../../src/core/names/ip.ts'
import { type Permission, vetAddress } from '../../../src/core/policy/vet.ts'
import { unwrap } from '../../support/policy.ts'

const ranges = (...texts: readonly string[]): CidrSet => CidrSet.of(texts.map((text): Cidr => unwrap(parseCidr(text))))
const NOTHING: Permission = { pinned: false, privateRanges: ranges() }
const EVERYTHING: Permission = {
  pinned: true,
  destinations: ranges('0.0.0.0/0', '::/0'),
  privateRanges: ranges('0.0.0.0/0', '::/0'),
}

function address(text: string): IpAddress {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`${text} is no address`)
  return ip
}

function vetted(text: string, permission: Partial<Permission> = {}): string {
  const result = vetAddress(address(text), { ...NOTHING, ...permission })
  return result.ok ? `dial ${result.value.text}` : `${result.error.kind}: ${result.error.address.text}, ${result.error.block}`
}

type Case = readonly [address: string, expected: string | RegExp, because: string]

function holds(cases: readonly Case[], permission: Partial<Permission> = {}): void {
  for (const [text, expected, because] of cases)
    it(`${text}: ${because}`, () => {
      const shown = vetted(text, permission)
      if (typeof expected === 'string') expect(shown).toBe(expected)
      else expect(shown).toMatch(expected)
    })
}

describe('an address without any permission', () => {
  holds([
    ['93.184.216.34', 'dial 93.184.216.34', 'on the public internet'],
    ['2606:2800:220:1::1', 'dial 2606:2800:220:1::1', 'on the public internet'],
    ['::ffff:93.184.216.34', 'dial 93.184.216.34', 'mapped: unwrapped, then vetted, and dialled as what it is (case 17)'],
    ['64:ff9b::5db8:d822', 'dial 64:ff9b::5db8:d822', 'NAT64 of a public address is dialled as it stands'],
    ['10.0.0.1', 'special: 10.0.0.1, Private-Use, RFC 1918', 'private'],
    ['172.31.255.255', /^special.*RFC 1918/, 'the last private one of its block'],
    ['172.32.0.0', 'dial 172.32.0.0', 'near miss: the next is public'],
    ['192.168.0.1', /^special.*RFC 1918/, 'private'],
    ['0.0.0.0', /^loopback: 0\.0\.0\.0, This host on this network/, 'connecting to it reaches this host (case 16)'],
    ['::', /^loopback: ::, Unspecified/, 'connecting to it reaches this host (case 16)'],
    ['::ffff:0.0.0.0', /^loopback: 0\.0\.0\.0/, 'mapped, the same'],
    ['0.1.2.3', /^special: .*This network/, 'this network'],
    ['127.0.0.1', 'loopback: 127.0.0.1, Loopback, RFC 1122', 'loopback (case 16)'],
    ['127.255.255.254', /^loopback/, 'all of 127/8 is'],
    ['128.0.0.1', 'dial 128.0.0.1', 'near miss'],
    ['::1', 'loopback: ::1, Loopback Address, RFC 4291', 'loopback'],
    ['::2', /^special: .*IPv4-compatible/, 'the deprecated `::a.b.c.d`'],
    ['::ffff:127.0.0.1', /^loopback: 127\.0\.0\.1/, 'mapped loopback (case 17)'],
    ['169.254.0.1', /^special: .*Link Local/, 'link-local'],
    ['100.64.0.1', /^special: .*Shared Address Space/, 'shared address space (case 16)'],
    ['100.128.0.1', 'dial 100.128.0.1', 'near miss'],
    ['224.0.0.1', /^special: .*Multicast/, 'multicast'],
    ['ff02::1', /^special: .*Multicast/, 'multicast'],
    ['255.255.255.255', /^special: .*Limited Broadcast/, 'broadcast'],
    ['fd00::1', /^special: .*Unique-Local/, 'unique local'],
    ['fe80::1', /^special: .*Link-Local/, 'link-local'],
    ['64:ff9b::7f00:1', /^loopback: 64:ff9b::7f00:1, Loopback/, 'NAT64 of loopback (case 18)'],
    ['64:ff9b::a00:1', /^special: .*Private-Use/, 'NAT64 of a private address (case 18)'],
    ['64:ff9b:1::5db8:d822', /^special/, 'a translation prefix of some local network (case 18)'],
    ['2002:7f00:1::', /^loopback/, '6to4 of loopback (case 18)'],
    ['2002:a00:1::1', /^special: .*Private-Use/, '6to4 of a private address (case 18)'],
    ['2002:5db8:d822::1', 'dial 2002:5db8:d822::1', '6to4 of a public address goes there'],
    ['2001:0:5db8:d822:0:0:f5ff:fffe', /^special: .*TEREDO/, 'Teredo (case 18)'],
    ['::ffff:0:10.0.0.1', /^special/, 'SIIT (case 18)'],
    ['::10.0.0.1', /^special/, 'the deprecated `::a.b.c.d` (case 18)'],
    ['2606::5efe:10.0.0.1', /^special: .*Private-Use/, 'ISATAP of a private address'],
    ['4000::1', /^special: .*Reserved/, 'what IANA has not given out is not public'],
  ])

  it('is not read from what only `inet_aton` takes for one (case 15)', () => {
    for (const text of [
      '2130706433',
      '0177.0.0.1',
      '0x7f.1',
      '127.1',
      '\u2460\u2461\u2466.0.0.1',
      '1\u3002\u0030.0.1',
      'fe80::1%eth0',
    ])
      expect(parseIp(text), text).toBeUndefined()
  })
})

describe('the platform’s own addresses', () => {
  const PLATFORM = [
    '169.254.169.254',
    '168.63.129.16',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '::ffff:168.63.129.16',
    '64:ff9b::169.254.169.254',
    '64:ff9b::168.63.129.16',
    '64:ff9b:1::169.254.169.254',
    '2002:a9fe:a9fe::',
    '2002:a83f:8110::1',
    '::169.254.169.254',
    '::ffff:0:168.63.129.16',
    '2001:0:a9fe:a9fe::',
    '2606::5efe:169.254.169.254',
  ]
  for (const text of PLATFORM)
    it(`${text} is refused without permission, pinned, and in every range`, () => {
      expect(vetted(text)).toMatch(/^platform/)
      expect(vetted(text, { pinned: true })).toMatch(/^platform/)
      expect(vetted(text, EVERYTHING)).toMatch(/^platform/)
      expect(vetted(text, { destinations: ranges('169.254.169.254/32', '168.63.129.16/32', 'fd00:ec2::/32') })).toMatch(
        /^platform/,
      )
    })

  it('near misses are ordinary addresses', () => {
    expect(vetted('168.63.129.17')).toBe('dial 168.63.129.17')
    expect(vetted('169.254.169.253', { privateRanges: ranges('169.254.0.0/16') })).toBe('dial 169.254.169.253')
    expect(vetted('fd00:ec2::253', EVERYTHING)).toBe('dial fd00:ec2::253')
  })
})

describe('a range that the operator allows', () => {
  describe('for one entry (`destinations`, `workspace.privateEndpoints`)', () => {
    holds(
      [
        ['10.20.4.5', 'dial 10.20.4.5', 'in the range'],
        ['::ffff:10.20.4.5', 'dial 10.20.4.5', 'in the range, mapped'],
        ['10.21.0.1', /^special/, 'near miss: beside the range'],
        ['fd12::5', 'dial fd12::5', 'in the range'],
        ['64:ff9b::a14:405', /^special/, 'NAT64 of one in the range is another address'],
        ['127.0.0.1', /^loopback/, 'another block'],
        ['93.184.216.34', 'dial 93.184.216.34', 'what is public needs no permission'],
      ],
      { destinations: ranges('10.20.0.0/16', 'fd12::/16') },
    )
  })

  describe('for every entry (`destinations.privateRanges`)', () => {
    holds(
      [
        ['10.1.1.1', 'dial 10.1.1.1', 'in the range'],
        ['192.168.1.1', /^special/, 'near miss: another private block'],
      ],
      { privateRanges: ranges('10.0.0.0/8') },
    )
  })

  describe('and loopback', () => {
    const LOOPBACK: readonly (readonly [range: string, address: string, dialled: boolean, because: string])[] = [
      ['127.0.0.0/8', '127.0.0.1', true, 'a range of /8 means it'],
      ['127.0.0.1/32', '127.0.0.1', true, 'so does the address itself'],
      ['127.0.0.1/32', '127.0.0.2', false, 'near miss'],
      ['126.0.0.0/7', '127.0.0.1', false, 'a wider range happens to contain it'],
      ['0.0.0.0/0', '127.0.0.1', false, 'nobody means the gateway’s own host by everything'],
      ['0.0.0.0/0', '10.0.0.1', true, 'though that does open every private range'],
      ['0.0.0.0/0', '0.0.0.0', false, 'the unspecified address reaches the same host'],
      ['0.0.0.0/8', '0.0.0.0', true, 'a range of /8 means it'],
      ['::/0', '::1', false, 'nobody means the gateway’s own host by everything'],
      ['::1/128', '::1', true, 'the address itself'],
      ['::/0', 'fd00::1', true, 'though that does open every private range'],
      ['127.0.0.0/8', '::ffff:127.0.0.1', true, 'mapped loopback is loopback'],
      ['::ffff:0:0/96', '::ffff:127.0.0.1', false, 'the mapped block is no range of IPv4'],
    ]
    for (const [range, text, dialled, because] of LOOPBACK)
      it(`${range} ${dialled ? 'opens' : 'does not open'} ${text}: ${because}`, () => {
        expect(vetted(text, { privateRanges: ranges(range) }).startsWith('dial')).toBe(dialled)
        expect(vetted(text, { destinations: ranges(range) }).startsWith('dial')).toBe(dialled)
      })
  })
})

describe('a pin', () => {
  holds(
    [
      ['10.20.0.7', 'dial 10.20.0.7', 'is permission for a private address'],
      ['127.0.0.1', 'dial 127.0.0.1', 'and for loopback'],
      ['::1', 'dial ::1', 'and for loopback'],
    ],
    { pinned: true },
  )
})
