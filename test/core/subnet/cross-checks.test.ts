import { describe, expect, it } from 'vitest'
import { checkSubnet, warnAboutSubnet } from '../../../src/core/subnet/cross-checks.ts'
import { configFrom } from '../../support/policy.ts'

const forward = (more: object) => [{ name: 'x', proto: 'udp', ports: [5831], addresses: ['192.0.2.1'], ...more }]
const warnings = (subnet: object, clients: readonly string[] = ['10.0.0.0/8']) =>
  warnAboutSubnet(configFrom({ subnet: { ranges: ['10.0.1.0/24'], ...subnet }, clients: { allow: clients } }))
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .filter((line) => !line.includes('listen.transparent'))

describe('what is said of a subnet section', () => {
  const cases = [
    {
      what: 'an exception for DNS',
      subnet: { forward: forward({ ports: [53] }) },
      says: [/^subnet\.forward\.0\.ports: port 53/],
    },
    {
      what: 'an exception for the web',
      subnet: { forward: forward({ proto: 'tcp', ports: [443] }) },
      says: [/TCP 80 and 443 are let through/],
    },
    { what: 'an exception for QUIC', subnet: { forward: forward({ ports: [443] }) }, says: [/UDP 443 is QUIC/] },
    {
      what: 'an exception for everywhere',
      subnet: { forward: forward({ addresses: ['0.0.0.0/0'] }) },
      says: [/^subnet\.forward\.0\.addresses\.0: `0\.0\.0\.0\/0` is much/],
    },
    { what: 'an exception for a whole /8', subnet: { forward: forward({ addresses: ['13.0.0.0/8'] }) }, says: [] },
    { what: 'UDP 5831 to one address', subnet: { forward: forward({}) }, says: [] },
    { what: 'no ranges, and so nothing at all', subnet: { ranges: [] }, says: [] },
  ] as const
  for (const { what, subnet, says } of cases)
    it(`${says.length === 0 ? 'is nothing about' : 'warns of'} ${what}`, () => {
      const said = warnings(subnet)
      expect(said).toHaveLength(says.length)
      says.forEach((pattern, index) => {
        expect(said[index]).toMatch(pattern)
      })
    })

  it('warns of clients that the listeners would refuse, and knows a range inside another', () => {
    expect(warnings({}, ['10.0.1.0/25'])).toEqual([
      'subnet.ranges.0: `10.0.1.0/24` is not in `clients.allow`: its clients are refused',
    ])
    expect(warnings({}, ['10.0.1.0/24'])).toEqual([])
    expect(warnings({}, ['10.0.0.0/16'])).toEqual([])
  })

  it('warns where nothing listens for the TCP of the ranges', () => {
    expect(
      warnAboutSubnet(configFrom({ subnet: { ranges: ['10.0.1.0/24'] }, clients: { allow: ['10.0.0.0/8'] } })).map(
        ({ message }) => message,
      ),
    ).toEqual(['there is no `listen.transparent`: all TCP of these ranges is dropped'])
  })

  it('is an error where exceptions have no ranges, no destination, or one name', () => {
    const tagged = { name: 'b', proto: 'udp', ports: [1], serviceTags: ['AzureMachineLearning'] }
    const subnet = { forward: [{ name: 'a', proto: 'udp', ports: [1] }, ...forward({ name: 'a' }), tagged] }
    expect(checkSubnet(configFrom({ subnet })).map(({ path }) => path.join('.'))).toEqual([
      'subnet.forward',
      'subnet.forward.0',
      'subnet.forward.1.name',
    ])
  })
})
