import type { Limits } from '../core/config.ts'
import { PlaceLedger } from '../core/shares/place-ledger.ts'
import { RateLedger } from '../core/shares/rate-ledger.ts'
import { keyOf, type LimitName, type Share } from '../core/shares/share.ts'
import { LRUCache } from '../io/lru.ts'
import type { ToWorker } from './messages.ts'

/** Clients whose request rate is remembered; the one seen longest ago starts afresh. */
const MAX_CLIENTS = 10_000

/** How long the other workers may take to give back what they do not use. One that stands still keeps what it has. */
const RECALL_MS = 500

export interface ShareDeskOptions {
  /** @param client of a share; none where the limit is the gateway's */
  readonly limits: (client?: string) => Limits
  /** @param client of a share */
  readonly groupTunnels: (client: string) => number
  /** How many workers share. */
  readonly workers: number
  readonly send: (worker: number, message: ToWorker) => void
  readonly nowMs: () => number
}

/** A share that is short: who waits for it, and who has still to say what it can spare. */
interface Recall {
  readonly share: Share
  readonly waiting: number[]
  readonly asked: Set<number>
  readonly timer: NodeJS.Timeout
}

/**
 * Where workers get their shares of the gateway's limits, and bring them back. Nothing is given out twice: when all is out, the
 * other workers are asked for what they do not use, and only then is the answer no.
 */
export class ShareDesk {
  readonly #options: ShareDeskOptions
  readonly #places: PlaceLedger
  readonly #rates: RateLedger
  readonly #recalls = new Map<string, Recall>()

  constructor(options: ShareDeskOptions) {
    this.#options = options
    this.#places = new PlaceLedger((share) => limitOf(options, share))
    this.#rates = new RateLedger(
      (client) => options.limits(client).requestsPerSecondPerClient,
      new LRUCache({ max: MAX_CLIENTS }),
    )
  }

  /** The client connections that a worker begins with: an equal part, or what is left of it. */
  connectionsFor(worker: number): number {
    const part = Math.floor(this.#options.limits().connections / this.#options.workers)
    return this.#places.giveUpTo(ALL_CONNECTIONS, worker, Math.max(1, part))
  }

  /** The limits have changed: where that of connections was lowered, each worker keeps its part, or what it uses. */
  limitsChanged(): void {
    this.#trimConnections(Math.floor(this.#options.limits().connections / this.#options.workers))
  }

  /** To be called now and then: where that was not enough, workers keep no more connections than they use. */
  look(): void {
    this.#trimConnections(0)
  }

  #trimConnections(keep: number): void {
    if (!this.#places.isOverdrawn(ALL_CONNECTIONS)) return
    for (const worker of this.#places.holdersOf(ALL_CONNECTIONS))
      this.#options.send(worker, { kind: 'recall', share: ALL_CONNECTIONS, keep })
  }

  want(worker: number, share: Share): void {
    if (share.limit === 'requests_per_second_per_client') {
      const { workers, nowMs } = this.#options
      const { amount, retryMs } = this.#rates.give(share.client, worker, workers, nowMs())
      return this.#give(worker, share, amount, retryMs)
    }
    const recall = this.#recalls.get(keyOf(share))
    if (recall !== undefined) return void recall.waiting.push(worker)
    const amount = this.#places.give(share, worker, this.#options.workers)
    if (amount > 0) this.#give(worker, share, amount)
    else this.#recall(worker, share)
  }

  giveBack(worker: number, shares: readonly (readonly [Share, number])[], recalled: boolean): void {
    for (const [share, amount] of shares) {
      if (share.limit === 'requests_per_second_per_client')
        this.#rates.takeBack(share.client, worker, amount, this.#options.nowMs())
      else this.#places.takeBack(share, worker, amount)
      if (recalled) this.#heardFrom(worker, share)
    }
  }

  /** The worker has gone: what it held is free. */
  forget(worker: number): void {
    this.#places.forget(worker)
    this.#rates.forget(worker)
    for (const recall of [...this.#recalls.values()]) this.#heardFrom(worker, recall.share)
  }

  stop(): void {
    for (const { timer } of this.#recalls.values()) clearTimeout(timer)
    this.#recalls.clear()
  }

  #give(worker: number, share: Share, amount: number, retryMs = 0): void {
    this.#options.send(worker, { kind: 'given', share, amount, retryMs })
  }

  #recall(worker: number, share: Share): void {
    const others = this.#places.holdersOf(share).filter((holder) => holder !== worker)
    if (others.length === 0) return this.#give(worker, share, 0)
    const recall: Recall = {
      share,
      waiting: [worker],
      asked: new Set(others),
      timer: setTimeout(() => this.#finish(recall), RECALL_MS).unref(),
    }
    this.#recalls.set(keyOf(share), recall)
    for (const other of others) this.#options.send(other, { kind: 'recall', share })
  }

  #heardFrom(worker: number, share: Share): void {
    const recall = this.#recalls.get(keyOf(share))
    if (recall?.asked.delete(worker) === true && recall.asked.size === 0) this.#finish(recall)
  }

  /** Everybody has said what it can spare, or took too long: one for each that waits, while there are any. */
  #finish(recall: Recall): void {
    const { share, waiting, timer } = recall
    clearTimeout(timer)
    this.#recalls.delete(keyOf(share))
    for (const worker of waiting) this.#give(worker, share, this.#places.giveUpTo(share, worker, 1))
  }
}

const ALL_CONNECTIONS: Share = { limit: 'connections', client: '' }

function limitOf({ limits, groupTunnels }: ShareDeskOptions, { limit, client }: Share): number {
  if (limit === 'tunnels_per_group') return groupTunnels(client)
  return ofLimits(limits(client), limit)
}

function ofLimits(limits: Limits, limit: Exclude<LimitName, 'tunnels_per_group'>): number {
  switch (limit) {
    case 'tunnels':
      return limits.tunnels
    case 'tunnels_per_client':
      return limits.tunnelsPerClient
    case 'inspected_tunnels':
      return limits.inspectedTunnels
    case 'connections':
      return limits.connections
    case 'requests_per_second_per_client':
      return 0
  }
}
