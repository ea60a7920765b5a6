import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import type { Cloud } from '../../src/core/policy/entry.ts'
import { TAG_FILES, tagJson } from '../support/service-tags.ts'
import { sallyport } from './cli-run.ts'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-routes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function configFor(cloud: Cloud, more = ''): string {
  const file = join(folder, `${cloud}-${more.length}.yaml`)
  writeFileSync(
    file,
    `cloud: ${cloud}\neditions: ["2021-07-29"]\nserviceTags: { file: ${JSON.stringify(TAG_FILES[cloud])} }\n${more}`,
  )
  return file
}

const runCli = (...words: readonly string[]) => sallyport(words)
const routes = (cloud: Cloud, ...words: readonly string[]) => runCli('routes', '--config', configFor(cloud), ...words)

/** Run with UPDATE_GOLDEN=1 to write them anew, then read the difference. */
function golden(name: string): URL {
  return new URL(`golden-routes/${name}`, import.meta.url)
}

function expectGolden(name: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden(name), text)
  expect(text).toBe(readFileSync(golden(name), 'utf8'))
}

interface JmesValue {
  readonly id: string
  readonly properties: { readonly region: string; readonly addressPrefixes: readonly string[] }
}

describe("the document's own examples", () => {
  it('are printed as they stand there: westus2, by service tag (lines 100 and 101)', async () => {
    const { code, stdout } = await routes('public', '--region', 'westus2')
    expect(code).toBe(0)
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
      'az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMLRoute --address-prefix AzureMachineLearning --next-hop-type Internet',
      'az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchRoute --address-prefix BatchNodeManagement.westus2 --next-hop-type Internet',
    ])
  })

  it('find the addresses that its three queries find: eastus2 and centralus (lines 67 to 71)', async () => {
    const { values } = tagJson('public') as { values: readonly JmesValue[] }
    const query = (start: string, region: string) =>
      values
        .filter(({ id, properties }) => id.startsWith(start) && properties.region === region)
        .flatMap(({ properties }) => properties.addressPrefixes)
    const queried = [
      ...query('Batch', 'eastus2'),
      ...query('AzureMachineLearning', 'eastus2'),
      ...query('AzureMachineLearning', 'centralus'),
    ]
    const { stdout } = await routes('public', '--region', 'East US 2', '--addresses', '--ipv6', '--format', 'json')
    const printed = (JSON.parse(stdout) as { routes: { addressPrefix: string; nextHopType: string }[] }).routes
    expect(queried.length).toBeGreaterThan(20)
    expect(printed.map(({ addressPrefix }) => addressPrefix).sort()).toEqual(queried.toSorted())
    expect(new Set(printed.map(({ nextHopType }) => nextHopType))).toEqual(new Set(['Internet']))
  })
})

