import type { RelayResult } from './relay.ts'

/** How a tunnel ended, once it has, and who is to be told. A promise would take 400 bytes for as long as the tunnel stands. */
export class Done {
  #result: RelayResult | undefined
  #callback: ((result: RelayResult) => void) | undefined

  get result(): RelayResult | undefined {
    return this.#result
  }

  onDone(callback: (result: RelayResult) => void): void {
    this.#callback = callback
    if (this.#result !== undefined) queueMicrotask(() => this.#tell())
  }

  /** Once. */
  settle(result: RelayResult): void {
    if (this.#result !== undefined) return
    this.#result = result
    this.#tell()
  }

  #tell(): void {
    const callback = this.#callback
    this.#callback = undefined
    if (this.#result !== undefined) callback?.(this.#result)
  }
}
