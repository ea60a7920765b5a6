import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { page } from '../docs/pages.ts'
import { EDITIONS } from '../support/policy.ts'
import { CLOUDS, type Cloud } from './doc-2021.ts'
import { DOC_2026, type Statement } from './doc-2026.ts'

const edition = EDITIONS.find(({ id }) => id === '2026-03-19')
if (edition === undefined) throw new Error('edition 2026-03-19 is not shipped')
const { hosts: rows, features, documents = {} } = edition
type Row = (typeof rows)[number]
const nameOf = (row: Row): string => `${row.feature}/${row.id}`

/** How many rows each page states. */
const COUNTS = {
  firewall: 109,
  training: 8,
  'public-internet-access': 16,
  'recommended-outbound': 8,
  'aks-inference': 16,
  'aks-egress': 142,
  'aks-egress-2021': 67,
  'azure-monitor': 64,
  'azure-monitor-2019': 4,
  'azure-government': 16,
  'national-clouds': 6,
} as const

/** Each page's words for what `workspace` fills in. */
const SPELLINGS: readonly (readonly [string, string])[] = [
  ['<storage>', '<storageAccount>'],
  ['<your storage account name>', '<storageAccount>'],
  ['<account>', '<storageAccount>'],
  ['<your ACR name>', '<containerRegistry>'],
  ['<ACR name>', '<containerRegistry>'],
  ['<your workspace ID>', '<workspaceId>'],
  ['<location>', '<region>'],
  ['{region}', '<region>'],
  ['<cluster-region-name>', '<region>'],
  ['<cluster>', '<aksCluster>'],
]

/** The host in the catalogue's spelling, and its path. */
function inOurWords(spelled: string): { readonly host: string; readonly path: string } {
  const text = SPELLINGS.reduce((host, [theirs, ours]) => host.replace(theirs, ours), spelled.replace('https://', ''))
  const slash = text.indexOf('/')
  const host = slash < 0 ? text : text.slice(0, slash)
  return { host: host.replace(/[^<>]+(?![^<]*>)/g, (part) => part.toLowerCase()), path: slash < 0 ? '' : text.slice(slash) }
}

/** An AKS network rule: no name, but a tag, ranges or an address. */
const isByAddress = ({ host }: Statement): boolean => /:\d+|^ServiceTag|^\*:/.test(host)

/** What is stated and is no entry, each with the sentence of docs/azure.md that says what became of it. */
const NO_ENTRY: readonly (readonly [statement: (one: Statement) => boolean, sentence: string])[] = [
  [({ host }) => host === '(no host stated)', 'ports 8704 to 8710'],
  [({ host }) => host.startsWith('<leaf-domain-label'), '`cloudapp.azure.com`'],
  [({ host }) => host === '.us instead of .com', '`.us` instead of `.com`'],
  [({ host }) => host === 'api.nuget.org/v3/index.json', '`api.nuget.org/v3/index.json`'],
  [({ page: name, host }) => name === 'aks-egress-2021' && host === 'apt.dockerproject.org', '`apt.dockerproject.org`'],
  [({ page: name, host }) => name === 'azure-government' && /batch\.|azurecr|\.file\./.test(host), 'compares suffixes'],
]

function homesOf(one: Statement): readonly Row[] {
  const { host, path } = inOurWords(one.host)
  const clouds: readonly Cloud[] = one.cloud === 'all' ? ['public'] : [one.cloud]
  const ports = one.ports === '' ? [] : one.ports.split(',').map(Number)
  // The page of 2021 spells one host with a leading dot, and stands for the AKS page's earlier state.
  const names = [host, host.replace(/^\./, '*.')]
  return rows.filter((row) =>
    clouds.every((cloud) => {
      const own = [...row.hosts[cloud], ...(row.narrow?.hosts[cloud] ?? [])]
      if (isByAddress(one)) {
        return (
          row.feature.startsWith('aks') &&
          row.unproxied !== undefined &&
          own.length > 0 &&
          row.protocol === one.protocol &&
          row.ports?.join() === one.ports
        )
      }
      if (!names.some((name) => own.includes(name))) return false
      if (path !== '' && !row.paths?.includes(path)) return false
      return ports.length === 0 || row.ports === undefined || row.ports.some((port) => ports.includes(port))
    }),
  )
}

describe('the rows of the pages behind edition 2026-03-19', () => {
  it('are as many as the pages have', () => {
    const counts: Record<string, number> = {}
    for (const { page: name } of DOC_2026) counts[name] = (counts[name] ?? 0) + 1
    expect(counts).toEqual(COUNTS)
  })

  for (const one of DOC_2026)
    it(`${one.page}, ${one.section}, ${one.cloud}: ${one.host} ${one.protocol} ${one.ports} has a home`, () => {
      const sentence = NO_ENTRY.find(([stated]) => stated(one))?.[1]
      if (sentence !== undefined) {
        expect(homesOf(one), 'no entry').toEqual([])
        expect(page('docs/azure.md').text).toContain(sentence)
        return
      }
      const homes = homesOf(one)
      expect(homes.map(nameOf)).not.toEqual([])
      // Every stated port is in one of them: SMB has a row of its own.
      const ports = one.ports === '' ? [] : one.ports.split(',').map(Number)
      const found = new Set(homes.flatMap((row) => row.ports ?? [80, 443]))
      expect(ports.filter((port) => !found.has(port))).toEqual([])
      if (one.protocol === 'UDP') expect(homes.every(({ unproxied }) => unproxied !== undefined)).toBe(true)
    })

  it('leave no sentence of docs/azure.md without a statement', () => {
    for (const [stated, sentence] of NO_ENTRY) expect(DOC_2026.some(stated), sentence).toBe(true)
  })
})

