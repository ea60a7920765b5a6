import { describe, expect, it } from 'vitest'
import { formatHostPattern, type HostPattern } from '../../../src/core/policy/host-pattern.ts'
import { lintInspection } from '../../../src/core/policy/lint.ts'
import { err, ok } from '../../../src/core/result.ts'
import { policyFrom, policyOf, problemsOf } from '../../support/policy.ts'

/** `severity path: message`, as one compares problems. */
const problems = (config: unknown): readonly string[] =>
  problemsOf(config).map(({ severity, path, message }) => `${severity} ${path.join('.')}: ${message}`)

const NAMED = { regions: ['eastus2'], storageAccounts: ['mystore'], containerRegistries: ['mine'] }

describe('the policy', () => {
  it('has operator rules before documented entries, each list in its own order', () => {
    const { entries } = policyFrom({
      rules: [
        { name: 'b', hosts: ['b.example'] },
        { name: 'a', hosts: ['a.example'] },
      ],
    })
    expect(entries.slice(0, 2).map(({ id }) => id)).toEqual(['rule/b', 'rule/a'])
    expect(entries.slice(2).every(({ origin }) => origin === 'catalogue')).toBe(true)
  })

  it('has the same hash for the same meaning, and another when anything that decides changes', () => {
    const base = { workspace: NAMED, rules: [{ name: 'a', hosts: ['a.example'] }] }
    const { hash } = policyFrom(base)
    expect(policyFrom(structuredClone(base)).hash).toBe(hash)
    expect(policyFrom({ ...base, answers: { hints: 'code' } }).hash).toBe(hash)
    const rule = { name: 'a', hosts: ['a.example'] }
    const changes: readonly Record<string, unknown>[] = [
      { mode: 'report' },
      { cloud: 'china' },
      { features: { diagnostics: true } },
      { workspace: { ...NAMED, regions: ['westus'] } },
      { workspace: { ...NAMED, privateEndpoints: ['10.1.0.0/16'] } },
      { rules: [] },
      { rules: [{ ...rule, ports: [443] }] },
      { rules: [{ ...rule, protocol: 'any' }] },
      { rules: [{ ...rule, action: 'deny' }] },
      { rules: [{ ...rule, action: 'deny', mode: 'report' }] },
      { rules: [{ ...rule, paths: ['/a/*'] }] },
      { rules: [{ ...rule, paths: ['/b/*'] }] },
      { rules: [{ ...rule, methods: ['GET'] }] },
      { rules: [{ ...rule, destinations: ['10.0.0.0/8'] }] },
      { rules: [{ ...rule, destinations: ['10.0.0.0/9'] }] },
      { destinations: { privateRanges: ['10.0.0.0/8'] } },
      { destinations: { pin: { 'a.example': '10.0.0.1' } } },
      { destinations: { pin: { 'a.example': '10.0.0.1:8443' } } },
      { clients: { allow: ['10.0.0.0/8'] } },
    ]
    const hashes = changes.map((change) => policyFrom({ ...base, ...change }).hash)
    expect(new Set([hash, ...hashes]).size).toBe(changes.length + 1)
  })

  it('lets the workspace’s own names alone resolve into its private endpoints', () => {
    const { entries } = policyFrom({ workspace: { ...NAMED, privateEndpoints: ['10.1.0.0/16'] } })
    const features = new Set(entries.filter(({ destinations }) => destinations !== undefined).map(({ feature }) => feature))
    expect([...features].sort()).toEqual(['compute', 'container-registry', 'storage', 'studio'])
  })

  it('calls an entry that lets data out to every account `any`, whatever the document says of yours', () => {
    const wide = { ...NAMED, storageAccounts: ['*'], acknowledgeMultiTenant: true }
    const tenancies = (workspace: object) =>
      new Set(
        policyFrom({ workspace })
          .entries.filter(({ feature }) => feature === 'storage')
          .map(({ tenancy }) => tenancy),
      )
    expect(tenancies(wide)).toEqual(new Set(['any']))
    expect(tenancies(NAMED)).toEqual(new Set(['yours']))
  })

  it('reads pins by canonical name, with or without a port', () => {
    const { pins } = policyOf([], { destinations: { pin: { 'pypi.org': '10.20.0.7', 'git.example': '[2001:db8::1]:8443' } } })
    const shown = [...pins].map(([name, { address, port }]) => [name, address.text, port])
    expect(shown).toEqual([
      ['pypi.org', '10.20.0.7', undefined],
      ['git.example', '2001:db8::1', 8443],
    ])
  })
})

