import { describe, expect, it } from 'vitest'
import { parseIp, unmapped } from '../../../src/core/names/ip.ts'
import { type CertificateNames, matchingName, parseCertificatePattern } from '../../../src/core/policy/certificate-pattern.ts'
import { type ClientFacts, countedAs, groupOf } from '../../../src/core/policy/client-group.ts'
import { groupTunnels, limitsOf } from '../../../src/core/policy/compile-groups.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { inspectedHosts } from '../../../src/core/policy/inspected-hosts.ts'
import { everyEntry } from '../../../src/core/policy/policy.ts'
import { configFrom, policyFrom, policyOf, requestTo, unwrap } from '../../support/policy.ts'

const TLS = { certificate: 'proxy.pem', key: 'proxy.key', clientCa: 'clients.pem' }
const WITH = { credentials: { file: 'users' }, listen: { proxy: { address: '127.0.0.1:3128', tls: TLS } } }

const GROUPS = {
  lab: { sources: ['10.1.0.0/16'] },
  office: { sources: ['10.2.0.0/16'], users: ['alice'] },
  machines: { certificates: ['dns:*.jobs.test'], users: ['robot'] },
  people: { users: ['*'] },
}

const ip = (text: string) => {
  const address = parseIp(text)
  if (address === undefined) throw new Error(text)
  return unmapped(address)
}
const names = (more: Partial<CertificateNames> = {}): CertificateNames => ({ dns: [], uri: [], email: [], ...more })

describe('the group of a client', () => {
  const { groups } = policyOf([], { groups: GROUPS, ...WITH })
  const job = names({ dns: ['a.jobs.test'] })
  const table: readonly (readonly [string, Partial<ClientFacts>, string, string])[] = [
    ['10.1.2.3', {}, 'lab', 'its address'],
    ['::ffff:10.1.2.3', {}, 'lab', 'its address, however it is written'],
    ['10.1.2.3', { user: 'alice' }, 'lab', 'the first that matches'],
    ['10.1.2.3', { user: 'unread' }, 'lab', 'nothing else needs to be known'],
    ['10.2.2.3', { user: 'alice' }, 'office', 'address and user'],
    ['10.2.2.3', { user: 'bob' }, 'people', 'the address alone is not enough'],
    ['10.3.2.3', { user: 'alice' }, 'people', 'nor the user'],
    ['10.3.2.3', { certificate: job }, 'machines', 'one of its certificates'],
    ['10.3.2.3', { user: 'robot' }, 'machines', 'or one of its users'],
    ['10.3.2.3', { certificate: names({ dns: ['jobs.test'] }) }, 'none', 'not what the pattern says'],
    ['10.3.2.3', { certificate: names({ cn: 'a.jobs.test' }) }, 'none', 'a common name is no DNS name'],
    ['10.3.2.3', { user: 'unread' }, 'ask', 'it hangs on the password'],
    ['10.3.2.3', { user: 'unread', certificate: job }, 'machines', 'the certificate is enough'],
    ['10.3.2.3', {}, 'none', 'nothing is known'],
    ['2001:db8::1', {}, 'none', 'families never mix'],
  ]
  for (const [address, facts, expected, because] of table)
    it(`${expected} for ${address} ${JSON.stringify(facts)}: ${because}`, () => {
      const match = groupOf(groups, { address: ip(address), user: undefined, ...facts })
      expect(match.kind === 'group' ? match.group.name : match.kind).toBe(expected)
    })

  it('is looked for in the order of the file', () => {
    const reversed = policyOf([], { groups: Object.fromEntries(Object.entries(GROUPS).reverse()), ...WITH }).groups
    const match = groupOf(reversed, { address: ip('10.1.2.3'), user: 'alice' })
    expect(match).toMatchObject({ kind: 'group', group: { name: 'people' }, as: 'alice' })
  })
})

