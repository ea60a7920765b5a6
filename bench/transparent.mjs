// What a connection costs that never asked for a proxy: transparent TLS against nginx (`stream` with `ssl_preread`) and HAProxy (TCP
// mode with `req.ssl_sni`), all three leading by the server name.
//
//   npm run build && node bench/transparent.mjs [--rounds N]
//
// Wants Linux with two cores, root, a C compiler, iproute2, nftables, nginx with its stream module, and HAProxy. Clients, gateway and
// origins have a network namespace each, which this program makes and which end with it. Connections go to the origin's own address and
// are redirected by the rules of `sallyport subnet`, for the others to their port: what the kernel does for that is the same for all three.
// The proxy has core 0, load and origins core 1; rounds are interleaved and the first is thrown away; ratios are taken within a round.
// Fails (exit 1) where Sallyport takes more processor time than it may.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { machineFacts } from './peers.mjs'
import { cpuMs, endAll, LOAD_CORE, PROXY_CORE, pause, startPinned, stop } from './process.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAIN = join(ROOT, 'dist', 'main.js')
const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
const rounds = Number(options.rounds)

/** Most processor time, as a multiple of nginx's. */
const LIMITS = { setup: 2.0, down: 0.6, up: 0.6 }

const SETUPS = 20_000
/** A just-in-time compiler is done after some ten thousand, and a gateway runs for weeks. */
const WARM_UP = 40_000
const BULK_BYTES = 1e9
const BULK_TUNNELS = 4

const GATEWAY = '10.44.0.1'
const FRONT = 8443
/** Addresses that the vetting takes for the internet's; nothing leaves the namespaces. */
const ORIGINS = { echo: '203.0.114.7', source: '203.0.114.8', sink: '203.0.114.9' }
const LISTED = [
  ...Object.entries(ORIGINS).map(([kind, address]) => [`${kind}.test`, address]),
  ...Array.from({ length: 100 }, (_, at) => [`host-${at}.example.com`, ORIGINS.echo]),
]

const folder = mkdtempSync(join(tmpdir(), 'sallyport-transparent-'))
spawnSync('chmod', ['755', folder])
process.on('exit', () => {
  endAll()
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

function must(command, args, input) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}${stdout}`)
  return stdout
}

/** A network namespace: it lasts as long as its holder, which ends with this program's end of its standard input. */
async function namespace(name) {
  const hosts = join(folder, `hosts-${name}`)
  writeFileSync(hosts, ['127.0.0.1 localhost', ...LISTED.map(([host, address]) => `${address} ${host}`), ''].join('\n'))
  const script = 'mount --bind "$1" /etc/hosts && ip link set lo up && echo ready && exec cat'
  const holder = startPinned(LOAD_CORE, 'unshare', ['--net', '--mount', 'sh', '-c', script, 'sh', hosts])
  for (let tries = 0; !holder.output.includes('ready'); tries++) {
    if (tries === 100) throw new Error(`no namespace ${name}: ${holder.output}`)
    await pause(50)
  }
  const words = ['--target', String(holder.pid), '--net', '--mount', 'setpriv', '--pdeathsig', 'KILL']
  return {
    pid: holder.pid,
    run: (command, args, input) => must('nsenter', [...words, command, ...args], input),
    start: (core, command, args) => startPinned(core, 'nsenter', [...words, command, ...args.map(String)]),
  }
}

async function network() {
  const [clients, gateway, internet] = [await namespace('clients'), await namespace('gateway'), await namespace('internet')]
  must('ip', ['link', 'add', 'lan', 'netns', String(clients.pid), 'type', 'veth', 'peer', 'lan', 'netns', String(gateway.pid)])
  must('ip', ['link', 'add', 'wan', 'netns', String(gateway.pid), 'type', 'veth', 'peer', 'wan', 'netns', String(internet.pid)])
  const ip = (where, lines) => where.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`)
  ip(clients, ['addr add 10.44.0.10/24 dev lan', 'link set lan up', `route add default via ${GATEWAY}`])
  ip(gateway, [`addr add ${GATEWAY}/24 dev lan`, 'link set lan up', 'addr add 10.45.0.2/24 dev wan', 'link set wan up'])
  ip(gateway, ['route add default via 10.45.0.1'])
  ip(internet, ['addr add 10.45.0.1/24 dev wan', 'link set wan up'])
  ip(
    internet,
    Object.values(ORIGINS).map((address) => `addr add ${address}/32 dev lo`),
  )
  // Each set-up takes a port on the way out, and some thousand a second are made.
  gateway.run('sh', ['-c', 'echo 1024 65000 > /proc/sys/net/ipv4/ip_local_port_range; echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse'])
  return { clients, gateway, internet }
}