describe('what is wrong with a policy', () => {
  it('is told all at once', () => {
    expect(
      problems({
        editions: ['2021-07-92'],
        workspace: { storageAccounts: ['*'] },
        rules: [
          { name: 'a', hosts: ['a.example'] },
          { name: 'a', hosts: ['b.example'], mode: 'report' },
        ],
      }),
    ).toEqual([
      'error editions.0: unknown edition `2021-07-92`; did you mean `2021-07-29`?',
      "error workspace.storageAccounts.0: `*` lets data out to anybody's account; name yours, or say `acknowledgeMultiTenant: true`",
      'error rules.1.name: rule name `a` is taken by rule 1; names are unique',
      'error rules.1.mode: only a deny rule has a mode of its own; for the whole gateway write `mode: report` at the top',
    ])
  })

  const ONE: readonly (readonly [what: string, config: unknown, problem: RegExp])[] = [
    ['an edition that is like none', { editions: ['x'] }, /^error editions\.0: unknown edition `x`; there is 2021-07-29/],
    [
      'a feature with a slip',
      { features: { pythn: true } },
      /^error features\.pythn: unknown feature `pythn`; did you mean `python`\?$/,
    ],
    ['a feature that is like none', { features: { blockchain: true } }, /unknown feature `blockchain`; there are azure, studio/],
    [
      'paths in a tunnel that nobody looks into',
      { rules: [{ name: 'a', hosts: ['a.example'], protocol: 'any', paths: ['/a'] }] },
      /^error rules\.0\.protocol: `any` is not looked into, so `paths` and `methods` could not be judged; use `tls` or `http`$/,
    ],
    [
      'methods in a tunnel that nobody looks into',
      { rules: [{ name: 'a', hosts: ['a.example'], protocol: 'any', methods: ['GET'] }] },
      /^error rules\.0\.protocol: `any` is not looked into/,
    ],
    [
      'destinations of a deny rule',
      { rules: [{ name: 'a', hosts: ['a.example'], action: 'deny', destinations: ['10.0.0.0/8'] }] },
      /^error rules\.0\.destinations: a deny rule dials nothing/,
    ],
    [
      'the protocol of a deny rule',
      { rules: [{ name: 'a', hosts: ['a.example'], action: 'deny', protocol: 'tls' }] },
      /^error rules\.0\.protocol: a deny rule carries nothing/,
    ],
  ]
  for (const [what, config, expected] of ONE)
    it(what, () => {
      const found = problems(config).filter((problem) => problem.startsWith('error'))
      expect(found).toHaveLength(1)
      expect(found[0]).toMatch(expected)
    })
})

