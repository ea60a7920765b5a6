import type { Exchange } from './exchange.ts'

/** Every request whose line is not written yet: the end waits for them, so that none goes missing. */
export class Exchanges {
  readonly #open = new Set<Exchange>()
  readonly #onEmpty: (() => void)[] = []

  add(exchange: Exchange): void {
    this.#open.add(exchange)
    exchange.onSettled(() => {
      this.#open.delete(exchange)
      if (this.#open.size > 0) return
      for (const resolve of this.#onEmpty.splice(0)) resolve()
    })
  }

  get size(): number {
    return this.#open.size
  }

  /** Resolves once every one has its line. */
  settled(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onEmpty.push(resolve))
  }
}
