/** Lets so many a second through, and tells the next one how many were kept back: what an operator's code does must not flood the log. */
export class Rationed {
  readonly #perSecond: number
  #second = 0
  #passed = 0
  #missed = 0

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  pass(act: (missed: number | undefined) => void): void {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#passed = 0
    }
    if (this.#passed >= this.#perSecond) {
      this.#missed++
      return
    }
    this.#passed++
    const missed = this.#missed
    this.#missed = 0
    act(missed === 0 ? undefined : missed)
  }
}
