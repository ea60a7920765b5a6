import { describe, expect, it } from 'vitest'
import { byRisk } from '../../../src/core/policy/by-risk.ts'
import { readEdition } from '../../../src/core/policy/catalogue.ts'
import { compilePolicy } from '../../../src/core/policy/compile.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { diffEditions, isCovered } from '../../../src/core/policy/edition-diff.ts'
import { CLOUDS } from '../../../src/core/policy/entry.ts'
import { explain } from '../../../src/core/policy/explain.ts'
import { FAILURES } from '../../catalogue/failures.ts'
import { WORKSPACE } from '../../catalogue/shipped-2021.ts'
import { authorityOf, EDITIONS, policyFrom, requestTo, sourcesFrom, unwrap } from '../../support/policy.ts'

const [old, newest] = EDITIONS
if (old === undefined || newest === undefined) throw new Error('two editions are shipped')

const hintOf = (config: unknown, target: string) => explain(policyFrom(config), { authority: authorityOf(target) }, false).hint

describe('with both editions in force, which is the default,', () => {
  const both = policyFrom({ workspace: WORKSPACE })

  it('the policy has both', () => {
    expect(both.editions).toEqual(['2021-07-29', '2026-03-19'])
  })

  it('whatever either alone allows is allowed, for every cloud', () => {
    for (const cloud of CLOUDS) {
      const union = policyFrom({ cloud, workspace: WORKSPACE })
      for (const editions of [['2021-07-29'], ['2026-03-19']]) {
        for (const { id, patterns } of policyFrom({ cloud, workspace: WORKSPACE, editions }).entries) {
          for (const { host, ports, paths } of patterns) {
            if (host.kind === 'network' || paths !== undefined) continue
            const name = host.kind === 'exact' ? host.host.text : `any.${host.suffix}`
            for (const port of ports === 'any' ? [] : ports)
              expect(decide(union, requestTo(`${name}:${port}`)).verdict, `${id} ${name}:${port} in ${cloud}`).toBe('allow')
          }
        }
      }
    }
  })

  const NAMED: readonly (readonly [target: string, entry: string, because: string])[] = [
    ['pypi.org:443', '2021-07-29/python/pypi.org', 'both list it: the older id stands in logs and dashboards'],
    ['pypi.org:80', '2021-07-29/python/pypi.org', 'both list it'],
    ['a.pytorch.org:443', '2021-07-29/python/*pytorch.org', 'the same suffix'],
    [
      'eastus2.data.mcr.microsoft.com:443',
      '2026-03-19/microsoft-container-registry/data.mcr.microsoft.com',
      'only the newer has it',
    ],
    ['viennaglobal.azurecr.io:443', '2021-07-29/prebuilt-images/viennaglobal.azurecr.io', 'only the older has it'],
    ['x.modelmanagement.azureml.net:443', '2026-03-19/studio/model-management', 'the longer wildcard is the more specific one'],
  ]
  for (const [target, entry, because] of NAMED)
    it(`${target} is named ${entry}: ${because}`, () => {
      expect(decide(both, requestTo(target)).entry?.id).toBe(entry)
    })

  it('UDP and SMB let no TCP port out', () => {
    expect(decide(both, requestTo('eastus2.tundra.azureml.ms:5831')).verdict).toBe('deny')
    expect(decide(both, requestTo('examplestore.file.core.windows.net:445')).verdict).toBe('deny')
    expect(hintOf({ workspace: WORKSPACE }, 'eastus2.tundra.azureml.ms:5831')?.remedy.kind).toBe('forward')
  })

  it('one switch holds for both', () => {
    const off = policyFrom({ features: { python: false } })
    expect(decide(off, requestTo('pypi.org:443')).verdict).toBe('deny')
    const on = policyFrom({ features: { diagnostics: true } })
    expect(on.entries.filter(({ feature }) => feature === 'diagnostics').map(({ source }) => source?.edition)).toEqual(
      expect.arrayContaining(['2021-07-29', '2026-03-19']),
    )
  })

  it('ports that both relay unseen are warned of once', () => {
    const { warnings } = unwrap(compilePolicy(sourcesFrom({})))
    expect(warnings.filter(({ message }) => message.includes('unseen'))).toHaveLength(1)
  })
})

