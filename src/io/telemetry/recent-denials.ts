/** What was refused lately, for the admin API: one row per host, port, reason and client, newest last. */
export interface DenialRow {
  readonly host: string
  readonly port: number | undefined
  readonly reason: string
  readonly verdict: string
  readonly client: string
  readonly hint: string | undefined
  readonly firstSeen: string
  lastSeen: string
  count: number
}

/** Rows kept; the one that was refused longest ago makes way. */
export const MAX_DENIAL_ROWS = 1_000

export class RecentDenials {
  readonly #rows = new Map<string, DenialRow>()

  add(row: Omit<DenialRow, 'firstSeen' | 'lastSeen' | 'count'>, time: string): void {
    // Of these only a host could hold a blank, and it stands last.
    const key = `${row.port} ${row.reason} ${row.verdict} ${row.client} ${row.host}`
    const known = this.#rows.get(key)
    if (known !== undefined) {
      known.lastSeen = time
      known.count++
      // A Map keeps the order of insertion: put in again, it is the newest.
      this.#rows.delete(key)
      this.#rows.set(key, known)
      return
    }
    if (this.#rows.size >= MAX_DENIAL_ROWS) {
      const oldest = this.#rows.keys().next()
      if (!oldest.done) this.#rows.delete(oldest.value)
    }
    this.#rows.set(key, { ...row, firstSeen: time, lastSeen: time, count: 1 })
  }

  /** The newest first. */
  list(): DenialRow[] {
    return [...this.#rows.values()].reverse()
  }
}
