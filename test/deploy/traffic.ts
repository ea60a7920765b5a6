import { copyFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeReport } from '../../src/io/subnet/report-file.ts'
import { userLine } from '../support/credentials.ts'
import { DnsServer } from '../support/dns-server.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { RawClient } from '../support/raw-client.ts'
import { TAG_FILES } from '../support/service-tags.ts'
import { openTls, openTunnel, request } from '../support/tunnel-client.ts'

/** Has no objection, and no answer about one name. */
const HOOK = `import { defineHook } from 'sallyport'
export default defineHook({
  onRequest({ host }) {
    if (host === 'private.test') throw new Error('no answer')
    return { verdict: 'pass' }
  },
})
`

/**
 * Two built gateways under mixed traffic, one enforcing and one in report mode: enough of everything that each metric has something
 * to show.
 */
export class MixedTraffic {
  readonly enforcing: ProgramUnderTest
  readonly reporting: ProgramUnderTest
  readonly #ends: (() => unknown)[]
  readonly #originCa: OpensslCa
  readonly #inspectionCa: OpensslCa
  #round = 0

  private constructor(
    gateways: readonly [ProgramUnderTest, ProgramUnderTest],
    cas: readonly [OpensslCa, OpensslCa],
    ends: (() => unknown)[],
  ) {
    ;[this.enforcing, this.reporting] = gateways
    ;[this.#originCa, this.#inspectionCa] = cas
    this.#ends = ends
  }

  static async start(): Promise<MixedTraffic> {
    const originCa = new OpensslCa('Origin Root')
    const inspectionCa = new OpensslCa('Inspection Root')
    const names = await DnsServer.start(({ name }) => {
      if (name === 'nowhere.test') return { kind: 'nxdomain' }
      if (name === 'broken.test') return { kind: 'servfail' }
      return { kind: 'records', records: [{ type: 'A', value: '10.9.9.9', ttl: 1 }] }
    })
    const echo = await Origin.start()
    const web = await HttpOrigin.serving(() => 'x'.repeat(20_000))
    const secure = await HttpOrigin.serving(() => 'inside', { tls: originCa.issue('DNS:models.test') })
    const users = join(inspectionCa.folder, 'users')
    writeFileSync(users, userLine('somebody', 'a password'))
    const config = (mode: string) => `
mode: ${mode}
# Nobody is there: whoever is led that way is refused.
upstream: [{ match: [parented.test], proxy: "http://127.0.0.1:1" }]
groups: { lab: { sources: ["127.0.0.1"] } }
credentials: { file: ${users} }
rules:
  - { name: echo, hosts: [echo.test], ports: [7], protocol: any }
  - { name: web, hosts: [web.test], ports: [80] }
  - { name: models, hosts: [models.test], paths: ["/team/*"] }
  - { name: another-name, hosts: [misnamed.test], paths: ["/team/*"] }
  - { name: private, hosts: [private.test, nowhere.test, broken.test], ports: [7], protocol: any }
  - { name: closed, hosts: [closed.test], ports: [7], protocol: any }
  - { name: parented, hosts: [parented.test], ports: [7], protocol: any }
  - { name: no-gists, hosts: [gist.test], action: deny }
  - { name: no-telemetry, hosts: [dc.test], action: deny, quiet: true }
destinations:
  pin:
    echo.test: "127.0.0.1:${echo.port}"
    web.test: "127.0.0.1:${web.port}"
    models.test: "127.0.0.1:${secure.port}"
    misnamed.test: "127.0.0.1:${secure.port}"
    closed.test: "127.0.0.1:1"
    "new-1.example.test": "127.0.0.1:${echo.port}"
    pypi.example.test: "127.0.0.1:${web.port}"
dns: { servers: ["127.0.0.1:${names.port}"], timeoutMs: 200, minTtlSeconds: 0 }
inspection: { caCertificate: "${inspectionCa.certificateFile}", caKey: "${inspectionCa.keyFile}", upstreamCa: ["${originCa.certificateFile}"] }
limits: { tunnelsPerClient: 24 }
subnet: { ranges: ["10.0.1.0/24"] }
hooks: { files: [hook.ts] }
serviceTags: { file: tags.json }
`
    const prepare = (folder: string) => {
      writeFileSync(join(folder, 'hook.ts'), HOOK)
      copyFileSync(TAG_FILES.public, join(folder, 'tags.json'))
    }
    const enforcing = await startProgram(config('enforce'), { prepare })
    const reporting = await startProgram(config('report'), { prepare })
    return new MixedTraffic(
      [enforcing, reporting],
      [originCa, inspectionCa],
      [
        () => enforcing.stop(),
        () => reporting.stop(),
        () => names.stop(),
        () => echo.stop(),
        () => web.stop(),
        () => secure.stop(),
        () => originCa.remove(),
        () => inspectionCa.remove(),
      ],
    )
  }

  /** A second or so of everything. What it is answered is for other tests to judge. */
  async round(): Promise<void> {
    const round = this.#round++
    for (const gateway of [this.enforcing, this.reporting]) {
      await dropPackets(join(gateway.folder, 'state'), round)
      const port = gateway.port('proxy')
      await Promise.all([
        ...[
          'closed.test:7',
          'private.test:7',
          'nowhere.test:7',
          'parented.test:7',
          'broken.test:7',
          'gist.test:443',
          'dc.test:443',
          'web.test:8080',
          'login.microsoftonline.us:443',
        ].map((authority) => refused(port, authority)),
        refused(port, `new-${round}.example.test:443`),
        forward(port, 'http://web.test/data'),
        // In no group by its address, and without a password.
        forward(port, 'http://web.test/data', '127.0.0.5'),
        forward(port, 'http://pypi.example.test/simple/'),
        this.#inspect(port, 'models.test', '/team/model'),
        this.#inspect(port, 'models.test', '/other'),
        this.#inspect(port, 'misnamed.test', '/team/model'),
        openTls(port, 'models.test:443', { ca: this.#originCa.pem }).catch(() => {}),
      ])
      const tunnels = await Promise.all(Array.from({ length: 5 }, () => openTunnel(port, 'echo.test:7')))
      for (const tunnel of tunnels) tunnel.send('x'.repeat(5_000 + 500 * round))
      await Promise.all(tunnels.map((tunnel) => tunnel.until((text) => text.endsWith('x'.repeat(1_000)))))
      const beyond = await Promise.all(Array.from({ length: 26 }, () => openTunnel(port, 'echo.test:7').catch(() => undefined)))
      // The next round finds some of them still open.
      for (const tunnel of [...tunnels.slice(0, 3 + (round % 2)), ...beyond]) tunnel?.socket.destroy()
      for (const tunnel of tunnels.slice(3 + (round % 2))) setTimeout(() => tunnel.socket.destroy(), 700)
    }
  }

  async #inspect(port: number, host: string, path: string): Promise<void> {
    const secure = await openTls(port, `${host}:443`, { ca: this.#inspectionCa.pem })
    await request(secure, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`).catch(() => {})
    secure.destroy()
  }

  async stop(): Promise<void> {
    for (const end of this.#ends) await end()
  }
}

/** As `sallyport subnet --watch` tells it beside the gateway. */
async function dropPackets(stateDirectory: string, round: number): Promise<void> {
  await mkdir(stateDirectory, { recursive: true })
  const packets = [53, 123, 443, 5831].map((port) => ({ proto: 'udp' as const, port: String(port), packets: port * (round + 1) }))
  await writeReport(stateDirectory, { version: 1, timeMs: Date.now(), rulesInForce: true, packets, flows: [] })
}

async function refused(port: number, authority: string): Promise<void> {
  const tunnel = await openTunnel(port, authority).catch(() => undefined)
  tunnel?.socket.destroy()
}

async function forward(port: number, url: string, from?: string): Promise<void> {
  const client = await RawClient.connect(port, '127.0.0.1', from)
  client.send(`GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nConnection: close\r\n\r\n`)
  await client.untilClosed()
}
