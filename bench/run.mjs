// Sallyport against its peers, in one run:
//
//   npm run bench [-- --quick] [--rounds N] [--only PROXY,PROXY] [--cases CASE,CASE] [--out FOLDER] [--own-node] [--requests N] [--minutes N] [--idle N]
//
// `--own-node` runs Sallyport on this Node alone instead of bringing Node 24; `--requests` is how many a round has, warm-up included;
// `--minutes` lets no round of the cases begin after so long, on a machine that is shared with others. `--idle`: tunnels
// of the memory case.
//
// Wants Linux with two cores, a C compiler and, for peers that are not installed, root and apt. The proxy has core 0, load and
// origin have core 1. What is compared is the processor time of the proxy's own processes; rounds are interleaved over all
// proxies, the first is thrown away, and ratios are taken within a round, so that what else the machine does cancels out.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CASES, latencyRound, memoryOf, startProxy } from './cases.mjs'
import { DENIED, direct, LEFT_OUT, machineFacts, ORIGIN_NAME, peersFor, provide, versionOf } from './peers.mjs'
import { endAll, freePorts, LOAD_CORE, load, residentBytes, startPinned, stop, untilListening } from './process.mjs'
import { writeReport } from './report.mjs'
import { compareWorkers } from './workers.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    cases: { type: 'string' },
    'own-node': { type: 'boolean', default: false },
    requests: { type: 'string' },
    minutes: { type: 'string' },
    idle: { type: 'string' },
    out: { type: 'string', default: join(ROOT, 'docs') },
  },
})
const { quick } = options
/** Under two minutes: those the targets name, and what they are measured against. */
const QUICK_PEERS = ['sallyport-kernel-24', 'sallyport-portable-24', 'squid', 'haproxy', 'pipe-24']
const QUICK_CASES = ['setup', 'denied', 'forward-kept', 'down-4', 'latency', 'memory']
const wantedPeers = options.only?.split(',') ?? (quick ? QUICK_PEERS : undefined)
const wantedCases = options.cases?.split(',') ?? (quick ? QUICK_CASES : undefined)
/** Cheap ones, and noisy: nobody is pinned. */
const WORKER_ROUNDS = 9
const wants = (id) => wantedCases === undefined || wantedCases.includes(id)
const rounds = Number(options.rounds ?? (quick ? 2 : 7))
const idleTunnels = Number(options.idle ?? (quick ? 2_000 : 8_000))
const began = Date.now()
const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
spawnSync('chmod', ['755', folder])

