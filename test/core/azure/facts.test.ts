import { describe, expect, it } from 'vitest'
import { findRegion, tagMeant, tenancyOf } from '../../../src/core/azure/facts.ts'
import { CLOUDS, type Cloud } from '../../../src/core/policy/entry.ts'
import { AZURE } from '../../support/policy.ts'
import { tagSource } from '../../support/service-tags.ts'

describe('the regions', () => {
  it('are there once each, and every pair is a region of the same cloud', () => {
    const keys = AZURE.regions.map(({ cloud, region }) => `${cloud} ${region}`)
    expect(new Set(keys).size).toBe(keys.length)
    expect(CLOUDS.map((cloud) => AZURE.regions.filter((one) => one.cloud === cloud).length)).toEqual([63, 6, 6])
    for (const { cloud, pair } of AZURE.regions) if (pair !== undefined) expect(keys).toContain(`${cloud} ${pair}`)
  })

  it('that are paired one way only, or in dispute, have a note that says so', () => {
    const silent = AZURE.regions.filter(({ cloud, region, pair, note }) => {
      const back = AZURE.regions.find((one) => one.cloud === cloud && one.region === pair)?.pair
      return pair !== undefined && back !== region && note === undefined
    })
    expect(silent).toEqual([])
    expect(findRegion(AZURE, 'government', 'usgovtexas')?.note).toContain('sources disagree')
  })

  const spellings = [
    ['public', 'eastus2', 'eastus2'],
    ['public', 'East US 2', 'eastus2'],
    ['public', 'EastUS2', 'eastus2'],
    ['public', 'centralfrance', 'francecentral'],
    ['public', 'FranceCentral', 'francecentral'],
    ['public', 'brazilse', 'brazilsoutheast'],
    ['government', 'US Gov Virginia', 'usgovvirginia'],
    ['public', 'usgovvirginia', undefined],
    ['public', 'eastus22', undefined],
    ['china', 'eastus2', undefined],
    ['public', '', undefined],
  ] as const
  for (const [cloud, text, region] of spellings)
    it(`of ${cloud}: \`${text}\` is ${region ?? 'none'}`, () => {
      expect(findRegion(AZURE, cloud, text)?.region).toBe(region)
    })
})

describe('a tag name', () => {
  const names: readonly (readonly [cloud: Cloud, text: string, meant: string, because: string])[] = [
    ['public', 'ContainerRegistry', 'AzureContainerRegistry', 'the document names a tag that no file has'],
    ['public', 'containerregistry.westus', 'AzureContainerRegistry.WestUS', 'with a region too, in any case'],
    ['public', 'Keyvault.eastus2', 'AzureKeyVault.EastUS2', 'the pages of 2026 misspell it'],
    ['public', 'Frontdoor.FirstParty', 'AzureFrontDoor.FirstParty', 'and this one'],
    ['public', 'AzureFrontDoor.FrontEnd', 'AzureFrontDoor.Frontend', 'the document writes a capital E'],
    ['public', 'storage.East US 2', 'Storage.EastUS2', 'a region as people write it'],
    ['public', 'Storage.centralfrance', 'Storage.FranceCentral', "a region as the files' own field has it"],
    [
      'public',
      'AzureActiveDirectory.ServiceEndpoint',
      'AzureActiveDirectory.ServiceEndpoint',
      'what follows the dot is no region',
    ],
    [
      'china',
      'Storage.eastus2',
      'Storage.eastus2',
      'the region is in another cloud: the file will say that there is no such tag',
    ],
    ['public', 'AzureFrontDoor', 'AzureFrontDoor', 'no service is guessed'],
  ]
  for (const [cloud, text, meant, because] of names)
    it(`${text} means ${meant} in ${cloud}: ${because}`, () => {
      expect(tagMeant(AZURE, cloud, text)).toBe(meant)
    })

  it('is found in the excerpts in the spelling that is known of it', () => {
    for (const cloud of CLOUDS) {
      const { names } = tagSource(cloud).tags.file
      for (const name of names) expect(tagMeant(AZURE, cloud, name.toUpperCase()).toLowerCase()).toBe(name.toLowerCase())
      for (const known of Object.keys(AZURE.tags.tenancy))
        if (names.some((name) => name.toLowerCase() === known.toLowerCase())) expect(names).toContain(known)
    }
  })

  it('that nothing is known of is taken for everybody', () => {
    expect(tenancyOf(AZURE, 'public', 'AzureCloud.eastus').tenancy).toBe('any')
    expect(tenancyOf(AZURE, 'public', 'microsoftcontainerregistry.EastUS2').tenancy).toBe('microsoft')
    expect(tenancyOf(AZURE, 'public', 'storage.WestUS').why).toBe("every customer's storage account")
  })
})
