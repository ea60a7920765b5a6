// `npm run generate`: writes every generated file, or with --check says which of them are stale.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const words = process.argv.slice(2)
let worst = 0
for (const [script, ...more] of [
  ['scripts/build.mjs', '--if-needed'],
  // The chart's files are made from the first's, hence the order.
  ['dist/cli/generate.js', ...words],
  ['scripts/generate-chart.mjs', ...words],
]) {
  const { status } = spawnSync(process.execPath, [script, ...more], { cwd: root, stdio: 'inherit' })
  worst = Math.max(worst, status ?? 1)
}
process.exitCode = worst
