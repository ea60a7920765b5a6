// Fuzzes the matcher and every parser that meets bytes from outside.
//
//   npm run fuzz                                  1,000,000 cases of the matcher, fewer of what is slower
//   npm run fuzz -- --cases 20000 --seed 7        a seed repeats a run
//   npm run fuzz -- --only "the matcher"          part of a property's name
//
// The properties are test/fuzz/*.test.ts; `npm test` runs them with few cases and one seed.
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const MAX_SEED = 0x7fffffff
const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: { cases: { type: 'string', default: '1000000' }, seed: { type: 'string' }, only: { type: 'string' } },
})
const cases = Number(values.cases)
const seed = Number(values.seed ?? randomInt(MAX_SEED))
if (!Number.isInteger(cases) || cases < 1 || !Number.isInteger(seed)) {
  process.stderr.write('--cases and --seed want whole numbers\n')
  process.exit(2)
}
process.stdout.write(
  `fuzz: ${cases.toLocaleString('en')} cases, seed ${seed}; again with: npm run fuzz -- --cases ${cases} --seed ${seed}\n`,
)
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=verbose',
    'test/fuzz/',
    ...(values.only === undefined ? [] : ['-t', values.only]),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, SALLYPORT_FUZZ_CASES: String(cases), SALLYPORT_FUZZ_SEED: String(seed) },
  },
)
process.exitCode = status ?? 1
