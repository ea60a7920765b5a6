import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'
import { counterName, DROPPED_SERIES, type DroppedFlow, type DroppedSeries } from './dropped.ts'

/** What `nft -j list table inet sallyport` says, as far as it is asked. */

export interface DroppedReading {
  readonly packets: readonly (DroppedSeries & { readonly packets: number })[]
  /** Who sent what, remembered by the rules for some minutes. */
  readonly flows: readonly DroppedFlow[]
}

const count = z.number().min(0)
const element = z.object({
  elem: z.object({
    val: z.object({ concat: z.array(z.union([z.string(), z.number()])) }),
    counter: z.object({ packets: count }),
  }),
})
const listing = z.object({
  nftables: z.array(
    z.union([
      z.object({ counter: z.object({ name: z.string(), packets: count }) }),
      z.object({ set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }) }),
      z.object({}),
    ]),
  ),
})

/** Reads the parsed JSON. Error: it is nothing that nftables says, or not of our table. */
export function readListing(value: unknown): Result<DroppedReading, string> {
  const parsed = listing.safeParse(value)
  if (!parsed.success) return err('nft answered with something that is no listing of a table')
  const counters = new Map<string, number>()
  const flows: DroppedFlow[] = []
  for (const one of parsed.data.nftables) {
    if ('counter' in one) counters.set(one.counter.name, one.counter.packets)
    if ('set' in one && one.set.name.startsWith('flows')) flows.push(...(one.set.elem ?? []).flatMap(readFlow))
  }
  const packets = DROPPED_SERIES.flatMap((series) => {
    const found = counters.get(counterName(series))
    return found === undefined ? [] : [{ ...series, packets: found }]
  })
  if (packets.length < DROPPED_SERIES.length) return err('the table has none of the counters of this version; apply it again')
  return ok({ packets, flows })
}

function readFlow(value: unknown): DroppedFlow[] {
  const parsed = element.safeParse(value)
  if (!parsed.success) return []
  const { val, counter } = parsed.data.elem
  const [client, destination, proto, port] = val.concat
  if (client === undefined || destination === undefined || proto === undefined) return []
  return [
    {
      client: String(client),
      destination: String(destination),
      proto: String(proto),
      ...(typeof port === 'number' ? { port } : {}),
      packets: counter.packets,
    },
  ]
}
