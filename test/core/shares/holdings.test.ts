import { describe, expect, it } from 'vitest'
import { Holdings } from '../../../src/core/shares/holdings.ts'
import type { Share } from '../../../src/core/shares/share.ts'

const TUNNELS: Share = { limit: 'tunnels', client: '' }
const RATE: Share = { limit: 'requests_per_second_per_client', client: '10.0.0.1' }

describe('what a worker holds of a limit', () => {
  it('is taken one by one, and put back', () => {
    const holdings = new Holdings()
    expect(holdings.take(TUNNELS)).toBe(false)
    holdings.add(TUNNELS, 1)
    expect(holdings.take(TUNNELS)).toBe(true)
    expect(holdings.take(TUNNELS)).toBe(false)
    holdings.putBack(TUNNELS)
    expect(holdings.take(TUNNELS)).toBe(true)
  })

  it('is given up but for what is in use', () => {
    const holdings = new Holdings()
    holdings.add(TUNNELS, 5)
    holdings.take(TUNNELS)
    expect(holdings.giveUp(TUNNELS)).toBe(4)
    holdings.putBack(TUNNELS)
    expect(holdings.giveUpAll()).toEqual([[TUNNELS, 1]])
    expect(holdings.giveUpAll()).toEqual([])
  })

  it('is kept while it is drawn on, and given up once it is idle', () => {
    const holdings = new Holdings()
    holdings.add(TUNNELS, 5)
    expect(holdings.giveUpIdle()).toEqual([])
    holdings.take(TUNNELS)
    expect(holdings.giveUpIdle()).toEqual([])
    expect(holdings.giveUpIdle()).toEqual([[TUNNELS, 4]])
  })

  it('is not put back where it is a rate: a request that was taken is gone', () => {
    const holdings = new Holdings()
    holdings.add(RATE, 2)
    holdings.take(RATE)
    expect(holdings.giveUpAll()).toEqual([[RATE, 1]])
    expect(holdings.giveUpAll()).toEqual([])
  })

  it('is told to be idle also where all of a rate was used, so that it can be saved up again', () => {
    const holdings = new Holdings()
    holdings.add(RATE, 1)
    holdings.take(RATE)
    expect(holdings.giveUpIdle()).toEqual([])
    expect(holdings.giveUpIdle()).toEqual([[RATE, 0]])
  })

  it('does not grow by what is put back and was never taken', () => {
    const holdings = new Holdings()
    holdings.putBack(TUNNELS)
    holdings.add(TUNNELS, 1)
    holdings.putBack(TUNNELS)
    expect(holdings.spare(TUNNELS)).toBe(1)
  })
})