describe('a name in a certificate', () => {
  const table: readonly (readonly [string, Partial<CertificateNames>, string | undefined])[] = [
    ['dns:*.jobs.test', { dns: ['A.b.JOBS.test'] }, 'dns:a.b.jobs.test'],
    ['dns:*.jobs.test', { dns: ['*.jobs.test'] }, undefined],
    ['dns:*.jobs.test', { dns: ['jobs.test.evil.example', 'eviljobs.test'] }, undefined],
    ['dns:worker', { dns: ['worker'] }, 'dns:worker'],
    ['dns:worker.test', { uri: ['worker.test'], email: ['worker.test'], cn: 'worker.test' }, undefined],
    ['uri:spiffe://x.test/jobs/*', { uri: ['spiffe://x.test/jobs/1'] }, 'uri:spiffe://x.test/jobs/1'],
    ['uri:spiffe://x.test/jobs/*', { uri: ['spiffe://x.test/jobsters', 'SPIFFE://x.test/jobs/1'] }, undefined],
    ['uri:spiffe://x.test/jobs', { uri: ['spiffe://x.test/jobs/1'] }, undefined],
    ['email:a@x.test', { email: ['a@x.test'] }, 'email:a@x.test'],
    ['email:a@x.test', { email: ['aa@x.test', 'a@x.test.evil'] }, undefined],
    ['cn:worker-*', { cn: 'worker-1' }, 'cn:worker-1'],
    ['cn:worker-*', { cn: 'Worker-1' }, undefined],
  ]
  for (const [pattern, has, expected] of table)
    it(`${pattern} ${expected === undefined ? 'is not in' : 'is in'} ${JSON.stringify(has)}`, () =>
      expect(matchingName(unwrap(parseCertificatePattern(pattern)), names(has))).toBe(expected))
})

describe('the policy of a group', () => {
  const RULES = [
    { name: 'all', hosts: ['all.test'] },
    { name: 'own', hosts: ['own.test'], groups: ['lab'] },
    { name: 'no', hosts: ['all.test'], ports: [80], action: 'deny', groups: ['lab', 'office'] },
    { name: 'ssh', hosts: ['all.test'], ports: [22], protocol: 'any' },
  ]
  const policy = policyOf(RULES, {
    groups: { lab: { sources: ['10.1.0.0/16'] }, office: { sources: ['10.2.0.0/16'] }, far: { sources: ['10.3.0.0/16'] } },
  })
  const of = (name: string) => policy.groups.find((group) => group.name === name)?.policy ?? policy

  it('has the rules of the group beside those of everybody', () => {
    const verdicts = ['top', 'lab', 'office', 'far'].map((name) =>
      ['own.test', 'all.test', 'all.test:80'].map((target) => decide(of(name), requestTo(target)).verdict),
    )
    expect(verdicts).toEqual([
      ['deny', 'allow', 'allow'],
      ['allow', 'allow', 'deny'],
      ['deny', 'allow', 'deny'],
      ['deny', 'allow', 'allow'],
    ])
    expect(everyEntry(policy).map(({ id }) => id)).toEqual(['rule/all', 'rule/ssh', 'rule/own', 'rule/no'])
  })

  it('shares with the one at the top what is no different', () => {
    expect(of('far').tree).toBe(policy.tree)
    expect(of('lab').unlisted).toBe(policy.unlisted)
    expect(of('lab').tree).not.toBe(policy.tree)
  })

  it('has the hash of the whole, which any group changes', () => {
    expect(of('lab').hash).toBe(policy.hash)
    const hashes = [
      {},
      { mode: 'report' },
      { features: { python: true } },
      { limits: { tunnelsPerClient: 1 } },
      { inspection: { tls: 'never' } },
    ].map(
      (more) =>
        policyOf(RULES, {
          groups: {
            lab: { sources: ['10.1.0.0/16'], ...more },
            office: { sources: ['10.2.0.0/16'] },
            far: { sources: ['10.3.0.0/16'] },
          },
        }).hash,
    )
    expect(new Set(hashes).size).toBe(hashes.length)
    expect(hashes[0]).toBe(policy.hash)
  })

  it('has features of its own over those at the top', () => {
    const both = policyFrom({ groups: { lab: { sources: ['10.1.0.0/16'], features: { python: false, diagnostics: true } } } })
    const [lab] = both.groups
    if (lab === undefined) throw new Error('no group')
    expect(decide(both, requestTo('pypi.org')).verdict).toBe('allow')
    expect(decide(lab.policy, requestTo('pypi.org')).verdict).toBe('deny')
    const diagnostics = lab.policy.entries.filter(({ feature }) => feature === 'diagnostics')
    expect(diagnostics.length).toBeGreaterThan(0)
    expect(both.entries.some(({ feature }) => feature === 'diagnostics')).toBe(false)
  })

  it('may have TLS ended always or never; a CA is then wanted for those hosts, or not', () => {
    const paths = [...RULES.filter(({ name }) => name !== 'no'), { name: 'paths', hosts: ['paths.test'], paths: ['/a'] }]
    const hosts = (tls: string) =>
      inspectedHosts(policyOf(paths, { groups: { lab: { sources: ['10.1.0.0/16'], inspection: { tls } } } })).map((host) =>
        host.kind === 'exact' ? host.host.text : '',
      )
    expect(hosts('as_needed')).toEqual(['paths.test'])
    expect(hosts('never')).toEqual(['paths.test'])
    expect(hosts('always')).toEqual(['paths.test', 'all.test', 'own.test'])
    const [lab] = policyOf(paths, { groups: { lab: { sources: ['10.1.0.0/16'], inspection: { tls: 'always' } } } }).groups
    if (lab === undefined) throw new Error('no group')
    expect(decide(lab.policy, requestTo('all.test')).verdict).toBe('inspect')
    expect(decide(lab.policy, requestTo('all.test:22')), 'what is relayed unseen stays so').toMatchObject({
      verdict: 'allow',
      protocol: 'any',
    })
  })
})

