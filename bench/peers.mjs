// The proxies that are compared, each with the same allowlist and with its log on, as its package ships it.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const PIPE = fileURLToPath(new URL('pipe.mjs', import.meta.url))

/** What everybody's origin is called: a name that every resolver finds without asking anybody. */
export const ORIGIN_NAME = 'localhost'
export const DENIED = 'not-listed.example.org:443'

/** As long as what a network of this kind lists: 100 names and 20 suffixes besides the origin's. */
const NAMES = Array.from({ length: 100 }, (_, i) => `host-${i}.example.com`)
const SUFFIXES = Array.from({ length: 20 }, (_, i) => `zone-${i}.example.net`)

const isRoot = process.getuid?.() === 0

function folderFor(base, name) {
  const folder = join(base, name)
  mkdirSync(folder, { recursive: true })
  return folder
}

export function sallyport(node, relay, workers = 1) {
  return {
    name: `sallyport-${relay}-${node.major}${workers === 1 ? '' : `-workers-${workers}`}`,
    title: `Sallyport, ${relay} relay, Node ${node.major}`,
    log: 'audit log of every request, metrics, vetting, judged openings',
    prepare: () =>
      relay === 'kernel' && !existsSync(new URL('../native/build/relay.node', import.meta.url)) ? 'was not built' : undefined,
    command(base, port, { ports, metrics, admin }) {
      const folder = folderFor(base, this.name)
      const logs = folderFor(base, `${this.name}-log`)
      const hosts = [ORIGIN_NAME, ...NAMES, ...SUFFIXES.map((suffix) => `*.${suffix}`)]
      writeFileSync(
        join(folder, 'gateway.yaml'),
        `listen: { proxy: "127.0.0.1:${port}", metrics: "127.0.0.1:${metrics}", admin: "127.0.0.1:${admin}" }
relay: ${relay === 'kernel' ? 'auto' : 'portable'}
workers: ${workers}
rules:
  - { name: bench, hosts: ${JSON.stringify(hosts)}, ports: ${JSON.stringify(ports)}, protocol: tls, destinations: ["127.0.0.0/8"] }
audit: { file: ${JSON.stringify(join(logs, 'audit.log'))} }
limits: { tunnels: 20000, tunnelsPerClient: 20000, requestsPerSecondPerClient: 1000000 }
`,
      )
      return [node.path, MAIN, 'serve', '--config', join(folder, 'gateway.yaml')]
    },
  }
}

const pipe = (node) => ({
  name: `pipe-${node.major}`,
  title: `plain \`pipe\`, Node ${node.major}`,
  log: 'none: no vetting, no opening, no metric',
  isFloor: true,
  forwards: false,
  command: (_base, port) => [node.path, PIPE, String(port), ORIGIN_NAME, ...NAMES],
})

const squid = {
  name: 'squid',
  title: 'Squid',
  package: 'squid-openssl',
  binary: '/usr/sbin/squid',
  version: ['-v', /Version ([\d.]+)/],
  log: 'access log (its logging daemon counts)',
  command(base, port) {
    const folder = folderFor(base, this.name)
    if (isRoot) {
      const { stdout } = spawnSync('id', ['-u', 'proxy'], { encoding: 'utf8' })
      chownSync(folder, Number(stdout), 0)
    }
    writeFileSync(join(folder, 'allowed'), [ORIGIN_NAME, ...NAMES, ...SUFFIXES.map((suffix) => `.${suffix}`)].join('\n'))
    writeFileSync(
      join(folder, 'squid.conf'),
      `http_port 127.0.0.1:${port}
visible_hostname bench
pid_filename ${folder}/squid.pid
cache_log ${folder}/cache.log
access_log daemon:${folder}/access.log squid
coredump_dir ${folder}
${isRoot ? 'cache_effective_user proxy' : ''}
cache deny all
acl allowed dstdomain "${folder}/allowed"
http_access allow allowed
http_access deny all
max_filedescriptors 20000
shutdown_lifetime 0 seconds
`,
    )
    return [this.binary, '-N', '-f', join(folder, 'squid.conf')]
  },
}

const tinyproxy = {
  name: 'tinyproxy',
  title: 'tinyproxy',
  package: 'tinyproxy-bin',
  binary: '/usr/bin/tinyproxy',
  version: ['-v', /tinyproxy ([\d.]+)/],
  log: 'log of connections',
  keepsClients: false,
  command(base, port, { ports }) {
    const folder = folderFor(base, this.name)
    const escaped = (name) => name.replaceAll('.', '\\.')
    const patterns = [
      ...[ORIGIN_NAME, ...NAMES].map((name) => `^${escaped(name)}$`),
      ...SUFFIXES.map((suffix) => `\\.${escaped(suffix)}$`),
    ]
    writeFileSync(join(folder, 'filter'), `${patterns.join('\n')}\n`)
    writeFileSync(
      join(folder, 'tinyproxy.conf'),
      `Port ${port}
Listen 127.0.0.1
Timeout 600
LogFile "${folder}/tinyproxy.log"
LogLevel Connect
MaxClients 19000
Allow 127.0.0.1
Filter "${folder}/filter"
FilterExtended On
FilterDefaultDeny Yes
${ports.map((one) => `ConnectPort ${one}`).join('\n')}
`,
    )
    return [this.binary, '-d', '-c', join(folder, 'tinyproxy.conf')]
  },
}