describe('the rows of edition 2026-03-19', () => {
  for (const row of rows)
    it(`${nameOf(row)} is stated by each page it names`, () => {
      for (const name of row.documents ?? []) {
        // It states no host: line 219 of the document of 2021.
        if (name === 'firewall-2021') continue
        expect(
          DOC_2026.some((one) => one.page === name && homesOf(one).includes(row)),
          name,
        ).toBe(true)
      }
    })

  it('have an id of their own within their feature, and use every feature', () => {
    expect(new Set(rows.map(nameOf)).size).toBe(rows.length)
    expect([...new Set(rows.map(({ feature }) => feature))].sort()).toEqual(
      Object.keys(features)
        .filter((name) => !name.startsWith('network-'))
        .sort(),
    )
  })

  it('use every page of edition.yaml', () => {
    expect([...new Set(rows.flatMap((row) => row.documents ?? []))].sort()).toEqual(Object.keys(documents).sort())
  })

  it('never hand a wildcard to Microsoft alone, but for the layers of its own registry', () => {
    const wide = rows.filter((row) => CLOUDS.some((cloud) => row.hosts[cloud].some((host) => host.startsWith('*'))))
    const names = new Set(
      wide.filter(({ tenancy }) => tenancy === 'microsoft').flatMap(({ hosts }) => Object.values(hosts).flat()),
    )
    expect([...names].sort()).toEqual(['*.data.mcr.azure.cn', '*.data.mcr.microsoft.com'])
  })

  it('call a row `yours` exactly where a name of yours fills it', () => {
    for (const row of rows) {
      const own = CLOUDS.flatMap((cloud) => row.hosts[cloud]).map((host) => /<(?!region>)/.test(host))
      expect(own.some(Boolean), nameOf(row)).toBe(row.tenancy === 'yours')
    }
  })

  it('leave what lets data out to anybody off, beyond the basics', () => {
    const BASICS = ['azure', 'studio', 'compute', 'python', 'python-files', 'r', 'vscode']
    const on = rows.filter(({ feature, tenancy }) => tenancy === 'any' && features[feature]?.default)
    expect([...new Set(on.map(({ feature }) => feature))].sort()).toEqual([...BASICS].sort())
    for (const host of [
      '*.blob.core.windows.net',
      '*.vault.azure.net',
      '*.kusto.windows.net',
      'ghcr.io',
      'aka.ms',
      'github.com',
    ]) {
      const homes = rows.filter((row) => row.hosts.public.includes(host))
      expect(homes.length, host).toBeGreaterThan(0)
      for (const row of homes) expect(features[row.feature]?.default, `${host} in ${row.feature}`).toBe(false)
    }
  })

  it('carry UDP and SMB as data that lets nothing out', () => {
    const apart = rows.filter(({ protocol, ports }) => protocol === 'UDP' || ports?.includes(445))
    expect(apart.length).toBeGreaterThanOrEqual(6)
    for (const row of apart) expect(row.unproxied, nameOf(row)).toMatch(/\S/)
  })
})

const SHARED = new URL('../../../shared/azure/', import.meta.url)

describe.runIf(existsSync(SHARED))('the facts that are not in the repository', () => {
  const CLOUD: Readonly<Record<string, Cloud>> = {
    'Azure public': 'public',
    'Azure Government': 'government',
    'Azure China 21Vianet': 'china',
  }
  const read = (name: string): readonly Readonly<Record<string, string>>[] => {
    const [head = '', ...lines] = readFileSync(new URL(name, SHARED), 'utf8').trimEnd().split('\n')
    const keys = head.split('\t')
    return lines.map((line) => {
      const cells = line.split('\t')
      return Object.fromEntries(keys.map((key, at) => [key, (cells[at] ?? '').trim()]))
    })
  }
  const shown = (rows: readonly (readonly string[])[]) => rows.map((cells) => cells.join(' | ')).sort()

  it('say what the copy in test/catalogue says', () => {
    const ports = (text = '') => text.replaceAll(' ', '').replaceAll('/', ',')
    const facts = [
      ...read('current-hosts.tsv').map((row) => [row.section, row.cloud, row.host, row.protocol, ports(row.ports)]),
      ...read('monitor-entra-hosts.tsv').map((row) => [row.section, row.cloud, row.host, '', ports(row.ports)]),
      ...read('aks-hosts.tsv').map((row) => [row.section, row.cloud, row.destination, row.protocol, row.port]),
    ].map(([section = '', cloud = '', ...rest]) => [section, CLOUD[cloud] ?? 'all', ...rest.map((cell = '') => cell)])
    const copy = DOC_2026.map(({ section, cloud, host, protocol, ports: stated }) => [section, cloud, host, protocol, stated])
    expect(shown(copy)).toEqual(shown(facts))
  })
})
