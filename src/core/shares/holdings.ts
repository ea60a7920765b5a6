import type { LimitName, Share } from './share.ts'

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
  /** By limit and client; looked at several times a tunnel, so without a text for both. */
  readonly #held = new Map<LimitName, Map<string, Holding>>()

  /** Takes one of what is spare; false where nothing is. */
  take(share: Share): boolean {
    const holding = this.#of(share)
    if (holding === undefined || holding.spare === 0) return false
    holding.spare--
    holding.used++
    holding.active = true
    return true
  }

  /** A place that was taken is spare again. */
  putBack(share: Share): void {
    const holding = this.#of(share)
    if (holding === undefined || holding.used === 0) return
    holding.used--
    holding.spare++
  }

  /** The worker was given some. */
  add(share: Share, amount: number): void {
    const holding = this.#of(share)
    if (holding !== undefined) holding.spare += amount
    else if (amount > 0) this.#begin({ share, used: 0, spare: amount, active: true })
  }

  /** Gives up what is spare, or so much of it: the amount. */
  giveUp(share: Share, most = Number.POSITIVE_INFINITY): number {
    const holding = this.#of(share)
    if (holding === undefined) return 0
    const amount = Math.min(most, holding.spare)
    holding.spare -= amount
    if (holding.spare === 0 && holding.used === 0) this.#held.get(share.limit)?.delete(share.client)
    return amount
  }

  /** Everything that is spare. */
  spare(share: Share): number {
    return this.#of(share)?.spare ?? 0
  }

  /** Gives up all that is spare and was not drawn on since the last call; what is asked for all the time stays. */
  giveUpIdle(): [share: Share, amount: number][] {
    const idle = this.#all().filter((holding) => !holding.active)
    for (const holding of this.#all()) holding.active = false
    return this.#giveUp(idle)
  }

  /** Gives up all that is spare. */
  giveUpAll(): [share: Share, amount: number][] {
    return this.#giveUp(this.#all())
  }

  #of({ limit, client }: Share): Holding | undefined {
    return this.#held.get(limit)?.get(client)
  }

  #all(): Holding[] {
    return [...this.#held.values()].flatMap((clients) => [...clients.values()])
  }

  #begin(holding: Holding): void {
    const { limit, client } = holding.share
    const clients = this.#held.get(limit)
    if (clients === undefined) this.#held.set(limit, new Map([[client, holding]]))
    else clients.set(client, holding)
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
