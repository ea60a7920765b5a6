import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

export interface SquidUnderTest {
  /** Sends bytes and tells the status of the answer; 0 where there is none. */
  readonly ask: (bytes: string) => Promise<number>
  readonly port: number
  readonly stop: () => Promise<void>
}

/**
 * A real Squid with the given access rules. Whatever it allows goes to a parent in this process, which answers 200: nothing is ever
 * dialled. Names have the addresses of `hosts`.
 *
 * @param next port of another proxy of this host that takes that parent's place
 */
export async function startSquid(rules: string, hosts: Readonly<Record<string, string>>, next?: number): Promise<SquidUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-squid-'))
  // It gives up root for a user of its own, who has to write its log here.
  chmodSync(folder, 0o777)
  const parent = await startParent()
  const port = await freePort()
  writeFileSync(join(folder, 'rules.conf'), rules)
  writeFileSync(
    join(folder, 'hosts'),
    Object.entries(hosts)
      .map(([name, address]) => `${address} ${name}\n`)
      .join(''),
  )
  const lines = [
    `http_port 127.0.0.1:${port}`,
    'pid_filename none',
    'visible_hostname squid.test',
    `cache_log ${folder}/cache.log`,
    'access_log none',
    'cache deny all',
    'cache_mem 8 MB',
    'netdb_filename none',
    'pinger_enable off',
    'shutdown_lifetime 0 seconds',
    `hosts_file ${folder}/hosts`,
    'dns_nameservers 127.0.0.1',
    'dns_timeout 1 second',
    'never_direct allow all',
    `cache_peer 127.0.0.1 parent ${next ?? parent.port} 0 no-query no-digest no-netdb-exchange default`,
    `include ${folder}/rules.conf`,
  ]
  const config = join(folder, 'squid.conf')
  writeFileSync(config, `${lines.join('\n')}\n`)
  const child = spawn('squid', ['-N', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
    parent.server.close()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await accepting(port, child)
  } catch (error) {
    const log = join(folder, 'cache.log')
    const told = `${said}\n${readOr(log)}`
    await stop()
    throw new Error(`squid did not start: ${String(error)}\n${told}`)
  }
  return { ask: (bytes) => statusOf(port, bytes), port, stop }
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

async function startParent(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 }
}

async function accepting(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + 20_000
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('nothing accepts')
}

function statusOf(port: number, bytes: string): Promise<number> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      answer += text
      if (answer.includes('\r\n')) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? 0)))
  })
}
