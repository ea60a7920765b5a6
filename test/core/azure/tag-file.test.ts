import { describe, expect, it } from 'vitest'
import { readTagFile, ServiceTags } from '../../../src/core/azure/tag-file.ts'
import type { Cloud } from '../../../src/core/policy/entry.ts'
import { AZURE, unwrap } from '../../support/policy.ts'
import { tagJson } from '../../support/service-tags.ts'

const PUBLIC = tagJson('public') as {
  changeNumber: number
  cloud: string
  values: { name: string; properties: { addressPrefixes: string[] } }[]
}

const read = (json: unknown, cloud: Cloud = 'public', isWanted: (name: string) => boolean = () => true) =>
  readTagFile(json, cloud, AZURE.tags, isWanted)

const complaint = (json: unknown, cloud: Cloud = 'public'): string => {
  const found = read(json, cloud)
  return found.ok ? 'read' : found.error
}

describe('a file of service tags', () => {
  it('is read as it is downloaded', () => {
    const file = unwrap(read(PUBLIC))
    expect(file).toMatchObject({ cloud: 'public', change: '375' })
    expect(file.names).toContain('BatchNodeManagement.WestUS2')
  })

  it('is read as `az network list-service-tags` writes it: more keys, numbers as strings, or the list alone', () => {
    const values = PUBLIC.values.map((one) => ({
      ...one,
      id: one.name,
      serviceTagChangeNumber: '1',
      properties: { ...one.properties, changeNumber: '66' },
    }))
    const az = {
      changeNumber: '92',
      cloud: 'Public',
      id: '/subscriptions/0/x',
      name: 'Public',
      nextLink: null,
      type: 'Microsoft.Network/serviceTags',
      values,
    }
    expect(unwrap(read(az)).change).toBe('92')
    expect(unwrap(read(values))).toMatchObject({ cloud: 'public', change: 'unknown' })
    expect(unwrap(read({ ...az, cloud: undefined })).names).toEqual(PUBLIC.values.map(({ name }) => name))
  })

  it('keeps the addresses of what is wanted and nothing else', () => {
    const file = unwrap(read(PUBLIC, 'public', (name) => name === 'azuremonitor'))
    expect(Object.keys(file.wanted)).toEqual(['azuremonitor'])
    expect(file.wanted['azuremonitor']?.name).toBe('AzureMonitor')
  })

  it('for another cloud is refused, with the cloud it is for and the page of the right one', () => {
    expect(complaint(tagJson('china'))).toBe(
      'is for Azure China 21Vianet (`cloud: china`); for `cloud: public` (Azure public) download it from https://www.microsoft.com/download/details.aspx?id=56519, or write it with `az network list-service-tags -l REGION -o json`',
    )
    expect(complaint(PUBLIC, 'government')).toContain('id=57063')
    expect(complaint(PUBLIC, 'china')).toContain('id=57062')
    expect(complaint({ ...PUBLIC, cloud: 'AzureGermany' })).toContain('is for a cloud that is not known here, `AzureGermany`')
  })

  it('without a cloud in it is told by the regions of its tags', () => {
    for (const cloud of ['public', 'government', 'china'] as const) {
      const { values } = tagJson(cloud) as { values: unknown }
      expect(complaint(values, cloud)).toBe('read')
      expect(complaint(values, cloud === 'public' ? 'china' : 'public')).toContain('is for ')
    }
  })

  const shapes: readonly (readonly [name: string, json: unknown])[] = [
    ['nothing', null],
    ['a text', 'Public'],
    ['an empty list', []],
    ['no values', { changeNumber: 1, cloud: 'Public' }],
    ['empty values', { changeNumber: 1, cloud: 'Public', values: [] }],
    ['a value without properties', { cloud: 'Public', values: [{ name: 'AzureMonitor' }] }],
    ['ranges that are no list', { cloud: 'Public', values: [{ name: 'A', properties: { addressPrefixes: '10.0.0.0/8' } }] }],
    ['an error of az', { error: { code: 'AuthorizationFailed' } }],
  ]
  for (const [name, json] of shapes)
    it(`is none that holds ${name}`, () => {
      expect(complaint(json)).toMatch(
        /^is no list of service tags.*; for `cloud: public` \(Azure public\) download it from https:/,
      )
    })
})

describe('the tags of a file', () => {
  const tags = (values = PUBLIC.values) => new ServiceTags(unwrap(read({ ...PUBLIC, values })))

  it('are found in any case, in the spelling of the file', () => {
    const found = unwrap(tags().find('batchnodemanagement.WESTUS2'))
    expect(found.name).toBe('BatchNodeManagement.WestUS2')
    expect(found.ranges.size).toBe(13)
  })

  const withRanges = (...addressPrefixes: string[]) => tags([{ name: 'AzureMonitor', properties: { addressPrefixes } }])
  const missing = [
    [tags(), 'AzureMonitr', 'there is no service tag `AzureMonitr`; did you mean `AzureMonitor`?'],
    [
      tags(),
      'BatchNodeManagement.WestUS1',
      'there is no service tag `BatchNodeManagement.WestUS1`; did you mean `BatchNodeManagement.WestUS2`?',
    ],
    [tags(), 'Nothing.Like.It', 'there is no service tag `Nothing.Like.It`'],
    [withRanges(), 'AzureMonitor', 'the service tag `AzureMonitor` has no addresses'],
    [
      withRanges('10.0.0.1/8'),
      'AzureMonitor',
      'the service tag `AzureMonitor` has a range that is none: `10.0.0.1/8` has host bits set; use `10.0.0.0/8` or `10.0.0.1/32`',
    ],
    [withRanges('10.0.0.0/8 '), 'AzureMonitor', 'the service tag `AzureMonitor` has a range that is none'],
  ] as const
  for (const [of, name, message] of missing)
    it(`that cannot be used say why: ${message}`, () => {
      const found = of.find(name)
      expect(found.ok ? 'found' : found.error).toContain(message)
    })
})
