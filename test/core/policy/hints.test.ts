import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseIp } from '../../../src/core/names/ip.ts'
import { compilePolicy } from '../../../src/core/policy/compile.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { explain } from '../../../src/core/policy/explain.ts'
import { type Hint, hintFor } from '../../../src/core/policy/hints.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { REASONS, type Reason } from '../../../src/core/policy/reasons.ts'
import { vetAddress } from '../../../src/core/policy/vet.ts'
import { authorityOf, configFrom, EDITIONS, policyFrom, policyOf, requestTo, unwrap } from '../../support/policy.ts'

function hintOf(policy: Policy, target: string, method?: string): Hint | undefined {
  const request = requestTo(target, method)
  if (request.http !== undefined) {
    const { host, port, http } = request
    return explain(policy, { authority: { host, port }, url: { scheme: 'http', ...http } }, false).hint
  }
  return explain(policy, { authority: authorityOf(target) }, false).hint
}

/** What is said when a listed name resolves to this address. */
function hintOfAddress(policy: Policy, target: string, address: string): Hint | undefined {
  const request = requestTo(target)
  const ip = parseIp(address)
  if (ip === undefined) throw new Error(`${address} is no address`)
  const { entry } = decide(policy, request)
  const vetted = vetAddress(ip, { pinned: false, privateRanges: policy.privateRanges, destinations: entry?.destinations })
  if (vetted.ok) throw new Error(`${address} is not refused`)
  return hintFor(policy, request, { reason: 'address_refused', ...(entry && { entry }) }, vetted.error)
}

