import type { Cloud } from '../policy/entry.ts'
import { didYouMean } from '../problem.ts'
import { err, ok, type Result } from '../result.ts'
import { type AzureFacts, findRegion, type Region } from './facts.ts'
import type { ServiceTags } from './tag-file.ts'

/**
 * The inbound routes of compute with a public IP: management traffic of Azure ML and Batch comes in from the internet, and what answers it
 * has to go back the same way, past the gateway that the subnet's default route leads to.
 */

/** With public addresses, or without. */
export type ComputeKind = 'public-ip' | 'no-public-ip'

export interface RouteWish {
  readonly cloud: Cloud
  /** As typed, or as in `workspace.regions`. */
  readonly regions: readonly string[]
  /** Whether the compute has public addresses; absent where nobody says. */
  readonly compute?: ComputeKind | undefined
  /** By prefix instead of by tag: the tags of a file, which then is needed. */
  readonly addresses?: ServiceTags | undefined
  /** With prefixes of IPv6 too. */
  readonly ipv6: boolean
  /** Batch's tag for all regions: Azure lists that one for routes. */
  readonly withoutRegion: boolean
  /** Inbound ports of Batch's older kind of nodes, which documents since 2023 do not name. */
  readonly batchPorts: boolean
}

/** One user-defined route with next hop Internet. */
export interface Route {
  readonly name: string
  /** A service tag or a CIDR range. */
  readonly addressPrefix: string
}

/** One inbound rule of the subnet's network security group. */
export interface InboundRule {
  readonly name: string
  readonly priority: number
  /** A service tag. */
  readonly source: string
  readonly ports: string
}

export interface RoutePlan {
  readonly cloud: Cloud
  readonly regions: readonly { readonly region: string; readonly pair?: string }[]
  readonly routes: readonly Route[]
  readonly inboundRules: readonly InboundRule[]
  /** What one has to know, a sentence each. */
  readonly notes: readonly string[]
}

/** "Service tags for user-defined routes": at most so many in a table. */
const TAG_ROUTES_MAX = 25
/** Azure's limit of routes in a table. */
const ROUTES_MAX = 400

const ML = 'AzureMachineLearning'
const BATCH = 'BatchNodeManagement'

/** The routes, or why there can be none: a sentence for the command line. */
export function planRoutes(wish: RouteWish, facts: AzureFacts): Result<RoutePlan, string> {
  const { cloud } = wish
  if (wish.regions.length === 0) return err('which region? name it with `--region`, or in `workspace.regions` of the config file')
  const regions: Region[] = []
  for (const text of wish.regions) {
    const region = findRegion(facts, cloud, text)
    if (region === undefined) return err(unknownRegion(facts, cloud, text))
    if (!regions.includes(region)) regions.push(region)
  }
  const shown = regions.map(({ region, pair }) => ({ region, ...(pair === undefined ? {} : { pair }) }))
  if (wish.compute === 'no-public-ip') {
    const notes = [
      'no routes: compute without public IP gets no traffic from the internet, it opens every connection itself; with these routes, what it sends to Azure ML would go to the internet past the gateway, and arrive nowhere',
    ]
    return ok({ cloud, regions: shown, routes: [], inboundRules: [], notes })
  }
  const routes = wish.addresses === undefined ? ok(tagRoutes(regions, wish)) : addressRoutes(regions, wish, wish.addresses, facts)
  if (!routes.ok) return routes
  const inboundRules = wish.compute === 'public-ip' ? rulesFor(regions, wish) : []
  const notes = [...regionNotes(regions, facts), ...formNotes(wish), ...computeNotes(wish), ...limitNotes(routes.value, wish)]
  return ok({ cloud, regions: shown, routes: routes.value, inboundRules, notes })
}

