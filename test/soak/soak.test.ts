import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { addressRecords, type DnsReply, DnsServer } from '../support/dns-server.ts'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { Tally, type Target, WORK } from './load.ts'

const MINUTES = Number(process.env['SALLYPORT_SOAK_MINUTES'] ?? 0)
const WORKERS = Number(process.env['SALLYPORT_SOAK_WORKERS'] ?? 1)

/** What a warm process has seen: code is compiled, caches and pools have their size. */
const WARM_UP_MS = 15_000
const PROGRESS_MS = 5_000
const RELOAD_MS = 1_500
const ROTATION_MS = 4_000

/** How much more memory than when it was warm is no growth: what a heap keeps between two collections. */
const MEMORY_SLACK_BYTES = 96 * 1_048_576

/** What a process has once it has worked: sockets of its resolver, pipes of the relay. */
const DESCRIPTOR_SLACK = 8

/** Longest of the waits that a client can cause: a name server that says nothing. */
const SETTLE_MS = 30_000

/** Descriptors and resident memory of the gateway, all its processes together. */
function footprint(gateway: ProgramUnderTest): { readonly descriptors: number; readonly bytes: number } {
  const pids = [gateway.child.pid ?? 0]
  for (const pid of pids) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')
    pids.push(...children.filter((text) => text !== '').map(Number))
  }
  let descriptors = 0
  let bytes = 0
  for (const pid of pids) {
    descriptors += readdirSync(`/proc/${pid}/fd`).length
    bytes += 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  }
  return { descriptors, bytes }
}

/** Past the reporter: whoever soaks for an hour wants to see that it goes on. */
const say = (line: string) => process.stdout.write(`${line}\n`)

const megabytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MB`

function troubledAnswer(type: 'A' | 'AAAA' | 'other'): DnsReply {
  const replies: readonly DnsReply[] = [
    { kind: 'silence' },
    { kind: 'servfail' },
    { kind: 'nxdomain' },
    { kind: 'refused' },
    // A lie: a private address for a public name.
    addressRecords(['10.0.0.1', 'fd00::1'], type, 1),
  ]
  return replies[randomInt(replies.length)] ?? { kind: 'silence' }
}

/** The audit log and what was rotated away of it. */
function auditEvents(folder: string): AuditEvent[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('audit.log'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line))
}

describe.runIf(MINUTES > 0)(`${MINUTES} minutes of mixed load with faults, workers: ${WORKERS}`, () => {
  it('lose nothing and leave nothing behind', { timeout: (MINUTES + 5) * 60_000 }, async () => {
    const ca = new OpensslCa('Inspection Root')
    const originCa = new OpensslCa('Origin Root')
    const echo = await Origin.start((socket) => socket.pipe(socket))
    const resets = await Origin.start((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const take = (tls?: ReturnType<OpensslCa['issue']>) =>
      HttpOrigin.start(
        (req, res) => {
          let length = 0
          req.on('data', (chunk: Buffer) => {
            length += chunk.length
          })
          req.on('end', () => res.end(`took ${length}.`))
        },
        tls === undefined ? {} : { tls },
      )
    const web = await take()
    const secure = await take(originCa.issue('DNS:paths.test'))
    const dns = await DnsServer.start(({ type }) => troubledAnswer(type))
    const config = (generation: number) => `workers: ${WORKERS}
rules:
  - { name: echo, hosts: [echo.test, resets.test], ports: [7], protocol: any }
  - { name: web, hosts: [web.test] }
  - { name: paths, hosts: [paths.test], paths: ["/team/*"] }
  - { name: looked-up, hosts: ["*.looked-up.test"] }
  - { name: g${generation % 7}, hosts: [g${generation % 7}.test] }
