// What is measured of each proxy, and how one round of it is run.

import { DENIED, ORIGIN_NAME } from './peers.mjs'
import { cpuMs, freePorts, load, PROXY_CORE, pause, startPinned, untilListening } from './process.mjs'

const MB = 1e6

/** Starts a proxy with what it needs to reach each port of the origin. */
export async function startProxy(peer, folder, origin, core = PROXY_CORE) {
  const targets = [origin.echo, origin.source, origin.sink, origin.http]
  const [port, metrics, admin, ...frontPorts] = await freePorts(3 + targets.length)
  const fronts = new Map(targets.map((target, i) => [target, frontPorts[i]]))
  const [program, ...args] = peer.command(folder, port, { ports: targets, fronts, metrics, admin })
  const child = startPinned(core, program, args)
  await untilListening(child, peer.isDirect ? fronts.get(origin.echo) : port)
  return { peer, child, port, fronts }
}

/** The address a proxy is reached at for an origin's port, and whether CONNECT is spoken there. */
export function targetsOf(proxy, target) {
  const { peer } = proxy
  const port = peer.name === 'direct' ? target : peer.isDirect ? proxy.fronts.get(target) : proxy.port
  return ['--proxy', `127.0.0.1:${port}`, '--target', `${ORIGIN_NAME}:${target}`, ...(peer.isDirect ? ['--direct'] : [])]
}

/** The processor time that a proxy took for what the generator did, the work behind it included. */
async function timed(proxy, binary, args) {
  const before = proxy.child === undefined ? 0 : cpuMs(proxy.child.pid)
  const result = await load(binary, args)
  // What is done after the last answer (audit lines, closed sockets) belongs to it.
  await pause(100)
  const after = proxy.child === undefined ? 0 : cpuMs(proxy.child.pid)
  return { ...result, cpuMs: after - before }
}

function expectAll(result, wanted, field = 'ok') {
  if (result[field] < wanted * 0.99) throw new Error(`only ${result[field]} of ${wanted}: ${JSON.stringify(result)}`)
}

/** A just-in-time compiler is done after some ten thousand requests, and a gateway runs for weeks. */
const WARM_UP = 40_000
const QUICK_WARM_UP = 8_000

function countFor({ peer }, { quick, isWarmUp, requests }) {
  if (requests !== undefined) return requests
  const isNode = peer.binary === undefined
  return isWarmUp && isNode ? (quick ? QUICK_WARM_UP : WARM_UP) : quick ? 2_500 : 20_000
}

function bulk(id, title, { tunnels, up, message, only }) {
  return {
    id,
    title,
    unit: 'CPU ms per GB',
    digits: 0,
    withDirect: true,
    applies: (peer) => only === undefined || only(peer),
    async run(proxy, { binary, origin, quick }) {
      const total = (quick ? 250 : 500) * MB * (message < 4096 ? 0.25 : 1)
      const bytes = Math.round(total / tunnels)
      const target = up ? origin.sink : origin.source
      const args = ['bulk', ...targetsOf(proxy, target), '--tunnels', tunnels, '--bytes', bytes, up ? '--up' : '--down']
      const result = await timed(proxy, binary, [...args, '--message', message, '--hello'])
      // Some close a tunnel whose client has ended instead of waiting for the origin's word; the bytes are through all the same.
      if (result.bytes < bytes * tunnels) expectAll(result, tunnels)
      return { value: result.cpuMs / (result.bytes / 1e9), rate: result.bytes / 1e6 / (result.wallMs / 1000) }
    },
  }
}

export const CASES = [
  {
    id: 'setup',
    title: 'Tunnel set-up: connect, CONNECT, 200, a ClientHello there and back, reset',
    unit: 'CPU µs',
    digits: 0,
    perSecond: 'set-ups',
    async run(proxy, { binary, origin, ...size }) {
      const count = countFor(proxy, size)
      const args = ['setup', ...targetsOf(proxy, origin.echo), '--count', count, '--concurrency', 16, '--hello']
      const result = await timed(proxy, binary, args)
      expectAll(result, count)
      return { value: (result.cpuMs * 1000) / count }
    },
  },
  {
    id: 'denied',
    title: 'Denied CONNECT: connect, CONNECT of a host that is not listed, 403',
    unit: 'CPU µs',
    digits: 0,
    perSecond: 'denials',
    applies: (peer) => !peer.isDirect,
    async run(proxy, { binary, ...size }) {
      const count = countFor(proxy, size)
      const args = ['setup', '--proxy', `127.0.0.1:${proxy.port}`, '--target', DENIED, '--count', count, '--concurrency', 16]
      const result = await timed(proxy, binary, args)
      expectAll(result, count, 'refused')
      return { value: (result.cpuMs * 1000) / count }
    },
  },
  ...[true, false].map((kept) => ({
    id: kept ? 'forward-kept' : 'forward-new',
    title: `Forwarded plain-HTTP request, 1 KB answer, ${kept ? 'client connections kept' : 'a client connection each'}`,
    unit: 'CPU µs',
    digits: 0,
    perSecond: 'requests',
    applies: (peer) => peer.forwards !== false && !(kept && peer.keepsClients === false),
    async run(proxy, { binary, origin, ...size }) {
      const count = countFor(proxy, size)
      const args = ['request', ...targetsOf(proxy, origin.http), '--count', count, '--concurrency', 16]
      const result = await timed(proxy, binary, kept ? [...args, '--keep-alive'] : args)
      expectAll(result, count)
      return { value: (result.cpuMs * 1000) / count }
    },
  })),
  bulk('down-1', 'Bulk down, 1 tunnel, 64 KB writes', { tunnels: 1, up: false, message: 65_536 }),
  bulk('down-4', 'Bulk down, 4 tunnels, 64 KB writes', { tunnels: 4, up: false, message: 65_536 }),
  bulk('down-64', 'Bulk down, 64 tunnels, 64 KB writes', { tunnels: 64, up: false, message: 65_536 }),
  bulk('up-1', 'Bulk up, 1 tunnel, 64 KB writes', { tunnels: 1, up: true, message: 65_536 }),
  bulk('up-small-4', 'Small messages up, 4 tunnels, 512-byte writes', { tunnels: 4, up: true, message: 512 }),
]

/** Set-ups at half of what the proxy's core can do: p50 and p99 from the intended start, so a late start counts. */
export async function latencyRound(proxy, setupUs, { binary, origin, quick }) {
  const rate = Math.max(50, Math.round(0.5e6 / setupUs))
  const count = Math.round(rate * (quick ? 1 : 2))
  const args = ['setup', ...targetsOf(proxy, origin.echo), '--count', count, '--rate', rate, '--hello']
  const { p50Us, p99Us } = await load(binary, args)
  return { rate, p50Us, p99Us }
}

/** Tunnels that are open and idle; resolves to the bytes of memory each holds. */
export async function memoryOf(proxy, { binary, origin, tunnels, startIdle, residentBytes }) {
  const warm = await load(binary, ['setup', ...targetsOf(proxy, origin.echo), '--count', 200, '--concurrency', 8, '--hello'])
  expectAll(warm, 200)
  await pause(1500)
  const before = residentBytes(proxy.child.pid)
  const idle = await startIdle(['idle', ...targetsOf(proxy, origin.echo), '--tunnels', tunnels, '--hello'])
  await pause(2500)
  const after = residentBytes(proxy.child.pid)
  await idle.release()
  if (idle.open < tunnels) throw new Error(`only ${idle.open} of ${tunnels} tunnels`)
  return (after - before) / tunnels
}