describe('a denial that another edition would allow', () => {
  it('says which', () => {
    expect(hintOf({ editions: ['2021-07-29'] }, 'code.visualstudio.com:443')?.text).toMatch(
      /^edition 2026-03-19 lists it; add it to `editions`; /,
    )
    expect(hintOf({ editions: ['2026-03-19'] }, 'viennaglobal.azurecr.io:443')?.text).toMatch(
      /^edition 2021-07-29 lists it; add it to `editions`/,
    )
  })

  it('says which feature of it is off', () => {
    expect(hintOf({ editions: ['2021-07-29'] }, 'packages.aks.azure.com:443')).toEqual({
      text: 'edition 2026-03-19 lists it in feature `aks`, which is off; add it to `editions` with `features: { aks: true }`',
      remedy: { kind: 'edition', name: '2026-03-19' },
    })
  })
})

describe('the hint with both editions', () => {
  const named = { workspace: { ...WORKSPACE, managedStorage: 'service-endpoint' } }
  const CASES: readonly (readonly [target: string, text: RegExp, remedy: string, because: string])[] = [
    [
      'other.blob.core.windows.net:443',
      /^if it is yours, add `other` to `workspace\.storageAccounts`/,
      'workspace',
      'never all accounts first',
    ],
    [
      'other.queue.core.windows.net:443',
      /^if it is yours, add `other`.*\/services\/Azure\/MachineLearning/,
      'workspace',
      'never all accounts first',
    ],
    ['other.vault.azure.net:443', /^if it is yours, add `other` to `workspace\.keyVaults`/, 'workspace', 'never all vaults'],
    [
      'x.westus.batch.azure.com:443',
      /^if it is yours, add `westus` to `workspace\.regions`/,
      'workspace',
      'the region is missing',
    ],
    [
      'github.com:443',
      /^git hosting that anybody can use: a rule.*feature `interactive-jobs` is off, for `\/microsoft/,
      'rule',
      'a path is not the host',
    ],
    ['security.ubuntu.com:80', /^a package archive of apt: a rule/, 'rule', 'a scenario opens more'],
    ['ghcr.io:443', /^GitHub's container registry.*`features: \{ rstudio: true \}`/, 'rule', 'the scenario is named as well'],
    [
      'packages.aks.azure.com:443',
      /^feature `aks` is off; switch it on with `features: \{ aks: true \}`$/,
      'feature',
      'nothing smaller is known',
    ],
    [
      'x.cloud.defender.microsoft.com:443',
      /^feature `aks-addons` is off, which lists all of `\*\.cloud\.defender/,
      'feature',
      'what it opens is said',
    ],
    ['dc.services.visualstudio.com:443', /^feature `diagnostics` is off/, 'feature', 'the older edition comes first'],
    ['x.batch.usgovcloudapi.net:443', /public cloud alone/, 'rule', 'no document lists it'],
  ]
  for (const [target, text, remedy, because] of CASES)
    it(`for ${target}: ${because}`, () => {
      const hint = hintOf(named, target)
      expect(hint?.text).toMatch(text)
      expect(hint?.remedy.kind).toBe(remedy)
    })

  it('is there for each of the twenty failures that is still one', () => {
    const still = FAILURES.filter(({ cloud, features = {}, target }) => {
      const policy = policyFrom({ cloud, features, workspace: WORKSPACE })
      return decide(policy, requestTo(target)).verdict === 'deny'
    })
    expect(still.length).toBeGreaterThan(25)
    for (const { cloud, features, target, expectRemedy } of still) {
      if (expectRemedy === undefined) continue
      expect(hintOf({ cloud, features, workspace: WORKSPACE }, target)?.remedy.kind, target).toBe(expectRemedy)
    }
  })
})

describe('what is gone since', () => {
  it.each([
    ['public', ['compute/batchai', 'storage/account', 'prebuilt-images/viennaglobal.azurecr.io']],
    ['government', ['compute/batchai', 'storage/account', 'prebuilt-images/viennaglobal.azurecr.io']],
    ['china', ['compute/graph.windows.net', 'storage/account', 'prebuilt-images/viennaglobal.azurecr.io']],
  ] as const)('in %s is %j', (cloud, gone) => {
    const lost = old.hosts.filter(
      (row) => row.hosts[cloud].length > 0 && row.feature !== 'federation' && !isCovered(row, newest, cloud),
    )
    expect(lost.map(({ feature, id }) => `${feature}/${id}`)).toEqual(gone)
  })

  it('is a note where it is on, and not where only the newest edition is in force', () => {
    const notes = (config: unknown) => unwrap(compilePolicy(sourcesFrom(config))).notes.join('\n')
    expect(notes({})).toContain('gone from the documentation by edition 2026-03-19: 2021-07-29/compute/batchai')
    expect(notes({ features: { compute: false, 'prebuilt-images': false } })).not.toContain('gone from')
    expect(notes({ editions: ['2026-03-19'] })).not.toContain('gone from')
    expect(notes({ editions: ['2021-07-29'] })).toContain('gone from the documentation by edition 2026-03-19')
  })
})

