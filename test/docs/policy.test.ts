import { describe, expect, it } from 'vitest'
import { parseHost } from '../../src/core/names/authority.ts'
import { hostPatternMatches, parseHostPattern } from '../../src/core/policy/host-pattern.ts'
import { parsePathPattern, pathAmbiguity } from '../../src/core/policy/path-pattern.ts'
import { unwrap } from '../support/policy.ts'
import { codeIn, page, tableUnder } from './pages.ts'

const POLICY = page('docs/policy.md')

/** Whether a client that asks for this text is let out by the pattern. */
function hostIsCovered(pattern: string, asked: string): boolean {
  const host = parseHost(asked)
  return host.ok && hostPatternMatches(unwrap(parseHostPattern(pattern)), host.value)
}

function pathIsCovered(pattern: string, path: string): boolean {
  return pathAmbiguity(path) === undefined && unwrap(parsePathPattern(pattern)).matches(path)
}

for (const [heading, isCovered] of [
  ['## Hosts', hostIsCovered],
  ['## Paths', pathIsCovered],
] as const)
  describe(`the table under "${heading}"`, () => {
    const rows = tableUnder(POLICY, heading)

    it('has rows', () => expect(rows.length).toBeGreaterThan(3))

    for (const [pattern = '', matches = '', misses = ''] of rows) {
      const [text = ''] = codeIn(pattern)
      it(`tells the truth about ${text}`, () => {
        expect(codeIn(matches).length).toBeGreaterThan(0)
        expect(codeIn(misses).length).toBeGreaterThan(0)
        for (const one of codeIn(matches)) expect(isCovered(text, one), one).toBe(true)
        for (const one of codeIn(misses)) expect(isCovered(text, one), one).toBe(false)
      })
    }
  })