describe('limits of a group', () => {
  const config = configFrom({
    limits: { tunnelsPerClient: 10 },
    groups: {
      lab: { sources: ['10.1.0.0/16'], limits: { tunnelsPerClient: 3 } },
      slow: { sources: ['10.2.0.0/16'], limits: { tunnelIdleSeconds: 5 } },
      small: { sources: ['10.3.0.0/16'], limits: { tunnels: 4 } },
    },
  })
  const [lab, slow, small] = policyFrom({
    groups: {
      lab: { sources: ['10.1.0.0/16'], limits: { tunnelsPerClient: 3 } },
      slow: { sources: ['10.2.0.0/16'], limits: { tunnelIdleSeconds: 5 } },
      small: { sources: ['10.3.0.0/16'], limits: { tunnels: 4 } },
    },
  }).groups
  const client = ip('10.1.2.3')

  it('count its clients apart where they are of clients, and with all others where not', () => {
    expect([countedAs(lab, client), countedAs(slow, client), countedAs(undefined, client)]).toEqual([
      'lab 10.1.2.3',
      '10.1.2.3',
      '10.1.2.3',
    ])
  })

  it('are found by what it is counted as; a group that is gone has those at the top', () => {
    expect(['lab 10.1.2.3', '10.1.2.3', 'gone 10.1.2.3', ''].map((key) => limitsOf(config, key).tunnelsPerClient)).toEqual([
      3, 10, 10, 10,
    ])
    expect(slow?.limits.tunnelIdleSeconds).toBe(5)
  })

  it('bound its own tunnels beside those of the gateway, whose bound stays', () => {
    expect(countedAs(small, client)).toBe('small 10.1.2.3')
    expect(['small 10.1.2.3', 'small ', 'lab 10.1.2.3', '10.1.2.3', 'gone '].map((key) => groupTunnels(config, key))).toEqual([
      4,
      4,
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ])
    expect(limitsOf(config, 'small 10.1.2.3').tunnels).toBe(config.limits.tunnels)
    expect(small?.limits.tunnels).toBe(config.limits.tunnels)
  })
})
