import { MAX_TUNNELS_SHOWN } from '../io/proxy/tunnels.ts'
import { type DenialRow, MAX_DENIAL_ROWS } from '../io/telemetry/recent-denials.ts'
import type { TunnelList } from './messages.ts'

/** What all workers refused lately, as if they were one: the newest first. */
export function mergeDenials(lists: readonly (readonly DenialRow[])[]): DenialRow[] {
  const rows = new Map<string, DenialRow>()
  for (const row of lists.flat()) {
    const key = JSON.stringify([row.host, row.port, row.reason, row.verdict, row.client])
    const known = rows.get(key)
    if (known === undefined) rows.set(key, row)
    else
      rows.set(key, {
        ...(row.lastSeen > known.lastSeen ? row : known),
        firstSeen: row.firstSeen < known.firstSeen ? row.firstSeen : known.firstSeen,
        count: row.count + known.count,
      })
  }
  return [...rows.values()].toSorted((a, b) => (a.lastSeen < b.lastSeen ? 1 : -1)).slice(0, MAX_DENIAL_ROWS)
}

/** The tunnels of all workers, the oldest first. */
export function mergeTunnels(lists: readonly TunnelList[]): TunnelList {
  const tunnels = lists.flatMap((list) => list.tunnels).toSorted((a, b) => (a.since < b.since ? -1 : 1))
  return { open: lists.reduce((total, { open }) => total + open, 0), tunnels: tunnels.slice(0, MAX_TUNNELS_SHOWN) }
}
