import { describe, expect, it } from 'vitest'
import { configSchema } from '../../../src/core/config.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { EDITIONS, policyFrom, problemsOf, requestTo } from '../../support/policy.ts'

const ID = '12345678-90ab-4cde-8f01-23456789abcd'
const OTHER = '00000000-90ab-4cde-8f01-23456789abcd'

type Workspace = Readonly<Record<string, unknown>>

const verdict = (target: string, workspace: Workspace, more: Readonly<Record<string, unknown>> = {}): string => {
  const { verdict: found, entry } = decide(policyFrom({ workspace, ...more }), requestTo(target))
  return entry === undefined || found === 'deny' ? found : `${found} ${entry.tenancy}`
}

const warnings = (workspace: Workspace, more: Readonly<Record<string, unknown>> = {}): readonly string[] =>
  problemsOf({ workspace, ...more }).map(({ path, message }) => `${path.join('.')}: ${message}`)

describe('a name in `workspace` stands in for a wide one:', () => {
  const own = { id: ID, regions: ['eastus2'] }
  const vault = { keyVaults: ['mine'] }
  const cluster = { aksClusters: ['mine-dns-0a1b'], regions: ['eastus2'] }
  const aks = { features: { aks: true } }
  const CASES: readonly (readonly [target: string, workspace: Workspace, expected: string, because: string, more?: object])[] = [
    [`${ID}.workspace.eastus2.api.azureml.ms`, own, 'allow any', 'the workspace itself'],
    [`${ID}.workspace.eastus2.cert.api.azureml.ms`, own, 'allow any', 'its certificate name'],
    ['eastus2.api.azureml.ms', own, 'allow any', "the region's own name"],
    [`${OTHER}.workspace.eastus2.api.azureml.ms`, own, 'deny', "somebody else's workspace"],
    [`${ID}.workspace.westus.api.azureml.ms`, own, 'deny', 'a region that is not named'],
    ['westus.api.azureml.ms', own, 'deny', 'a region that is not named'],
    ['x.eastus2.instances.azureml.ms', own, 'allow any', 'instances of the region'],
    ['x.westus.instances.azureml.ms', own, 'deny', 'instances of another'],
    ['x.eastus2.notebooks.azure.net', own, 'allow any', 'notebooks of the region'],
    ['x.westus.notebooks.azure.net', own, 'deny', 'notebooks of another'],
    [`${OTHER}.workspace.eastus2.api.azureml.ms`, { id: ID }, 'allow any', 'an id without regions narrows nothing'],
    [`${OTHER}.workspace.eastus2.api.azureml.ms`, { regions: ['eastus2'] }, 'allow any', 'regions alone narrow nothing'],
    [`${ID.toUpperCase()}.workspace.eastus2.api.azureml.ms`, own, 'allow any', 'case does not count'],
    ['mine.vault.azure.net', vault, 'allow yours', 'naming it switches the feature on'],
    ['other.vault.azure.net', vault, 'deny', "somebody else's vault"],
    ['mine.vault.azure.net', {}, 'deny', 'nothing is named'],
    ['mine.vault.azure.net', vault, 'deny', 'the switch has the last word', { features: { 'key-vault': false } }],
    [
      'other.vault.azure.net',
      {},
      'allow any',
      'switched on without a name it is as documented',
      { features: { 'key-vault': true } },
    ],
    ['mine-dns-0a1b.hcp.eastus2.azmk8s.io', cluster, 'allow yours', 'the cluster', aks],
    ['other-dns-0a1b.hcp.eastus2.azmk8s.io', cluster, 'deny', "somebody else's cluster", aks],
    [
      'other-dns-0a1b.hcp.eastus2.azmk8s.io',
      { regions: ['eastus2'] },
      'allow any',
      'without a name every cluster of the region',
      aks,
    ],
    ['mine-dns-0a1b.hcp.eastus2.azmk8s.io', cluster, 'deny', 'naming a cluster switches nothing on'],
    ['adfs.example.com', { federationHosts: ['adfs.example.com'] }, 'allow yours', 'the AD FS host'],
    ['adfs.example.com:80', { federationHosts: ['adfs.example.com'] }, 'deny', 'on 443 alone'],
    ['sub.adfs.example.com', { federationHosts: ['adfs.example.com'] }, 'deny', 'exactly that host'],
    ['x.eastus2.batch.azure.com', { regions: ['eastus2'] }, 'allow any', 'Batch of the region'],
    ['x.westus.batch.azure.com', { regions: ['eastus2'] }, 'deny', 'Batch of another region'],
    ['x.eastus2.service.batch.azure.com', { regions: ['eastus2'] }, 'allow any', 'the node service of Batch'],
    ['mine.eastus2.data.azurecr.io', { containerRegistries: ['mine'], regions: ['eastus2'] }, 'allow yours', 'the data endpoint'],
  ]
  for (const [target, workspace, expected, because, more] of CASES)
    it(`${expected} for ${target}: ${because}`, () => {
      expect(verdict(target, workspace, { ...more })).toBe(expected)
    })
})

