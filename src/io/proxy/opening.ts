import type { Denial } from '../../core/policy/enforce.ts'
import type { ClientHello } from '../../core/wire/client-hello.ts'
import { HelloReader } from '../../core/wire/client-hello.ts'
import type { HeldBytes } from './held-bytes.ts'

/** What became of a tunnel's opening. */
export type OpeningVerdict =
  | { readonly kind: 'hello'; readonly hello: ClientHello; readonly denial?: Denial }
  | { readonly kind: 'refused'; readonly denial: Denial }
  /** The client went, or said that it has nothing more to say, before there was an opening. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'timeout' }

/** What is inside a tunnel, judged before anything is relayed. */
export interface TunnelOpening {
  /** The verdict on what has arrived so far, or nothing while it is open. */
  now(): OpeningVerdict | undefined
  /** Waits for the verdict, for as long as an opening may take. */
  wait(deadlineMs: number): Promise<OpeningVerdict>
}

/** One that was judged before there was a tunnel. */
export class JudgedOpening implements TunnelOpening {
  readonly #verdict: OpeningVerdict

  constructor(verdict: OpeningVerdict) {
    this.#verdict = verdict
  }

  now(): OpeningVerdict {
    return this.#verdict
  }

  async wait(): Promise<OpeningVerdict> {
    return this.#verdict
  }
}

/** Reads the TLS opening out of the bytes held, piece by piece as they come, and has it judged. */
export class TlsOpening implements TunnelOpening {
  readonly #held: HeldBytes
  readonly #judge: (hello: ClientHello) => Denial | undefined
  readonly #reader = new HelloReader()
  #verdict: OpeningVerdict | undefined

  constructor(held: HeldBytes, judge: (hello: ClientHello) => Denial | undefined) {
    this.#held = held
    this.#judge = judge
  }

  /** The verdict on what has arrived so far, or nothing while it could still become a hello. */
  now(): OpeningVerdict | undefined {
    if (this.#verdict !== undefined) return this.#verdict
    for (const chunk of this.#held.takeNew()) {
      const reading = this.#reader.push(chunk)
      if (reading.kind === 'incomplete') continue
      this.#verdict = this.#verdictOn(reading)
      return this.#verdict
    }
    if (this.#held.isFull)
      this.#verdict = { kind: 'refused', denial: { reason: 'not_tls', detail: 'no ClientHello within what is held' } }
    else if (this.#held.ended) this.#verdict = { kind: 'closed' }
    return this.#verdict
  }

  /** Waits for the verdict, for as long as an opening may take. */
  wait(deadlineMs: number): Promise<OpeningVerdict> {
    const already = this.now()
    if (already !== undefined) return Promise.resolve(already)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve({ kind: 'timeout' }), deadlineMs)
      this.#held.onMore(() => {
        const verdict = this.now()
        if (verdict === undefined) return
        clearTimeout(timer)
        resolve(verdict)
      })
    })
  }

  #verdictOn(reading: Exclude<ReturnType<HelloReader['push']>, { kind: 'incomplete' }>): OpeningVerdict {
    if (reading.kind !== 'hello') return { kind: 'refused', denial: { reason: 'not_tls', detail: reading.why } }
    const denial = this.#judge(reading.hello)
    return { kind: 'hello', hello: reading.hello, ...(denial && { denial }) }
  }
}