destinations: { pin: { echo.test: "127.0.0.1:${echo.port}", resets.test: "127.0.0.1:${resets.port}", web.test: "127.0.0.1:${web.port}", paths.test: "127.0.0.1:${secure.port}" } }
dns: { servers: ["${dns.address}"], timeoutMs: 100, minTtlSeconds: 0, maxTtlSeconds: 1 }
inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}", upstreamCa: ["${originCa.certificateFile}"] }
audit: { file: audit.log, onFailure: deny }
reload: { watch: false }
limits: { requestsPerSecondPerClient: 100000, originKeepAliveSeconds: 1, dialSeconds: 2 }
`
    const gateway = await startProgram(config(0))
    const start = footprint(gateway)
    const forget = setInterval(() => {
      // What origins remember is for other tests; here it would be memory of this process.
      for (const origin of [echo, resets]) origin.forget()
      for (const origin of [web, secure]) origin.forget()
      dns.questions.length = 0
    }, 1_000)
    try {
      const tally = new Tally()
      const target: Target = { proxy: gateway.port('proxy'), caPem: ca.pem, tally }
      let stopping = false
      const lanes = Object.entries(WORK).flatMap(([what, { clients, work }]) =>
        Array.from({ length: clients }, async () => {
          while (!stopping) {
            try {
              await work(target)
              tally.count(what)
            } catch (error) {
              tally.faults.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
              if (tally.faults.length > 20) stopping = true
            }
          }
        }),
      )
      const quiet = async () => {
        await waitFor(
          async () => ((await gateway.metric('sallyport_tunnels_open')) === 0 ? true : undefined),
          'the tunnels to end',
          SETTLE_MS,
        )
      }
      const listen = readFileSync(gateway.configFile, 'utf8').split('\n')[0]
      let reloads = 0
      let rotations = 0
      const reload = setInterval(() => {
        writeFileSync(gateway.configFile, `${listen}\n${config(++reloads)}`)
        gateway.signal('SIGHUP')
      }, RELOAD_MS)
      const rotate = setInterval(() => {
        renameSync(join(gateway.folder, 'audit.log'), join(gateway.folder, `audit.log.${++rotations}`))
        gateway.signal('SIGUSR2')
      }, ROTATION_MS)
      const started = performance.now()
      let warm: ReturnType<typeof footprint> | undefined
      let most = { descriptors: 0, bytes: 0 }
      let shown = 0
      let ended: unknown
      void gateway.exited.then((how) => {
        ended = how
      })
      while (!stopping && performance.now() - started < WARM_UP_MS + MINUTES * 60_000) {
        await new Promise((resolve) => setTimeout(resolve, 500))
        if (ended !== undefined) throw new Error(`the gateway ended: ${JSON.stringify(ended)}\n${gateway.stderr.slice(-4_000)}`)
        const now = footprint(gateway)
        most = { descriptors: Math.max(most.descriptors, now.descriptors), bytes: Math.max(most.bytes, now.bytes) }
        const seconds = Math.round((performance.now() - started) / 1000)
        if (warm === undefined && performance.now() - started >= WARM_UP_MS) warm = now
        if (performance.now() - started < shown + PROGRESS_MS) continue
        shown = performance.now() - started
        const total = Object.values(tally.done).reduce((sum, count) => sum + count, 0)
        say(
          `soak: ${seconds} s, ${total} requests, ${tally.refused.size} refused, ${megabytes(tally.bytesSent)} through tunnels, ` +
            `${reloads} reloads, ${rotations} rotations, ${now.descriptors} descriptors, ${megabytes(now.bytes)}`,
        )
      }
      stopping = true
      clearInterval(reload)
      clearInterval(rotate)
      await Promise.all(lanes)
      await quiet()
      expect(tally.faults).toEqual([])

      // Idle origin connections go after a second; what is left then is what a gateway has that does nothing.
      const idle = await waitFor(
        () => {
          const now = footprint(gateway)
          return now.descriptors <= start.descriptors + DESCRIPTOR_SLACK * WORKERS ? now : undefined
        },
        'descriptors to be given back',
        SETTLE_MS,
      )
      expect(idle.bytes).toBeLessThan((warm?.bytes ?? 0) + MEMORY_SLACK_BYTES * WORKERS)

      const page = await (await gateway.ask('metrics', '/metrics')).text()
      const sum = (name: string) =>
        page
          .split('\n')
          .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
          .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
      expect(sum('sallyport_tunnels_open')).toBe(0)
      expect(sum('sallyport_audit_dropped_total')).toBe(0)
      expect(sum('sallyport_worker_restarts_total')).toBe(0)
      expect(sum('sallyport_policy_reloads_total')).toBeGreaterThan(0)
      expect(page).toContain('sallyport_policy_current 1')
      const requests = sum('sallyport_requests_total')
      const events = await waitFor(() => {
        const found = auditEvents(gateway.folder)
        return found.length >= requests ? found : undefined
      }, 'a line for every request')
      expect(events.length).toBe(requests)
      expect(new Set(events.map(({ id }) => id)).size).toBe(requests)
      const refusedInLog = new Set(events.filter(({ event }) => event === 'deny' || event === 'error').map(({ id }) => id))
      expect([...tally.refused].filter((id) => !refusedInLog.has(id))).toEqual([])
      const echoes = events.filter(({ host, kind }) => host === 'echo.test' && kind === 'connect')
      const bytes = (field: 'bytesUp' | 'bytesDown') => echoes.reduce((total, event) => total + (event[field] ?? 0), 0)
      expect({ sent: tally.bytesSent, received: tally.bytesReceived }).toEqual({
        sent: bytes('bytesUp'),
        received: bytes('bytesDown'),
      })
      expect(tally.bytesReceived).toBe(tally.bytesSent)
      const unexpected = gateway.log.filter(({ level }) => level === 'error' || level === 'fatal')
      expect(unexpected).toEqual([])
      say(
        `soak: done. ${JSON.stringify(tally.done)}; ${requests} requests, each with its line; ${tally.refused.size} refusals found; ` +
          `${tally.bytesSent} bytes sent and received; ${reloads} reloads, ${rotations} rotations; ` +
          `descriptors ${start.descriptors} at the start, at most ${most.descriptors}, ${idle.descriptors} at the end; memory warm ${megabytes(warm?.bytes ?? 0)}, ` +
          `at most ${megabytes(most.bytes)}, ${megabytes(idle.bytes)} at the end`,
      )
    } finally {
      clearInterval(forget)
      await gateway.stop()
      await Promise.all([echo.stop(), resets.stop(), web.stop(), secure.stop(), dns.stop()])
      ca.remove()
      originCa.remove()
    }
  })
})