describe('a name that does nothing is told:', () => {
  it('an id without regions', () => {
    expect(warnings({ id: ID })).toContain('workspace.id: `workspace.id` narrows nothing until `workspace.regions` names one too')
    expect(warnings({ id: ID, regions: ['eastus2'] }).filter((text) => text.startsWith('workspace.id'))).toEqual([])
  })

  it('a cluster while `aks` is off', () => {
    expect(warnings({ aksClusters: ['mine'], regions: ['eastus2'] })).toContain(
      'workspace.aksClusters: `workspace.aksClusters` fills nothing that is on; it belongs to feature `aks`',
    )
  })

  it('a vault while an edition without vaults is in force', () => {
    expect(warnings({ keyVaults: ['mine'] }, { editions: ['2021-07-29'] })).toContain(
      'workspace.keyVaults: `workspace.keyVaults` fills nothing that is on; it belongs to feature `key-vault`',
    )
    expect(warnings({ keyVaults: ['mine'] }).filter((text) => text.startsWith('workspace.keyVaults'))).toEqual([])
  })
})

describe('`workspace.managedStorage`', () => {
  const about = (workspace: Workspace, more?: Readonly<Record<string, unknown>>) =>
    warnings(workspace, more).filter((text) => text.includes('managedStorage') || text.includes('managed-storage'))

  it('is asked for while `compute` is on, and not without it', () => {
    expect(about({})).toEqual([expect.stringContaining('compute nodes need storage that Microsoft owns')])
    expect(about({}, { features: { compute: false } })).toEqual([])
    expect(about({ managedStorage: 'service-endpoint' })).toEqual([])
  })

  it('`names` lets out every account, and says so', () => {
    const names = { managedStorage: 'names' }
    for (const service of ['blob', 'table', 'queue']) {
      expect(verdict(`x.${service}.core.windows.net`, names)).toBe('allow any')
      expect(verdict(`x.${service}.core.windows.net:80`, names)).toBe('deny')
    }
    expect(verdict('x.file.core.windows.net', names)).toBe('deny')
    expect(about(names)).toEqual([expect.stringMatching(/lets data out to whoever answers under `\*\.blob\.core\.windows\.net`/)])
  })

  it('`service-endpoint` opens no name', () => {
    expect(verdict('x.blob.core.windows.net', { managedStorage: 'service-endpoint' })).toBe('deny')
  })

  it('`tag` asks for the service tag of the regions, and says where that is not on', () => {
    const off = { features: { 'network-Storage': false } }
    const known = EDITIONS.some(({ features }) => 'network-Storage' in features)
    expect(about({ managedStorage: 'tag' }, known ? off : {})).toEqual([
      expect.stringContaining('`tag` opens nothing while feature `network-Storage` is off, or without an edition that has it'),
    ])
  })

  it('tells a feature that says otherwise', () => {
    expect(about({ managedStorage: 'names' }, { features: { 'managed-storage': false } })).toEqual([
      expect.stringContaining('`names` opens nothing while `features: { managed-storage: false }` holds'),
    ])
    expect(about({ managedStorage: 'service-endpoint' }, { features: { 'managed-storage': true } })).toEqual(
      expect.arrayContaining([expect.stringContaining('`service-endpoint` needs no wide names')]),
    )
  })
})

describe('a name that cannot be one is refused:', () => {
  const messages = (workspace: Workspace) => {
    const parsed = configSchema.safeParse({ workspace })
    return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  }
  const CASES: readonly (readonly [workspace: Workspace, expected: RegExp])[] = [
    [{ id: 'my-workspace' }, /^workspace\.id: a workspace id is a GUID/],
    [{ id: '*' }, /^workspace\.id: a workspace id is a GUID/],
    [{ keyVaults: ['*'] }, /^workspace\.keyVaults\.0: a vault name/],
    [{ keyVaults: ['mine.vault.azure.net'] }, /^workspace\.keyVaults\.0: a vault name/],
    [{ aksClusters: ['mine.hcp.eastus2.azmk8s.io'] }, /^workspace\.aksClusters\.0: a cluster is named by the first label/],
    [{ federationHosts: ['*.example.com'] }, /^workspace\.federationHosts\.0: /],
    [{ federationHosts: ['https://adfs.example.com'] }, /^workspace\.federationHosts\.0: /],
    [{ federationHosts: ['10.1.2.3'] }, /^workspace\.federationHosts\.0: /],
    [{ managedStorage: 'endpoint' }, /^workspace\.managedStorage: /],
  ]
  for (const [workspace, expected] of CASES)
    it(JSON.stringify(workspace), () => {
      expect(messages(workspace)).toEqual([expect.stringMatching(expected)])
    })
})
