import { describe, expect, it } from 'vitest'
import { formatHostPattern } from '../../../src/core/policy/host-pattern.ts'
import { inspectedHosts } from '../../../src/core/policy/inspected-hosts.ts'
import { policyFrom, policyOf } from '../../support/policy.ts'

const rules = [
  { rule: '{ name: r, hosts: [a.example], paths: [/x/*] }', inspected: ['a.example'], because: 'the path is inside TLS' },
  { rule: '{ name: r, hosts: [a.example], methods: [GET] }', inspected: ['a.example'], because: 'the method is inside TLS' },
  {
    rule: '{ name: r, hosts: [a.example], paths: [/x/*], action: deny }',
    inspected: ['a.example'],
    because: 'a denial has to see the path too',
  },
  {
    rule: '{ name: r, hosts: ["*.a.example", 10.1.2.3], paths: [/x] }',
    inspected: ['*.a.example', '10.1.2.3'],
    because: 'every host of a rule counts',
  },
  { rule: '{ name: r, hosts: [a.example] }', inspected: [], because: 'the whole host is allowed unseen' },
  { rule: '{ name: r, hosts: [a.example], action: deny }', inspected: [], because: 'the whole host is denied unseen' },
  { rule: '{ name: r, hosts: [a.example], ports: [80], paths: [/x] }', inspected: [], because: 'plain HTTP shows its path' },
  {
    rule: '{ name: r, hosts: [a.example], ports: [8080], protocol: http, paths: [/x] }',
    inspected: [],
    because: 'the rule says it is plain HTTP',
  },
  {
    rule: '{ name: r, hosts: [a.example], ports: [80], protocol: tls, paths: [/x] }',
    inspected: ['a.example'],
    because: 'the rule says it is TLS',
  },
  {
    rule: '{ name: r, hosts: [a.example], paths: [/x], action: deny, mode: report }',
    inspected: [],
    because: "a rule that is only reported ends nobody's TLS",
  },
] as const

describe('the inspected hosts', () => {
  for (const { rule, inspected, because } of rules) {
    it(`of ${rule} are ${inspected.join(', ') || 'none'}: ${because}`, () => {
      expect(inspectedHosts(policyOf(`- ${rule}`)).map(formatHostPattern)).toEqual(inspected)
    })
  }

  it('are each named once, in the order of the policy', () => {
    const policy = policyOf(`
      - { name: one, hosts: [b.example, a.example], paths: [/x] }
      - { name: two, hosts: [a.example, c.example], methods: [GET] }
    `)
    expect(inspectedHosts(policy).map(formatHostPattern)).toEqual(['b.example', 'a.example', 'c.example'])
  })

  it('of the shipped catalogue are those with a documented path', () => {
    expect(inspectedHosts(policyFrom({})).map(formatHostPattern)).toContain('raw.githubusercontent.com')
  })
})
