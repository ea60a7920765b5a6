// Soaks the built program: mixed load with faults injected, and then whether everything came back to where it was.
//
//   npm run soak                        1 minute, as CI runs it
//   npm run soak -- 60                  so many minutes
//   npm run soak -- 10 --workers 2      several processes
//
// The soak is test/soak/soak.test.ts; the figures at its end are those of docs/reliability.md.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values, positionals } = parseArgs({ allowPositionals: true, options: { workers: { type: 'string', default: '1' } } })
const minutes = Number(positionals[0] ?? 1)
const workers = Number(values.workers)
if (!(minutes > 0) || !Number.isInteger(workers) || workers < 1 || positionals.length > 1) {
  process.stderr.write('usage: npm run soak -- [MINUTES] [--workers N]\n')
  process.exit(2)
}
const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', '--reporter=verbose', 'test/soak/'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, SALLYPORT_SOAK_MINUTES: String(minutes), SALLYPORT_SOAK_WORKERS: String(workers) },
  },
)
process.exitCode = status ?? 1