process.on('exit', () => {
  endAll()
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

const say = (text) => process.stderr.write(`[${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s] ${text}\n`)

function buildLoad() {
  const binary = join(folder, 'load')
  const sources = ['hello', 'main', 'origin', 'requests', 'setup', 'tunnels'].map((name) =>
    join(ROOT, 'bench', 'load', `${name}.c`),
  )
  const { status, stderr } = spawnSync(process.env['CC'] ?? 'cc', ['-std=c11', '-O2', '-o', binary, ...sources], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the load generator does not build: ${stderr}`)
  return binary
}

/** This Node, and Node 24, which the image ships: brought from npm into a folder of its own. */
function findNodes() {
  const own = { path: process.execPath, major: Number(process.versions.node.split('.')[0]), version: process.version }
  if (own.major >= 24 || options['own-node']) return [own]
  const prefix = join(ROOT, 'node_modules', '.cache', 'bench')
  const path = join(prefix, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  if (!existsSync(path)) {
    mkdirSync(prefix, { recursive: true })
    spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', prefix, `node-linux-${process.arch}@24`])
  }
  if (!existsSync(path)) return [own]
  const version = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout.trim()
  return [{ path, major: 24, version }, own]
}

/** Before anything is timed: the origin is reached, and what is not listed is not. */
async function checkPolicy(proxy, binary, origin) {
  const { peer, port, fronts } = proxy
  const at = `127.0.0.1:${peer.isDirect ? fronts.get(origin.echo) : port}`
  const flags = ['--count', 3, '--concurrency', 1, '--hello', ...(peer.isDirect ? ['--direct'] : [])]
  const allowed = await load(binary, ['setup', '--proxy', at, '--target', `${ORIGIN_NAME}:${origin.echo}`, ...flags])
  if (allowed.ok !== 3) throw new Error(`does not let its origin through: ${JSON.stringify(allowed)}`)
  if (peer.isOpen) return 'nothing: it has no policy'
  const denied = await load(binary, ['setup', '--proxy', at, '--target', DENIED, ...flags])
  if (denied.ok > 0) throw new Error('lets through what is not listed')
  return denied.refused === 3 ? `answered with ${denied.firstStatus}` : 'connection closed'
}

function startIdle(binary) {
  return async (args) => {
    const child = startPinned(LOAD_CORE, binary, args.map(String))
    let text = ''
    const opened = await new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        text += chunk
        if (text.includes('\n')) resolve(JSON.parse(text.split('\n')[0]))
      })
      void child.ended.then(() => reject(new Error(`load idle: ${child.output}`)))
    })
    return {
      open: opened.ok,
      release: async () => {
        child.stdin.end()
        await child.ended
      },
    }
  }
}

/** What a person has to say of the figures: kept apart, so that the next run does not overwrite it. */
function notes() {
  const file = join(ROOT, 'bench', 'notes.md')
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined
}

async function main() {
  const shared = loadavg()[0]
  const binary = buildLoad()
  const nodes = findNodes()
  const [echo, source, sink, http] = await freePorts(4)
  const origin = { echo, source, sink, http }
  const originArgs = Object.entries(origin).flatMap(([kind, port]) => [`--${kind}`, String(port)])
  const originChild = startPinned(LOAD_CORE, binary, ['origin', ...originArgs])
  await untilListening(originChild, echo)

  const left = [...LEFT_OUT]
  const proxies = []
  for (const peer of peersFor(nodes)) {
    if (wantedPeers !== undefined && !wantedPeers.includes(peer.name)) continue
    try {
      const because = provide(peer)
      if (because !== undefined) throw new Error(because)
      const proxy = await startProxy(peer, folder, origin)
      proxy.denies = await checkPolicy(proxy, binary, origin)
      proxy.version = versionOf(peer)
      proxies.push(proxy)
      say(`${peer.title}: ready; what is not listed: ${proxy.denies}`)
    } catch (error) {
      left.push(`${peer.title}: ${error.message}`)
      say(`${peer.title}: left out: ${error.message}`)
    }
  }

  const requests = options.requests === undefined ? undefined : Number(options.requests)
  const context = { binary, origin, quick, requests }
  const results = new Map(CASES.map(({ id }) => [id, new Map()]))
  const note = (id, proxy, found) => {
    const byPeer = results.get(id)
    byPeer.set(proxy.peer.name, [...(byPeer.get(proxy.peer.name) ?? []), found])
  }
  let done = 0
  for (let round = 0; round <= rounds; round++) {
    if (round > 1 && Date.now() - began > Number(options.minutes ?? Infinity) * 60_000) break
    done = round
    for (const one of CASES.filter(({ id }) => wants(id))) {
      const subjects = one.withDirect ? [...proxies, { peer: direct }] : proxies
      for (const proxy of subjects) {
        if (one.applies !== undefined && !one.applies(proxy.peer)) continue
        if (proxy.broken?.has(one.id)) continue
        try {
          const found = await one.run(proxy, { ...context, isWarmUp: round === 0 })
          if (round > 0) note(one.id, proxy, found)
        } catch (error) {
          proxy.broken = (proxy.broken ?? new Set()).add(one.id)
          left.push(`${proxy.peer.title}, ${one.id}: ${error.message}`)
          say(`${proxy.peer.title}, ${one.id}: left out: ${error.message}`)
        }
      }
      say(`round ${round} of ${rounds}${round === 0 ? ' (thrown away)' : ''}: ${one.id}`)
    }
  }

  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
  const latency = new Map()
  for (let round = 0; wants('latency') && round < (quick ? 1 : 3); round++) {
    for (const proxy of [...proxies, { peer: direct }]) {
      const setups = results.get('setup').get(proxy.peer.name) ?? results.get('setup').get('squid') ?? []
      if (setups.length === 0) continue
      const found = await latencyRound(proxy, median(setups.map(({ value }) => value)), context)
      latency.set(proxy.peer.name, [...(latency.get(proxy.peer.name) ?? []), found])
    }
    say(`latency at half load, round ${round + 1}`)
  }

  for (const { child } of proxies) await stop(child)
  const memory = new Map()
  for (let round = 0; wants('memory') && round < (quick ? 1 : 3); round++) {
    for (const { peer } of proxies) {
      const tunnels = Math.min(idleTunnels, peer.maxTunnels ?? idleTunnels)
      try {
        const proxy = await startProxy(peer, folder, origin)
        const bytes = await memoryOf(proxy, { ...context, tunnels, startIdle: startIdle(binary), residentBytes })
        await stop(proxy.child)
        memory.set(peer.name, { tunnels, bytes: [...(memory.get(peer.name)?.bytes ?? []), bytes] })
        say(`memory: ${peer.title}: ${Math.round(bytes)} bytes a tunnel`)
      } catch (error) {
        if (round === 0) left.push(`${peer.title}, memory: ${error.message}`)
        say(`memory: ${peer.title}: left out: ${error.message}`)
      }
    }
  }
  let workers = []
  if (wants('workers')) {
    try {
      workers = await compareWorkers(nodes[0], { ...context, folder, rounds: quick ? 1 : WORKER_ROUNDS }, say)
    } catch (error) {
      left.push(`two workers: ${error.message}`)
    }
  }
  await stop(originChild)

  let decisions = ''
  if (wants('decisions') && (!quick || wantedCases.includes('decisions'))) {
    say('decision cost over policy size')
    const node = nodes[0].path
    decisions = spawnSync(node, ['--expose-gc', '--max-old-space-size=4096', join(ROOT, 'bench', 'decide.mjs')], {
      encoding: 'utf8',
    }).stdout
  }
  const facts = {
    ...machineFacts(),
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    shared,
    rounds: done,
    quick,
    nodes: nodes.map(({ version }) => version),
    version: JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version,
    idleTunnels,
    seconds: Math.round((Date.now() - began) / 1000),
  }
  const report = {
    facts,
    proxies: proxies.map(({ peer, version, denies }) => ({ peer, version, denies })),
    results,
    latency,
    memory,
    workers,
    decisions,
    left,
    notes: notes(),
  }
  mkdirSync(options.out, { recursive: true })
  const { markdown, svg, summary } = writeReport(report)
  writeFileSync(join(options.out, 'benchmarks.md'), markdown)
  writeFileSync(join(options.out, 'benchmarks.svg'), svg)
  process.stdout.write(`${summary}\n`)
}

await main()
process.exit(0)
