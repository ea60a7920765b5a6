export interface DeniedHostsOptions {
  /** Hosts with a series of their own. */
  readonly slots: number
  /** Called when a host's slot is freed, so that its series go too. */
  readonly onFree: (host: string) => void
}

/** A slot nobody was refused under for so long goes to another host. */
const IDLE_MS = 3_600_000

interface Slot {
  readonly client: string
  lastSeenMs: number
}

/** What a host that has no slot is counted under. */
export const OTHER_HOST = 'other'

/**
 * Which denied hosts get a metric series of their own. A host gets a slot at its first denial while there is one, one client
 * takes at most a quarter of them, and what once was `other` stays so: a hostile client cannot make series grow, nor crowd out
 * the hosts of others.
 */
export class DeniedHosts {
  readonly #options: DeniedHostsOptions
  #limit: number
  readonly #slots = new Map<string, Slot>()
  readonly #perClient = new Map<string, number>()

  constructor(options: DeniedHostsOptions) {
    this.#options = options
    this.#limit = options.slots
  }

  /** Gives out so many slots from now on; those taken stay until they are idle. */
  limit(slots: number): void {
    this.#limit = slots
  }

  /** The label for a denied host, and whether it was seen for the first time. */
  labelFor(host: string, client: string, nowMs: number): { readonly label: string; readonly first: boolean } {
    const slot = this.#slots.get(host)
    if (slot !== undefined) {
      slot.lastSeenMs = nowMs
      return { label: host, first: false }
    }
    // A host of that very name would be counted together with all that have no slot.
    if (host === OTHER_HOST) return { label: OTHER_HOST, first: false }
    if (!this.#hasRoom(client)) this.freeIdle(nowMs)
    if (!this.#hasRoom(client)) return { label: OTHER_HOST, first: false }
    const taken = this.#perClient.get(client) ?? 0
    this.#slots.set(host, { client, lastSeenMs: nowMs })
    this.#perClient.set(client, taken + 1)
    return { label: host, first: true }
  }

  #hasRoom(client: string): boolean {
    const quarter = Math.max(1, Math.floor(this.#limit / 4))
    return this.#slots.size < this.#limit && (this.#perClient.get(client) ?? 0) < quarter
  }

  /** Gives back the slots that have been idle for an hour. */
  freeIdle(nowMs: number): void {
    for (const [host, slot] of this.#slots) {
      if (nowMs - slot.lastSeenMs < IDLE_MS) continue
      this.#slots.delete(host)
      const left = (this.#perClient.get(slot.client) ?? 1) - 1
      if (left > 0) this.#perClient.set(slot.client, left)
      else this.#perClient.delete(slot.client)
      this.#options.onFree(host)
    }
  }
}
