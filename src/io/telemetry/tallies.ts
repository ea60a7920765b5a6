import type { Counter, LabelValues } from './metrics.ts'

/** How often one series has counted since it was last looked at. */
export interface Tally {
  count: number
}

/** Calls back whenever somebody is about to look at the counter. */
export function beforeReading<L extends string>(counter: Counter<L>, callback: () => void): void {
  const { collect: before } = counter as Counter<L> & { readonly collect?: () => void }
  const collect = () => {
    before?.()
    callback()
  }
  // prom-client calls it before it gives the metric's values.
  Object.assign(counter, { collect })
}

/**
 * Counts the series of one counter by a key, and gives the counts to prom-client when somebody looks at the metric: it checks,
 * sorts and joins the labels at every call, which on the way of every request costs more than deciding it.
 */
export class Tallies<L extends string> {
  readonly #counter: Counter<L>
  readonly #tallies = new Map<string, Tally & { readonly labels: LabelValues<L> }>()

  constructor(counter: Counter<L>) {
    this.#counter = counter
    beforeReading(counter, () => this.#flush())
  }

  find(key: string): Tally | undefined {
    return this.#tallies.get(key)
  }

  begin(key: string, labels: LabelValues<L>): Tally {
    const tally = { labels, count: 0 }
    this.#tallies.set(key, tally)
    return tally
  }

  /** Forgets every series: those that are not counted again can then be removed from the counter. */
  clear(): void {
    this.#flush()
    this.#tallies.clear()
  }

  /** Removes one series altogether. */
  remove(key: string): void {
    const tally = this.#tallies.get(key)
    if (tally === undefined) return
    this.#tallies.delete(key)
    this.#counter.remove(tally.labels)
  }

  #flush(): void {
    for (const tally of this.#tallies.values()) {
      if (tally.count > 0) this.#counter.inc(tally.labels, tally.count)
      tally.count = 0
    }
  }
}
