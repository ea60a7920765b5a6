// What hooks cost: processor time of the gateway for each tunnel's set-up, without hooks, with a hook whose answer is kept, and with one
// that is asked each time. All three gateways run side by side and take turns, so that a noisy machine is noisy to all.
//
//   npm run bench:hooks                     15 rounds of 2,000 set-ups each
//   npm run bench:hooks -- --rounds 5 --count 500
//   npm run bench:hooks -- --against DIR    beside the build of another checkout, from before there were hooks
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { endAll, freePorts, LOAD_CORE, PROXY_CORE, startPinned, stop } from './process.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, count: { type: 'string', default: '2000' }, against: { type: 'string' } },
})
const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-hooks-'))
const load = join(folder, 'load')

const HOOK = (keep) => `import { defineHook } from 'sallyport'
export default defineHook({ onRequest: ({ host, entry, proxyHeaders }) =>
  ({ verdict: host === 'no.test' || entry === undefined || proxyHeaders['x-blocked'] !== undefined ? 'deny' : 'pass'${keep} }) })
`
const VARIANTS = { none: undefined, kept: HOOK(', cacheSeconds: 3600'), asked: HOOK('') }

/** The gateway alone, without its hook process: what a hook takes is its own. In microseconds, by the scheduler's count. */
function cpuUs(pid) {
  let nanoseconds = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    } catch {
      // A thread that has ended.
    }
  }
  return nanoseconds / 1000
}

async function startGateway(name, hook, echo, folderOfBuild = root) {
  const config = join(folder, `${name}.yaml`)
  const [port] = await freePorts(1)
  writeFileSync(join(folder, `${name}.ts`), hook ?? '')
  writeFileSync(
    config,
    `listen: { proxy: "127.0.0.1:${port}", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }
${hook === undefined ? '' : `hooks: { files: [${name}.ts], timeoutMs: 5000 }`}
rules: [{ name: echo, hosts: [echo.test], ports: [${echo}], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${echo}" } }
audit: { file: /dev/null }
limits: { requestsPerSecondPerClient: 1000000, tunnelsPerClient: 20000 }
`,
  )
  const child = startPinned(PROXY_CORE, process.execPath, [join(folderOfBuild, 'dist', 'main.js'), 'serve', '--config', config])
  while (!child.output.includes('"msg":"serving"')) {
    if (child.exitCode !== null) throw new Error(child.output)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { name, port, child, us: [] }
}

async function setUp({ port, child }, echo, count) {
  const before = cpuUs(child.pid)
  const ran = startPinned(LOAD_CORE, load, [
    'setup',
    '--proxy',
    `127.0.0.1:${port}`,
    '--target',
    `echo.test:${echo}`,
    '--count',
    String(count),
    '--concurrency',
    '16',
  ])
  const { code } = await ran.ended
  if (code !== 0 || JSON.parse(ran.output).ok !== count) throw new Error(`load: ${ran.output}`)
  return (cpuUs(child.pid) - before) / count
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

try {
  const sources = readdirSync(join(root, 'bench', 'load')).filter((name) => name.endsWith('.c'))
  const gcc = spawnSync('gcc', ['-O2', '-o', load, ...sources.map((name) => join(root, 'bench', 'load', name))], {
    stdio: 'inherit',
  })
  if (gcc.status !== 0) throw new Error('the load generator does not compile')
  const [echo, source, sink, http] = await freePorts(4)
  startPinned(LOAD_CORE, load, [
    'origin',
    '--echo',
    String(echo),
    '--source',
    String(source),
    '--sink',
    String(sink),
    '--http',
    String(http),
  ])
  const gateways = []
  for (const [name, hook] of Object.entries(VARIANTS)) gateways.push(await startGateway(name, hook, echo))
  if (values.against !== undefined) gateways.push(await startGateway('against', undefined, echo, values.against))
  const count = Number(values.count)
  for (const gateway of gateways) await setUp(gateway, echo, count * 2)
  for (let round = 0; round < Number(values.rounds); round++)
    for (let turn = 0; turn < gateways.length; turn++) {
      const gateway = gateways[(turn + round) % gateways.length]
      gateway.us.push(await setUp(gateway, echo, count))
    }
  // Whatever else the machine does only adds: beside the median, the least of the rounds.
  const least = (us) => Math.min(...us)
  const more = (each, none) => `${((each / none - 1) * 100).toFixed(1)} %`
  for (const { name, us } of gateways)
    console.log(
      `${name.padEnd(8)} median ${median(us).toFixed(1)} us a set-up (${more(median(us), median(gateways[0].us))}), least ${least(us).toFixed(1)} us (${more(least(us), least(gateways[0].us))})`,
    )
  for (const { child } of gateways) await stop(child)
} finally {
  endAll()
  rmSync(folder, { recursive: true, force: true })
}
