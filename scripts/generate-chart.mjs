// Writes what scripts/chart/ makes: the chart's schema, value table, dashboards, and Azure's form of the alerts. With --check it says which are stale.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
// Inside node_modules' parent, so that the compiled files find their packages; Node 20 does not run TypeScript itself.
const out = join(root, 'node_modules', '.cache', 'sallyport-chart')
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'scripts', 'chart', 'tsconfig.json'), '--outDir', out], {
  cwd: root,
  stdio: 'inherit',
})
if (status !== 0) process.exit(status ?? 1)
writeFileSync(join(out, 'package.json'), '{ "type": "module" }\n')

const { chartFiles, readFrom } = await import(pathToFileURL(join(out, 'scripts', 'chart', 'files.js')).href)
const read = readFrom(pathToFileURL(root))
for (const { name, text } of chartFiles(read)) {
  let current
  try {
    current = readFileSync(join(root, name), 'utf8')
  } catch {
    current = undefined
  }
  if (current === text) continue
  if (process.argv.includes('--check')) {
    process.stderr.write(`${name} is stale; run \`npm run generate\`\n`)
    process.exitCode = 1
  } else {
    writeFileSync(join(root, name), text)
    process.stdout.write(`${name} written\n`)
  }
}