/** What `sallyport subnet` has the kernel do, with Sallyport's own port in it. */
let rules = ''

const sallyport = {
  name: 'Sallyport',
  isNode: true,
  port: 3443,
  command(own) {
    const config = join(own, 'gateway.yaml')
    writeFileSync(
      config,
      `listen:
  proxy: "127.0.0.1:3128"
  metrics: "127.0.0.1:9464"
  admin: "127.0.0.1:9465"
  transparent: { tls: "0.0.0.0:3443" }
clients: { allow: ["10.44.0.0/24"] }
subnet: { ranges: ["10.44.0.0/24"] }
rules: [{ name: bench, hosts: ${JSON.stringify(LISTED.map(([host]) => host))}, ports: [443], protocol: tls }]
audit: { file: audit.log }
limits: { tunnels: 20000, tunnelsPerClient: 20000, requestsPerSecondPerClient: 1000000 }
`,
    )
    rules = must(process.execPath, [MAIN, 'subnet', '--config', config])
    return [process.execPath, [MAIN, 'serve', '--config', config]]
  },
}

const nginx = {
  name: 'nginx',
  port: FRONT,
  command(own) {
    writeFileSync(
      join(own, 'nginx.conf'),
      `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${own}/nginx.pid;
error_log ${own}/error.log;
events { worker_connections 19900; }
stream {
  log_format short '$remote_addr [$time_local] $ssl_preread_server_name $status $bytes_sent $bytes_received $session_time';
  access_log ${own}/access.log short;
  map_hash_bucket_size 128;
  map $ssl_preread_server_name $origin {
    hostnames;
${LISTED.map(([host, address]) => `    ${host} ${address}:443;`).join('\n')}
    default "";
  }
  server {
    listen ${GATEWAY}:${FRONT};
    ssl_preread on;
    proxy_pass $origin;
  }
}
`,
    )
    return ['/usr/sbin/nginx', ['-e', join(own, 'start.log'), '-p', own, '-c', join(own, 'nginx.conf')]]
  },
}

const haproxy = {
  name: 'HAProxy',
  port: FRONT + 1,
  command(own) {
    writeFileSync(join(own, 'names'), LISTED.map(([host, address]) => `${host} to-${address}\n`).join(''))
    writeFileSync(
      join(own, 'haproxy.cfg'),
      `global
  maxconn 9500
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend tls
  bind ${GATEWAY}:${FRONT + 1}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  tcp-request content reject
  use_backend %[req.ssl_sni,lower,map_str(${join(own, 'names')},nowhere)]
backend nowhere
${Object.values(ORIGINS)
  .map((address) => `backend to-${address}\n  server origin ${address}:443\n`)
  .join('')}`,
    )
    return ['/usr/sbin/haproxy', ['-db', '-f', join(own, 'haproxy.cfg')]]
  },
}

function buildLoad() {
  const binary = join(folder, 'load')
  const sources = ['hello', 'main', 'origin', 'requests', 'setup', 'tunnels'].map((name) =>
    join(ROOT, 'bench', 'load', `${name}.c`),
  )
  must(process.env['CC'] ?? 'cc', ['-std=c11', '-O2', '-o', binary, ...sources])
  return binary
}

const binary = buildLoad()
const { clients, gateway, internet } = await network()
for (const [kind, address] of Object.entries(ORIGINS))
  internet.start(LOAD_CORE, binary, ['origin', '--bind', address, `--${kind}`, 443])

