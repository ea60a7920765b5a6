import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { formatUnproxied } from '../../src/core/policy/catalogue-notes.ts'
import { compilePolicy } from '../../src/core/policy/compile.ts'
import { formatPattern } from '../../src/core/policy/hints.ts'
import { sourcesFrom, unwrap } from '../support/policy.ts'

/**
 * What the shipped catalogue amounts to, whole, for workspaces of three clouds: one golden file each, in `golden/`. A change of the
 * catalogue shows here as what it lets out. `UPDATE_GOLDEN=1` writes the files anew.
 */

const FOLDER = new URL('golden/', import.meta.url)
const ID = '12345678-90ab-4cde-8f01-23456789abcd'
const SCENARIOS = ['aks', 'kubernetes', 'rstudio', 'automl', 'interactive-jobs', 'diagnostics', 'vscode-web']

const WORKSPACES: Readonly<Record<string, unknown>> = {
  'public, nothing named': {},
  'public, eastus2': {
    workspace: { regions: ['eastus2'], storageAccounts: ['examplestore'], containerRegistries: ['exampleregistry'] },
  },
  'public, westeurope and northeurope, everything named': {
    workspace: {
      id: ID,
      regions: ['westeurope', 'northeurope'],
      storageAccounts: ['examplestore', 'otherstore'],
      containerRegistries: ['exampleregistry'],
      keyVaults: ['examplevault'],
      aksClusters: ['examplecluster-dns-0a1b2c3d'],
      federationHosts: ['adfs.example.com'],
      managedStorage: 'names',
    },
    features: Object.fromEntries(SCENARIOS.map((name) => [name, true])),
  },
  'public, edition 2021-07-29 alone': {
    editions: ['2021-07-29'],
    workspace: { regions: ['eastus2'], storageAccounts: ['examplestore'], containerRegistries: ['exampleregistry'] },
  },
  'government, usgovvirginia': {
    cloud: 'government',
    workspace: {
      regions: ['usgovvirginia'],
      storageAccounts: ['examplestore'],
      containerRegistries: ['exampleregistry'],
      keyVaults: ['examplevault'],
      managedStorage: 'service-endpoint',
    },
    features: { aks: true },
  },
  'government, edition 2026-03-19 alone, usgovarizona': {
    cloud: 'government',
    editions: ['2026-03-19'],
    workspace: { id: ID, regions: ['usgovarizona'], storageAccounts: ['examplestore'], containerRegistries: ['exampleregistry'] },
  },
  'china, chinaeast2': {
    cloud: 'china',
    workspace: {
      regions: ['chinaeast2'],
      storageAccounts: ['examplestore'],
      containerRegistries: ['exampleregistry'],
      aksClusters: ['examplecluster-dns-0a1b2c3d'],
    },
    features: { aks: true, 'aks-monitor': true, portal: true },
  },
  'china, edition 2026-03-19 alone, chinanorth3': {
    cloud: 'china',
    editions: ['2026-03-19'],
    workspace: { id: ID, regions: ['chinanorth3'], storageAccounts: ['examplestore'], containerRegistries: ['exampleregistry'] },
  },
}

function resolved(config: unknown): string {
  const { policy, unproxied, warnings, notes } = unwrap(compilePolicy(sourcesFrom(config)))
  return [
    ...policy.entries.flatMap(({ id, tenancy, patterns }) => [
      `${id} (${tenancy})`,
      ...patterns.map((pattern) => `  ${formatPattern(pattern)}`),
    ]),
    '',
    ...unproxied.map((row) => `not carried: ${row.entryId}: ${formatUnproxied(row)}`),
    ...warnings.map(({ path, message }) => `warning: ${path.join('.')}: ${message}`),
    ...notes.filter((note) => !note.startsWith('not carried')).map((note) => `note: ${note}`),
    '',
  ].join('\n')
}

describe('the golden entries of', () => {
  for (const [name, config] of Object.entries(WORKSPACES))
    it(name, () => {
      const file = new URL(`${name.replaceAll(/[^a-z0-9]+/g, '-')}.txt`, FOLDER)
      if (process.env.UPDATE_GOLDEN === '1') {
        if (!existsSync(FOLDER)) mkdirSync(FOLDER)
        writeFileSync(file, resolved(config))
      }
      expect(resolved(config)).toBe(readFileSync(file, 'utf8'))
    })
})
