/** The limits that hold for the whole gateway, however many processes it is. */
export type LimitName =
  | 'tunnels'
  | 'tunnels_per_group'
  | 'tunnels_per_client'
  | 'inspected_tunnels'
  | 'requests_per_second_per_client'
  | 'connections'

/** What a worker can have a share of: a limit, and whose where it is one for each client. */
export interface Share {
  readonly limit: LimitName
  /**
   * Canonical address, behind the name of its group where that has limits of its own; the name alone and a space where the limit is the
   * group's; empty where it is the gateway's.
   */
  readonly client: string
}

export const ALL_TUNNELS: Share = { limit: 'tunnels', client: '' }

/**
 * What one tunnel takes a place of, in the order to ask: the gateway, the client's group where it has limits of its own, the client.
 *
 * @param client as `countedAs` makes it
 */
export function tunnelShares(client: string): readonly Share[] {
  const own: Share = { limit: 'tunnels_per_client', client }
  const group = groupKeyOf(client)
  return group === undefined ? [ALL_TUNNELS, own] : [ALL_TUNNELS, { limit: 'tunnels_per_group', client: group }, own]
}

/** The group of a client that is counted within one, with a space behind it; no address has one. */
export function groupKeyOf(client: string): string | undefined {
  const end = client.indexOf(' ')
  return end < 0 ? undefined : client.slice(0, end + 1)
}

/** One text a share: neither a limit nor a group has a space in it. */
export function keyOf({ limit, client }: Share): string {
  return `${limit} ${client}`
}

/**
 * Most that a worker is given at once: it asks again when it has used that up, and nobody else can use it before. A question costs both
 * processes as much as the rest of two or three tunnels' set-up.
 */
const CHUNK_MAX = 1024

/**
 * How much a worker that asks for one gets: an eighth of what would be its part, so that few have to ask often while there is
 * plenty, and one at a time where there is little. At least one, if there is one.
 */
export function chunkOf(free: number, workers: number): number {
  return Math.min(Math.floor(free), Math.max(1, Math.min(CHUNK_MAX, Math.floor(free / (8 * workers)))))
}