function unknownRegion(facts: AzureFacts, cloud: Cloud, text: string): string {
  const elsewhere = facts.regions.find((one) => findRegion({ regions: [{ ...one, cloud }] }, cloud, text) !== undefined)
  if (elsewhere !== undefined)
    return `\`${text}\` is a region of \`cloud: ${elsewhere.cloud}\`, and this config says \`cloud: ${cloud}\``
  const own = facts.regions.filter((one) => one.cloud === cloud).map(({ region }) => region)
  const nearest = didYouMean(text, own)
  return `\`${text}\` is no region of cloud ${cloud}; ${nearest === undefined ? `there are ${own.join(', ')}` : `did you mean \`${nearest}\`?`}`
}

/** The document's own form and names, where there is one region. */
function tagRoutes(regions: readonly Region[], { withoutRegion }: RouteWish): Route[] {
  const batch = withoutRegion
    ? [{ name: 'BatchRoute', addressPrefix: BATCH }]
    : regions.map(({ region }) => ({
        name: regions.length === 1 ? 'BatchRoute' : `BatchRoute-${region}`,
        addressPrefix: `${BATCH}.${region}`,
      }))
  return [{ name: 'AzureMLRoute', addressPrefix: ML }, ...batch]
}

/** Each prefix once: the tags overlap where two regions are each other's pair. */
function addressRoutes(
  regions: readonly Region[],
  wish: RouteWish,
  tags: ServiceTags,
  facts: AzureFacts,
): Result<Route[], string> {
  const routes = new Map<string, Route>()
  for (const tag of routeTags(regions, wish, facts)) {
    const found = tags.find(tag)
    if (!found.ok)
      return err(
        `${found.error} in the file (cloud ${wish.cloud}, change ${tags.file.change}); newer files are at ${facts.tags.clouds[wish.cloud].page}`,
      )
    const { name, ranges } = found.value
    const prefixes = ranges.cidrs().filter(({ network }) => wish.ipv6 || network.family === 4)
    for (const { text } of prefixes) {
      // Named after the prefix, so that a newer file renames none of those that stay.
      if (!routes.has(text))
        routes.set(text, { name: `${name.replace('.', '-')}-${text.replace(/[/:]/g, '-')}`, addressPrefix: text })
    }
  }
  return ok([...routes.values()])
}

/** The tags that routes by address are made of: Azure ML's of the region and its pair, and Batch's of the region. */
export function routeTags(
  regions: readonly Region[],
  { cloud, withoutRegion }: Pick<RouteWish, 'cloud' | 'withoutRegion'>,
  facts: AzureFacts,
): readonly string[] {
  const pairs = regions.flatMap(({ pair }) => (pair === undefined ? [] : (findRegion(facts, cloud, pair) ?? [])))
  const ml = [...new Set([...regions, ...pairs])].map(({ tag, region }) => `${ML}.${tag ?? region}`)
  const batch = withoutRegion ? [BATCH] : regions.map(({ tag, region }) => `${BATCH}.${tag ?? region}`)
  return [...ml, ...batch]
}

function rulesFor(regions: readonly Region[], { batchPorts }: RouteWish): InboundRule[] {
  const batch = batchPorts ? regions.map(({ region }) => `${BATCH}.${region}`) : []
  return [
    { name: 'AzureMLInbound', priority: 200, source: ML, ports: '44224' },
    ...batch.map((source, at) => ({
      name: batch.length === 1 ? 'BatchInbound' : `BatchInbound-${source.slice(BATCH.length + 1)}`,
      priority: 210 + at,
      source,
      ports: '29876-29877',
    })),
  ]
}

function regionNotes(regions: readonly Region[], facts: AzureFacts): string[] {
  return regions.flatMap(({ cloud, region, name, pair, note }) => {
    const paired = pair === undefined ? undefined : findRegion(facts, cloud, pair)
    return [
      paired === undefined
        ? `${region} (${name}) has no paired region: there is one set of addresses of Azure ML`
        : `${region} (${name}) is paired with ${paired.region} (${paired.name})`,
      ...(note === undefined ? [] : [`${region}: ${note}`]),
    ]
  })
}

function formNotes({ addresses, cloud, withoutRegion, ipv6 }: RouteWish): string[] {
  if (addresses !== undefined) {
    return [
      `addresses of change ${addresses.file.change} of the service tags; they change: \`sallyport routes --diff OLD NEW\` says what a newer file changes`,
      ...(ipv6 ? [] : ['IPv6 ranges are left out; `--ipv6` adds them']),
    ]
  }
  if (cloud === 'china')
    return [
      `in China the files list \`${BATCH}\` for security groups and not for routes: if Azure refuses it, use \`--addresses\``,
    ]
  return withoutRegion
    ? []
    : [
        `newer files list \`${BATCH}\` for routes and no longer its regional tags: if Azure refuses the one with a region, \`--without-region\` prints it without`,
      ]
}

function computeNotes({ compute }: RouteWish): string[] {
  if (compute === undefined)
    return [
      'only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`',
    ]
  return [
    'this traffic passes the gateway by, in both directions: what nodes send to these addresses themselves is neither judged nor logged there',
    'the inbound rules belong to the security group of the compute subnet',
  ]
}

function limitNotes(routes: readonly Route[], { addresses }: RouteWish): string[] {
  const notes: string[] = []
  if (addresses === undefined && routes.length >= TAG_ROUTES_MAX)
    notes.push(
      `warning: ${routes.length} routes by service tag, and a route table takes ${TAG_ROUTES_MAX}; \`--without-region\` needs two`,
    )
  if (routes.length >= ROUTES_MAX)
    notes.push(
      `warning: ${routes.length} routes, and a route table takes ${ROUTES_MAX}, its other routes included; use service tags instead of addresses`,
    )
  return notes
}
