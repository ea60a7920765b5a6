import { describe, expect, it } from 'vitest'
import { type Decision, decide } from '../../../src/core/policy/decide.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { policyOf, requestTo } from '../../support/policy.ts'

function shown(decision: Decision): string {
  const entry = decision.entry?.id ?? '-'
  return decision.verdict === 'deny' ? `deny ${decision.reason} ${entry}` : `${decision.verdict} ${entry}`
}

type Case = readonly [request: string, expected: string, because: string]

/** A request is `host:port`, or `METHOD host:port/path`. */
function holds(policy: Policy, cases: readonly Case[]): void {
  for (const [request, expected, because] of cases) {
    const [target = '', method] = request.split(' ').reverse()
    it(`${expected}: ${request}, since ${because}`, () => {
      expect(shown(decide(policy, requestTo(target, method)))).toBe(expected)
    })
  }
}

describe('path rules', () => {
  holds(
    policyOf(`
      - { name: models, hosts: [raw.example], paths: ["/team/models/*"], methods: [GET, HEAD] }
      - { name: docs, hosts: ["*.example"], paths: ["/docs/*", "/robots.txt"] }
      - { name: read-only, hosts: [api.example], methods: [GET] }
    `),
    [
      ['raw.example:443', 'inspect rule/models', 'host and port are right and the path is not yet known'],
      ['raw.example:80', 'inspect rule/models', 'in an http tunnel it comes with each request'],
      ['raw.example:8443', 'deny port_not_listed rule/models', 'no path helps on another port'],
      ['api.example:443', 'inspect rule/read-only', 'a method has to be seen just like a path'],
      ['GET raw.example:80/team/models/a.bin', 'allow rule/models', 'path and method are listed'],
      ['HEAD raw.example:80/team/models/', 'allow rule/models', 'the folder itself, with its slash'],
      ['GET raw.example:80/team/models', 'deny path_not_listed rule/models', 'the name without its slash is another resource'],
      ['GET raw.example:80/team/modelsx', 'deny path_not_listed rule/models', 'it only begins alike'],
      ['GET raw.example:80/Team/models/a', 'deny path_not_listed rule/models', 'case counts'],
      ['POST raw.example:80/team/models/a', 'deny method_not_listed rule/models', 'the path is right and the method is not'],
      ['get raw.example:80/team/models/a', 'deny method_not_listed rule/models', 'methods are case-sensitive'],
      ['POST raw.example:80/docs/a', 'allow rule/docs', 'a less specific entry allows what the named one does not'],
      ['POST raw.example:80/other', 'deny path_not_listed rule/models', 'no entry has the path, the nearest is named'],
      ['GET api.example:80/anything', 'allow rule/read-only', 'methods alone let every path pass'],
      ['GET api.example:80/a//b', 'allow rule/read-only', 'a path that no rule looks at may be ambiguous'],
      ['POST api.example:80/docs/x', 'allow rule/docs', 'the path rule beside it allows the method'],
      ['POST api.example:80/x', 'deny method_not_listed rule/read-only', 'the path is right for the entry without paths'],
      ['GET raw.example:80/team/models/../x', 'deny path_not_canonical rule/models', 'the origin may resolve it elsewhere'],
      ['GET raw.example:80/team/models/%2e%2e/x', 'deny path_not_canonical rule/models', 'so it may when it is escaped'],
      [
        'POST api.example:80/docs/../x',
        'deny path_not_canonical rule/docs',
        'a reason report mode lets through must not hide it',
      ],
      ['OPTIONS raw.example:80/*', 'deny path_not_listed rule/models', 'a `*` in a path is a character'],
    ],
  )
})

describe('path rules beside an allow for the whole host', () => {
  holds(
    policyOf(`
      - { name: paths, hosts: [a.example], paths: ["/x/*"] }
      - { name: whole, hosts: ["*.example"], ports: [443] }
    `),
    [
      ['a.example:443', 'allow rule/whole', 'they are moot: nothing needs to be inspected'],
      ['POST a.example:443/y', 'allow rule/whole', 'nor is a visible path judged'],
      ['GET a.example:443/x//../y', 'allow rule/whole', 'nor is it refused as ambiguous'],
      ['a.example:80', 'inspect rule/paths', 'on a port that the whole host is not allowed on they count'],
      ['GET a.example:80/y', 'deny path_not_listed rule/paths', 'on a port that the whole host is not allowed on they count'],
    ],
  )
})

