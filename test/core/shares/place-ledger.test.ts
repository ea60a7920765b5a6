import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PlaceLedger } from '../../../src/core/shares/place-ledger.ts'
import { chunkOf, type Share } from '../../../src/core/shares/share.ts'

const TUNNELS: Share = { limit: 'tunnels', client: '' }
const OF_A: Share = { limit: 'tunnels_per_client', client: '10.0.0.1' }

describe('what a worker gets at once', () => {
  for (const [free, workers, chunk, because] of [
    [20_000, 2, 1_024, 'no more than others can do without'],
    [160, 2, 10, 'an eighth of its part'],
    [15, 2, 1, 'one at a time where there is little'],
    [1, 64, 1, 'the last one'],
    [0.9, 2, 0, 'no part of one'],
    [0, 2, 0, 'nothing'],
    [-3, 2, -3, 'nothing either, where the limit was lowered'],
  ] as const)
    it(`is ${chunk} of ${free} for ${workers} workers: ${because}`, () => expect(chunkOf(free, workers)).toBe(chunk))
})

describe('places that are given out', () => {
  it('are not given out twice', () => {
    const ledger = new PlaceLedger(() => 3)
    expect([1, 2, 1, 2].map((worker) => ledger.give(TUNNELS, worker, 2))).toEqual([1, 1, 1, 0])
  })

  it('can be had by others once they have come back, or their worker has gone', () => {
    const ledger = new PlaceLedger(() => 2)
    ledger.giveUpTo(TUNNELS, 1, 2)
    expect(ledger.giveUpTo(TUNNELS, 2, 1)).toBe(0)
    ledger.takeBack(TUNNELS, 1, 1)
    expect(ledger.giveUpTo(TUNNELS, 2, 5)).toBe(1)
    ledger.forget(1)
    expect(ledger.giveUpTo(TUNNELS, 2, 5)).toBe(1)
    expect(ledger.holdersOf(TUNNELS)).toEqual([2])
  })

  it('are counted for each client by itself', () => {
    const ledger = new PlaceLedger(() => 1)
    expect(ledger.give(OF_A, 1, 2)).toBe(1)
    expect(ledger.give({ ...OF_A, client: '10.0.0.2' }, 1, 2)).toBe(1)
    expect(ledger.give(OF_A, 2, 2)).toBe(0)
  })

  it('are overdrawn where the limit was lowered, and none is given until they are not', () => {
    let limit = 10
    const ledger = new PlaceLedger(() => limit)
    ledger.giveUpTo(TUNNELS, 1, 8)
    limit = 5
    expect(ledger.isOverdrawn(TUNNELS)).toBe(true)
    expect(ledger.give(TUNNELS, 2, 2)).toBe(0)
    ledger.takeBack(TUNNELS, 1, 4)
    expect(ledger.isOverdrawn(TUNNELS)).toBe(false)
    expect(ledger.giveUpTo(TUNNELS, 2, 9)).toBe(1)
  })

  it('never add up to more than the limit, whatever workers do', () => {
    const step = fc.record({
      act: fc.constantFrom('give', 'upTo', 'back', 'forget'),
      worker: fc.integer({ min: 1, max: 4 }),
      amount: fc.integer({ min: 0, max: 20 }),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        const ledger = new PlaceLedger(() => limit)
        const held = new Map<number, number>()
        for (const { act, worker, amount } of steps) {
          const has = held.get(worker) ?? 0
          if (act === 'give') held.set(worker, has + ledger.give(TUNNELS, worker, 4))
          else if (act === 'upTo') held.set(worker, has + ledger.giveUpTo(TUNNELS, worker, amount))
          else if (act === 'forget') {
            ledger.forget(worker)
            held.delete(worker)
          } else {
            ledger.takeBack(TUNNELS, worker, Math.min(has, amount))
            held.set(worker, has - Math.min(has, amount))
          }
          expect([...held.values()].reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(limit)
        }
      }),
      { seed: 5 },
    )
  })
})
