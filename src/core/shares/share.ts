/** The limits that hold for the whole gateway, however many processes it is. */
export type LimitName = 'tunnels' | 'tunnels_per_client' | 'inspected_tunnels' | 'requests_per_second_per_client' | 'connections'

/** What a worker can have a share of: a limit, and whose where it is one for each client. */
export interface Share {
  readonly limit: LimitName
  /** Canonical address, behind the name of its group where that has limits of its own; empty where the limit is the gateway's. */
  readonly client: string
}

/** One text a share: neither a limit nor a group has a space in it. */
export function keyOf({ limit, client }: Share): string {
  return `${limit} ${client}`
}

/** Most that a worker is given at once: it asks again when it has used that up, and nobody else can use it before. */
const CHUNK_MAX = 64

/**
 * How much a worker that asks for one gets: an eighth of what would be its part, so that few have to ask often while there is
 * plenty, and one at a time where there is little. At least one, if there is one.
 */
export function chunkOf(free: number, workers: number): number {
  return Math.min(Math.floor(free), Math.max(1, Math.min(CHUNK_MAX, Math.floor(free / (8 * workers)))))
}
