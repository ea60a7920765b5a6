import type { Limits } from '../../core/config.ts'
import { LRUCache } from '../lru.ts'

export type LimitName = 'tunnels' | 'tunnels_per_client' | 'requests_per_second_per_client' | 'connections'

/** Clients whose request rate is remembered; the one seen longest ago starts afresh. */
const MAX_CLIENTS = 10_000

/** A client may save up this many seconds of its rate. */
const BURST_SECONDS = 2

interface Bucket {
  tokens: number
  atMs: number
}

/** Who may take up how much: tunnels altogether and per client, and requests per second and client. */
export class Admission {
  readonly #limits: () => Limits
  readonly #onHit: (limit: LimitName) => void
  readonly #onChange: (open: number) => void
  readonly #tunnels = new Map<string, number>()
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_CLIENTS })
  #open = 0

  constructor(limits: () => Limits, onHit: (limit: LimitName) => void, onChange: (open: number) => void) {
    this.#limits = limits
    this.#onHit = onHit
    this.#onChange = onChange
  }

  get tunnelsOpen(): number {
    return this.#open
  }

  /** Takes one request off the client's rate; false when there is none left. */
  takeRequest(client: string, nowMs: number): boolean {
    const rate = this.#limits().requestsPerSecondPerClient
    const bucket = this.#buckets.get(client) ?? { tokens: rate * BURST_SECONDS, atMs: nowMs }
    const tokens = Math.min(rate * BURST_SECONDS, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * rate)
    const allowed = tokens >= 1
    this.#buckets.set(client, { tokens: allowed ? tokens - 1 : tokens, atMs: nowMs })
    if (!allowed) this.#onHit('requests_per_second_per_client')
    return allowed
  }

  /** Takes a tunnel's place, to be given back once with `releaseTunnel`; the reason when there is none. */
  takeTunnel(client: string): 'client_limit' | 'gateway_full' | undefined {
    const { tunnels, tunnelsPerClient } = this.#limits()
    const own = this.#tunnels.get(client) ?? 0
    if (this.#open >= tunnels) {
      this.#onHit('tunnels')
      return 'gateway_full'
    }
    if (own >= tunnelsPerClient) {
      this.#onHit('tunnels_per_client')
      return 'client_limit'
    }
    this.#tunnels.set(client, own + 1)
    this.#onChange(++this.#open)
    return undefined
  }

  releaseTunnel(client: string): void {
    const left = (this.#tunnels.get(client) ?? 1) - 1
    if (left > 0) this.#tunnels.set(client, left)
    else this.#tunnels.delete(client)
    this.#onChange(--this.#open)
  }
}
