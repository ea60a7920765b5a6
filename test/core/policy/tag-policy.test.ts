import { describe, expect, it } from 'vitest'
import { compilePolicy } from '../../../src/core/policy/compile.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import type { Cloud } from '../../../src/core/policy/entry.ts'
import { explain } from '../../../src/core/policy/explain.ts'
import { formatPattern } from '../../../src/core/policy/hints.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { authorityOf, configFrom, requestTo, sourcesFrom, unwrap } from '../../support/policy.ts'
import { tagSource } from '../../support/service-tags.ts'

const FILE = { file: '/etc/sallyport/ServiceTags.json' }

function compiled(config: Record<string, unknown>) {
  const { cloud } = configFrom(config)
  const tags = config['serviceTags'] === undefined ? undefined : tagSource(cloud)
  return compilePolicy({ ...sourcesFrom({ editions: ['2021-07-29'], ...config }), tags })
}

const policyWith = (config: Record<string, unknown>): Policy => unwrap(compiled({ serviceTags: FILE, ...config })).policy

/** Errors, or warnings, that have to do with tags. */
function said(config: Record<string, unknown>): string[] {
  const result = compiled(config)
  const problems = result.ok ? result.value.warnings : result.error
  return problems
    .filter(({ message, path }) => /tag|network-/.test(message) && path[1] !== 'managedStorage')
    .map(({ severity, path, message }) => `${severity} ${path.join('.')}: ${message}`)
}

function judged(policy: Policy, target: string): string {
  const decision = decide(policy, requestTo(target))
  return decision.verdict === 'deny' ? `deny ${decision.reason}` : `${decision.verdict} ${decision.entry.id} ${decision.protocol}`
}

const REGION: Readonly<Record<Cloud, string>> = { public: 'eastus2', government: 'usgovvirginia', china: 'chinaeast2' }

describe('a file of service tags', () => {
  it('allows nothing by itself: every tag feature is off', () => {
    const policy = policyWith({ workspace: { regions: ['eastus2'] } })
    expect(policy.entries.filter(({ feature }) => feature?.startsWith('network-'))).toEqual([])
    expect(judged(policy, '20.41.0.241:443')).toBe('deny host_not_listed')
  })

  for (const cloud of ['public', 'government', 'china'] as const)
    it(`lets each documented tag be switched on in ${cloud}`, () => {
      const features = [
        'AzureActiveDirectory',
        'AzureMachineLearning',
        'AzureResourceManager',
        'Storage',
        'AzureFrontDoor.Frontend',
        'AzureContainerRegistry',
        'MicrosoftContainerRegistry',
        'AzureMonitor',
      ].map((tag) => `network-${tag}`)
      const policy = policyWith({
        cloud,
        workspace: { regions: [REGION[cloud]] },
        features: Object.fromEntries(features.map((name) => [name, true])),
      })
      const entries = policy.entries.filter(({ feature }) => feature?.startsWith('network-'))
      // "Not needed in Azure China."
      const missing = cloud === 'china' ? ['network-AzureFrontDoor.Frontend'] : []
      expect(entries.map(({ feature }) => feature)).toEqual(features.filter((name) => !missing.includes(name)))
      expect(entries.every(({ patterns }) => patterns.length > 0)).toBe(true)
    })
})

