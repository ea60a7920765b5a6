import { describe, expect, it } from 'vitest'
import { decide } from '../../../src/core/policy/decide.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { policyFrom, policyOf, requestTo } from '../../support/policy.ts'

/** `verdict entry protocol`, or `deny reason entry`, as far as there is one: a decision as one compares it. */
function judged(policy: Policy, target: string, method?: string): string {
  const decision = decide(policy, requestTo(target, method))
  const entry = decision.entry?.id ?? '-'
  return decision.verdict === 'deny' ? `deny ${decision.reason} ${entry}` : `${decision.verdict} ${entry} ${decision.protocol}`
}

type Case = readonly [target: string, expected: string, because: string, method?: string]

function holds(policy: Policy, cases: readonly Case[]): void {
  for (const [target, expected, because, method] of cases)
    it(`${expected}: ${method === undefined ? '' : `${method} `}${target}, since ${because}`, () => {
      expect(judged(policy, target, method)).toBe(expected)
    })
}

describe('an empty policy', () => {
  const policy = policyOf([])
  holds(policy, [
    ['pypi.org:443', 'deny host_not_listed -', 'nothing matches, and nothing matching is a denial (case 14)'],
    ['10.1.2.3:443', 'deny host_not_listed -', 'literals are judged by rule too'],
    ['localhost:80/', 'deny host_not_listed -', 'a visible request is no exception'],
  ])

  it('allows nothing whatever the mode: what report mode lets through is still a denial here', () => {
    expect(judged(policyOf([], { mode: 'report' }), 'pypi.org:443')).toBe('deny host_not_listed -')
  })
})

describe('hosts', () => {
  holds(
    policyOf(`
      - { name: exact, hosts: [pypi.org, 1password.com] }
      - { name: under, hosts: ["*.anaconda.org"] }
      - { name: within, hosts: ["*pytorch.org"] }
      - { name: literals, hosts: ["10.1.2.3", "2001:db8::1", "::ffff:10.9.9.9"] }
    `),
    [
      ['pypi.org:443', 'allow rule/exact tls', 'it is the name'],
      ['PyPI.org.:443', 'allow rule/exact tls', 'case and a trailing dot are no part of a name (case 12)'],
      ['1password.com:443', 'allow rule/exact tls', 'a name may begin with a digit (case 10)'],
      ['www.pypi.org:443', 'deny host_not_listed -', 'an exact name covers nothing under it'],
      ['pypi.org.evil.example:443', 'deny host_not_listed -', 'the listed name is only the beginning'],
      ['evilpypi.org:443', 'deny host_not_listed -', 'the listed name is only the end'],
      ['org:443', 'deny host_not_listed -', 'a node of the tree is not a pattern'],
      ['a.anaconda.org:443', 'allow rule/under tls', 'one label under the suffix'],
      ['a.b.c.anaconda.org:443', 'allow rule/under tls', 'any depth counts'],
      ['anaconda.org:443', 'deny host_not_listed -', 'the apex is listed separately or not at all'],
      ['evilanaconda.org:443', 'deny host_not_listed -', 'labels are compared, not text endings'],
      ['anaconda.org.evil.example:443', 'deny host_not_listed -', 'a suffix is at the end'],
      ['pytorch.org:443', 'allow rule/within tls', '`*suffix` covers the suffix itself'],
      ['a.b.pytorch.org:443', 'allow rule/within tls', 'and any depth under it'],
      ['evilpytorch.org:443', 'deny host_not_listed -', 'Azure Firewall lets it out, we do not'],
      ['10.1.2.3:443', 'allow rule/literals tls', 'it is the literal'],
      ['10.1.2.4:443', 'deny host_not_listed -', 'it is another'],
      ['[2001:db8::1]:443', 'allow rule/literals tls', 'it is the literal'],
      ['[2001:DB8:0:0:0::1]:443', 'allow rule/literals tls', 'spelled otherwise it is the same address'],
      ['[2001:db8::2]:443', 'deny host_not_listed -', 'it is another'],
      ['[::ffff:10.1.2.3]:443', 'allow rule/literals tls', 'a mapped literal is the IPv4 address (case 17)'],
      ['10.9.9.9:443', 'allow rule/literals tls', 'and the other way round'],
      ['[64:ff9b::a01:203]:443', 'deny host_not_listed -', 'NAT64 of a listed literal is another address'],
    ],
  )
})

describe('ports', () => {
  holds(
    policyOf(`
      - { name: web, hosts: [web.example] }
      - { name: git, hosts: [git.example], ports: [8443] }
      - { name: ssh, hosts: [git.example], ports: [22], protocol: any }
      - { name: http-elsewhere, hosts: [api.example], ports: [8080], protocol: http }
    `),
    [
      ['web.example:80', 'allow rule/web http', 'without ports an entry means 80 and 443, and 80 is http'],
      ['web.example:443', 'allow rule/web tls', 'and 443 is tls'],
      ['web.example:8080', 'deny port_not_listed rule/web', 'no other port is meant'],
      ['git.example:8443', 'allow rule/git tls', 'every port but 80 is tls'],
      ['git.example:443', 'deny port_not_listed rule/git', 'with ports an entry means those alone'],
      ['git.example:22', 'allow rule/ssh any', 'a second rule adds its own port and protocol'],
      ['api.example:8080', 'allow rule/http-elsewhere http', 'the rule says what is spoken there'],
      ['other.example:22', 'deny host_not_listed -', 'the host comes first'],
    ],
  )
})

