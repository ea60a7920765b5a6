// One worker beside two: what a set-up costs altogether, and how evenly the two take the work.
import { startProxy, targetsOf } from './cases.mjs'
import { sallyport } from './peers.mjs'
import { cpuMs, load, pause, stop, tree } from './process.mjs'

/** Nobody is pinned: two workers are for two cores, and the generator takes what is left of them. */
const BOTH_CORES = '0,1'
const CONCURRENCY = 32

/** Each worker compiles for itself (see `cases.mjs`). */
const WARM_UP = 40_000

/** One round after a warm-up: microseconds a set-up, and each worker's part of the workers' time. */
async function measure(proxy, workers, count, { binary, origin }) {
  const args = ['setup', ...targetsOf(proxy, origin.echo), '--count', count, '--concurrency', CONCURRENCY, '--hello']
  const pids = tree(proxy.child.pid).filter((pid) => pid !== proxy.child.pid)
  const before = { all: cpuMs(proxy.child.pid), each: pids.map(cpuMs) }
  const { ok } = await load(binary, args, BOTH_CORES)
  if (ok < count * 0.99) throw new Error(`only ${ok} of ${count} set-ups with ${workers} workers`)
  await pause(300)
  const cpuUs = ((cpuMs(proxy.child.pid) - before.all) * 1000) / count
  if (workers === 1) return { cpuUs, shares: [1] }
  const each = pids.map((pid, i) => cpuMs(pid) - before.each[i])
  const total = each.reduce((sum, ms) => sum + ms, 0)
  return { cpuUs, shares: each.map((ms) => ms / total) }
}

/** @returns rounds of `{ one, two, shares }`: microseconds a set-up with one and with two, and the parts of the two */
export async function compareWorkers(node, { folder, rounds, quick, ...context }, say) {
  const proxies = []
  const found = []
  try {
    for (const workers of [1, 2]) {
      const peer = sallyport(node, 'kernel', workers)
      proxies.push({ workers, proxy: await startProxy(peer, folder, context.origin, BOTH_CORES) })
    }
    for (let round = 0; round <= rounds; round++) {
      const results = []
      for (const { workers, proxy } of proxies)
        results.push(await measure(proxy, workers, round === 0 ? WARM_UP * workers : quick ? 4_000 : 10_000, context))
      const [one, two] = results
      if (round > 0) found.push({ one: one.cpuUs, two: two.cpuUs, shares: two.shares })
      say(`two workers, round ${round} of ${rounds}${round === 0 ? ' (thrown away)' : ''}`)
    }
  } finally {
    for (const { proxy } of proxies) await stop(proxy.child)
  }
  return found
}