describe('a warning', () => {
  const rulesAlone = (rules: readonly unknown[]) =>
    problems({ workspace: NAMED, rules }).filter((problem) => problem.includes(' rules'))

  it('lists the documented hosts that wait for a parameter, one warning a setting', () => {
    const found = problems({}).filter((problem) => problem.includes(' workspace'))
    expect(found.map((problem) => problem.split(':')[0])).toEqual([
      'warning workspace.storageAccounts',
      'warning workspace.containerRegistries',
      'warning workspace.regions',
      'warning workspace.managedStorage',
    ])
    expect(found[0]).toContain('not allowed until `workspace.storageAccounts` names one: <storageAccount>.')
    expect(found[1]).toContain('<containerRegistry>.azurecr.io')
    expect(found[2]).toContain('*.<region>.batch.azure.com, *.<region>.service.batch.azure.com')
    const workspace = { ...NAMED, managedStorage: 'service-endpoint' }
    expect(problems({ workspace }).filter((problem) => problem.includes(' workspace'))).toEqual([])
  })

  it('names the region where only that is missing', () => {
    const found = problems({ editions: ['2021-07-29'], workspace: { ...NAMED, regions: [] } })
    expect(found.filter((problem) => problem.includes('workspace.regions'))).toEqual([
      'warning workspace.regions: not allowed until `workspace.regions` names one: <containerRegistry>.<region>.data.azurecr.io',
    ])
  })

  it('stands where every account is allowed knowingly', () => {
    const workspace = { ...NAMED, containerRegistries: ['*'], acknowledgeMultiTenant: true }
    expect(problems({ workspace })).toContain("warning workspace.containerRegistries.0: `*` lets data out to anybody's account")
  })

  it('says that an `any` tunnel can carry any name', () => {
    expect(rulesAlone([{ name: 'ssh', hosts: ['git.example'], ports: [22], protocol: 'any' }])).toEqual([
      'warning rules.0: `rule/ssh` relays port 22 unseen: such a tunnel can carry any name and any protocol',
    ])
    expect(problems({ workspace: NAMED })).toContain(
      'warning features: `2021-07-29/compute/instances-ms` relays ports 18881, 8787 unseen: such a tunnel can carry any name and any protocol',
    )
  })

  it('says that paths are moot beside an allow for the whole host', () => {
    const whole = { name: 'whole', hosts: ['*.example'] }
    const moot =
      'warning rules.0: `rule/paths`: its paths and methods decide nothing, since `rule/whole` allows all of `a.example`'
    const paths = (ports: readonly number[]) => ({ name: 'paths', hosts: ['a.example'], paths: ['/x/*'], ports })
    expect(rulesAlone([paths([80]), whole])).toEqual([moot])
    expect(rulesAlone([paths([8080]), whole])).not.toContain(moot)
    expect(rulesAlone([{ ...paths([80]), action: 'deny' }, whole])).toEqual([])
  })

  describe('about inspection', () => {
    const rule = { name: 'a', hosts: ['a.example'], paths: ['/x/*'] }
    const refused = (rules: readonly unknown[], permitted?: (host: string) => boolean): readonly string[] => {
      const means = permitted && { permitsAll: (host: HostPattern) => permitted(formatHostPattern(host)) }
      const found = lintInspection(policyOf(rules), means === undefined ? err({ message: 'there is no CA' }) : ok(means))
      return found.map(({ message }) => message)
    }

    it('names the hosts that are refused over HTTPS without a CA', () => {
      expect(refused([rule])).toEqual([
        'there is no CA; until then over HTTPS these hosts are refused with `inspection_unavailable`: a.example',
      ])
      expect(refused([{ ...rule, action: 'deny' }])).toHaveLength(1)
      expect(refused([{ name: 'a', hosts: ['a.example'], methods: ['GET'] }])).toHaveLength(1)
    })

    it('says nothing where nobody has to look inside', () => {
      expect(refused([])).toEqual([])
      expect(refused([{ ...rule, ports: [80] }])).toEqual([])
      expect(refused([{ ...rule, ports: [8080], protocol: 'http' }])).toEqual([])
      expect(refused([{ ...rule, action: 'deny', mode: 'report' }])).toEqual([])
    })

    it('names what a CA is not good for, and only that', () => {
      const rules = [rule, { ...rule, name: 'b', hosts: ['*.b.example'] }]
      expect(refused(rules, () => true)).toEqual([])
      expect(refused(rules, (host) => host === 'a.example')).toEqual([
        expect.stringMatching(/name constraints.*: \*\.b\.example$/),
      ])
    })
  })
})
