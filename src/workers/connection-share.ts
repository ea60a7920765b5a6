/** How much of what is held is kept free for connections to come, before more is asked for. */
const HEADROOM = 1 / 8

export interface ConnectionShareOptions {
  /** Held at the start. */
  readonly held: number
  /** Client connections there are. */
  readonly open: () => number
  /** Tells the listener how many it may have. */
  readonly limit: (connections: number) => void
  readonly ask: () => void
}

/**
 * A worker's part of `limits.connections`. Node refuses a connection at once or not at all, so none can wait for an answer of the
 * primary: more is asked for ahead of need.
 */
export class ConnectionShare {
  readonly #options: ConnectionShareOptions
  #held: number
  #asking = false

  constructor(options: ConnectionShareOptions) {
    this.#options = options
    this.#held = options.held
  }

  /** To be called at every connection, and now and then. */
  look(): void {
    const headroom = Math.max(1, Math.floor(this.#held * HEADROOM))
    if (this.#asking || this.#held - this.#options.open() >= headroom) return
    this.#asking = true
    this.#options.ask()
  }

  given(amount: number): void {
    this.#asking = false
    this.#hold(this.#held + amount)
  }

  /**
   * Gives up half of what is free, at least one if there is one: the amount.
   *
   * @param keep gives up all but so many, used ones among them
   */
  recall(keep?: number): number {
    const free = Math.max(0, this.#held - this.#options.open())
    const amount = keep === undefined ? Math.ceil(free / 2) : Math.min(free, Math.max(0, this.#held - keep))
    this.#hold(this.#held - amount)
    return amount
  }

  #hold(held: number): void {
    if (held === this.#held) return
    this.#held = held
    this.#options.limit(held)
  }
}
