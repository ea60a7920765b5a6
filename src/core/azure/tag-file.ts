import { AddressRanges, readRanges } from '../names/address-ranges.ts'
import { quote } from '../names/quote.ts'
import type { Cloud } from '../policy/entry.ts'
import { didYouMean } from '../problem.ts'
import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'
import type { TagFacts } from './facts.ts'

/** One tag as its file has it. Plain data: it passes from process to process. */
export interface TagEntry {
  /** As the file spells it. */
  readonly name: string
  /** CIDR ranges, a space between two: ten thousand of them are one string. */
  readonly prefixes: string
}

/** What is kept of a file: the names of all its tags, the addresses of those that are wanted. Plain data, as above. */
export interface TagFile {
  readonly cloud: Cloud
  /** Counts up with each publication; `unknown` where the file does not say. */
  readonly change: string
  readonly names: readonly string[]
  /** By name in lower case. */
  readonly wanted: Readonly<Record<string, TagEntry>>
}

/** Both forms: the file that is downloaded, and `az network list-service-tags -o json`, where numbers are strings and more keys stand beside. */
const valueSchema = z.object({
  name: z.string().min(1),
  properties: z.object({ region: z.string().nullish(), addressPrefixes: z.array(z.string()) }),
})
const fileSchema = z.object({
  changeNumber: z.union([z.string(), z.number()]).nullish(),
  cloud: z.string().nullish(),
  values: z.array(valueSchema).min(1),
})

type FileValue = z.output<typeof valueSchema>

/**
 * Reads the parsed JSON of a service tag file.
 *
 * @param isWanted by name in lower case
 * @returns an error that goes on where the name of the file ends: `is for Azure China 21Vianet...`
 */
export function readTagFile(
  json: unknown,
  cloud: Cloud,
  { clouds }: TagFacts,
  isWanted: (name: string) => boolean,
): Result<TagFile, string> {
  // `--query values` leaves the list alone.
  const file = fileSchema.safeParse(Array.isArray(json) ? { values: json } : json)
  const { page, title } = clouds[cloud]
  const remedy = `for \`cloud: ${cloud}\` (${title}) download it from ${page}, or write it with \`az network list-service-tags -l REGION -o json\``
  if (!file.success) {
    const [issue] = file.error.issues
    const place = issue === undefined || issue.path.length === 0 ? '' : ` (at \`${issue.path.join('.')}\`)`
    return err(`is no list of service tags${place}; ${remedy}`)
  }
  const { values, changeNumber } = file.data
  const named = file.data.cloud ?? undefined
  const found = named === undefined ? cloudOfRegions(values) : cloudNamed(clouds, named)
  if (found === undefined)
    return err(`is for a cloud that is not known here${named === undefined ? '' : `, ${quote(named)}`}; ${remedy}`)
  if (found !== cloud) return err(`is for ${clouds[found].title} (\`cloud: ${found}\`); ${remedy}`)
  const wanted: Record<string, TagEntry> = {}
  for (const { name, properties } of values) {
    const key = name.toLowerCase()
    if (isWanted(key)) wanted[key] = { name, prefixes: properties.addressPrefixes.join(' ') }
  }
  return ok({ cloud, change: changeOf(changeNumber), names: values.map(({ name }) => name), wanted })
}

function changeOf(changeNumber: string | number | null | undefined): string {
  const text = String(changeNumber ?? '')
  return /^[0-9]{1,12}$/.test(text) ? text : 'unknown'
}

function cloudNamed(clouds: TagFacts['clouds'], named: string): Cloud | undefined {
  const wanted = named.toLowerCase()
  return (Object.keys(clouds) as Cloud[]).find((cloud) => clouds[cloud].named.toLowerCase() === wanted)
}

/** Where nothing names the cloud, the regions of its tags do. */
function cloudOfRegions(values: readonly FileValue[]): Cloud | undefined {
  const regions = values.map(({ properties }) => properties.region?.toLowerCase() ?? '').filter((region) => region !== '')
  if (regions.length === 0) return undefined
  if (regions.some((region) => region.startsWith('china'))) return 'china'
  return regions.some((region) => /^usgov|^usdod/.test(region)) ? 'government' : 'public'
}

/** A tag, ready to be matched. */
export interface ServiceTag {
  readonly name: string
  readonly ranges: AddressRanges
}

/** The tags of one file, by name in any case. */
export class ServiceTags {
  readonly file: TagFile
  readonly #ready = new Map<string, Result<ServiceTag, string>>()

  constructor(file: TagFile) {
    this.file = file
  }

  /** The tag, or why there is none: a sentence without its beginning, `there is no service tag ...`. */
  find(name: string): Result<ServiceTag, string> {
    const key = name.toLowerCase()
    const known = this.#ready.get(key)
    if (known !== undefined) return known
    const found = this.#read(name, this.file.wanted[key])
    this.#ready.set(key, found)
    return found
  }

  #read(name: string, entry: TagEntry | undefined): Result<ServiceTag, string> {
    if (entry === undefined) {
      const nearest = didYouMean(name, this.#namesLike(name))
      return err(`there is no service tag ${quote(name)}${nearest === undefined ? '' : `; did you mean \`${nearest}\`?`}`)
    }
    const ranges = entry.prefixes === '' ? AddressRanges.of([]) : readRanges(entry.prefixes.split(' '))
    if ('problem' in ranges) return err(`the service tag \`${entry.name}\` has a range that is none: ${ranges.problem}`)
    if (ranges.size === 0) return err(`the service tag \`${entry.name}\` has no addresses`)
    return ok({ name: entry.name, ranges })
  }

  /** Of three thousand names those that begin alike, since a distance takes its time. */
  #namesLike(name: string): readonly string[] {
    const dot = name.indexOf('.')
    const service = (dot < 0 ? name : name.slice(0, dot)).toLowerCase()
    const sameService = this.file.names.filter((one) => one.toLowerCase().startsWith(`${service}.`))
    return sameService.length > 0 ? sameService : this.file.names.filter((one) => !one.includes('.'))
  }
}
