import { describe, expect, it } from 'vitest'
import { serviceOf, tagFeature } from '../../src/core/policy/tag-rows.ts'
import { EDITIONS } from '../support/policy.ts'

/**
 * The service tags that Microsoft's article of 29 July 2021 states, as it spells them: line, direction, tag, protocol, port. Kept apart from
 * the catalogue so that a row lost there is missed here.
 */
const DOCUMENTED = [
  [112, 'outbound', 'AzureActiveDirectory', 'TCP', '*'],
  [113, 'outbound', 'AzureMachineLearning', 'TCP', '443'],
  [114, 'outbound', 'AzureResourceManager', 'TCP', '443'],
  [115, 'outbound', 'Storage.region', 'TCP', '443'],
  [116, 'outbound', 'AzureFrontDoor.FrontEnd', 'TCP', '443'],
  [117, 'outbound', 'ContainerRegistry.region', 'TCP', '443'],
  [118, 'outbound', 'MicrosoftContainerRegistry.region', 'TCP', '443'],
  [153, 'outbound', 'AzureMonitor', '', ''],
  [92, 'inbound', 'AzureMachineLearning', '', ''],
  [93, 'inbound', 'BatchNodeManagement.<region>', '', ''],
  [221, 'inbound', 'BatchNodeManagement', '', ''],
  [221, 'inbound', 'AzureMachineLearning', '', ''],
] as const

describe('the service tags of 2021-07-29', () => {
  const edition = EDITIONS.find(({ id }) => id === '2021-07-29')
  const rows = edition?.tags ?? []

  for (const [line, direction, tag, protocol, port] of DOCUMENTED)
    it(`have ${direction} ${tag} of line ${line}`, () => {
      const row = rows.find(
        (one) => one.lines.includes(line) && one.direction === direction && (one.documented ?? one.tag).startsWith(tag),
      )
      expect(row).toBeDefined()
      expect(row?.protocol ?? '').toBe(protocol)
      expect(row?.ports === 'any' ? '*' : (row?.ports ?? []).join(', ')).toBe(port)
    })

  it('have no row that the document does not', () => {
    const lines = new Set<number>(DOCUMENTED.map(([line]) => line))
    // 121 to 123 are the tips on ContainerRegistry, MicrosoftContainerRegistry and the region.
    const stray = rows.filter(
      (row) =>
        !row.lines.some((line) => lines.has(line)) || row.lines.some((line) => !lines.has(line) && (line < 121 || line > 123)),
    )
    expect(stray).toEqual([])
  })

  it('are each a feature of its own that is off, and inbound ones are none', () => {
    const outbound = rows.filter(({ direction }) => direction === 'outbound')
    for (const row of outbound) expect(edition?.features[tagFeature(row)]?.default).toBe(false)
    const features = Object.keys(edition?.features ?? {}).filter((name) => name.startsWith('network-'))
    expect(features).toEqual(outbound.map((row) => `network-${serviceOf(row)}`))
  })

  it('are left out in China where the document says so, and nowhere else', () => {
    expect(rows.filter(({ clouds }) => !clouds.includes('china')).map(({ tag }) => tag)).toEqual(['AzureFrontDoor.Frontend'])
    expect(rows.every(({ clouds }) => clouds.includes('public') && clouds.includes('government'))).toBe(true)
  })
})

describe('the service tags of every edition', () => {
  for (const { id, tags = [] } of EDITIONS)
    it(`${id}: ids are unique within a tag, and UDP is never let out as TCP`, () => {
      const ids = tags.map((row) => `${tagFeature(row)}/${row.id}`)
      expect(new Set(ids).size).toBe(ids.length)
      expect(tags.filter(({ protocol, unproxied }) => protocol === 'UDP' && unproxied === undefined)).toEqual([])
    })
})
