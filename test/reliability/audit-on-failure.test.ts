import { readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { waitFor } from '../support/gateway.ts'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, type StartOptions, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'

let origin: Origin
let gateway: ProgramUnderTest

beforeAll(async () => {
  origin = await Origin.start()
})
afterAll(() => origin.stop())
afterEach(() => gateway.stop())

async function start(workers: number, audit: string, options: StartOptions = {}): Promise<void> {
  gateway = await startProgram(
    `workers: ${workers}
audit: ${audit}
limits: { requestsPerSecondPerClient: 100000 }
rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }
`,
    options,
  )
}

const connect = (host: string) => exchangeRaw(gateway.port('proxy'), `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`)

async function tunnel(): Promise<RawClient> {
  const client = await RawClient.connect(gateway.port('proxy'))
  client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n')
  await client.until((text) => text.endsWith('\r\n\r\n'))
  expect(client.text).toMatch(/^HTTP\/1\.1 200 /)
  return client
}

async function echoes(client: RawClient, text: string): Promise<void> {
  client.send(text)
  await client.until((got) => got.endsWith(text))
}

/** Asks until requests are refused for the log's sake: the hosts of those that were not. */
async function untilRefused(): Promise<string[]> {
  const served: string[] = []
  await waitFor(
    async () => {
      const host = `h${served.length}.${'x'.repeat(60)}.${'y'.repeat(60)}.example`
      const answer = await connect(host)
      if (answer.startsWith('HTTP/1.1 503 gateway_full\r\n')) {
        expect(answer).toMatch(/\r\nRetry-After: 5\r\n/i)
        expect(answer).toContain('the audit log cannot be written')
        return true
      }
      expect(answer).toMatch(/^HTTP\/1\.1 403 host_not_listed\r\n/)
      served.push(host)
      return undefined
    },
    'a refusal',
    30_000,
  )
  return served
}

const untilServed = () =>
  waitFor(async () => ((await connect('again.example')).startsWith('HTTP/1.1 403 ') ? true : undefined), 'recovery')

const ready = async () => {
  const answer = await gateway.ask('metrics', '/readyz')
  return { status: answer.status, text: await answer.text() }
}

const hostsOf = (events: readonly AuditEvent[]) => new Set(events.map(({ host }) => host))

for (const workers of [1, 2]) {
  describe(`audit.onFailure: deny, workers: ${workers}`, () => {
    it('on a full disk: new requests get 503, tunnels go on, and with another file every line is there', async () => {
      await start(workers, '{ file: audit.log, onFailure: deny }', {
        prepare: (folder) => symlinkSync('/dev/full', join(folder, 'audit.log')),
      })
      const open = await tunnel()
      const served = await untilRefused()
      expect(await ready()).toMatchObject({ status: 503, text: expect.stringContaining('audit.onFailure: deny') })
      expect(await gateway.metric('sallyport_audit_writable')).toBe(0)
      expect(await gateway.metric('sallyport_limit_hits_total{limit="audit_buffer"}')).toBeGreaterThan(0)
      await echoes(open, 'through a gateway that takes nothing new')
      rmSync(join(gateway.folder, 'audit.log'))
      gateway.signal('SIGUSR2')
      await untilServed()
      expect(await ready()).toMatchObject({ status: 200 })
      expect(await gateway.metric('sallyport_audit_writable')).toBe(1)
      open.close()
      const events = await waitFor(() => {
        const lines = readFileSync(join(gateway.folder, 'audit.log'), 'utf8').split('\n').slice(0, -1)
        const all: AuditEvent[] = lines.map((line) => JSON.parse(line))
        return all.some(({ host }) => host === 'echo.test') ? all : undefined
      }, "the tunnel's line")
      for (const host of served) expect(hostsOf(events)).toContain(host)
      expect(events.filter(({ reason }) => reason === 'gateway_full').length).toBeGreaterThan(0)
      expect(await gateway.metric('sallyport_audit_dropped_total')).toBe(0)
    })

    it('on a pipe that nobody reads: the same, until somebody reads', async () => {
      await start(workers, '{ file: "-", onFailure: deny, bufferBytes: 65536 }', { stdout: 'stalled' })
      const open = await tunnel()
      const served = await untilRefused()
      await echoes(open, 'still open')
      const { stdout } = gateway.child
      let text = ''
      stdout?.setEncoding('utf8').on('data', (more: string) => {
        text += more
      })
      await untilServed()
      open.close()
      const events = await waitFor(() => {
        const all: AuditEvent[] = text
          .slice(0, text.lastIndexOf('\n') + 1)
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line))
        const seen = hostsOf(all)
        return served.every((host) => seen.has(host)) && seen.has('echo.test') ? all : undefined
      }, 'every line')
      expect(events.length).toBeGreaterThan(served.length)
    })

    it('on a pipe whose reader has gone: nothing new is taken, and the gateway ends in order', async () => {
      await start(workers, '{ file: "-", onFailure: deny }', { stdout: 'closed' })
      await untilRefused()
      expect((await ready()).status).toBe(503)
      gateway.signal('SIGTERM')
      expect(await gateway.exited).toEqual({ code: 0, signal: null })
    })
  })
}

describe('audit.onFailure: drop', () => {
  it('is ready while lines are lost, and says so', async () => {
    await start(1, '{ file: /dev/full }')
    for (let i = 0; i < 5; i++) expect(await connect('a.example')).toMatch(/^HTTP\/1\.1 403 /)
    await waitFor(async () => ((await gateway.metric('sallyport_audit_dropped_total')) >= 5 ? true : undefined), 'drops')
    expect(await gateway.metric('sallyport_audit_writable')).toBe(0)
    expect(await ready()).toMatchObject({ status: 200, text: expect.stringContaining('/dev/full') })
  })
})