describe('the difference between two editions', () => {
  const diff = diffEditions(old, newest, 'public')
  const hosts = (list: readonly { readonly host: { readonly host: string } }[]) => list.map(({ host }) => host.host)

  it('has what is added, gone, changed and the same', () => {
    expect(hosts(diff.added)).toEqual(
      expect.arrayContaining(['*.data.mcr.microsoft.com', '*.<region>.batch.azure.com', 'ghcr.io']),
    )
    expect(hosts(diff.gone)).toEqual(
      expect.arrayContaining(['*.batchai.core.windows.net', 'viennaglobal.azurecr.io', '*pytorch.org']),
    )
    expect(diff.changed.find(({ host }) => host === 'management.azure.com')).toMatchObject({
      before: { access: ['80', '443'] },
      after: { access: ['443'] },
    })
    expect(diff.same).toBeGreaterThan(5)
  })

  it('says which wildcard covers what is not named any more', () => {
    expect(diff.added.find(({ host }) => host.host === 'pytorch.org')?.coveredBy).toBe('*pytorch.org')
    expect(diff.gone.find(({ host }) => host.host === 'viennaglobal.azurecr.io')?.coveredBy).toBeUndefined()
  })

  it('is empty for an edition and itself, and turned round for the other direction', () => {
    const none = diffEditions(newest, newest, 'china')
    expect([none.added, none.gone, none.changed]).toEqual([[], [], []])
    const back = diffEditions(newest, old, 'public')
    expect(hosts(back.added)).toEqual(hosts(diff.gone))
    expect(hosts(back.gone)).toEqual(hosts(diff.added))
  })
})

describe('entries by risk', () => {
  it('are those behind which anybody can receive data first, wildcards before names, and what is refused last', () => {
    const policy = policyFrom({
      workspace: WORKSPACE,
      rules: [
        { name: 'no', hosts: ['no.example.com'], action: 'deny' },
        { name: 'wide', hosts: ['*.example.com'] },
      ],
    })
    const order = byRisk(policy.entries).map(({ action, tenancy, patterns }) => {
      if (action === 'deny') return 'refused'
      const wide = patterns.some(({ host }) => host.kind !== 'exact') ? 'wide ' : ''
      return tenancy === undefined ? 'rule' : tenancy === 'any' ? `${wide}any` : tenancy
    })
    expect([...new Set(order)]).toEqual(['wide any', 'any', 'rule', 'yours', 'microsoft', 'refused'])
    expect(order.indexOf('any')).toBe(order.lastIndexOf('wide any') + 1)
  })
})

describe('an edition that is damaged is refused:', () => {
  const head = { id: '2030-01-01', title: 't', document: 'd', date: 'x', features: { f: { default: true, summary: 's' } } }
  const row = {
    id: 'r',
    feature: 'f',
    purpose: 'p',
    hosts: { public: ['a.example'], government: [], china: [] },
    tenancy: 'any',
    lines: [1],
  }
  const problems = (change: object) => {
    const read = readEdition(head, [{ ...row, ...change }])
    return read.ok ? [] : read.error
  }
  it('not as it stands', () => expect(problems({})).toEqual([]))
  it('a row without a source', () => expect(problems({ lines: [] })).toEqual(['r: it says neither `lines` nor `documents`']))
  it('a page that is not there', () => expect(problems({ documents: ['x'] })).toEqual(['r: document `x` is not in edition.yaml']))
  it('a feature that is not there', () => expect(problems({ feature: 'g' })).toEqual(['r: feature `g` is not in edition.yaml']))
  it('UDP that would be carried', () =>
    expect(problems({ protocol: 'UDP', ports: [5831] })).toEqual(['r: UDP is not carried, so it needs `unproxied`']))
})