describe('a documented tag that is on', () => {
  const policy = policyWith({
    workspace: { regions: ['eastus2', 'westus2'] },
    features: { 'network-AzureMachineLearning': true, 'network-AzureActiveDirectory': true, 'network-AzureMonitor': true },
  })
  const monitor = policy.entries.find(({ feature }) => feature === 'network-AzureMonitor')

  it('lets out to its addresses, under any name, on the documented port', () => {
    expect(judged(policy, '4.144.0.1:443')).toMatch(/^deny/)
    const [range] = monitor?.patterns[0]?.host.kind === 'network' ? monitor.patterns[0].host.ranges.cidrs() : []
    expect(decide(policy, requestTo(`${range?.network.text}:443`))).toMatchObject({
      verdict: 'allow',
      protocol: 'tls',
      byAddress: true,
    })
    expect(judged(policy, `${range?.network.text}:80`)).toBe('deny port_not_listed')
  })

  it('is TCP 443 where the document states no port, as for AzureMonitor', () => {
    expect(monitor?.patterns.map(formatPattern)).toEqual(['tag:AzureMonitor:443'])
    expect(monitor).toMatchObject({ id: '2021-07-29/network-AzureMonitor/tcp-443', tenancy: 'any', source: { lines: [153] } })
  })

  it('carries anything where the document says every port', () => {
    const entry = policy.entries.find(({ feature }) => feature === 'network-AzureActiveDirectory')
    expect(entry?.patterns.map(formatPattern)).toEqual(['tag:AzureActiveDirectory:* (protocol any)'])
  })

  it('is filled with every region of the workspace', () => {
    const entry = policyWith({ workspace: { regions: ['eastus2'] }, features: { 'network-Storage': true } }).entries.at(-1)
    expect(entry).toMatchObject({ id: '2021-07-29/network-Storage/tcp-443', documented: 'Storage.region' })
    expect(entry?.patterns.map(formatPattern)).toEqual(['tag:Storage.EastUS2:443'])
  })

  it('changes the hash of the policy with its addresses', () => {
    const { tags } = tagSource('public')
    const { azuremonitor } = tags.file.wanted
    const hashWith = (prefixes: string) => {
      const wanted = { ...tags.file.wanted, azuremonitor: { name: 'AzureMonitor', prefixes } }
      const source = { tags: new (Object.getPrototypeOf(tags).constructor)({ ...tags.file, wanted }), publishedSeconds: 0 }
      const sources = sourcesFrom({ serviceTags: FILE, features: { 'network-AzureMonitor': true } })
      return unwrap(compilePolicy({ ...sources, tags: source })).policy.hash
    }
    expect(hashWith(azuremonitor?.prefixes ?? '')).not.toBe(hashWith(`${azuremonitor?.prefixes} 203.0.113.0/24`))
  })
})

describe('what is said of tags', () => {
  it('is a warning where a multi-tenant tag is on, and nothing where Microsoft alone is behind it', () => {
    const on = (feature: string) =>
      said({ serviceTags: FILE, workspace: { regions: ['eastus2'] }, features: { [feature]: true } })
    expect(on('network-Storage')).toEqual([
      "warning features.network-Storage: `network-Storage` is as wide as a network rule of Azure Firewall: all 5 ranges of tag `Storage.EastUS2`, under any name (every customer's storage account)",
    ])
    expect(on('network-MicrosoftContainerRegistry')).toEqual([])
  })

  it('is told at the key as it is written: any case, and known wrong names', () => {
    const [warning] = said({
      serviceTags: FILE,
      workspace: { regions: ['eastus2'] },
      features: { 'network-containerregistry': true },
    })
    expect(warning).toMatch(/^warning features\.network-containerregistry: `network-AzureContainerRegistry` is as wide/)
    const unknown = compiled({ features: { 'network-azuremoniter': true } })
    expect(unknown.ok ? [] : unknown.error.map(({ message }) => message)).toEqual([
      'unknown feature `network-azuremoniter`; did you mean `network-AzureMonitor`?',
    ])
  })

  it('is a warning for a documented tag without a file or a region, and in a cloud that does not have it', () => {
    expect(said({ features: { 'network-AzureMonitor': true } })).toEqual([
      'warning features.network-AzureMonitor: `network-AzureMonitor` allows nothing until `serviceTags.file` names a file with its addresses, from https://www.microsoft.com/download/details.aspx?id=56519 (cloud public) or `az network list-service-tags -l REGION -o json`',
    ])
    expect(said({ serviceTags: FILE, features: { 'network-Storage': true } })).toEqual([
      'warning workspace.regions: not allowed until `workspace.regions` names one: service tag Storage.<region>',
    ])
    expect(said({ cloud: 'china', serviceTags: FILE, features: { 'network-AzureFrontDoor.Frontend': true } })).toEqual([
      'warning features.network-AzureFrontDoor.Frontend: `2021-07-29/network-AzureFrontDoor.Frontend/tcp-443` allows nothing in `cloud: china`: the document does not have it there',
    ])
  })

  it('is an error where the file lacks a tag or a region that is on', () => {
    expect(
      said({ serviceTags: FILE, workspace: { regions: ['eastus2', 'eastus3'] }, features: { 'network-Storage': true } }),
    ).toEqual([
      'error workspace.regions.1: there is no service tag `Storage.eastus3`; did you mean `Storage.EastUS2`? in `/etc/sallyport/ServiceTags.json` (cloud public, change 375); newer files are at https://www.microsoft.com/download/details.aspx?id=56519',
    ])
    expect(
      said({ cloud: 'government', serviceTags: FILE, rules: [{ name: 'fd', serviceTags: ['AzureFrontDoor.FirstParty'] }] }),
    ).toEqual([
      'error rules.0.serviceTags.0: there is no service tag `AzureFrontDoor.FirstParty`; did you mean `AzureFrontDoor.Frontend`? in `/etc/sallyport/ServiceTags.json` (cloud government, change 402); newer files are at https://www.microsoft.com/download/details.aspx?id=57063',
    ])
  })
})

