import { describe, expect, it } from 'vitest'
import { type Explanation, explain } from '../../../src/core/policy/explain.ts'
import { parseExplainTarget } from '../../../src/core/policy/explain-target.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { policyFrom, policyOf, unwrap } from '../../support/policy.ts'

const explained = (policy: Policy, target: string, inspection = false): Explanation =>
  explain(policy, unwrap(parseExplainTarget(target)), inspection)

const RULES = `
  - { name: git, hosts: [git.example] }
  - { name: models, hosts: [raw.example], paths: ["/a/*"] }
  - { name: trial, hosts: [git.example], action: deny, mode: report }
  - { name: metadata, hosts: ["169.254.169.254", "10.1.2.3"] }
  - { name: lab, hosts: ["10.2.2.2"], destinations: ["10.2.0.0/16"] }
  - { name: no, hosts: [no.example], action: deny }
`

describe('explain', () => {
  const policy = policyOf(RULES)

  it('tells what allows a host, its protocol, and a deny rule that would only report it', () => {
    expect(explained(policy, 'git.example:443')).toMatchObject({
      host: 'git.example',
      port: 443,
      verdict: 'allow',
      mode: 'enforce',
      protocol: 'tls',
      entry: { id: 'rule/git' },
      reportedBy: 'rule/trial',
      wouldDeny: false,
    })
  })

  it('tells why a host is denied and what would allow it', () => {
    expect(explained(policy, 'other.example:443')).toMatchObject({
      verdict: 'deny',
      reason: 'host_not_listed',
      hint: { remedy: { kind: 'rule' } },
    })
  })

  it('judges the path of an http URL', () => {
    expect(explained(policy, 'http://raw.example/a/b?q')).toMatchObject({ verdict: 'allow', path: '/a/b' })
    expect(explained(policy, 'http://raw.example/b')).toMatchObject({ verdict: 'deny', reason: 'path_not_listed', path: '/b' })
    expect(explained(policy, 'http://raw.example/a/../b')).toMatchObject({ verdict: 'deny', reason: 'path_not_canonical' })
  })

  it('judges the path of an https URL only where inspection shows it', () => {
    expect(explained(policy, 'https://raw.example/a/b')).toMatchObject({ verdict: 'deny', reason: 'inspection_unavailable' })
    expect(explained(policy, 'https://raw.example/a/b', true)).toMatchObject({ verdict: 'inspect', protocol: 'tls' })
    expect(explained(policy, 'https://raw.example/b', true)).toMatchObject({ verdict: 'deny', reason: 'path_not_listed' })
    expect(explained(policy, 'raw.example:443', true)).toMatchObject({ verdict: 'inspect' })
    expect(explained(policy, 'https://git.example/any/path')).toMatchObject({ verdict: 'allow', path: '/any/path' })
  })

  it('says in report mode what enforce mode would do, and that it passes all the same', () => {
    const reporting = policyOf(RULES, { mode: 'report' })
    expect(explained(reporting, 'other.example:443')).toMatchObject({ verdict: 'deny', mode: 'report', wouldDeny: true })
    expect(explained(reporting, 'raw.example:443')).toMatchObject({ verdict: 'deny', wouldDeny: true })
    expect(explained(reporting, 'no.example:443')).toMatchObject({ verdict: 'deny', wouldDeny: false })
    expect(explained(reporting, 'http://raw.example/a/../b')).toMatchObject({ verdict: 'deny', wouldDeny: false })
    expect(explained(reporting, 'git.example:443')).toMatchObject({ verdict: 'allow', wouldDeny: false })
    expect(explained(reporting, '169.254.169.254:80')).toMatchObject({ verdict: 'deny', wouldDeny: false })
    expect(explained(reporting, '169.254.169.254:9')).toMatchObject({ verdict: 'deny', wouldDeny: false })
  })

  it('vets an address that needs no look-up: a literal or a pin', () => {
    expect(explained(policy, '169.254.169.254:80')).toMatchObject({
      verdict: 'deny',
      reason: 'address_refused',
      hint: { remedy: { kind: 'no_proxy' } },
    })
    expect(explained(policy, '10.1.2.3:443')).toMatchObject({ reason: 'address_refused', entry: { id: 'rule/metadata' } })
    expect(explained(policy, '10.2.2.2:443')).toMatchObject({ verdict: 'allow' })
    const pinned = { rules: [], destinations: { pin: { 'pypi.org': '10.0.0.1', 'ml.azure.com': '169.254.169.254' } } }
    expect(explained(policyFrom(pinned), 'pypi.org:443')).toMatchObject({ verdict: 'allow' })
    expect(explained(policyFrom(pinned), 'ml.azure.com:443')).toMatchObject({ reason: 'address_refused' })
  })
})

describe('the target to explain', () => {
  const READ: readonly (readonly [text: string, expected: object])[] = [
    ['pypi.org', { authority: { host: { text: 'pypi.org' }, port: 443 } }],
    ['PyPI.org.:8443', { authority: { host: { text: 'pypi.org' }, port: 8443 } }],
    ['[2001:db8::1]:443', { authority: { host: { text: '2001:db8::1' }, port: 443 } }],
    ['http://pypi.org', { authority: { port: 80 }, url: { scheme: 'http', path: '/', method: 'GET' } }],
    ['HTTPS://pypi.org/a?b#c', { authority: { port: 443 }, url: { scheme: 'https', path: '/a' } }],
    ['http://pypi.org:8080?x=/y', { authority: { port: 8080 }, url: { path: '/' } }],
  ]
  for (const [text, expected] of READ)
    it(`${text} is read`, () => expect(unwrap(parseExplainTarget(text))).toMatchObject(expected))

  for (const text of ['', 'ftp://pypi.org/', 'http://', 'http://user@pypi.org/', 'pypi.org:0', 'pypi.org/simple', 'http://a b/'])
    it(`${JSON.stringify(text)} is refused in a sentence`, () => {
      const refused = parseExplainTarget(text)
      expect(refused.ok ? 'read' : refused.error).toMatch(/^(?![A-Z])[\x20-\x7e]{10,200}[^.]$/)
    })
})
