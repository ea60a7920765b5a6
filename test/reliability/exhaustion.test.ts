import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { RawClient } from '../support/raw-client.ts'
import { run } from '../support/run.ts'
import { openTunnel } from '../support/tunnel-client.ts'

let gateway: ProgramUnderTest
let origin: Origin

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
})

const config = (port: number, relay: string) => `relay: ${relay}
rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${port}" } }
`

/** Processor time of the program so far, in ms; USER_HZ is 100. */
function busyMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

for (const relay of ['auto', 'portable']) {
  describe(`a gateway that runs out of file descriptors (relay: ${relay})`, () => {
    it('neither spins nor ends: what is open goes on, and with free ones it takes new work again', async () => {
      origin = await Origin.start()
      gateway = await startProgram(config(origin.port, relay))
      const pid = gateway.child.pid ?? 0
      const first = await openTunnel(gateway.port('proxy'), 'echo.test:7')
      // Only now: Node opens more than that at once to load what it runs.
      const few = readdirSync(`/proc/${pid}/fd`).length + 40
      execFileSync('prlimit', ['--pid', String(pid), `--nofile=${few}:${few}`])
      const crowd = await Promise.all(Array.from({ length: 150 }, () => RawClient.connect(gateway.port('proxy'))))
      for (const client of crowd) client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n')
      await waitFor(
        () => (crowd.filter((client) => client.closed || client.text !== '').length > 30 ? true : undefined),
        'answers',
      )
      // It has the crowd to answer first; a spin would never come to rest.
      let window = { at: performance.now(), busy: busyMs(pid) }
      await waitFor(
        () => {
          const passed = performance.now() - window.at
          if (passed < 1_000) return undefined
          const share = (busyMs(pid) - window.busy) / passed
          window = { at: performance.now(), busy: busyMs(pid) }
          return share < 0.5 ? true : undefined
        },
        'a second at the limit with less than half of a core in use',
        20_000,
      )
      expect(gateway.stderr.length, 'bytes of process log').toBeLessThan(200_000)
      first.send('goes on')
      await first.until((text) => text.endsWith('goes on'))
      // Nobody was told that it stands who did not.
      for (const client of crowd.filter(({ text }) => text !== ''))
        expect(client.text).toMatch(/^HTTP\/1\.1 (200 Connection established|502 dial_failed|500 internal_error)\r\n/)
      for (const client of crowd) client.close()
      const again = await waitFor(
        () =>
          openTunnel(gateway.port('proxy'), 'echo.test:7').then(
            (tunnel) => tunnel,
            () => undefined,
          ),
        'a tunnel after that',
        15_000,
      )
      again.send('as before')
      await again.until((text) => text.endsWith('as before'))
      again.close()
      first.close()
      gateway.signal('SIGTERM')
      expect(await gateway.exited).toEqual({ code: 0, signal: null })
    })
  })
}

const HAS_NAMESPACES = spawnSync('unshare', ['--net', 'true']).status === 0

/** Four source ports in the gateway's own network: each client has an address of its own, so that only the gateway runs out. */
const CLIENTS = `
import json, socket, sys, threading, time
proxy, origin = int(sys.argv[1]), int(sys.argv[2])
server = socket.create_server(('127.0.0.1', origin), backlog=64)
kept = []
def accept():
    while True:
        kept.append(server.accept()[0])
threading.Thread(target=accept, daemon=True).start()
def tunnel(n):
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    client.bind(('127.0.1.%d' % (n % 250 + 1), 0))
    client.settimeout(15)
    client.connect(('127.0.0.1', proxy))
    client.sendall(b'CONNECT echo.test:7 HTTP/1.1\\r\\nHost: echo.test:7\\r\\n\\r\\n')
    answer = client.recv(4096).split(b'\\r\\n')[0].decode()
    return client, answer
opened = [tunnel(n) for n in range(12)]
first = [answer for _, answer in opened]
for client, answer in opened:
    client.close()
for peer in kept:
    peer.close()
after = ''
for n in range(100):
    client, after = tunnel(100 + n)
    client.close()
    if ' 200 ' in after:
        break
    time.sleep(0.1)
print(json.dumps({'first': first, 'after': after}))
`

describe.skipIf(!HAS_NAMESPACES)('a gateway that runs out of source ports', () => {
  for (const relay of ['auto', 'portable']) {
    it(`refuses what it cannot dial, and dials again when ports are free (relay: ${relay})`, async () => {
      origin = await Origin.start()
      const inOwnNetwork = 'ip link set lo up && echo 40000 40003 > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'
      const listen = 'listen: { proxy: "127.0.0.1:3128", metrics: "127.0.0.1:9464", admin: "127.0.0.1:9465" }\n'
      gateway = await startProgram(`${listen}${config(7007, relay)}`, {
        under: ['unshare', '--net', 'sh', '-c', inOwnNetwork, 'sh'],
      })
      const pid = String(gateway.child.pid)
      const ran = await run('nsenter', [
        '--target',
        pid,
        '--net',
        'python3',
        '-c',
        CLIENTS.replaceAll('\\\\', '\\'),
        '3128',
        '7007',
      ])
      expect(ran.stderr).toBe('')
      const { first, after } = JSON.parse(ran.stdout) as { first: string[]; after: string }
      expect(first.filter((line) => line.includes(' 200 '))).toHaveLength(4)
      expect(first.filter((line) => line === 'HTTP/1.1 502 dial_failed')).toHaveLength(8)
      expect(after).toContain(' 200 ')
      const refused = await gateway.audit({ event: 'error', reason: 'dial_failed' }, 8)
      expect(refused[0]?.detail).toContain('EADDRNOTAVAIL')
    })
  }
})
