// Inspected requests per CPU second of the proxy, against Squid's (`ssl_bump`), in one run.
//
//   npm run build && node bench/inspection.mjs [--rounds 5] [--seconds 3] [--clients 32] [--only new|kept] [--node PATH]
//     [--profile FOLDER]
//
// Wants Linux with two cores, `openssl`, and Squid with TLS (Debian: squid-openssl; without it only Sallyport is measured). Both
// proxies end the client's TLS with a certificate of the same CA, allow the same host and path, verify the same origin, write a
// log line per request to a file, and run in one process on core 0; load and origin are on core 1. What is compared is the
// proxy's own CPU time (utime + stime of all its processes, /proc/PID/stat), since wall time on a small machine measures the
// load. Rounds are interleaved, the first is thrown away, the median counts, and lowest and highest stand beside it.
//
// new:   every request is a connection of its own: TCP, CONNECT, a full TLS handshake, one GET, the end.
// kept:  each client sends all its requests through one tunnel.
//
// --node runs Sallyport with another Node. --profile leaves a CPU profile of Sallyport in a folder and skips Squid.

import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const HOST = 'bench.example'
const OTHER = 'other.example'
const PATH = '/team/file.bin'
const BODY = Buffer.alloc(1_024, 'x')
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const SELF = fileURLToPath(import.meta.url)
const CERTGEN = '/usr/lib/squid/security_file_certgen'
/** What `/proc/PID/stat` counts in. */
const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Of Sallyport alone, beside the first round of both that is thrown away. */
const WARM_UP_ROUNDS = 3

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '32' },
    node: { type: 'string', default: process.execPath },
    only: { type: 'string' },
    profile: { type: 'string' },
    origin: { type: 'string' },
  },
})

