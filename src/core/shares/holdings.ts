import { keyOf, type Share } from './share.ts'

interface Holding {
  readonly share: Share
  /** Taken and not put back; a request is never put back. */
  used: number
  /** Held and not used. */
  spare: number
  /** Something was taken since the last look for idle ones. */
  active: boolean
}

/** What one worker holds of the gateway's limits: it takes from that without asking, and asks when nothing is left. */
export class Holdings {
  readonly #held = new Map<string, Holding>()

  /** Takes one of what is spare; false where nothing is. */
  take(share: Share): boolean {
    const holding = this.#held.get(keyOf(share))
    if (holding === undefined || holding.spare === 0) return false
    holding.spare--
    holding.used++
    holding.active = true
    return true
  }

  /** A place that was taken is spare again. */
  putBack(share: Share): void {
    const holding = this.#held.get(keyOf(share))
    if (holding === undefined || holding.used === 0) return
    holding.used--
    holding.spare++
  }

  /** The worker was given some. */
  add(share: Share, amount: number): void {
    const key = keyOf(share)
    const holding = this.#held.get(key)
    if (holding !== undefined) holding.spare += amount
    else if (amount > 0) this.#held.set(key, { share, used: 0, spare: amount, active: true })
  }

  /** Gives up what is spare, or so much of it: the amount. */
  giveUp(share: Share, most = Number.POSITIVE_INFINITY): number {
    const key = keyOf(share)
    const holding = this.#held.get(key)
    if (holding === undefined) return 0
    const amount = Math.min(most, holding.spare)
    holding.spare -= amount
    if (holding.spare === 0 && holding.used === 0) this.#held.delete(key)
    return amount
  }

  /** Everything that is spare. */
  spare(share: Share): number {
    return this.#held.get(keyOf(share))?.spare ?? 0
  }

  /** Gives up all that is spare and was not drawn on since the last call; what is asked for all the time stays. */
  giveUpIdle(): [share: Share, amount: number][] {
    const idle = [...this.#held.values()].filter((holding) => !holding.active)
    for (const holding of this.#held.values()) holding.active = false
    return this.#giveUp(idle)
  }

  /** Gives up all that is spare. */
  giveUpAll(): [share: Share, amount: number][] {
    return this.#giveUp([...this.#held.values()])
  }

  #giveUp(holdings: readonly Holding[]): [share: Share, amount: number][] {
    return holdings.flatMap((holding): [Share, number][] => {
      const isRate = holding.share.limit === 'requests_per_second_per_client'
      // What was taken of a rate is gone for good.
      if (isRate) holding.used = 0
      const amount = this.giveUp(holding.share)
      return amount > 0 || isRate ? [[holding.share, amount]] : []
    })
  }
}