describe('deny rules', () => {
  holds(
    policyOf(`
      - { name: all, hosts: ["*.example"] }
      - { name: ssh, hosts: ["*.example"], ports: [22], protocol: any }
      - { name: no-gists, hosts: [gist.example], action: deny }
      - { name: no-8443, hosts: ["*.part.example"], ports: [443], action: deny }
      - { name: exact-allow, hosts: [a.part.example] }
      - { name: lone, hosts: ["*.unlisted.test"], action: deny }
    `),
    [
      ['gist.example:443', 'deny denied_by_rule rule/no-gists', 'a deny rule beats every allow'],
      ['GIST.example.:443', 'deny denied_by_rule rule/no-gists', 'another spelling is the same host (case 12)'],
      ['gist.example:80/x', 'deny denied_by_rule rule/no-gists', 'a visible request does not go round it'],
      ['gist.example:22', 'deny denied_by_rule rule/no-gists', 'without ports a deny rule means every port'],
      ['gist.example:9999', 'deny denied_by_rule rule/no-gists', 'even one that nothing allows'],
      ['my.gist.example:443', 'allow rule/all tls', 'an exact deny covers nothing under it'],
      ['a.part.example:443', 'deny denied_by_rule rule/no-8443', 'a wildcard deny beats an exact allow'],
      ['a.part.example:80', 'allow rule/exact-allow http', 'a deny rule with ports means those alone'],
      ['x.unlisted.test:443', 'deny denied_by_rule rule/lone', 'a deny rule is named even where nothing allows'],
    ],
  )

  describe('with `mode: report`', () => {
    const policy = policyOf(`
      - { name: allow, hosts: [a.example, b.example] }
      - { name: trial, hosts: ["*.example"], action: deny, mode: report }
      - { name: later-trial, hosts: [a.example], action: deny, mode: report }
      - { name: enforced, hosts: [b.example], action: deny }
    `)

    it('allow, and say which rule would have refused', () => {
      expect(decide(policy, requestTo('a.example:443'))).toMatchObject({
        verdict: 'allow',
        entry: { id: 'rule/allow' },
        reported: { id: 'rule/later-trial' },
      })
    })

    it('do not shield from a deny rule that is enforced', () => {
      expect(judged(policy, 'b.example:443')).toBe('deny denied_by_rule rule/enforced')
    })

    it('allow nothing by themselves', () => {
      expect(judged(policy, 'c.example:443')).toBe('deny host_not_listed -')
    })
  })
})

describe('precedence among allows', () => {
  holds(
    policyOf(`
      - { name: wide, hosts: ["*.example"], ports: [80, 443] }
      - { name: narrow, hosts: [x.team.example], ports: [8443] }
      - { name: team, hosts: ["*.team.example"], ports: [443] }
      - { name: apex-too, hosts: ["*apex.example"] }
      - { name: apex, hosts: [apex.example] }
      - { name: first, hosts: [twice.example] }
      - { name: second, hosts: [twice.example] }
    `),
    [
      ['x.team.example:8443', 'allow rule/narrow tls', 'exact'],
      ['x.team.example:443', 'allow rule/team tls', 'the exact entry has another port, the longer wildcard is next'],
      ['x.team.example:80', 'allow rule/wide http', 'being less specific never turns an allow into a denial'],
      ['x.team.example:22', 'deny port_not_listed rule/narrow', 'the most specific entry is named'],
      ['apex.example:443', 'allow rule/apex tls', 'an exact name is more specific than `*suffix`, even when it stands later'],
      ['a.apex.example:443', 'allow rule/apex-too tls', 'and under it the longer wildcard'],
      ['twice.example:443', 'allow rule/first tls', 'of equals the earlier is named'],
    ],
  )

  holds(policyFrom({ rules: [{ name: 'mine', hosts: ['pypi.org', '*.instances.azureml.ms'], ports: [443] }] }), [
    ['pypi.org:443', 'allow rule/mine tls', 'the operator comes before the catalogue'],
    ['pypi.org:80', 'allow 2021-07-29/python/pypi.org http', 'where only the catalogue lists it, the catalogue is named'],
    ['x.instances.azureml.ms:80', 'allow 2021-07-29/studio/api http', '`*.azureml.ms` allows what the longer wildcard does not'],
    ['x.instances.azureml.ms:18881', 'allow 2021-07-29/compute/instances-ms any', 'what is spoken there is not documented'],
    ['x.instances.azureml.ms:8787', 'allow 2021-07-29/compute/instances-ms any', 'what is spoken there is not documented'],
    ['x.instances.azureml.ms:443', 'allow rule/mine tls', '443 of that row is the web'],
    ['x.azureml.ms:18881', 'deny port_not_listed 2021-07-29/studio/api', 'the port belongs to the instances alone'],
  ])
})

describe('protocols of several allows', () => {
  holds(
    policyOf(`
      - { name: exact-tls, hosts: [a.example], ports: [2222] }
      - { name: wide-any, hosts: ["*.example"], ports: [2222], protocol: any }
      - { name: exact-any, hosts: [b.example], ports: [443], protocol: any }
      - { name: wide-tls, hosts: ["*.example"], ports: [443] }
      - { name: partial, hosts: [c.example], ports: [8080], paths: ["/x/*"], protocol: http }
      - { name: partial-later, hosts: [c.example], ports: [8080], methods: [GET] }
    `),
    [
      ['a.example:2222', 'allow rule/exact-tls any', 'a wider entry allows anything, and naming another takes nothing away'],
      ['b.example:443', 'allow rule/exact-any any', 'the order does not matter'],
      ['c.example:443', 'allow rule/wide-tls tls', 'on another port the wider rule alone decides'],
      ['c.example:8080', 'inspect rule/partial http', 'of path entries the named one says what is spoken'],
    ],
  )
})
