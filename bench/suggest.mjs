// That `sallyport suggest` reads a log of any length in the same memory, and how fast.
//
//   npm run bench:suggest            1 GB
//   npm run bench:suggest -- 100     megabytes
//
// A log is made as it is read: two lines in three are allowed requests, the others are refused, and one in a hundred of those asks
// for a name that never comes again. The heap is bounded from outside (HEAP_MB), so that the run fails where memory grows.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

const BYTES = Number(process.argv[2] ?? 1_000) * 1e6
const HEAP_MB = 64
const START_MS = Date.UTC(2026, 0, 1)
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

function line(n) {
  const allowed = n % 3 !== 0
  const host = allowed ? 'pypi.org' : n % 100 === 0 ? `r${n}.flood.test` : `h${n % 997}.zone-${n % 31}.example.com`
  return `${JSON.stringify({
    time: new Date(START_MS + n * 10).toISOString(),
    id: `13d15996-19e8-47f5-a4fd-${String(n).padStart(12, '0')}`,
    event: allowed ? 'allow' : 'deny',
    kind: 'connect',
    listener: 'proxy',
    client: `10.0.${n % 7}.${n % 201}`,
    clientPort: 50_000,
    host,
    port: 443,
    method: 'CONNECT',
    ...(allowed ? { entry: '2021-07-29/python/pypi.org', feature: 'python' } : { reason: 'host_not_listed' }),
    durationMs: 4.3,
    gateway: `gw-${n % 3}`,
    policyHash: '10744b6074b3',
  })}\n`
}

const started = performance.now()
const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MB}`, main, 'suggest', '-'], {
  stdio: ['pipe', 'ignore', 'inherit'],
})
const ended = new Promise((resolve) => child.once('close', resolve))
let peakKb = 0
let bytes = 0
for (let n = 0; bytes < BYTES; ) {
  let text = ''
  for (const end = n + 2_000; n < end; n++) text += line(n)
  bytes += text.length
  if (!child.stdin.write(text)) await new Promise((resolve) => child.stdin.once('drain', resolve))
  if (process.platform === 'linux' && n % 100_000 === 0) {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
    peakKb = Number(peak?.[1] ?? peakKb)
  }
}
child.stdin.end()
const code = await ended
const seconds = (performance.now() - started) / 1000
process.stdout.write(
  `${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s (making it included), ${(peakKb / 1024).toFixed(0)} MB resident at most, ` +
    `heap bounded to ${HEAP_MB} MB, Node ${process.version}\n`,
)
process.exitCode = code === 0 ? 0 : 1