describe('a client group with service tags', () => {
  const groups = (features: Record<string, boolean>) => ({ lab: { sources: ['10.1.0.0/16'], features } })
  const inGroup = (policy: Policy) => {
    const [group] = policy.groups
    if (group === undefined) throw new Error('no group')
    return group.policy
  }
  const addressOf = (feature: string) => {
    const [pattern] = policyWith({ features: { [feature]: true } }).entries.at(-1)?.patterns ?? []
    return pattern?.host.kind === 'network' ? `${pattern.host.ranges.cidrs()[0]?.network.text}:443` : ''
  }
  const target = addressOf('network-AzureMonitor')

  it('has those that it switches on for itself, and its own hint where it has not', () => {
    const policy = policyWith({ groups: groups({ 'network-azuremonitor': true }) })
    expect(judged(inGroup(policy), target)).toBe('allow 2021-07-29/network-AzureMonitor/tcp-443 tls')
    expect(judged(policy, target)).toBe('deny host_not_listed')
    const off = inGroup(
      policyWith({ features: { 'network-AzureMonitor': true }, groups: groups({ 'network-AzureMonitor': false }) }),
    )
    expect(judged(off, target)).toBe('deny host_not_listed')
    expect(explain(off, { authority: authorityOf(target) }, false).hint?.text).toContain(
      '`groups: { lab: { features: { network-AzureMonitor: true } } }`',
    )
  })

  it('has the tags of rules, its own and those for everybody', () => {
    const rules = [
      { name: 'own', serviceTags: ['AzureMonitor'], groups: ['lab'] },
      { name: 'all', serviceTags: ['AzureResourceManager'] },
    ]
    const policy = policyWith({ groups: groups({}), rules })
    expect(judged(inGroup(policy), target)).toBe('allow rule/own tls')
    expect(judged(policy, target)).toBe('deny host_not_listed')
    expect(judged(inGroup(policy), addressOf('network-AzureResourceManager'))).toBe('allow rule/all tls')
  })

  it('is told what is wrong with them at its own key, as it is written', () => {
    const workspace = { regions: ['eastus2'] }
    expect(said({ serviceTags: FILE, workspace, groups: groups({ 'network-storage': true }) })).toEqual([
      "warning groups.lab.features.network-storage: `network-Storage` is as wide as a network rule of Azure Firewall: all 5 ranges of tag `Storage.EastUS2`, under any name (every customer's storage account)",
    ])
    expect(said({ groups: groups({ 'network-AzureMonitor': true }) })).toEqual([
      expect.stringMatching(/^warning groups\.lab\.features\.network-AzureMonitor: .* allows nothing until `serviceTags\.file`/),
    ])
    expect(said({ serviceTags: FILE, workspace: { regions: ['eastus3'] }, groups: groups({ 'network-Storage': true }) })).toEqual(
      [expect.stringMatching(/^error workspace\.regions\.0: there is no service tag `Storage\.eastus3`/)],
    )
  })
})

describe('a rule with service tags', () => {
  it('matches their addresses, allowing or denying, whatever the case and the spelling of the region', () => {
    const policy = policyWith({
      rules: [
        { name: 'aml', serviceTags: ['azuremachinelearning.East US 2'] },
        { name: 'batch', serviceTags: ['BatchNodeManagement.westus2'], action: 'deny' },
        { name: 'all', addresses: ['0.0.0.0/0'], ports: [443] },
      ],
    })
    expect(policy.entries[0]?.patterns.map(formatPattern)).toEqual(['tag:AzureMachineLearning.EastUS2:80,443'])
    const first = (at: number) => {
      const host = policy.entries[at]?.patterns[0]?.host
      return host?.kind === 'network' ? host.ranges.cidrs()[0]?.network.text : undefined
    }
    expect(judged(policy, `${first(0)}:443`)).toBe('allow rule/aml tls')
    expect(judged(policy, `${first(1)}:443`)).toBe('deny denied_by_rule')
  })

  it('needs the file: a rule that could not be matched is an error, a deny rule above all', () => {
    for (const action of ['allow', 'deny'])
      expect(said({ rules: [{ name: 'tag', serviceTags: ['Sql'], action }] })).toEqual([
        'error rules.0.serviceTags: service tags are names without addresses: give `serviceTags.file` a file that has them, from https://www.microsoft.com/download/details.aspx?id=56519 (cloud public) or `az network list-service-tags -l REGION -o json`',
      ])
  })

  it('is warned about like a feature, unless it denies', () => {
    const rule = { name: 'store', serviceTags: ['Storage.eastus2'] }
    expect(said({ serviceTags: FILE, rules: [rule] })).toEqual([
      "warning rules.0.serviceTags.0: `rule/store` is as wide as a network rule of Azure Firewall: all 5 ranges of tag `Storage.EastUS2`, under any name (every customer's storage account)",
    ])
    expect(said({ serviceTags: FILE, rules: [{ ...rule, action: 'deny' }] })).toEqual([])
  })
})

