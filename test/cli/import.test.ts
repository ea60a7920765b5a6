import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()

describe('sallyport import', () => {
  it('prints rules that the config takes', async () => {
    const list = write('.pytorch.org\npypi.org\n', 'allowed.txt')
    const { code, stdout } = await sallyport(['import', '--from', 'squid', list])
    expect(code).toBe(0)
    const file = write(stdout, 'imported.yaml')
    expect((await sallyport(['explain', '-c', file, 'download.pytorch.org'])).stdout).toContain('rule/allowed')
  })

  it.each([
    [
      'a kind that is none',
      ['--from', 'toString', 'x'],
      2,
      /`toString` is nothing to import from; there is squid, azure-firewall, smokescreen/,
    ],
    ['a file that is not there', ['--from', 'squid', 'nowhere.txt'], 1, /^nowhere\.txt: there is no such file\n$/],
    ['what is no JSON', ['--from', 'azure-firewall', write('rules:\n', 'a.json')], 1, /it is no JSON; print it with `-o json`/],
    ['what is no YAML', ['--from', 'smokescreen', write('a: [\n', 'a.yaml')], 1, /a\.yaml:\d+:\d+: /],
  ])('refuses %s', async (_, words, expected, message) => {
    const { code, stdout, stderr } = await sallyport(['import', ...words])
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toMatch(message)
  })

  it('exits 1 where nothing was carried over, and says what was not', async () => {
    const { code, stdout } = await sallyport(['import', '--from', 'azure-firewall', write('{}', 'empty.json')])
    expect(code).toBe(1)
    expect(stdout).toContain('#   there is no rule collection in it\nrules: []\n')
  })

  it('lets nothing of the file act on the terminal', async () => {
    const { stdout } = await sallyport(['import', '--from', 'squid', write('pypi.org\n\u001b[2Jx\n', 'esc.txt')])
    expect(stdout).not.toContain('\u001b')
  })
})

const WORKSPACE = {
  name: 'ws',
  location: 'East US 2',
  storage_account: '/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/MyStore',
  container_registry: '/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/myregistry',
  key_vault: '/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/myvault',
  public_network_access: 'Disabled',
  managed_network: { isolation_mode: 'disabled' },
}

describe('sallyport init', () => {
  it('prints a config that check takes, from what Azure says of a workspace', async () => {
    const { code, stdout } = await sallyport(['init', '--workspace', write(JSON.stringify(WORKSPACE), 'ws.json')])
    expect(code).toBe(0)
    expect(stdout).toContain(
      '  regions: [eastus2]\n  storageAccounts: [mystore]\n  containerRegistries: [myregistry]\n  keyVaults: [myvault]\n',
    )
    expect(stdout).toContain('privateEndpoints: []')
    const config = write(stdout, 'made.yaml')
    expect((await sallyport(['check', '-c', config])).code).toBe(0)
    expect((await sallyport(['explain', '-c', config, 'mystore.blob.core.windows.net'])).code).toBe(0)
  })

  it.each([
    ['usgovvirginia', 'cloud: government'],
    ['chinaeast2', 'cloud: china'],
    ['westeurope', 'cloud: public'],
  ])('knows the cloud of %s', async (location, expected) => {
    const { stdout } = await sallyport(['init', '--workspace', write(JSON.stringify({ ...WORKSPACE, location }), 'ws.json')])
    expect(stdout).toContain(expected)
  })

  it('takes the keys of the older extension, and says what a managed network means', async () => {
    const old = {
      name: 'w',
      location: 'eastus2',
      storageAccount: '/x/y/store1',
      managed_network: { isolation_mode: 'allow_only_approved_outbound' },
    }
    const { stdout } = await sallyport(['init', '--workspace', write(JSON.stringify(old), 'old.json')])
    expect(stdout).toContain('storageAccounts: [store1]')
    expect(stdout).toContain('containerRegistries: [] # the workspace has none yet')
    expect(stdout).toContain('sallyport export --to managed-vnet')
  })

  it.each([['{}'], ['[]'], ['{"name":"a","location":"no/where"}'], ['nonsense']])(
    'refuses what is no workspace: %s',
    async (text) => {
      const { code, stdout, stderr } = await sallyport(['init', '--workspace', write(text, 'ws.json')])
      expect([code, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(/^.+\n$/)
    },
  )
})

const DEPENDENCIES = {
  value: [
    {
      properties: {
        category: 'Azure Active Directory',
        endpoints: [{ domainName: 'login.microsoftonline.com', endpointDetails: [{ port: 80 }, { port: 443 }] }],
      },
    },
    {
      properties: {
        category: 'Azure Batch',
        endpoints: [{ domainName: 'eastus2.batch.example', endpointDetails: [{ port: 443 }] }],
      },
    },
    { properties: { category: 'Studio', endpoints: [{ domainName: '*.azureml.ms' }, { domainName: 'bad host' }] } },
  ],
}

describe('sallyport compare', () => {
  it('asks about every host that the workspace needs, and says what is refused and what would allow it', async () => {
    const config = write('cloud: public\neditions: ["2021-07-29"]\n')
    const { code, stdout, stderr } = await sallyport(['compare', '-c', config, write(JSON.stringify(DEPENDENCIES), 'deps.json')])
    expect(code).toBe(1)
    expect(stdout).toBe(`allow   login.microsoftonline.com:80  2021-07-29/azure/active-directory  (Azure Active Directory)
allow   login.microsoftonline.com:443  2021-07-29/azure/active-directory  (Azure Active Directory)
deny    eastus2.batch.example:443  host_not_listed  (Azure Batch)
        to allow it, add \`rules: [{ name: eastus2-batch-example, hosts: [eastus2.batch.example] }]\`
allow   *.azureml.ms:443  2021-07-29/studio/api  (Studio)
4 dependencies, 1 refused
`)
    expect(stderr).toMatch(/^passed over: `bad host`: /)
  })

  it('exits 0 where all is allowed, and prints JSON', async () => {
    const only = { value: DEPENDENCIES.value.slice(0, 1) }
    const { code, stdout } = await sallyport([
      'compare',
      '--json',
      '-c',
      write('cloud: public\n'),
      write(JSON.stringify(only), 'deps.json'),
    ])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toHaveLength(2)
  })

  it.each([['{}'], ['{"value":[{}]}'], ['nonsense']])('refuses what is no such answer: %s', async (text) => {
    const { code, stdout, stderr } = await sallyport(['compare', write(text, 'deps.json')])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/outboundNetworkDependenciesEndpoints|no JSON/)
  })
})