/** The child that is the origin. Its first line of output is its port. */
function serveOrigin(base) {
  const server = createHttpsServer({ cert: readFileSync(`${base}.pem`), key: readFileSync(`${base}.key`) }, (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': BODY.length })
    res.end(BODY)
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', 4_096, () => process.stdout.write(`${server.address().port}\n`))
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
  const children = []
  try {
    const setting = makeCertificates(folder)
    const origin = pinned(1, [process.execPath, SELF, '--origin', setting.leaf], children)
    setting.originPort = Number(await firstLine(origin))
    const proxies = [await startSallyport(folder, setting, children)]
    if (options.profile !== undefined) console.log('profiling: Squid is left out')
    else if (existsSync('/usr/sbin/squid') && existsSync(CERTGEN)) proxies.push(await startSquid(folder, setting, children))
    else console.log('no Squid with TLS here (Debian: squid-openssl): Sallyport alone')
    execFileSync('taskset', ['-a', '-p', '-c', '1', String(process.pid)], { stdio: 'ignore' })
    for (const proxy of proxies) await checkEnforcement(proxy, setting)
    for (const scenario of options.only === undefined ? ['new', 'kept'] : [options.only])
      report(scenario, await measure(scenario, proxies, setting))
    if (options.profile !== undefined) {
      proxies[0].child.kill('SIGTERM')
      await new Promise((resolve) => proxies[0].child.once('exit', resolve))
    }
  } finally {
    await Promise.all(children.map(ended))
    rmSync(folder, { recursive: true, force: true })
  }
}

function makeCertificates(folder) {
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const root = (name) => {
    const base = join(folder, name)
    openssl('req', '-x509', ...key, '-days', '30', '-subj', `/CN=${name}`, '-keyout', `${base}.key`, '-out', `${base}.pem`)
    chmodSync(`${base}.key`, 0o600)
    return base
  }
  const ca = root('inspection')
  const originCa = root('origin-ca')
  const leaf = join(folder, 'leaf')
  writeFileSync(`${leaf}.ext`, `subjectAltName=DNS:${HOST}\n`)
  openssl('req', '-new', ...key, '-subj', '/CN=leaf', '-keyout', `${leaf}.key`, '-out', `${leaf}.csr`)
  const signer = ['-CA', `${originCa}.pem`, '-CAkey', `${originCa}.key`, '-CAcreateserial']
  openssl('x509', '-req', '-in', `${leaf}.csr`, ...signer, '-days', '10', '-extfile', `${leaf}.ext`, '-out', `${leaf}.pem`)
  return { ca, originCa, leaf, originPort: 0 }
}

async function startSallyport(folder, { ca, originCa, originPort }, children) {
  const file = join(folder, 'gateway.yaml')
  writeFileSync(
    file,
    `listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }
rules: [{ name: bench, hosts: [${HOST}], ports: [${originPort}], paths: ["/team/*"], destinations: ["127.0.0.0/8"] }]
destinations: { pin: { ${HOST}: "127.0.0.1" } }
inspection: { caCertificate: "${ca}.pem", caKey: "${ca}.key", upstreamCa: ["${originCa}.pem"] }
audit: { file: "${join(folder, 'audit.log')}" }
limits: { requestsPerSecondPerClient: 1000000 }
`,
  )
  const profiling = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`]
  const child = pinned(0, [options.node, ...profiling, MAIN, 'serve', '--config', file], children)
  let log = ''
  const port = await new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(log)))
    child.stderr.on('data', (text) => {
      log += text
      const line = log.split('\n').find((each) => each.includes('"listener":"proxy"') && each.includes('"msg":"listening"'))
      if (line !== undefined) resolve(Number(/:(\d+)$/.exec(JSON.parse(line).address)[1]))
    })
  })
  const version = execFileSync(options.node, ['--version'], { encoding: 'utf8' }).trim()
  return { name: `sallyport (Node ${version.slice(1)})`, port, child }
}

/** Squid wants a user of its own, and its files where that user may write. */
async function startSquid(folder, { ca, originCa }, children) {
  const home = join(folder, 'squid')
  mkdirSync(home)
  const port = await freePort()
  execFileSync(CERTGEN, ['-c', '-s', join(home, 'certificates'), '-M', '4MB'], { stdio: 'pipe' })
  writeFileSync(join(home, 'hosts'), `127.0.0.1 ${HOST} ${OTHER}\n`)
  const file = join(home, 'squid.conf')
  writeFileSync(join(home, 'ca.pem'), readFileSync(`${ca}.pem`, 'utf8') + readFileSync(`${ca}.key`, 'utf8'))
  writeFileSync(join(home, 'origin-ca.pem'), readFileSync(`${originCa}.pem`))
  writeFileSync(
    file,
    `http_port 127.0.0.1:${port} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert=${home}/ca.pem
sslcrtd_program ${CERTGEN} -s ${home}/certificates -M 4MB
sslcrtd_children 1 startup=1 idle=1
acl hosts dstdomain ${HOST}
acl paths urlpath_regex ^/team/
ssl_bump bump all
http_access deny CONNECT !hosts
http_access allow CONNECT
http_access allow hosts paths
http_access deny all
tls_outgoing_options cafile=${home}/origin-ca.pem
cache deny all
cache_mem 8 MB
access_log stdio:${home}/access.log
cache_log ${home}/cache.log
pid_filename ${home}/squid.pid
coredump_dir ${home}
hosts_file ${home}/hosts
visible_hostname bench
cache_effective_user proxy
pinger_enable off
shutdown_lifetime 0 seconds
`,
  )
  execFileSync('chown', ['-R', 'proxy', home])
  // The folder of the run belongs to whoever runs it; Squid only has to pass through.
  chmodSync(folder, 0o711)
  const child = pinned(0, ['/usr/sbin/squid', '-N', '-f', file], children)
  await until(
    () => canConnect(port),
    () => `squid did not start:\n${readIfThere(join(home, 'cache.log'))}`,
  )
  const version = /Version (\S+)/.exec(execFileSync('/usr/sbin/squid', ['-v'], { encoding: 'utf8' }))[1]
  return { name: `squid ${version} (ssl_bump)`, port, child }
}

/** A peer that lets everything out would be fast for the wrong reason. Squid tells of a refused host inside TLS. */
async function checkEnforcement(proxy, setting) {
  const client = clientOf(proxy, setting)
  const secure = await client.open()
  const allowed = await client.ask(secure, PATH)
  const refused = await client.ask(secure, '/other/file.bin')
  secure.destroy()
  const unlisted = await clientOf(proxy, setting, OTHER)
    .open()
    .then(async (other) => client.ask(other, PATH))
    .catch((error) => (/^HTTP\/1\.1 403/.test(error.message) ? 403 : error.message))
  if (allowed !== 200 || refused !== 403 || unlisted !== 403)
    throw new Error(`${proxy.name} does not enforce: allowed ${allowed}, path ${refused}, host ${unlisted}`)
}

async function measure(scenario, proxies, setting) {
  const results = new Map(proxies.map(({ name }) => [name, []]))
  // A just-in-time compiler is done after some ten thousand requests, and a gateway runs for weeks.
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await load(scenario, proxies[0], setting)
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const proxy of proxies) {
      const before = cpuSeconds(proxy.child.pid)
      const requests = await load(scenario, proxy, setting)
      const cpu = cpuSeconds(proxy.child.pid) - before
      if (round > 0) results.get(proxy.name).push(requests / cpu)
    }
  }
  return results
}

/** As many requests as fit into the time; resolves with their number. */
async function load(scenario, proxy, setting) {
  const until = performance.now() + Number(options.seconds) * 1_000
  const client = clientOf(proxy, setting)
  let requests = 0
  const work = async () => {
    let secure = scenario === 'kept' ? await client.open() : undefined
    while (performance.now() < until) {
      if (scenario === 'new') secure = await client.open()
      const status = await client.ask(secure, PATH)
      if (status !== 200) throw new Error(`${proxy.name} answered ${status}`)
      requests++
      // A reset, so that the ports of closed connections do not run out.
      if (scenario === 'new') secure.tunnel.resetAndDestroy()
    }
    secure?.destroy()
  }
  await Promise.all(Array.from({ length: Number(options.clients) }, work))
  return requests
}

function clientOf(proxy, { ca, originPort }, host = HOST) {
  const secureContext = createSecureContext({ ca: readFileSync(`${ca}.pem`) })
  const authority = `${host}:${originPort}`
  const open = () =>
    new Promise((resolve, reject) => {
      const tunnel = connectTcp({ port: proxy.port, host: '127.0.0.1', noDelay: true })
      tunnel.once('error', reject)
      tunnel.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
      tunnel.once('data', (head) => {
        const text = head.toString('latin1')
        if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(text))
        const secure = connectTls({ socket: tunnel, servername: host, secureContext })
        secure.tunnel = tunnel
        secure.once('error', reject)
        secure.once('secureConnect', () => resolve(secure))
      })
    })
  const ask = (secure, path) =>
    new Promise((resolve, reject) => {
      let text = ''
      const onData = (chunk) => {
        text += chunk.toString('latin1')
        const end = text.indexOf('\r\n\r\n')
        if (end < 0) return
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? 0)
        if (text.length < end + 4 + length) return
        secure.off('data', onData)
        secure.off('close', onClose)
        resolve(Number(text.slice(9, 12)))
      }
      const onClose = () => reject(new Error(`closed after ${JSON.stringify(text.slice(0, 200))}`))
      secure.on('data', onData)
      secure.once('close', onClose)
      secure.write(`GET ${path} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    })
  return { open, ask }
}

