import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseIp } from '../../../src/core/names/ip.ts'
import { elementLines, ruleSet } from '../../../src/core/subnet/rule-set.ts'
import { ALL_LISTENERS, planOf, tryPlan } from './plans.ts'
import { GOLDEN } from './rule-sets.ts'

describe('the rules of a host', () => {
  for (const { name, ...input } of GOLDEN)
    it(`are these, byte for byte: ${name.replaceAll('-', ' ')}`, () => {
      const file = fileURLToPath(new URL(`rules/${name}.nft`, import.meta.url))
      const made = ruleSet(planOf(input))
      if (!existsSync(file) && process.env['WRITE_GOLDEN'] === '1') writeFileSync(file, made)
      expect(made).toBe(readFileSync(file, 'utf8'))
    })

  it('do not depend on the order or the doubles in the config', () => {
    const forward = { name: 'x', proto: 'udp' }
    const one = planOf({
      subnet: {
        ranges: ['10.0.2.0/24', '10.0.1.0/24', '10.0.1.128/25', '10.0.1.0/24'],
        forward: [
          { ...forward, ports: [9, 7, 9], addresses: ['192.0.2.2', '192.0.2.0/24'], hosts: ['b.test', 'a.test', 'a.test'] },
        ],
      },
    })
    const other = planOf({
      subnet: {
        ranges: ['10.0.1.0/24', '10.0.2.0/24'],
        forward: [{ ...forward, ports: [7, 9], addresses: ['192.0.2.0/24'], hosts: ['a.test', 'b.test'] }],
      },
    })
    expect(ruleSet(one)).toBe(ruleSet(other))
  })

  it('have no way to the Azure host, whatever an exception says', () => {
    const text = ruleSet(
      planOf({
        subnet: { ranges: ['10.0.1.0/24'], forward: [{ name: 'all', proto: 'udp', ports: [53], addresses: ['0.0.0.0/0'] }] },
      }),
    )
    const chain = text.slice(text.indexOf('chain excepted'))
    expect(chain.indexOf('168.63.129.16')).toBeGreaterThan(0)
    expect(chain.indexOf('168.63.129.16')).toBeLessThan(chain.indexOf('accept'))
  })

  it('let an address in for a time that begins anew when it is found again', () => {
    const [forward] = planOf({
      subnet: { ranges: ['10.0.1.0/24'], forward: [{ name: 'x', proto: 'udp', ports: [9], hosts: ['a.test'] }] },
    }).forwards
    const addresses = ['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.2'].flatMap((text) => parseIp(text) ?? [])
    expect(forward && elementLines(forward, addresses, 600).filter((line) => line.includes('timeout'))).toEqual([
      'add element inet sallyport named4/x { 192.0.2.1 timeout 600s }',
      'add element inet sallyport named6/x { 2001:db8::1 timeout 600s }',
      'add element inet sallyport named4/x { 192.0.2.2 timeout 600s }',
    ])
  })
})

describe('what no rules can be made of', () => {
  const cases = [
    { because: 'no ranges', input: { subnet: {} }, says: /`subnet\.ranges` is empty/ },
    {
      because: 'a port that nobody knows yet',
      input: { listeners: { ...ALL_LISTENERS, http: '0.0.0.0:0' } },
      says: /transparent\.http.*give it one/,
    },
    {
      because: 'loopback',
      input: { listeners: { tls: '127.0.0.1:3443' } },
      says: /transparent\.tls.*never get to loopback.*0\.0\.0\.0:3443/,
    },
    { because: "IPv6's loopback", input: { listeners: { tcp: '[::1]:3333' } }, says: /transparent\.tcp.*never get to loopback/ },
  ] as const
  for (const { because, input, says } of cases)
    it(`is told with a remedy: ${because}`, () => {
      const plan = tryPlan({ subnet: { ranges: ['10.0.1.0/24'] }, ...input })
      expect(plan.ok ? 'a plan' : plan.error).toMatch(says)
    })
})
