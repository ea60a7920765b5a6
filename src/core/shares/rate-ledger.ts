import { chunkOf } from './share.ts'

/** A client may save up this many seconds of its rate. */
const BURST_SECONDS = 2

/** Most requests of one client at once, at a rate per second. */
export function burstOf(rate: number): number {
  return rate * BURST_SECONDS
}

interface Bucket {
  tokens: number
  atMs: number
  /** At most so many tokens of each worker are unused: what it was given last, for it asks only when it has none. */
  readonly held: Map<number, number>
}

/** A map that forgets what was used longest ago; bounded by whoever makes it. */
export interface Buckets {
  get(client: string): Bucket | undefined
  set(client: string, bucket: Bucket): unknown
  values(): Iterable<Bucket>
}

/**
 * The request rate of each client, given out to workers a few requests at a time. What they may hold unused counts as saved up, so
 * that a client never gets more than its rate and one burst, however its requests are spread.
 */
export class RateLedger {
  readonly #rate: (client: string) => number
  readonly #buckets: Buckets

  /** @param rate requests per second and client */
  constructor(rate: (client: string) => number, buckets: Buckets) {
    this.#rate = rate
    this.#buckets = buckets
  }

  /** Gives a worker that has none left a few of the client's requests, or says in how many milliseconds there is one. */
  give(client: string, worker: number, workers: number, nowMs: number): { readonly amount: number; readonly retryMs: number } {
    const bucket = this.#refilled(client, nowMs, worker)
    const amount = chunkOf(bucket.tokens, workers)
    if (amount > 0) {
      bucket.tokens -= amount
      bucket.held.set(worker, amount)
    }
    return { amount, retryMs: amount > 0 ? 0 : Math.ceil(((1 - bucket.tokens) / this.#rate(client)) * 1000) }
  }

  /** A worker gives back what it did not use. */
  takeBack(client: string, worker: number, amount: number, nowMs: number): void {
    const bucket = this.#refilled(client, nowMs, worker)
    bucket.tokens = Math.min(this.#room(client, bucket), bucket.tokens + amount)
  }

  /** The worker has gone, and what it had not used with it. */
  forget(worker: number): void {
    for (const bucket of this.#buckets.values()) bucket.held.delete(worker)
  }

  /** @param worker holds nothing now, since it asks or has given back */
  #refilled(client: string, nowMs: number, worker: number): Bucket {
    const known = this.#buckets.get(client)
    const bucket = known ?? { tokens: burstOf(this.#rate(client)), atMs: nowMs, held: new Map<number, number>() }
    bucket.held.delete(worker)
    const earned = (Math.max(0, nowMs - bucket.atMs) / 1000) * this.#rate(client)
    bucket.tokens = Math.min(this.#room(client, bucket), bucket.tokens + earned)
    bucket.atMs = nowMs
    if (known === undefined) this.#buckets.set(client, bucket)
    return bucket
  }

  #room(client: string, { held }: Bucket): number {
    let unused = 0
    for (const amount of held.values()) unused += amount
    return Math.max(0, burstOf(this.#rate(client)) - unused)
  }
}
