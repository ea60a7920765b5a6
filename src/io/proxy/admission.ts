import type { Limits } from '../../core/config.ts'
import { burstOf } from '../../core/shares/rate-ledger.ts'
import type { LimitName } from '../../core/shares/share.ts'
import { LRUCache } from '../lru.ts'

export type { LimitName }

/**
 * Who may take up how much: tunnels altogether and per client, and requests per second and client. The answer is a promise where it
 * lies with another process (see `src/workers/`).
 */
export interface Admission {
  readonly tunnelsOpen: number
  /** Takes one request off the client's rate; false when there is none left. */
  takeRequest(client: string, nowMs: number): boolean | Promise<boolean>
  /** Takes a tunnel's place, to be given back once with `releaseTunnel`; the reason when there is none. */
  takeTunnel(client: string): TunnelRefusal | Promise<TunnelRefusal>
  releaseTunnel(client: string): void
  /** Takes the place of a tunnel that is looked into, besides its own; to be given back once. False when there is none. */
  takeInspected(): boolean | Promise<boolean>
  releaseInspected(): void
}

/** Why there is no place for a tunnel; undefined where there is one. */
export type TunnelRefusal = 'client_limit' | 'gateway_full' | undefined

export interface AdmissionHooks {
  /** @param client as `takeRequest` is given it */
  readonly limits: (client: string) => Limits
  readonly onHit: (limit: LimitName) => void
  readonly onChange: (open: number) => void
}

/** Clients whose request rate is remembered; the one seen longest ago starts afresh. */
const MAX_CLIENTS = 10_000

interface Bucket {
  tokens: number
  atMs: number
}

/** The limits of a gateway that is one process. */
export class OwnAdmission implements Admission {
  readonly #limits: (client: string) => Limits
  readonly #onHit: (limit: LimitName) => void
  readonly #onChange: (open: number) => void
  readonly #tunnels = new Map<string, number>()
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_CLIENTS })
  #open = 0
  #inspected = 0

  constructor({ limits, onHit, onChange }: AdmissionHooks) {
    this.#limits = limits
    this.#onHit = onHit
    this.#onChange = onChange
  }

  get tunnelsOpen(): number {
    return this.#open
  }

  takeRequest(client: string, nowMs: number): boolean {
    const rate = this.#limits(client).requestsPerSecondPerClient
    const bucket = this.#buckets.get(client) ?? { tokens: burstOf(rate), atMs: nowMs }
    const tokens = Math.min(burstOf(rate), bucket.tokens + ((nowMs - bucket.atMs) / 1000) * rate)
    const allowed = tokens >= 1
    this.#buckets.set(client, { tokens: allowed ? tokens - 1 : tokens, atMs: nowMs })
    if (!allowed) this.#onHit('requests_per_second_per_client')
    return allowed
  }

  takeTunnel(client: string): TunnelRefusal {
    const { tunnels, tunnelsPerClient } = this.#limits(client)
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

  takeInspected(): boolean {
    if (this.#inspected >= this.#limits('').inspectedTunnels) {
      this.#onHit('inspected_tunnels')
      return false
    }
    this.#inspected++
    return true
  }

  releaseInspected(): void {
    this.#inspected--
  }

  releaseTunnel(client: string): void {
    const left = (this.#tunnels.get(client) ?? 1) - 1
    if (left > 0) this.#tunnels.set(client, left)
    else this.#tunnels.delete(client)
    this.#onChange(--this.#open)
  }
}