/** One run of the load generator among the clients. */
async function load(args) {
  const child = clients.start(LOAD_CORE, binary, args)
  await child.ended
  try {
    return JSON.parse(child.output.trim().split('\n').at(-1))
  } catch {
    throw new Error(`load ${args.join(' ')}: ${child.output}`)
  }
}

const to = (origin) => ['--proxy', `${ORIGINS[origin]}:443`, '--target', `${origin}.test:443`, '--direct', '--hello']
const setups = (count) => load(['setup', ...to('echo'), '--count', count])
const bulk = (origin, way) =>
  load(['bulk', ...to(origin), '--tunnels', BULK_TUNNELS, '--bytes', BULK_BYTES / BULK_TUNNELS, `--${way}`])

const CASES = {
  setup: {
    title: 'set-up',
    unit: 'CPU µs each',
    async run(peer) {
      const { ok } = await setups(SETUPS)
      if (ok < SETUPS * 0.99) throw new Error(`${peer.name}: only ${ok} of ${SETUPS} set-ups`)
      return { scale: 1000 / ok }
    },
  },
  ...Object.fromEntries(
    [
      ['down', 'source'],
      ['up', 'sink'],
    ].map(([way, origin]) => [
      way,
      {
        title: `bulk ${way}, ${BULK_TUNNELS} tunnels`,
        unit: 'CPU ms per GB',
        async run(peer) {
          const { bytes } = await bulk(origin, way)
          if (bytes < BULK_BYTES) throw new Error(`${peer.name}: only ${bytes} bytes ${way}`)
          return { scale: 1e9 / bytes }
        },
      },
    ]),
  ),
}

/** The processor time of the proxy for one case, the work behind the last answer included. */
async function measure(peer, { run }) {
  const before = cpuMs(peer.child.pid)
  const { scale } = await run(peer)
  await pause(100)
  return (cpuMs(peer.child.pid) - before) * scale
}

/** With connections redirected to this one. */
async function within({ port }, work) {
  gateway.run('nft', ['-f', '-'], rules.replaceAll(String(sallyport.port), String(port)))
  try {
    return await work()
  } finally {
    gateway.run('nft', ['delete', 'table', 'inet', 'sallyport'])
  }
}

async function start(peer) {
  const own = join(folder, peer.name)
  mkdirSync(own)
  const [command, args] = peer.command(own)
  peer.child = gateway.start(PROXY_CORE, command, args)
  await within(peer, async () => {
    for (let tries = 0; (await setups(1)).ok === 0; tries++) {
      if (tries === 100) throw new Error(`${peer.name} does not serve: ${peer.child.output}`)
      await pause(200)
    }
    if (peer.isNode) await setups(WARM_UP)
  })
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

const peers = [sallyport, nginx, haproxy]
const found = new Map(peers.map((peer) => [peer, { setup: [], down: [], up: [] }]))
for (const peer of peers) await start(peer)
for (let round = 0; round <= rounds; round++)
  for (const peer of peers)
    await within(peer, async () => {
      for (const [id, one] of Object.entries(CASES)) {
        const value = await measure(peer, one)
        if (round > 0) found.get(peer)[id].push(value)
      }
    })
for (const peer of peers) await stop(peer.child)

const { cpu, kernel } = machineFacts()
process.stdout.write(`Node ${process.version}, Linux ${kernel}, ${cpu}, median of ${rounds} rounds\n`)
for (const [id, { title, unit }] of Object.entries(CASES)) {
  const own = found.get(sallyport)[id]
  const ratio = (peer) => median(own.map((value, round) => value / found.get(peer)[id][round]))
  const values = peers.map((peer) => `${peer.name} ${median(found.get(peer)[id]).toFixed(0)}`).join(', ')
  process.stdout.write(
    `${title.padEnd(20)} ${unit}: ${values}; ${ratio(nginx).toFixed(2)} times nginx (at most ${LIMITS[id]}), ${ratio(haproxy).toFixed(2)} times HAProxy\n`,
  )
  if (ratio(nginx) > LIMITS[id]) process.exitCode = 1
}
process.exit()
