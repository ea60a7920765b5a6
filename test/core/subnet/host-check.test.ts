import { describe, expect, it } from 'vitest'
import { checkHost } from '../../../src/core/subnet/host-check.ts'
import { planOf } from './plans.ts'

const GOOD: Readonly<Record<string, string>> = {
  'net.ipv4.ip_forward': '0',
  'net.ipv6.conf.all.forwarding': '0',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.all.send_redirects': '1',
  'net.netfilter.nf_conntrack_max': '80000',
  'net.netfilter.nf_conntrack_count': '10',
}
const ranges = ['10.0.1.0/24']
const ntp = { name: 'ntp', proto: 'udp', ports: [123], addresses: ['192.0.2.1'] }
const six = { name: 'six', proto: 'udp', ports: [123], addresses: ['2001:db8::1'] }

const cases = [
  { when: 'nothing is forwarded, and nothing has to be', subnet: {}, host: {}, finds: [] },
  {
    when: 'forwarding is on and nothing needs it',
    subnet: {},
    host: { 'net.ipv4.ip_forward': '1' },
    finds: ['advice net.ipv4.ip_forward=0'],
  },
  {
    when: 'others are left to their own rules, which may need it',
    subnet: { others: 'leave' },
    host: { 'net.ipv4.ip_forward': '1' },
    finds: [],
  },
  {
    when: 'an exception needs forwarding, of its own family alone',
    subnet: { forward: [ntp] },
    host: { 'net.ipv4.conf.all.send_redirects': '0' },
    finds: ['missing net.ipv4.ip_forward=1'],
  },
  {
    when: 'an exception is for IPv6',
    subnet: { forward: [six] },
    host: { 'net.ipv4.conf.all.send_redirects': '0' },
    finds: ['missing net.ipv6.conf.all.forwarding=1'],
  },
  {
    when: 'the kernel would tell forwarded clients of a shorter way',
    subnet: { forward: [ntp] },
    host: { 'net.ipv4.ip_forward': '1' },
    finds: ['advice net.ipv4.conf.all.send_redirects=0'],
  },
  {
    when: 'conntrack holds one connection less than it may have to',
    subnet: {},
    host: { 'net.netfilter.nf_conntrack_max': '79999' },
    finds: ['missing net.netfilter.nf_conntrack_max=80000'],
  },
  {
    when: 'conntrack is nearly full',
    subnet: {},
    host: { 'net.netfilter.nf_conntrack_count': '64001' },
    finds: ['missing net.netfilter.nf_conntrack_max=160000'],
  },
  { when: 'conntrack is four fifths full', subnet: {}, host: { 'net.netfilter.nf_conntrack_count': '64000' }, finds: [] },
  {
    when: 'there is no conntrack',
    subnet: {},
    host: { 'net.netfilter.nf_conntrack_max': undefined },
    finds: ['missing undefined'],
  },
  {
    when: 'the way back is checked strictly',
    subnet: { interface: 'eth1' },
    host: { 'net.ipv4.conf.all.rp_filter': '1' },
    finds: ['advice net.ipv4.conf.all.rp_filter=2'],
  },
  {
    when: 'it is checked strictly on the one interface',
    subnet: { interface: 'eth1' },
    host: { 'net.ipv4.conf.eth1.rp_filter': '1' },
    finds: ['advice net.ipv4.conf.eth1.rp_filter=2'],
  },
  {
    when: 'it is loose for all, which wins over strict on one',
    subnet: { interface: 'eth1' },
    host: { 'net.ipv4.conf.all.rp_filter': '2', 'net.ipv4.conf.eth1.rp_filter': '1' },
    finds: [],
  },
] as const

describe('what a host lacks', () => {
  for (const { when, subnet, host, finds } of cases)
    it(`is ${finds.length === 0 ? 'nothing' : finds.join(', ')} where ${when}`, () => {
      const read: Readonly<Record<string, string | undefined>> = { ...GOOD, ...host }
      const found = checkHost(planOf({ subnet: { ranges, ...subnet } }), (name) => read[name], 20_000)
      expect(found.map(({ kind, sysctl }) => `${kind} ${sysctl}`)).toEqual(finds)
      for (const { message } of found) expect(message).toMatch(/^[^A-Z].*[^.]$/)
    })
})
