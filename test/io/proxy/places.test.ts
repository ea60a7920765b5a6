import { describe, expect, it } from 'vitest'
import { ClientPlaces } from '../../../src/io/proxy/places.ts'

describe('the places of client connections', () => {
  it('are one number for all listeners, tunnels that the relay has among them', () => {
    const places = new ClientPlaces(5)
    const told: number[] = []
    const other: number[] = []
    places.share({ leave: (left) => told.push(left) })
    places.share({ leave: (left) => other.push(left) })
    places.take()
    places.take()
    places.handedOver(2)
    places.giveBack()
    places.limit(3)
    expect(told).toEqual([5, 5, 4, 3, 1, 2, 0])
    expect(other).toEqual(told.slice(1))
    expect(places.taken).toBe(3)
  })
})