describe('routes in every cloud and format', () => {
  const cases: readonly (readonly [golden: string, cloud: Cloud, words: readonly string[]])[] = [
    ['public-eastus2.sh', 'public', ['--region', 'eastus2', '--compute', 'public-ip']],
    ['public-eastus2-addresses.sh', 'public', ['--region', 'eastus2', '--addresses']],
    ['public-eastus2.bicep', 'public', ['--region', 'eastus2', '--compute', 'public-ip', '--format', 'bicep']],
    [
      'public-eastus2-addresses.tf',
      'public',
      ['--region', 'eastus2', '--compute', 'public-ip', '--addresses', '--format', 'terraform'],
    ],
    ['public-two-regions.json', 'public', ['--region', 'eastus2', 'westus2', '--compute', 'public-ip', '--format', 'json']],
    ['public-qatarcentral-addresses.sh', 'public', ['--region', 'qatarcentral', '--addresses']],
    ['public-francecentral-addresses.sh', 'public', ['--region', 'francecentral', '--addresses', '--ipv6']],
    ['government-usgovtexas.sh', 'government', ['--region', 'usgovtexas', '--compute', 'public-ip', '--without-region']],
    ['government-usgovvirginia-addresses.bicep', 'government', ['--region', 'usgovvirginia', '--addresses', '--format', 'bicep']],
    ['china-chinaeast2.sh', 'china', ['--region', 'chinaeast2', '--compute', 'public-ip']],
    ['china-chinaeast2-addresses.tf', 'china', ['--region', 'chinaeast2', '--addresses', '--format', 'terraform']],
    ['no-public-ip.sh', 'public', ['--region', 'eastus2', '--compute', 'no-public-ip', '--addresses']],
    ['no-public-ip.json', 'public', ['--region', 'eastus2', '--compute', 'no-public-ip', '--format', 'json']],
  ]
  for (const [name, cloud, words] of cases)
    it(`are as in ${name}`, async () => {
      const { code, stdout, stderr } = await routes(cloud, ...words)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expectGolden(name, stdout)
    })

  it('are taken from the regions of the workspace, and named after the resources that are given', async () => {
    const config = configFor('public', 'workspace: { regions: [westus2] }\n')
    const { stdout } = await runCli('routes', '--config', config, '--resource-group', "O'Neil rg", '--route-table', 'rt')
    expect(stdout).toContain(
      "-g 'O'\\''Neil rg' --route-table-name rt -n BatchRoute --address-prefix BatchNodeManagement.westus2 ",
    )
  })

  it('are warned about where a table cannot hold them', async () => {
    const many = await routes(
      'public',
      '--region',
      ...[
        'eastus',
        'eastus2',
        'westus',
        'westus2',
        'westus3',
        'centralus',
        'northcentralus',
        'southcentralus',
        'westcentralus',
        'canadaeast',
        'canadacentral',
        'brazilsouth',
        'northeurope',
        'westeurope',
        'uksouth',
        'ukwest',
        'francecentral',
        'francesouth',
        'japaneast',
        'japanwest',
        'koreacentral',
        'koreasouth',
        'eastasia',
        'southeastasia',
      ],
    )
    expect(many.stdout).toContain('# warning: 25 routes by service tag, and a route table takes 25; `--without-region` needs two')
    const wide = tagJson('public') as { values: { name: string; properties: { addressPrefixes: string[] } }[] }
    for (const { name, properties } of wide.values)
      if (name === 'AzureMachineLearning.EastUS2')
        properties.addressPrefixes = Array.from({ length: 400 }, (_, at) => `20.${at >> 8}.${at & 255}.0/24`)
    const file = join(folder, 'wide.json')
    writeFileSync(file, JSON.stringify(wide))
    const full = await routes('public', '--region', 'eastus2', '--addresses', '--file', file)
    expect(full.stdout).toMatch(/# warning: 4[0-9]{2} routes, and a route table takes 400/)
  })
})

describe('routes that there are not', () => {
  const cases: readonly (readonly [words: readonly string[], code: number, message: string])[] = [
    [[], 2, 'which region? name it with `--region`, or in `workspace.regions` of the config file'],
    [['--region', 'eastus22'], 2, '`eastus22` is no region of cloud public; did you mean `eastus2`?'],
    [['--region', 'chinaeast2'], 2, '`chinaeast2` is a region of `cloud: china`, and this config says `cloud: public`'],
    [['--region', 'eastus2', '--format', 'arm'], 2, '`arm` is no format; there are cli, bicep, terraform, json'],
    [['--region', 'eastus2', '--compute', 'private'], 2, '`private` is no kind of compute; there are public-ip and no-public-ip'],
    [['--region', 'eastus2', '--file', 'x.json'], 2, '`--file` is for `--addresses`; routes by service tag need no file'],
    [
      ['--region', 'eastus2', '--addresses', '--file', join(folder, 'none.json')],
      1,
      'there is no such file; the file for cloud public is at https://www.microsoft.com/download/details.aspx?id=56519',
    ],
    [
      ['--region', 'eastus2', '--addresses', '--file', TAG_FILES.china],
      1,
      'is for Azure China 21Vianet (`cloud: china`); for `cloud: public` (Azure public) download it from',
    ],
    [['--region', 'japaneast', '--addresses'], 2, 'there is no service tag `AzureMachineLearning.JapanEast`'],
    [['--diff', 'one.json'], 2, '`--diff` compares two files, as in `--diff OLD.json NEW.json`'],
    [['--format', 'bicep', '--diff', 'a', 'b'], 2, '`--diff` prints text, or JSON with `--format json`'],
  ]
  for (const [words, code, message] of cases)
    it(`are refused: ${message}`, async () => {
      const told = await routes('public', ...words)
      expect(told.stderr).toContain(message)
      expect(told).toMatchObject({ code, stdout: '' })
    })
})

describe('--diff', () => {
  const newer = join(folder, 'ServiceTags_Public_20260720.json')
  const json = tagJson('public') as {
    changeNumber: number
    values: { name: string; properties: { addressPrefixes: string[] } }[]
  }
  json.changeNumber = 400
  for (const { name, properties } of json.values) {
    if (name === 'BatchNodeManagement.WestUS2') properties.addressPrefixes.push('203.0.113.0/24')
    if (name === 'AzureMonitor') properties.addressPrefixes.shift()
    if (name === 'Storage.EastUS2') properties.addressPrefixes.push('198.51.100.0/24')
  }
  writeFileSync(newer, JSON.stringify(json))

  it('says what changed of the tags in use: those of the routes, of features that are on and of rules, and no others', async () => {
    const config = configFor(
      'public',
      'workspace: { regions: [westus2] }\nfeatures: { network-azuremonitor: true }\nrules: [{ name: front, serviceTags: [AzureFrontDoor.FirstParty] }]\n',
    )
    const { code, stdout } = await runCli('routes', '--config', config, '--diff', TAG_FILES.public, newer)
    const [removed] =
      (tagJson('public') as typeof json).values.find(({ name }) => name === 'AzureMonitor')?.properties.addressPrefixes ?? []
    expect(code).toBe(0)
    expect(stdout).toBe(
      `cloud public: change 375 to change 400
AzureFrontDoor.FirstParty: unchanged
AzureMachineLearning: unchanged
AzureMachineLearning.WestCentralUS: unchanged
AzureMachineLearning.WestUS2: unchanged
AzureMonitor: 0 added, 1 removed
  - ${removed}
BatchNodeManagement.WestUS2: 1 added, 0 removed
  + 203.0.113.0/24
`,
    )
  })

  it('is JSON for programs', async () => {
    const { stdout } = await routes('public', '--region', 'westus2', '--format', 'json', '--diff', TAG_FILES.public, newer)
    expect(JSON.parse(stdout)).toMatchObject({ cloud: 'public', before: '375', after: '400' })
    expect((JSON.parse(stdout) as { tags: { tag: string }[] }).tags.map(({ tag }) => tag)).toContain(
      'BatchNodeManagement.WestUS2',
    )
  })
})

it('has golden files for nothing that is not printed', async () => {
  const { readdirSync } = await import('node:fs')
  const text = readFileSync(fileURLToPath(import.meta.url), 'utf8')
  for (const name of readdirSync(golden('.'))) expect(text).toContain(`'${name}'`)
})
