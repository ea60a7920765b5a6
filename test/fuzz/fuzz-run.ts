import fc from 'fast-check'
import { it } from 'vitest'

/** `npm run fuzz` sets both; `npm test` runs a few cases of one seed, so that it fails for a reason and never by chance. */
const CASES = Number(process.env['SALLYPORT_FUZZ_CASES'] ?? 20_000)
const SEED = Number(process.env['SALLYPORT_FUZZ_SEED'] ?? 20_261_122)

const HOUR_MS = 3_600_000

/**
 * A property as a test.
 *
 * @param share of the cases asked for: what takes a hundred times as long gets a hundredth
 * @param casesEach cases that one run of the property judges
 */
export function fuzz<T extends [unknown, ...unknown[]]>(
  name: string,
  property: fc.IRawProperty<T>,
  { share = 1, casesEach = 1 }: { readonly share?: number; readonly casesEach?: number } = {},
): void {
  const numRuns = Math.max(1, Math.ceil((CASES * share) / casesEach))
  it(`${name} (${(numRuns * casesEach).toLocaleString('en')} cases, seed ${SEED})`, { timeout: HOUR_MS }, async () => {
    await fc.assert(property, { seed: SEED, numRuns })
  })
}
