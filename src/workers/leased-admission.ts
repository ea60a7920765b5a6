import { Holdings } from '../core/shares/holdings.ts'
import { keyOf, type LimitName, type Share, tunnelShares } from '../core/shares/share.ts'
import { type Admission, refusalOf, type TunnelRefusal } from '../io/proxy/admission.ts'

/** How long the primary may take to answer before the request is refused. */
const ANSWER_MS = 2_000

export interface LeasedAdmissionOptions {
  readonly onHit: (limit: LimitName) => void
  readonly onChange: (open: number) => void
  /** Asks the primary; what it gives comes back through `given`. */
  readonly ask: (share: Share) => void
}

interface Asking {
  readonly share: Share
  readonly waiting: ((nothingLeft: boolean) => void)[]
  readonly timer: NodeJS.Timeout
}

const ALL_INSPECTED: Share = { limit: 'inspected_tunnels', client: '' }

/**
 * The limits of the gateway in one of its workers: what it holds it gives at once, and for more it asks the primary. One question a
 * share at a time, whoever waits for it.
 */
export class LeasedAdmission implements Admission {
  readonly #options: LeasedAdmissionOptions
  readonly #holdings = new Holdings()
  readonly #asking = new Map<string, Asking>()
  /** Of the clients whose rate is used up: when there is one more. */
  readonly #noneUntil = new Map<string, number>()
  #open = 0

  constructor(options: LeasedAdmissionOptions) {
    this.#options = options
  }

  get tunnelsOpen(): number {
    return this.#open
  }

  takeRequest(client: string, nowMs: number): boolean | Promise<boolean> {
    const share: Share = { limit: 'requests_per_second_per_client', client }
    if (this.#holdings.take(share)) return true
    if ((this.#noneUntil.get(client) ?? 0) > nowMs) return this.#hit(share)
    return this.#askFor(share).then((taken) => taken || this.#hit(share))
  }

  takeTunnel(client: string): TunnelRefusal | Promise<TunnelRefusal> {
    const shares = tunnelShares(client)
    const short = shares.findIndex((share) => !this.#holdings.take(share))
    if (short >= 0) return this.#takeLater(shares, short)
    this.#options.onChange(++this.#open)
    return undefined
  }

  releaseTunnel(client: string): void {
    for (const share of tunnelShares(client)) this.#holdings.putBack(share)
    this.#options.onChange(--this.#open)
  }

  takeInspected(): boolean | Promise<boolean> {
    if (this.#holdings.take(ALL_INSPECTED)) return true
    return this.#askFor(ALL_INSPECTED).then((taken) => taken || this.#hit(ALL_INSPECTED))
  }

  releaseInspected(): void {
    this.#holdings.putBack(ALL_INSPECTED)
  }

  /** The primary's answer to a question. */
  given(share: Share, amount: number, retryMs: number, nowMs: number): void {
    this.#holdings.add(share, amount)
    if (share.limit === 'requests_per_second_per_client') {
      if (amount > 0) this.#noneUntil.delete(share.client)
      else this.#noneUntil.set(share.client, nowMs + retryMs)
    }
    this.#settle(share, amount === 0)
  }

  /** Gives up what is not in use: the amount. */
  recall(share: Share): number {
    return this.#holdings.giveUp(share)
  }

  /** Gives up what has not been drawn on since the last call. */
  giveUpIdle(nowMs: number): [Share, number][] {
    for (const [client, until] of this.#noneUntil) if (until <= nowMs) this.#noneUntil.delete(client)
    return this.#holdings.giveUpIdle()
  }

  /** Gives up all that is not in use: the limits have changed. */
  giveUpAll(): [Share, number][] {
    this.#noneUntil.clear()
    return this.#holdings.giveUpAll()
  }

  /** Takes the rest of the shares, asking where it has to; those that were taken go back where one cannot be had. */
  async #takeLater(shares: readonly Share[], from: number): Promise<TunnelRefusal> {
    for (const [at, share] of shares.entries()) {
      if (at < from || (at > from && this.#holdings.take(share)) || (await this.#askFor(share))) continue
      for (const taken of shares.slice(0, at)) this.#holdings.putBack(taken)
      this.#hit(share)
      return refusalOf(share.limit)
    }
    this.#options.onChange(++this.#open)
    return undefined
  }

  #hit({ limit }: Share): false {
    this.#options.onHit(limit)
    return false
  }

  /** Takes one as soon as there is one; false where the primary has none, or does not answer. */
  async #askFor(share: Share): Promise<boolean> {
    for (;;) {
      const nothingLeft = await new Promise<boolean>((resolve) => this.#question(share).waiting.push(resolve))
      if (this.#holdings.take(share)) return true
      // Others waited too, and took all that came.
      if (nothingLeft) return false
    }
  }

  #question(share: Share): Asking {
    const key = keyOf(share)
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const asked: Asking = { share, waiting: [], timer: setTimeout(() => this.#settle(share, true), ANSWER_MS).unref() }
    this.#asking.set(key, asked)
    this.#options.ask(share)
    return asked
  }

  #settle(share: Share, nothingLeft: boolean): void {
    const key = keyOf(share)
    const asking = this.#asking.get(key)
    if (asking === undefined) return
    clearTimeout(asking.timer)
    this.#asking.delete(key)
    for (const resolve of asking.waiting) resolve(nothingLeft)
  }
}
