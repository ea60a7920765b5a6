import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide } from '../../../src/core/policy/decide.ts'
import { describeEntry } from '../../../src/core/policy/describe.ts'
import { explain } from '../../../src/core/policy/explain.ts'
import { formatPattern } from '../../../src/core/policy/hints.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { plainVerdict } from '../../support/plain-verdict.ts'
import { authorityOf, policyOf, policyOfRulesAlone, problemsOf, requestTo } from '../../support/policy.ts'

/** `verdict entry protocol`, and `any name` where the opening is not judged by name. */
function judged(policy: Policy, target: string): string {
  const decision = decide(policy, requestTo(target))
  const entry = decision.entry?.id ?? '-'
  if (decision.verdict === 'deny') return `deny ${decision.reason} ${entry}`
  const anyName = decision.verdict === 'allow' && decision.byAddress ? ', any name' : ''
  return `${decision.verdict} ${entry} ${decision.protocol}${anyName}`
}

describe('a rule with addresses', () => {
  const policy = policyOf(`
    - { name: office, addresses: ["203.0.113.0/24", "2001:db8::/32", "20.0.0.0/8"] }
    - { name: narrow, addresses: ["20.38.98.0/24"], ports: [8443] }
    - { name: ssh, addresses: ["20.1.0.0/16"], ports: [22], protocol: any }
    - { name: both, hosts: ["git.example.com"], addresses: ["198.51.100.7"] }
    - { name: literal, hosts: ["203.0.113.9"] }
    - { name: alone, hosts: ["192.0.9.9"] }
    - { name: never, addresses: ["20.66.0.0/16"], action: deny }
    - { name: not-smtp, addresses: ["0.0.0.0/0"], ports: [25], action: deny }
  `)
  const cases = [
    ['203.0.113.7:443', 'allow rule/office tls, any name', 'the literal is in the range'],
    ['203.0.113.7:80', 'allow rule/office http, any name', 'without ports it is 80 and 443, as for hosts'],
    ['203.0.113.255:443', 'allow rule/office tls, any name', 'it is the last of the range'],
    ['203.0.114.0:443', 'deny host_not_listed -', 'it is the first after the range'],
    ['203.0.112.255:443', 'deny host_not_listed -', 'it is the last before the range'],
    ['[::ffff:203.0.113.7]:443', 'allow rule/office tls, any name', 'a mapped address is the IPv4 address'],
    ['[2001:db8:ffff::1]:443', 'allow rule/office tls, any name', 'IPv6 too'],
    ['[2001:db9::]:443', 'deny host_not_listed -', 'it is the first after the IPv6 range'],
    ['203.0.113.7:22', 'deny port_not_listed rule/office', 'the range is listed, for other ports'],
    ['20.38.98.1:8443', 'allow rule/narrow tls, any name', 'the narrower range is named'],
    ['20.38.98.1:443', 'allow rule/office tls, any name', 'the narrower range says nothing of this port'],
    ['20.1.2.3:22', 'allow rule/ssh any, any name', '`protocol: any` holds for ranges'],
    ['198.51.100.7:443', 'allow rule/both tls, any name', 'a bare address is a range of one'],
    ['git.example.com:443', 'allow rule/both tls', 'a name of the same rule is judged by name'],
    ['203.0.113.9:443', 'allow rule/literal tls, any name', 'the exact literal is named, and no allow is turned into a denial'],
    ['192.0.9.9:443', 'allow rule/alone tls', 'a literal in `hosts` is judged by name, as ever'],
    ['20.66.1.1:443', 'deny denied_by_rule rule/never', 'a deny rule beats the wider allow'],
    ['20.67.0.0:443', 'allow rule/office tls, any name', 'it is the first after the denied range'],
    ['8.8.8.8:25', 'deny denied_by_rule rule/not-smtp', 'a deny rule by address has ports too'],
    ['[64:ff9b::20.66.1.1]:443', 'deny denied_by_rule rule/never', 'a translator would deliver to the denied address'],
    ['[64:ff9b::20.67.1.1]:443', 'deny host_not_listed -', 'what is inside an address allows nothing'],
    ['x.example.com:443', 'deny host_not_listed -', 'a name is never matched by address'],
  ] as const
  for (const [target, expected, because] of cases)
    it(`${expected}: ${target}, since ${because}`, () => {
      expect(judged(policy, target)).toBe(expected)
    })

  it('is shown with its ranges, for people and for programs', () => {
    const entry = policy.entries.find(({ id }) => id === 'rule/both')
    expect(entry?.patterns.map(formatPattern)).toEqual(['git.example.com:80,443', '198.51.100.7/32:80,443'])
    expect(entry && describeEntry(entry).patterns.map(({ host }) => host)).toEqual(['git.example.com', '198.51.100.7/32'])
  })

  it('changes the hash with its ranges', () => {
    const hashOf = (range: string) => policyOf([{ name: 'a', addresses: [range] }]).hash
    expect(hashOf('203.0.113.0/24')).not.toBe(hashOf('203.0.113.0/25'))
    expect(hashOf('203.0.113.0/24')).toBe(hashOf('203.0.113.0/24'))
  })

  it('does not permit what vetting refuses: a private range needs `destinations` too', () => {
    const open = (more: object) => policyOf([{ name: 'lab', addresses: ['10.20.0.0/16'], ...more }])
    const asked = { authority: authorityOf('10.20.1.2:443') }
    expect(explain(open({}), asked, false)).toMatchObject({ verdict: 'deny', reason: 'address_refused' })
    expect(explain(open({ destinations: ['10.20.0.0/16'] }), asked, false)).toMatchObject({ verdict: 'allow' })
    expect(
      explain(policyOf([{ name: 'all', addresses: ['0.0.0.0/0'] }]), { authority: authorityOf('169.254.169.254:80') }, false),
    ).toMatchObject({
      verdict: 'deny',
      reason: 'address_refused',
    })
  })

  it('of a private range without `destinations` is warned about', () => {
    const say = (more: object) =>
      problemsOf({ rules: [{ name: 'lab', addresses: ['10.20.0.0/16', '203.0.113.0/24', '20.0.0.0/8'], ...more }] })
        .map(({ message }) => message)
        .filter((message) => message.includes('rule/lab'))
    expect(say({})).toEqual([
      '`rule/lab` lists what is not public and is refused all the same: 10.20.0.0/16, 203.0.113.0/24; if that is meant, add `destinations: ["10.20.0.0/16", "203.0.113.0/24"]`',
    ])
    expect(say({ destinations: ['10.0.0.0/8', '203.0.113.0/24'] })).toEqual([])
    expect(say({ action: 'deny' })).toEqual([])
  })

  it('covers nothing without hosts or addresses, and judges no paths', () => {
    const say = (rule: object) => problemsOf({ rules: [{ name: 'r', ...rule }] }).map(({ message }) => message)
    expect(() => say({ ports: [443] })).toThrow('rule `r` covers nothing; give it `hosts`, `addresses` or `serviceTags`')
    for (const key of ['paths', 'methods', 'inspect'])
      expect(
        say({
          addresses: ['20.0.0.0/8'],
          ...{ paths: { paths: ['/a'] }, methods: { methods: ['GET'] }, inspect: { inspect: 'always' } }[key],
        }),
      ).toContain(
        `an address has no name to end TLS for, so \`${key}\` does not go with \`addresses\`; give the \`hosts\` a rule of their own`,
      )
  })
})

