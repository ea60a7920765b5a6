import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dayNumber } from '../../src/core/day.ts'

describe('the number of a day', () => {
  it('is 0 on the first of January 1970, and counts leap days', () => {
    expect(dayNumber('1970-01-01')).toBe(0)
    expect(dayNumber('2028-03-01') - dayNumber('2028-02-28')).toBe(2)
    expect(dayNumber('2100-03-01') - dayNumber('2100-02-28')).toBe(1)
  })

  it('agrees with the calendar that JavaScript keeps', () => {
    const days = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    fc.assert(
      fc.property(days, (date) => {
        const day = date.toISOString().slice(0, 10)
        expect(dayNumber(day)).toBe(Date.parse(day) / 86_400_000)
      }),
    )
  })
})
