import type { Cloud } from '../policy/entry.ts'
import { z } from '../schema.ts'

/** What is known of Azure's regions and service tags beside the files that list addresses: `config/azure/`, as data. */

const cloud = z.enum(['public', 'government', 'china'] as const satisfies readonly Cloud[])

export const regionsSchema = z.array(
  z.strictObject({
    cloud,
    region: z.string().regex(/^[a-z0-9]+$/),
    name: z.string().min(1),
    /** The secondary region; absent where there is none. */
    pair: z.string().optional(),
    /** The end of a service tag's name. */
    tag: z.string().optional(),
    /** `properties.region` in the files, where it is not the region. */
    tagRegion: z.string().optional(),
    note: z.string().optional(),
  }),
)
export type Region = z.output<typeof regionsSchema>[number]

const published = z.strictObject({ named: z.string(), title: z.string(), page: z.string() })

export const tagFactsSchema = z.strictObject({
  clouds: z.strictObject({ public: published, government: published, china: published }),
  wrongNames: z.record(z.string(), z.string()),
  tenancy: z.record(z.string(), z.strictObject({ tenancy: z.enum(['microsoft', 'any']), why: z.string().optional() })),
})
export type TagFacts = z.output<typeof tagFactsSchema>

export interface AzureFacts {
  readonly regions: readonly Region[]
  readonly tags: TagFacts
}

/** The region that somebody means: `eastus2`, `East US 2`, `EastUS2`, or the files' own spelling. */
export function findRegion({ regions }: Pick<AzureFacts, 'regions'>, cloud: Cloud, text: string): Region | undefined {
  const wanted = plain(text)
  return regions.find(
    (one) => one.cloud === cloud && [one.region, one.name, one.tag, one.tagRegion].some((word) => word && plain(word) === wanted),
  )
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(' ', '')
}

/** A tag without its region, and the region as written: `Storage.EastUS2`. Some tags have a dot of their own (`AzureFrontDoor.Frontend`). */
interface TagParts {
  readonly service: string
  readonly region: Region | undefined
}

function partsOf(facts: AzureFacts, cloud: Cloud, tag: string): TagParts {
  const dot = tag.lastIndexOf('.')
  const region = dot < 0 ? undefined : findRegion(facts, cloud, tag.slice(dot + 1))
  return region === undefined ? { service: tag, region } : { service: tag.slice(0, dot), region }
}

/**
 * The tag that a name means: known wrong names are put right, a region in any spelling gets the tag's. What nothing is known of stays
 * as it is. Case is left to the file, where it does not count either.
 */
export function tagMeant(facts: AzureFacts, cloud: Cloud, text: string): string {
  const { service, region } = partsOf(facts, cloud, text.trim())
  const right = rightName(facts.tags, service)
  return region === undefined ? right : `${right}.${region.tag ?? region.region}`
}

/** A tag's name without a region, in its real spelling where it is known. */
export function rightName({ wrongNames, tenancy }: TagFacts, service: string): string {
  const wanted = service.toLowerCase()
  const wrong = Object.entries(wrongNames).find(([name]) => name.toLowerCase() === wanted)
  return wrong?.[1] ?? Object.keys(tenancy).find((name) => name.toLowerCase() === wanted) ?? service
}

/** Who is behind a tag, and why that is more than Microsoft. */
export function tenancyOf(
  facts: AzureFacts,
  cloud: Cloud,
  tag: string,
): { readonly tenancy: 'microsoft' | 'any'; readonly why: string } {
  const service = rightName(facts.tags, partsOf(facts, cloud, tag).service)
  const known = facts.tags.tenancy[service]
  return { tenancy: known?.tenancy ?? 'any', why: known?.why ?? 'nothing says that only Microsoft is behind it' }
}