describe('the hint says what would allow it:', () => {
  const documented = policyFrom({})

  it('the feature that is off', () => {
    expect(hintOf(policyFrom({ features: { 'python-files': false } }), 'files.pythonhosted.org:443')).toEqual({
      text: 'feature `python-files` is off; switch it on with `features: { python-files: true }`',
      remedy: { kind: 'feature', name: 'python-files' },
    })
  })

  it('the port, for a documented host', () => {
    expect(hintOf(documented, 'pypi.org:8443')).toEqual({
      text: '`2021-07-29/python/pypi.org` allows `pypi.org` on ports 80, 443, not on 8443; add `rules: [{ name: pypi-org, hosts: [pypi.org], ports: [8443] }]`',
      remedy: { kind: 'port', name: '2021-07-29/python/pypi.org' },
    })
  })

  it('the port, for a rule', () => {
    expect(hintOf(policyOf('[{ name: git, hosts: [git.example], ports: [443] }]'), 'git.example:22')).toEqual({
      text: '`rule/git` allows `git.example` on port 443, not on 22; add 22 to its `ports`',
      remedy: { kind: 'port', name: 'rule/git' },
    })
  })

  it('the cloud', () => {
    expect(hintOf(documented, 'ml.azure.us:443')).toEqual({
      text: 'listed for `cloud: government`, and this gateway serves `cloud: public`',
      remedy: { kind: 'cloud', name: 'government' },
    })
  })

  it('the private-endpoint setting, for a workspace’s own name that resolves to a private address', () => {
    expect(hintOfAddress(documented, 'eastus2.api.azureml.ms:443', '10.20.4.5')).toEqual({
      text: 'resolved to 10.20.4.5 (Private-Use, RFC 1918): a private endpoint? add its subnet to `workspace.privateEndpoints`, or put the name in NO_PROXY',
      remedy: { kind: 'workspace', name: 'privateEndpoints' },
    })
  })

  it('the `destinations` of the rule, for any other name that resolves to a private address', () => {
    const policy = policyOf('[{ name: lab, hosts: ["*.lab.example"] }]')
    expect(hintOfAddress(policy, 'a.lab.example:443', '10.20.4.5')).toEqual({
      text: 'resolved to 10.20.4.5 (Private-Use, RFC 1918); if that is meant, add `destinations: ["10.20.4.5/32"]` of `rule/lab`, or put the name in NO_PROXY',
      remedy: { kind: 'destinations', name: 'rule/lab' },
    })
    expect(hintOfAddress(documented, 'pypi.org:443', 'fd00::5')?.text).toContain(
      'add `destinations: ["fd00::5/128"]` of a rule for this host',
    )
  })

  for (const address of ['169.254.169.254', '168.63.129.16', '[fd00:ec2::254]', '[::ffff:169.254.169.254]'])
    it(`the NO_PROXY line, for ${address}`, () => {
      const hint = hintOf(documented, `${address}:80`)
      expect(hint?.text).toContain('`NO_PROXY=169.254.169.254,168.63.129.16,localhost,127.0.0.1`')
      expect(hint?.text).toContain('refused in every mode')
      expect(hint?.remedy).toEqual({ kind: 'no_proxy', name: 'platform' })
    })

  it('the NO_PROXY line, for a listed name that resolves there', () => {
    const policy = policyOf('[{ name: wide, hosts: ["*.example"] }]')
    expect(hintOfAddress(policy, 'imds.example:80', '169.254.169.254')?.remedy.kind).toBe('no_proxy')
  })

  it('the YAML rule, for an unlisted host', () => {
    expect(hintOf(documented, 'git.example.com:443')).toEqual({
      text: 'to allow it, add `rules: [{ name: git-example-com, hosts: [git.example.com] }]`',
      remedy: { kind: 'rule', name: 'rule' },
    })
  })

  it('the account to name', () => {
    expect(hintOf(documented, 'mystore.blob.core.windows.net:443')).toMatchObject({
      text: expect.stringMatching(/^if it is yours, add `mystore` to `workspace\.storageAccounts`; /),
      remedy: { kind: 'workspace', name: 'storageAccounts' },
    })
  })

  it('the registry, or the region of a registry that is named already', () => {
    const named = policyFrom({ workspace: { containerRegistries: ['mine'], regions: ['eastus2'] } })
    expect(hintOf(named, 'other.eastus2.data.azurecr.io:443')?.text).toMatch(/^if it is yours, add `other` to `workspace\.cont/)
    expect(hintOf(named, 'mine.westus.data.azurecr.io:443')).toMatchObject({
      text: expect.stringMatching(/^if it is yours, add `westus` to `workspace\.regions`/),
      remedy: { kind: 'workspace', name: 'regions' },
    })
  })

  it('the newer edition', () => {
    const [old] = EDITIONS
    if (old === undefined) throw new Error('no edition is shipped')
    const hosts = { public: ['new.example.com'], government: ['ml.azure.us'], china: [] }
    const row = { id: 'new', feature: 'new', purpose: 'new', hosts, tenancy: 'any' as const, lines: [1] }
    const hintWith = (on: boolean, features = {}) => {
      const newer = { ...old, id: '2026-01-01', features: { new: { default: on, summary: 'new' } }, hosts: [row] }
      const compiled = compilePolicy({
        config: { ...configFrom({ editions: [old.id] }), features },
        editions: [old, newer],
        known: [],
        digest: (text) => text.slice(0, 9),
      })
      return hintOf(unwrap(compiled).policy, 'new.example.com:443')
    }
    expect(hintWith(true)).toEqual({
      text: 'edition 2026-01-01 lists it; add it to `editions`',
      remedy: { kind: 'edition', name: '2026-01-01' },
    })
    expect(hintWith(false)).toEqual({
      text: 'edition 2026-01-01 lists it in feature `new`, which is off; add it to `editions` with `features: { new: true }`',
      remedy: { kind: 'edition', name: '2026-01-01' },
    })
  })

  it('the path and the method', () => {
    const policy = policyOf('[{ name: models, hosts: [raw.example], paths: ["/a/*", "/b"], methods: [GET, HEAD] }]')
    expect(hintOf(policy, 'raw.example:80/c')?.text).toBe('`rule/models` allows only `/a/*`, `/b`; add the path to its `paths`')
    expect(hintOf(policy, 'raw.example:80/b', 'PUT')?.text).toBe(
      '`rule/models` allows only GET, HEAD; add the method to its `methods`',
    )
    expect(hintOf(policy, 'raw.example:80/a/../b')?.text).toMatch(/send the path without `\.`, `\.\.`/)
  })

  it('for a documented path, a rule of one’s own', () => {
    const hint = hintOf(policyFrom({}), 'raw.githubusercontent.com:80/someone/else')
    expect(hint?.text).toMatch(/^`2021-07-29\/vscode\/raw\.githubusercontent\.com` allows only `.*`; add a rule with this path$/)
  })

  it('what inspection would be needed for, by an allow and by a deny rule', () => {
    const policy = policyOf(`
      - { name: models, hosts: [raw.example], paths: ["/a/*"] }
      - { name: site, hosts: [site.example] }
      - { name: no-admin, hosts: [site.example], paths: ["/admin/*"], action: deny }
    `)
    expect(hintOf(policy, 'raw.example:443')).toMatchObject({
      text: expect.stringMatching(
        /^`rule\/models` allows only certain paths or methods of `raw\.example`.*inspection.*, or allow the whole host: `rules: \[/,
      ),
      remedy: { kind: 'inspection', name: 'inspection' },
    })
    expect(hintOf(policy, 'site.example:443')?.text).toMatch(
      /^`rule\/no-admin` refuses certain paths or methods of `site\.example`.*inspection.*, or give that rule `ports: \[80\]`$/,
    )
  })

  it('the rule that refuses', () => {
    const policy = policyOf('[{ name: no-gists, hosts: [gist.example], action: deny }]')
    expect(hintOf(policy, 'gist.example:443')).toEqual({
      text: '`rule/no-gists` refuses it; remove or narrow that rule',
      remedy: { kind: 'rule', name: 'rule/no-gists' },
    })
  })

  it('nothing, where it would only help an intruder', () => {
    for (const reason of ['client_not_allowed', 'credentials_required', 'client_limit', 'gateway_full'] as const)
      expect(hintFor(documented, requestTo('pypi.org:443'), { reason }), reason).toBeUndefined()
  })
})

describe('the YAML rule in a hint', () => {
  const TARGETS = [
    'git.example.com:443',
    'git.example.com:22',
    'a_b.example.com:80',
    '1password.com:443',
    'true:443',
    'null:8443',
    `${'long-label.'.repeat(8)}example.com:443`,
    '93.184.216.34:443',
    '10.1.2.3:443',
    '127.0.0.1:8888',
    '[2001:db8::1]:443',
    '[2606:2800:220:1::1]:443',
    '[::ffff:10.1.2.3]:443',
    '[::1]:80',
  ]
  for (const target of TARGETS)
    it(`is YAML that allows exactly ${target.slice(-40)}, and its address where that is not public`, () => {
      const text = hintOf(policyOf([]), target)?.text ?? ''
      const yaml = /^to allow it, add `(.*)`$/.exec(text)?.[1] ?? 'no rule'
      const policy = policyOf((parse(yaml) as { rules: unknown[] }).rules)
      const request = requestTo(target)
      const decision = decide(policy, request)
      expect(decision.verdict).toBe('allow')
      expect(decide(policy, requestTo('other.example:443')).verdict).toBe('deny')
      expect(decide(policy, { ...request, port: 9 }).verdict).toBe('deny')
      if (request.host.kind === 'address') {
        const { privateRanges } = policy
        const permission = { pinned: false, privateRanges, destinations: decision.entry?.destinations }
        expect(vetAddress(request.host.ip, permission).ok).toBe(true)
      }
    })
})

describe('every hint', () => {
  const policy = policyFrom({})
  const entry = policy.entries.at(-1)
  for (const reason of Object.keys(REASONS) as Reason[])
    it(`for ${reason} is lower case without a full stop, and its remedy is a bounded label`, () => {
      const hint = hintFor(policy, requestTo('pypi.org:443'), { reason, ...(entry && { entry }) })
      if (hint === undefined) return
      expect(hint.text).toMatch(/^(?![A-Z])[\x20-\x7e]*[^.]$/)
      expect(hint.remedy.name).toMatch(/^[a-z0-9*/._-]{1,80}$/i)
      expect(hint.remedy.name).not.toContain('pypi.org:443')
    })

  it('has a remedy whose name never comes from the client', () => {
    const asked = ['evil.example:443', 'evil.blob.core.windows.net:443', 'evil.azureml.ms:9', 'evil.azureml.us:443']
    for (const target of asked) expect(JSON.stringify(hintOf(policy, target)?.remedy), target).not.toContain('evil')
  })
})
