import type { Limits } from '../../core/config.ts'
import { burstOf } from '../../core/shares/rate-ledger.ts'
import { groupKeyOf, type LimitName } from '../../core/shares/share.ts'
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
export type TunnelRefusal = { readonly reason: 'client_limit' | 'gateway_full'; readonly detail?: string } | undefined

/** What a client is told where a limit on tunnels is reached. */
export function refusalOf(limit: LimitName): TunnelRefusal {
  if (limit === 'tunnels') return { reason: 'gateway_full' }
  return limit === 'tunnels_per_group' ? GROUP_FULL : { reason: 'client_limit' }
}

const GROUP_FULL: TunnelRefusal = { reason: 'client_limit', detail: 'the group of this client has no more tunnels' }

export interface AdmissionHooks {
  /** @param client as `takeRequest` is given it */
  readonly limits: (client: string) => Limits
  /** Tunnels of the client's group at once. @param client as `takeTunnel` is given it */
  readonly groupTunnels: (client: string) => number
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
  readonly #groupTunnels: (client: string) => number
  readonly #onHit: (limit: LimitName) => void
  readonly #onChange: (open: number) => void
  /** Open ones by client, and by group where that is counted apart. */
  readonly #tunnels = new Map<string, number>()
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_CLIENTS })
  #open = 0
  #inspected = 0

  constructor({ limits, groupTunnels, onHit, onChange }: AdmissionHooks) {
    this.#limits = limits
    this.#groupTunnels = groupTunnels
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
    const full = this.#fullFor(client)
    if (full !== undefined) {
      this.#onHit(full)
      return refusalOf(full)
    }
    const group = groupKeyOf(client)
    if (group !== undefined) this.#count(group, 1)
    this.#count(client, 1)
    this.#onChange(++this.#open)
    return undefined
  }

  #fullFor(client: string): LimitName | undefined {
    const { tunnels, tunnelsPerClient } = this.#limits(client)
    if (this.#open >= tunnels) return 'tunnels'
    const group = groupKeyOf(client)
    if (group !== undefined && (this.#tunnels.get(group) ?? 0) >= this.#groupTunnels(client)) return 'tunnels_per_group'
    return (this.#tunnels.get(client) ?? 0) >= tunnelsPerClient ? 'tunnels_per_client' : undefined
  }

  #count(key: string, by: 1 | -1): void {
    const count = (this.#tunnels.get(key) ?? 0) + by
    if (count > 0) this.#tunnels.set(key, count)
    else this.#tunnels.delete(key)
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
    const group = groupKeyOf(client)
    if (group !== undefined) this.#count(group, -1)
    this.#count(client, -1)
    this.#onChange(--this.#open)
  }
}
