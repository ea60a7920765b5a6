import { describe, expect, it } from 'vitest'
import { CLOUDS, type Cloud } from './doc-2021.ts'
import { NEAR_MISSES, type NearMiss } from './near-misses.ts'
import { covers, filledIn, readPlainly, rows } from './shipped-2021.ts'

const titleOf = (one: NearMiss): string =>
  `${one.verdict}s ${one.host}:${one.port ?? 443}${one.path ?? ''} in ${one.cloud}: ${one.because}`

describe('the table of near misses', () => {
  for (const one of NEAR_MISSES) it(titleOf(one), () => expect(readPlainly(one)).toBe(one.verdict))

  it('states no case twice', () => {
    const keys = NEAR_MISSES.map((one) => JSON.stringify([one.cloud, one.pattern, one.host, one.port, one.path, one.features]))
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([])
  })

  const patternsIn = (cloud: Cloud): readonly string[] => [...new Set(rows.flatMap((row) => row.hosts[cloud].map(filledIn)))]

  for (const cloud of CLOUDS)
    for (const pattern of patternsIn(cloud))
      it(`probes ${pattern} in ${cloud} with a hit and at least two near misses`, () => {
        const cases = NEAR_MISSES.filter((one) => one.cloud === cloud && one.pattern === pattern)
        expect(cases.filter((one) => one.verdict !== 'deny' && covers(pattern, one.host)).length).toBeGreaterThanOrEqual(1)
        expect(cases.filter((one) => one.verdict === 'deny').length).toBeGreaterThanOrEqual(2)
      })
})
