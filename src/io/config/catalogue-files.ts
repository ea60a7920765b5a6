import { readdir, readFile, stat } from 'node:fs/promises'
import { type AzureFacts, regionsSchema, tagFactsSchema } from '../../core/azure/facts.ts'
import { type SharedService, sharedServicesSchema } from '../../core/names/shared-service.ts'
import { type Edition, readEdition } from '../../core/policy/catalogue.ts'
import { type KnownDestination, knownDestinationsSchema } from '../../core/policy/hints.ts'
import { readShippedYaml } from './read-yaml.ts'

/** The `config` folder of the installed package: two levels up from `src/io` and from `dist/io` alike. */
const SHIPPED = new URL('../../../config/', import.meta.url)

export interface Catalogue {
  /** Every edition there is, oldest first. */
  readonly editions: readonly Edition[]
  readonly known: readonly KnownDestination[]
  readonly azure: AzureFacts
}

/** What was read last, and of which files: they hardly ever change, and reading them is most of what a reload costs. */
let kept: { readonly fingerprint: string; readonly catalogue: Catalogue } | undefined

/**
 * The documented hosts and the known destinations, read again only where a file has changed. Throws when the package is damaged: that is
 * no mistake of the operator's.
 */
export async function readCatalogue(): Promise<Catalogue> {
  const fingerprint = await fingerprintOf(['catalogue', 'azure', 'hints.yaml'])
  if (kept?.fingerprint !== fingerprint) kept = { fingerprint, catalogue: await readFiles() }
  return kept.catalogue
}

/** Name, size and times of every file, folders included: what is put in a file's place has another one. */
async function fingerprintOf(names: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    names.map(async (name) => {
      const file = new URL(name, SHIPPED)
      const facts = await stat(file)
      if (!facts.isDirectory()) return `${name} ${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}`
      return fingerprintOf((await readdir(file)).toSorted().map((inside) => `${name}/${inside}`))
    }),
  )
  return parts.join('\n')
}

async function readFiles(): Promise<Catalogue> {
  const folders = (await readdir(new URL('catalogue/', SHIPPED), { withFileTypes: true })).filter((entry) => entry.isDirectory())
  const editions = await Promise.all(folders.map(({ name }) => readShippedEdition(name)))
  return {
    editions: editions.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    known: await readKnownDestinations(),
    azure: await readAzureFacts(),
  }
}

async function readShippedEdition(folder: string): Promise<Edition> {
  const names = await readdir(new URL(`catalogue/${folder}/`, SHIPPED))
  const files = ['edition.yaml', ...names.filter(isHostFile).sort()]
  const [head, ...hosts] = await Promise.all(files.map((name) => shipped(`catalogue/${folder}/${name}`)))
  const tags = names.includes('service-tags.yaml') ? await shipped(`catalogue/${folder}/service-tags.yaml`) : []
  const edition = readEdition(head, hosts.flat(), tags)
  if (!edition.ok) throw new Error(`catalogue ${folder}: ${edition.error.join('; ')}`)
  if (edition.value.id !== folder) throw new Error(`catalogue ${folder}: edition.yaml says \`${edition.value.id}\``)
  return edition.value
}

/** `hosts.yaml`, and what stands beside it for its length or its source: `hosts-aks.yaml`. */
export function isHostFile(name: string): boolean {
  return /^hosts(?:-[a-z]+)?\.yaml$/.test(name)
}

/** Azure's regions, and what is known of its service tags. */
export async function readAzureFacts(): Promise<AzureFacts> {
  const [regions, tags] = await Promise.all([shipped('azure/regions.yaml'), shipped('azure/service-tags.yaml')])
  return { regions: regionsSchema.parse(regions), tags: tagFactsSchema.parse(tags) }
}

async function readKnownDestinations(): Promise<readonly KnownDestination[]> {
  const known = knownDestinationsSchema.safeParse(await shipped('hints.yaml'))
  if (known.success) return known.data
  throw new Error(`hints.yaml: ${known.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`)
}

/** Suffixes that many customers share, for `suggest`. */
export async function readSharedServices(): Promise<readonly SharedService[]> {
  const services = sharedServicesSchema.safeParse(await shipped('shared-suffixes.yaml'))
  if (services.success) return services.data
  throw new Error(
    `shared-suffixes.yaml: ${services.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`,
  )
}

async function shipped(name: string): Promise<unknown> {
  return readShippedYaml(await readFile(new URL(name, SHIPPED), 'utf8'), `config/${name}`)
}
