import { type AzureFacts, findRegion } from '../core/azure/facts.ts'
import { ROUTE_FORMATS, type RouteFormat, routesText } from '../core/azure/route-text.ts'
import { type ComputeKind, planRoutes, routeTags } from '../core/azure/routes.ts'
import { diffTags, tagChangesText } from '../core/azure/tag-diff.ts'
import type { ServiceTags } from '../core/azure/tag-file.ts'
import type { Config } from '../core/config.ts'
import { quote } from '../core/names/quote.ts'
import { tagsInUse } from '../core/policy/tag-policy.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type Catalogue, readCatalogue } from '../io/config/catalogue-files.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { readTagSource } from '../io/config/tag-source.ts'
import { COMPUTE_KINDS, isOneOf } from './choices.ts'
import { type CommandIo, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

/** As they were typed. */
export interface RoutesOptions {
  readonly config?: string
  readonly region?: readonly string[]
  readonly format?: string
  readonly compute?: string
  readonly addresses?: boolean
  readonly ipv6?: boolean
  readonly withoutRegion?: boolean
  readonly file?: string
  readonly diff?: readonly string[]
  readonly resourceGroup?: string
  readonly routeTable?: string
  readonly nsg?: string
}

interface Wish {
  readonly format: RouteFormat
  readonly compute: ComputeKind | undefined
  readonly diff: readonly [string, string] | undefined
}

/** The edition whose document names Batch's inbound ports; later ones do not. */
const BATCH_PORTS_EDITION = '2021-07-29'

/** Prints the inbound routes of compute with a public IP, or what a newer file of service tags changes. */
export async function routes(options: RoutesOptions, io: CommandIo): Promise<number> {
  const wish = readWish(options)
  if (!wish.ok) return refuseUsage(wish.error, io)
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const { config } = loaded.value
  const catalogue = await readCatalogue()
  const regions = options.region ?? config.workspace.regions
  if (wish.value.diff !== undefined) return diff(wish.value.diff, wish.value.format, regions, config, catalogue, io)

  const { azure } = catalogue
  const withoutRegion = options.withoutRegion === true
  let addresses: ServiceTags | undefined
  if (options.addresses === true && wish.value.compute !== 'no-public-ip') {
    const read = await readAddresses(
      options.file ?? config.serviceTags.file,
      wantedForRoutes(regions, withoutRegion, config, azure),
      config,
      azure,
    )
    if (!read.ok) return failed(read.error, io)
    addresses = read.value
  }
  const { compute, format } = wish.value
  const batchPorts = config.editions.includes(BATCH_PORTS_EDITION)
  const plan = planRoutes(
    { cloud: config.cloud, regions, compute, addresses, ipv6: options.ipv6 === true, withoutRegion, batchPorts },
    azure,
  )
  if (!plan.ok) return refuseUsage(plan.error, io)
  const {
    resourceGroup = 'MyResourceGroup',
    routeTable = 'MyRouteTable',
    nsg: securityGroup = 'MyNetworkSecurityGroup',
  } = options
  io.stdout.write(routesText(plan.value, format, { resourceGroup, routeTable, securityGroup }))
  return EXIT.ok
}

function readWish({ format = 'cli', compute, diff, addresses, file }: RoutesOptions): Result<Wish, string> {
  if (!isOneOf(ROUTE_FORMATS, format)) return err(`${quote(format)} is no format; there are ${ROUTE_FORMATS.join(', ')}`)
  if (compute !== undefined && !isOneOf(COMPUTE_KINDS, compute))
    return err(`${quote(compute)} is no kind of compute; there are ${COMPUTE_KINDS.join(' and ')}`)
  if (file !== undefined && addresses !== true) return err('`--file` is for `--addresses`; routes by service tag need no file')
  if (diff === undefined) return ok({ format, compute, diff: undefined })
  const [before, after, ...others] = diff
  if (before === undefined || after === undefined || others.length > 0)
    return err('`--diff` compares two files, as in `--diff OLD.json NEW.json`')
  if (format !== 'cli' && format !== 'json') return err('`--diff` prints text, or JSON with `--format json`')
  return ok({ format, compute, diff: [before, after] })
}

/** Regions that are none are told by the plan. */
function wantedForRoutes(
  regions: readonly string[],
  withoutRegion: boolean,
  { cloud }: Config,
  azure: AzureFacts,
): readonly string[] {
  const known = regions.flatMap((text) => findRegion(azure, cloud, text) ?? [])
  return routeTags(known, { cloud, withoutRegion }, azure)
}

async function readAddresses(
  file: string | undefined,
  tags: readonly string[],
  { cloud }: Config,
  { tags: facts }: AzureFacts,
): Promise<Result<ServiceTags, string>> {
  if (file === undefined)
    return err(
      `\`--addresses\` needs a file that has them: \`--file\`, or \`serviceTags.file\` in the config; for cloud ${cloud} it is at ${facts.clouds[cloud].page}`,
    )
  const wanted = new Set(tags.map((tag) => tag.toLowerCase()))
  const read = await readTagSource(file, { cloud, facts, isWanted: (name) => wanted.has(name) })
  return read.ok ? ok(read.value.tags) : read
}

/** The tags of the config that are on and those of its routes, in two files. */
async function diff(
  files: readonly [string, string],
  format: RouteFormat,
  regions: readonly string[],
  config: Config,
  { editions, azure }: Catalogue,
  io: CommandIo,
): Promise<number> {
  const inUse = [...tagsInUse(config, editions, azure), 'AzureMachineLearning', ...wantedForRoutes(regions, false, config, azure)]
  const names = [...new Map(inUse.map((name) => [name.toLowerCase(), name])).values()].sort()
  const [before, after] = await Promise.all(files.map((file) => readAddresses(file, names, config, azure)))
  if (before === undefined || after === undefined) throw new Error('two files, two answers')
  if (!before.ok) return failed(before.error, io)
  if (!after.ok) return failed(after.error, io)
  const changes = diffTags(before.value.file, after.value.file, names)
  const [old, now] = [before.value.file, after.value.file]
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ cloud: now.cloud, before: old.change, after: now.change, tags: changes }, undefined, 2)}\n`
      : tagChangesText(old, now, changes),
  )
  return EXIT.ok
}

function failed(message: string, { stderr }: CommandIo): number {
  stderr.write(`sallyport: ${printable(message)}\n`)
  return EXIT.failed
}
