import { chunkOf, keyOf, type Share } from './share.ts'

/**
 * Places (for tunnels, for connections) that are given out to workers and come back from them. What is given out is never more than
 * the limit, so the workers together can never hold more, whatever becomes of a message or of one of them.
 */
export class PlaceLedger {
  readonly #limitOf: (share: Share) => number
  readonly #given = new Map<string, Map<number, number>>()

  constructor(limitOf: (share: Share) => number) {
    this.#limitOf = limitOf
  }

  /** Gives a worker some of what is free; 0 where nothing is. */
  give(share: Share, worker: number, workers: number): number {
    return this.#note(share, worker, chunkOf(this.#free(share), workers))
  }

  /** Gives a worker so many, or as many of them as are free. */
  giveUpTo(share: Share, worker: number, amount: number): number {
    return this.#note(share, worker, Math.min(Math.max(0, this.#free(share)), amount))
  }

  /** A worker has given places back. */
  takeBack(share: Share, worker: number, amount: number): void {
    const key = keyOf(share)
    const holders = this.#given.get(key)
    const left = (holders?.get(worker) ?? 0) - amount
    if (left > 0) holders?.set(worker, left)
    else holders?.delete(worker)
    if (holders?.size === 0) this.#given.delete(key)
  }

  /** The worker has gone, and what it held is free. */
  forget(worker: number): void {
    for (const [key, holders] of this.#given) {
      holders.delete(worker)
      if (holders.size === 0) this.#given.delete(key)
    }
  }

  /** Workers that hold some, used or not. */
  holdersOf(share: Share): number[] {
    return [...(this.#given.get(keyOf(share))?.keys() ?? [])]
  }

  /** More is out than the limit allows: it was lowered. */
  isOverdrawn(share: Share): boolean {
    return this.#free(share) < 0
  }

  #free(share: Share): number {
    let given = 0
    for (const amount of this.#given.get(keyOf(share))?.values() ?? []) given += amount
    return this.#limitOf(share) - given
  }

  #note(share: Share, worker: number, amount: number): number {
    if (amount <= 0) return 0
    const key = keyOf(share)
    const holders = this.#given.get(key) ?? new Map<number, number>()
    this.#given.set(key, holders.set(worker, (holders.get(worker) ?? 0) + amount))
    return amount
  }
}