describe('deny rules with paths or methods', () => {
  const rules = `
      - { name: host, hosts: [a.example, only-denied.test] }
      - { name: relay, hosts: [a.example], ports: [2222], protocol: any }
      - { name: no-secrets, hosts: ["*.example"], paths: ["/secret/*"], action: deny }
      - { name: no-push, hosts: ["*.example"], methods: [POST], action: deny }
      - { name: none, hosts: [never.example], action: deny }
      - { name: not-there, hosts: [only-denied.test], paths: ["/x/*"], methods: [PUT], action: deny }
  `
  const policy = policyOf(rules)
  holds(policy, [
    ['a.example:443', 'inspect rule/host', 'the path has to be seen before the host can be allowed'],
    ['a.example:80', 'inspect rule/host', 'the path has to be seen before the host can be allowed'],
    ['a.example:2222', 'inspect rule/relay', 'a tunnel that nobody looks into would go round the rule'],
    ['GET a.example:80/x', 'allow rule/host', 'neither rule matches'],
    ['GET a.example:80/secret', 'allow rule/host', 'the folder is denied, not the name without its slash'],
    ['GET a.example:80/secret/x', 'deny denied_by_rule rule/no-secrets', 'the path matches'],
    ['POST a.example:80/x', 'deny denied_by_rule rule/no-push', 'the method matches'],
    ['GET a.example:80/x/../secret/x', 'deny path_not_canonical rule/no-secrets', 'the path could slip past the rule'],
    ['POST a.example:80/x/../y', 'deny denied_by_rule rule/no-push', 'a rule that matches comes before a path in doubt'],
    ['never.example:443', 'deny denied_by_rule rule/none', 'a rule for the whole host waits for no path'],
    ['GET never.example:80/a//b', 'deny denied_by_rule rule/none', 'a rule for the whole host waits for no path'],
    ['b.example:443', 'deny host_not_listed -', 'what nothing allows needs no inspection to be denied'],
    ['GET only-denied.test:80/a//b', 'allow rule/host', 'the rule is for another method, so its path does not matter'],
    ['PUT only-denied.test:80/a//b', 'deny path_not_canonical rule/not-there', 'and for that method it does'],
  ])

  it('name the rule that waits, and never leave the tunnel opaque', () => {
    const tls = { verdict: 'inspect', protocol: 'tls', awaiting: { id: 'rule/no-secrets' } }
    expect(decide(policy, requestTo('a.example:443'))).toMatchObject(tls)
    expect(decide(policy, requestTo('a.example:2222'))).toMatchObject(tls)
  })

  describe('and `mode: report`', () => {
    const reported = policyOf(`
      - { name: host, hosts: [a.example] }
      - { name: trial, hosts: [a.example], paths: ["/secret/*"], action: deny, mode: report }
    `)

    it('are no reason to end a client’s TLS', () => {
      expect(decide(reported, requestTo('a.example:443'))).toEqual({
        verdict: 'allow',
        entry: expect.objectContaining({ id: 'rule/host' }),
        protocol: 'tls',
      })
    })

    it('report a path where it is visible', () => {
      expect(decide(reported, requestTo('a.example:80/secret/x'))).toMatchObject({
        verdict: 'allow',
        reported: { id: 'rule/trial' },
      })
    })

    it('refuse no ambiguous path', () => {
      expect(shown(decide(reported, requestTo('a.example:80/x/../secret/x')))).toBe('allow rule/host')
    })
  })
})

describe('`inspect: always`', () => {
  holds(
    policyOf(`
      - { name: seen, hosts: [a.example], ports: [80, 443, 2222], inspect: always }
      - { name: wide, hosts: ["*.example"] }
      - { name: relay, hosts: ["*.example"], ports: [2222], protocol: any }
      - { name: none, hosts: [no.example], action: deny }
      - { name: also, hosts: [no.example], inspect: always }
    `),
    [
      ['a.example:443', 'inspect rule/seen', 'the tunnel is looked into although every path is allowed'],
      ['a.example:2222', 'inspect rule/seen', 'also where another rule would relay it unseen'],
      ['b.example:443', 'allow rule/wide', 'near miss: another host'],
      ['GET a.example:443/x', 'allow rule/seen', 'what is seen already is judged at once'],
      ['no.example:443', 'deny denied_by_rule rule/none', 'a deny rule needs no look inside'],
    ],
  )

  it('never leaves the tunnel opaque', () => {
    const policy = policyOf(`
      - { name: seen, hosts: [a.example], ports: [2222], inspect: always }
      - { name: relay, hosts: [a.example], ports: [2222], protocol: any }
    `)
    expect(decide(policy, requestTo('a.example:2222'))).toMatchObject({ verdict: 'inspect', protocol: 'tls' })
  })
})

describe('the detail of `path_not_canonical`', () => {
  it('says what is ambiguous', () => {
    const policy = policyOf('[{ name: a, hosts: [a.example], paths: ["/x/*"] }]')
    expect(decide(policy, requestTo('a.example:80/x/%252e%252e/y'))).toMatchObject({
      detail: 'it hides a dot, slash, backslash or NUL behind an escape',
    })
  })
})
