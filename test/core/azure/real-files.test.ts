import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTagFile, ServiceTags } from '../../../src/core/azure/tag-file.ts'
import { AddressTable } from '../../../src/core/names/address-table.ts'
import { type Cidr, cidrContains, parseCidr } from '../../../src/core/names/cidr.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords } from '../../../src/core/names/ip.ts'
import { AZURE, unwrap } from '../../support/policy.ts'
import { REAL_FILES, TAG_FILES } from '../../support/service-tags.ts'

const FILES = [
  ...REAL_FILES,
  ...Object.entries(TAG_FILES).map(([cloud, file]) => ({ cloud: cloud as keyof typeof TAG_FILES, name: 'an excerpt', file })),
]

/** The address before and after a range's first, and one well inside: where an off-by-one would show. */
function around({ network, prefixLength }: Cidr): IpAddress[] {
  if (network.family === 4) {
    const last = network.value + 2 ** (32 - prefixLength) - 1
    return [network, ipv4FromValue(network.value - 1), ipv4FromValue(last), ipv4FromValue(last + 1)]
  }
  const [a, b, c, d] = network.words
  return [network, ipv6FromWords([a, b, c, (d ^ 1) >>> 0]), ipv6FromWords([a, (b ^ 1) >>> 0, c, d])]
}

for (const { cloud, name, file } of FILES)
  describe(`${name} of ${cloud}`, () => {
    const json = JSON.parse(readFileSync(file, 'utf8')) as {
      values: { name: string; properties: { addressPrefixes: string[] } }[]
    }
    const read = unwrap(readTagFile(json, cloud, AZURE.tags, () => true))

    it('is read whole: every tag has its ranges', () => {
      const tags = new ServiceTags(read)
      const bad = json.values.filter(({ name, properties }) => {
        const found = tags.find(name)
        return (
          properties.addressPrefixes.length > 0 && !(found.ok && found.value.ranges.size === properties.addressPrefixes.length)
        )
      })
      expect(bad.map(({ name }) => name)).toEqual([])
    })

    it('is found in as asking every range would (seeded)', () => {
      // The tags that overlap most: whole clouds, services in them, regions of those.
      const wanted = json.values.filter(({ name }) =>
        /^(AzureCloud|Storage|AzureMonitor|Sql|AzureMachineLearning|Batch)/.test(name),
      )
      const sets = wanted.map(({ name, properties }) => ({
        name,
        cidrs: properties.addressPrefixes.map((text) => unwrap(parseCidr(text))),
      }))
      const tags = new ServiceTags(read)
      const table = AddressTable.of(wanted.map(({ name }) => ({ value: name, ranges: unwrap(tags.find(name)).ranges })))
      const all = sets.flatMap(({ cidrs }) => cidrs)
      fc.assert(
        fc.property(fc.nat(all.length - 1), (at) => {
          const cidr = all[at]
          for (const ip of cidr === undefined ? [] : around(cidr)) {
            const naive = sets.filter(({ cidrs }) => cidrs.some((one) => cidrContains(one, ip))).map((set) => set.name)
            expect([...table.find(ip)].sort(), ip.text).toEqual(naive.sort())
          }
        }),
        { seed: 9, numRuns: 60 },
      )
    })
  })
