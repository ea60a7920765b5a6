import { describe, expect, it } from 'vitest'
import { DROPPED_SERIES, droppedHint, KNOWN_PORTS } from '../../../src/core/subnet/dropped.ts'
import { readListing } from '../../../src/core/subnet/listing.ts'

describe('the hint about dropped packets', () => {
  const cases = [
    { proto: 'udp', port: 5831, name: 'instance-udp', says: 'proto: udp, ports: [5831]' },
    { proto: 'udp', port: 123, name: 'ntp', says: "host's clock" },
    { proto: 'tcp', port: 445, name: 'smb', says: 'private or service endpoint' },
    { proto: 'udp', port: 1194, name: 'vpn-1194', says: 'AKS' },
    { proto: 'udp', port: 53, name: 'dns', says: '168.63.129.16' },
    { proto: 'tcp', port: 53, name: 'dns', says: '168.63.129.16' },
    { proto: 'udp', port: 443, name: 'quic', says: 'over TCP' },
  ] as const
  for (const { proto, port, name, says } of cases)
    it(`says what to do about ${proto} ${port}`, () => {
      const hint = droppedHint({ proto, port })
      expect(hint?.remedy).toEqual({ kind: 'forward', name })
      expect(hint?.text).toContain(says)
    })

  const others = [
    { proto: 'tcp', port: 5831, because: 'what instances send is UDP' },
    { proto: 'sctp', port: 53, because: 'no name server speaks it' },
    { proto: 'udp', port: 54, because: 'nobody knows what it is' },
    { proto: 'icmp', port: undefined, because: 'it has no port' },
  ] as const
  for (const { proto, port, because } of others)
    it(`says nothing of ${proto} ${port ?? ''}: ${because}`, () => expect(droppedHint({ proto, port })).toBeUndefined())
})

describe('the series', () => {
  it('are closed: the known ports for TCP and UDP, and one for each other protocol', () => {
    expect(DROPPED_SERIES).toHaveLength(2 * (KNOWN_PORTS.length + 1) + 3)
  })
})

describe('what nft says', () => {
  const element = (concat: readonly unknown[], packets = 3) => ({
    elem: { val: { concat }, timeout: 300, expires: 12, counter: { packets, bytes: 9 } },
  })
  const counters = DROPPED_SERIES.map(({ proto, port }) => ({
    counter: { name: `dropped-${proto}-${port}`, packets: port === '53' ? 7 : 0 },
  }))

  it('is read: counters, and flows of both kinds of sets', () => {
    const read = readListing({
      nftables: [
        { metainfo: { version: '1.0.6' } },
        ...counters,
        { set: { name: 'flows4/with-ports', elem: [element(['10.0.1.4', '192.0.2.1', 'udp', 53])] } },
        { set: { name: 'flows6/without-ports', elem: [element(['fd00::4', '2001:db8::1', 'ipv6-icmp'], 1)] } },
        { set: { name: 'subnet4', elem: ['10.0.1.0/24'] } },
        { chain: { name: 'dropped' } },
      ],
    })
    if (!read.ok) throw new Error(read.error)
    expect(read.value.packets.filter(({ packets }) => packets > 0)).toEqual([
      { proto: 'tcp', port: '53', packets: 7 },
      { proto: 'udp', port: '53', packets: 7 },
    ])
    expect(read.value.flows).toEqual([
      { client: '10.0.1.4', destination: '192.0.2.1', proto: 'udp', port: 53, packets: 3 },
      { client: 'fd00::4', destination: '2001:db8::1', proto: 'ipv6-icmp', packets: 1 },
    ])
  })

  for (const [what, value] of [
    ['no listing', { ruleset: [] }],
    ['nothing', undefined],
    ['a table of another version', { nftables: counters.slice(1) }],
  ] as const)
    it(`is refused where it is ${what}`, () => expect(readListing(value).ok).toBe(false))
})