const apache = {
  name: 'apache',
  title: 'Apache httpd',
  package: 'apache2-bin',
  binary: '/usr/sbin/apache2',
  version: ['-v', /Apache\/([\d.]+)/],
  log: 'access log',
  command(base, port, { ports }) {
    const folder = folderFor(base, this.name)
    const modules = '/usr/lib/apache2/modules'
    const load = (name) => (existsSync(`${modules}/mod_${name}.so`) ? `LoadModule ${name}_module ${modules}/mod_${name}.so` : '')
    const allowed = [ORIGIN_NAME, ...NAMES].map((name) => name.replaceAll('.', '\\.'))
    const suffixes = SUFFIXES.map((suffix) => `[^/:]+\\.${suffix.replaceAll('.', '\\.')}`)
    writeFileSync(
      join(folder, 'httpd.conf'),
      `ServerRoot ${folder}
ServerName bench
PidFile ${folder}/httpd.pid
Listen 127.0.0.1:${port}
${['mpm_event', 'authz_core', 'authz_host', 'log_config', 'proxy', 'proxy_http', 'proxy_connect'].map(load).join('\n')}
${isRoot ? 'User www-data\nGroup www-data' : ''}
ErrorLog ${folder}/error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
CustomLog ${folder}/access.log common
ServerLimit 16
ThreadLimit 64
MaxRequestWorkers 1024
ProxyRequests On
ProxyVia Off
AllowCONNECT ${ports.join(' ')}
<Proxy "*">
  Require all denied
</Proxy>
<ProxyMatch "^(?:http://)?(?:${[...allowed, ...suffixes].join('|')})(?::\\d+)?(?:/|$)">
  Require all granted
</ProxyMatch>
`,
    )
    return [this.binary, '-f', join(folder, 'httpd.conf'), '-DFOREGROUND']
  },
  /** A thread each: 8,000 tunnels do not fit. */
  maxTunnels: 300,
}

const nginx = {
  name: 'nginx',
  title: 'nginx stream (by SNI, no CONNECT)',
  package: 'libnginx-mod-stream',
  binary: '/usr/sbin/nginx',
  version: ['-v', /nginx\/([\d.]+)/],
  log: 'access log',
  isDirect: true,
  forwards: false,
  command(base, _port, { fronts }) {
    const folder = folderFor(base, this.name)
    const names = [ORIGIN_NAME, ...NAMES, ...SUFFIXES.map((suffix) => `*.${suffix}`)]
    writeFileSync(
      join(folder, 'nginx.conf'),
      `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 19900; }
stream {
  log_format short '$remote_addr [$time_local] $ssl_preread_server_name $status $bytes_sent $bytes_received $session_time';
  access_log ${folder}/access.log short;
  map_hash_bucket_size 128;
${[...fronts]
  .map(
    ([target, front]) => `
  map $ssl_preread_server_name $origin${target} {
    hostnames;
${names.map((name) => `    ${name} 127.0.0.1:${target};`).join('\n')}
    default "";
  }
  server {
    listen 127.0.0.1:${front};
    ssl_preread on;
    proxy_pass $origin${target};
  }`,
  )
  .join('')}
}
`,
    )
    return [this.binary, '-e', join(folder, 'start.log'), '-p', folder, '-c', join(folder, 'nginx.conf')]
  },
}

const haproxy = {
  name: 'haproxy',
  title: 'HAProxy, TCP mode (no policy, no CONNECT)',
  package: 'haproxy',
  binary: '/usr/sbin/haproxy',
  version: ['-v', /version ([\d.]+)/],
  log: 'none',
  isDirect: true,
  isFloor: true,
  isOpen: true,
  forwards: false,
  command(base, _port, { fronts }) {
    const folder = folderFor(base, this.name)
    writeFileSync(
      join(folder, 'haproxy.cfg'),
      `global
  maxconn 9500
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
${[...fronts].map(([target, front]) => `listen tcp${target}\n  bind 127.0.0.1:${front}\n  server origin 127.0.0.1:${target}\n`).join('')}`,
    )
    return [this.binary, '-db', '-f', join(folder, 'haproxy.cfg')]
  },
}

/** Nothing between: what the machine itself costs. */
export const direct = { name: 'direct', title: 'direct, no proxy', isDirect: true }

/** Not run, and why. */
export const LEFT_OUT = [
  'Traffic Server: without a plugin it limits CONNECT by port and address, not by name, so it cannot be given the allowlist',
]

export function peersFor(nodes) {
  const [newest] = nodes
  return [
    ...nodes.flatMap((node) => [sallyport(node, 'kernel'), sallyport(node, 'portable')]),
    squid,
    tinyproxy,
    apache,
    nginx,
    haproxy,
    pipe(newest),
  ]
}

/** Installs a peer's package when its program is missing; why it cannot be had, or nothing. */
export function provide(peer) {
  if (peer.prepare !== undefined) return peer.prepare()
  if (peer.binary === undefined || existsSync(peer.binary)) return undefined
  if (!isRoot) return `\`${peer.package}\` is not installed, and only root can install it`
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // A package that starts a service would take ports and time from the benchmark.
  const policy = '/usr/sbin/policy-rc.d'
  const isOurs = !existsSync(policy)
  if (isOurs) {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n')
    chmodSync(policy, 0o755)
  }
  try {
    spawnSync('apt-get', ['update', '-qq'], { env })
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', peer.package], { env })
  } finally {
    if (isOurs) spawnSync('rm', ['-f', policy])
  }
  return existsSync(peer.binary) ? undefined : `\`${peer.package}\` could not be installed`
}

export function versionOf({ binary, version }) {
  if (version === undefined) return undefined
  const { stdout, stderr } = spawnSync(binary, [version[0]], { encoding: 'utf8' })
  return version[1].exec(`${stdout}${stderr}`)?.[1]
}

export function machineFacts() {
  const cpu = /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch
  const kernel = /Linux version (\d+\.\d+)/.exec(readFileSync('/proc/version', 'utf8'))?.[1]
  return { cpu, kernel }
}