function report(scenario, results) {
  const [own, ...peers] = [...results].map(([name, rates]) => ({ name, rates: rates.toSorted((a, b) => a - b) }))
  for (const { name, rates } of [own, ...peers]) {
    const shown = [median(rates), rates[0], rates.at(-1)].map((rate) => Math.round(rate))
    console.log(`${scenario}\t${name}\t${shown[0]} requests per CPU second (${shown[1]} to ${shown[2]})`)
  }
  for (const peer of peers) console.log(`${scenario}\tratio\t${(median(own.rates) / median(peer.rates)).toFixed(2)}`)
}

const median = (sorted) => sorted[Math.floor(sorted.length / 2)]

/** CPU time of a process and of all its children. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
  const own = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  const threads = readdirSync(`/proc/${pid}/task`)
  const children = threads.flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').trim().split(' '))
  return children.filter((child) => child !== '').reduce((sum, child) => sum + cpuSeconds(child), own)
}

function pinned(core, command, children) {
  const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  return child
}

/** Asked to end, and made to: Squid killed outright leaves its shared memory behind. */
async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exited
  clearTimeout(timer)
}

function firstLine(child) {
  return new Promise((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(String(data).trim()))
    child.once('exit', () => reject(new Error('the origin ended')))
  })
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function until(condition, what) {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(what())
}

const readIfThere = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '(no log)')

function freePort() {
  return new Promise((resolve) => {
    const server = createTcpServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

if (options.origin !== undefined) serveOrigin(options.origin)
else await main()
