import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { burstOf, RateLedger } from '../../../src/core/shares/rate-ledger.ts'

const CLIENT = '10.0.0.1'

function ledgerOf(rate: number): RateLedger {
  return new RateLedger(() => rate, new Map())
}

describe('a rate that workers share', () => {
  it('gives one client its burst and no more', () => {
    const ledger = ledgerOf(1)
    expect([1, 2, 1].map((worker) => ledger.give(CLIENT, worker, 2, 0).amount)).toEqual([1, 1, 0])
    expect(ledger.give('10.0.0.2', 1, 2, 0).amount).toBe(1)
  })

  it('says when there is one more', () => {
    const ledger = ledgerOf(4)
    while (ledger.give(CLIENT, 1, 2, 1_000).amount > 0);
    expect(ledger.give(CLIENT, 1, 2, 1_000)).toEqual({ amount: 0, retryMs: 250 })
    expect(ledger.give(CLIENT, 1, 2, 1_249).amount).toBe(0)
    expect(ledger.give(CLIENT, 2, 2, 1_250).amount).toBe(1)
  })

  it('takes back what a worker did not use, for another', () => {
    const ledger = ledgerOf(100)
    const { amount } = ledger.give(CLIENT, 1, 2, 0)
    ledger.takeBack(CLIENT, 1, amount, 0)
    let given = 0
    for (let got = 1; got > 0; given += got) got = ledger.give(CLIENT, 2, 2, 0).amount
    expect(given).toBe(burstOf(100))
  })

  it('does not save up beside what is held: a worker that is idle makes nobody richer', () => {
    const ledger = ledgerOf(100)
    const { amount: held } = ledger.give(CLIENT, 1, 2, 0)
    let given = 0
    for (let got = 1; got > 0; given += got) got = ledger.give(CLIENT, 2, 2, 3_600_000).amount
    expect(held + given).toBeLessThanOrEqual(burstOf(100))
  })

  it('goes on where the clock stands or goes back', () => {
    const ledger = ledgerOf(10)
    ledger.give(CLIENT, 1, 2, 5_000)
    expect(ledger.give(CLIENT, 2, 2, 1_000).amount).toBeGreaterThan(0)
  })

  it('never lets through more than a burst and the rate, however requests are spread', () => {
    const step = fc.record({
      worker: fc.integer({ min: 1, max: 3 }),
      waitMs: fc.constantFrom(0, 0, 0, 3, 50, 700),
      requests: fc.integer({ min: 0, max: 30 }),
      givesBack: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.array(step, { maxLength: 80 }), (rate, steps) => {
        const ledger = ledgerOf(rate)
        const spare = new Map<number, number>()
        let nowMs = 0
        let served = 0
        for (const { worker, waitMs, requests, givesBack } of steps) {
          nowMs += waitMs
          for (let n = 0; n < requests; n++) {
            if ((spare.get(worker) ?? 0) === 0) spare.set(worker, ledger.give(CLIENT, worker, 3, nowMs).amount)
            const left = spare.get(worker) ?? 0
            if (left === 0) continue
            spare.set(worker, left - 1)
            served++
          }
          if (givesBack) {
            ledger.takeBack(CLIENT, worker, spare.get(worker) ?? 0, nowMs)
            spare.set(worker, 0)
          }
          expect(served).toBeLessThanOrEqual(burstOf(rate) + (rate * nowMs) / 1000)
        }
      }),
      { seed: 7, numRuns: 300 },
    )
  })
})