const range = fc.constantFrom(
  '20.0.0.0/8',
  '20.1.0.0/16',
  '20.1.2.0/24',
  '20.1.2.3',
  '0.0.0.0/0',
  '::/0',
  '2603:1000::/24',
  '2603:1030::/32',
)
const rule = fc
  .tuple(
    fc.oneof(
      fc.uniqueArray(range, { minLength: 1, maxLength: 3 }).map((addresses) => ({ addresses })),
      fc.constantFrom('20.1.2.3', '2603:1030::1').map((host) => ({ hosts: [host] })),
    ),
    fc.constantFrom({ action: 'allow' }, { action: 'allow' }, { action: 'deny' }, { action: 'deny', mode: 'report' }),
    fc.oneof(
      fc.constant({}),
      fc.uniqueArray(fc.constantFrom(80, 443, 8080), { minLength: 1 }).map((ports) => ({ ports })),
    ),
  )
  .map((parts) => Object.assign({}, ...parts) as Record<string, unknown>)

it('decides by address as the sentences on precedence say, for any rules (seeded)', () => {
  const host = fc.constantFrom(
    '20.1.2.3',
    '20.1.2.4',
    '20.1.9.9',
    '20.9.9.9',
    '21.0.0.1',
    '[2603:1030::1]',
    '[2603:10ff::1]',
    '[2a00::1]',
    'a.example',
  )
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), host, fc.constantFrom(80, 443, 22), (rules, host, port) => {
      const policy = policyOfRulesAlone(rules.map((one, at) => ({ name: `r${at}`, ...one })))
      const request = requestTo(`${host}:${port}`)
      expect(decide(policy, request).verdict).toBe(plainVerdict(policy, request))
    }),
    { seed: 8, numRuns: 2_000 },
  )
})