describe('a service tag of an exception from subnet mode', () => {
  const exceptions = (...serviceTags: string[]) => ({
    subnet: { ranges: ['10.0.1.0/24'], forward: [{ name: 'instances', proto: 'udp', ports: [5831], serviceTags }] },
  })

  it('is its ranges by the name of the exception, the region in any spelling', () => {
    const ranges = (...tags: string[]) =>
      unwrap(compiled({ serviceTags: FILE, ...exceptions(...tags) }))
        .forwardRanges.get('instances')
        ?.map(({ text }) => text)
    const ofTag = (name: string) =>
      unwrap(tagSource('public').tags.find(name))
        .ranges.cidrs()
        .map(({ text }) => text)
    expect(ranges('azuremachinelearning.East US 2')).toEqual(ofTag('AzureMachineLearning.EastUS2'))
    expect(ranges('AzureMachineLearning.EastUS2', 'AzureMonitor')).toEqual([
      ...ofTag('AzureMachineLearning.EastUS2'),
      ...ofTag('AzureMonitor'),
    ])
    expect(unwrap(compiled({ serviceTags: FILE })).forwardRanges.size).toBe(0)
  })

  it('needs a file, must be in it, and is warned about where anybody is behind it: as for a rule', () => {
    expect(said(exceptions('AzureMachineLearning'))).toEqual([
      'error subnet.forward.0.serviceTags: service tags are names without addresses: give `serviceTags.file` a file that has them, from https://www.microsoft.com/download/details.aspx?id=56519 (cloud public) or `az network list-service-tags -l REGION -o json`',
    ])
    expect(said({ serviceTags: FILE, ...exceptions('BatchNodeManagement', 'AzureMachineLearnin') })).toEqual([
      expect.stringMatching(
        /^error subnet\.forward\.0\.serviceTags\.1: there is no service tag `AzureMachineLearnin`; did you mean `AzureMachineLearning`\? in/,
      ),
    ])
    expect(said({ serviceTags: FILE, ...exceptions('Storage.eastus2') })).toEqual([
      expect.stringMatching(/^warning subnet\.forward\.0\.serviceTags\.0: `instances` is as wide as/),
    ])
  })
})

describe('the hint for an address of a documented tag', () => {
  const policy = policyWith({ workspace: { regions: ['eastus2'] } })
  const hintFor = (tag: string) => {
    const { tags } = tagSource('public')
    const [range] = unwrap(tags.find(tag)).ranges.cidrs()
    const explained = explain(policy, { authority: authorityOf(`${range?.network.text}:443`) }, false)
    return {
      ...explained.hint,
      text: explained.hint?.text.replaceAll(range?.network.text ?? '', 'ADDRESS').replace(/name: [^,]*/, 'name: NAME'),
    }
  }

  it('names the feature where Microsoft alone is behind it', () => {
    expect(hintFor('MicrosoftContainerRegistry.EastUS2')).toEqual({
      text: 'an address of service tag `MicrosoftContainerRegistry.EastUS2`; switch it on with `features: { network-MicrosoftContainerRegistry: true }`',
      remedy: { kind: 'feature', name: 'network-MicrosoftContainerRegistry' },
    })
  })

  it('warns of the feature where every customer is, and gives the rule for the one address', () => {
    expect(hintFor('Storage.EastUS2').text).toBe(
      'an address of service tag `Storage.EastUS2`, which serves every customer: `features: { network-Storage: true }` would let out to all of them; for this address alone add `rules: [{ name: NAME, hosts: ["ADDRESS"] }]`',
    )
  })
})
