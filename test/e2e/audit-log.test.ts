import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { waitFor } from '../support/gateway.ts'
import { type ProgramUnderTest, type StartOptions, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw } from '../support/raw-client.ts'

let gateway: ProgramUnderTest

afterEach(() => gateway.stop())

/** Refused, so that each is one line and nothing else. */
const refused = (count: number) =>
  Promise.all(
    Array.from({ length: count }, (_, i) =>
      exchangeRaw(gateway.port('proxy'), `CONNECT h${i}.example:443 HTTP/1.1\r\nHost: h${i}.example:443\r\n\r\n`),
    ),
  )

async function start(audit: string, options: StartOptions = {}): Promise<void> {
  gateway = await startProgram(`audit: ${audit}\nlimits: { requestsPerSecondPerClient: 100000 }\n`, options)
}

describe('the audit log', () => {
  it('goes to a file beside the config, one JSON line an event, and standard output stays empty', async () => {
    await start('{ file: audit.log }')
    await refused(5)
    gateway.signal('SIGTERM')
    expect((await gateway.exited).code).toBe(0)
    const lines = readFileSync(join(gateway.folder, 'audit.log'), 'utf8').trimEnd().split('\n')
    const events: AuditEvent[] = lines.map((line) => JSON.parse(line))
    expect(events.map(({ host }) => host).toSorted()).toEqual([
      'h0.example',
      'h1.example',
      'h2.example',
      'h3.example',
      'h4.example',
    ])
    expect(new Set(events.map(({ id }) => id)).size).toBe(5)
    expect(gateway.stdout).toBe('')
  })

  it('is appended to when the gateway is started again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-audit-'))
    const file = join(folder, 'audit.log')
    try {
      for (const round of [1, 2]) {
        await start(`{ file: ${file} }`)
        await refused(1)
        gateway.signal('SIGTERM')
        await gateway.exited
        expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(round)
        await gateway.stop()
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('whose reader has gone is dropped and counted, and the gateway serves on', async () => {
    await start('{ file: "-" }', { stdout: 'closed' })
    for (const answer of await refused(20)) expect(answer).toMatch(/^HTTP\/1\.1 403 host_not_listed\r\n/)
    await waitFor(async () => ((await gateway.metric('sallyport_audit_dropped_total')) === 20 ? true : undefined), '20 drops')
    // Said once, not twenty times.
    expect(gateway.log.filter(({ msg }) => msg.startsWith('audit log cannot be written'))).toHaveLength(1)
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })

  it('whose reader has stalled takes bounded memory, the rest is counted, and the gateway serves on and ends', async () => {
    await start('{ file: "-", bufferBytes: 8192 }', { stdout: 'stalled' })
    let requests = 0
    const dropped = await waitFor(async () => {
      for (const answer of await refused(100)) expect(answer).toMatch(/^HTTP\/1\.1 403 /)
      requests += 100
      const count = await gateway.metric('sallyport_audit_dropped_total')
      return count > 200 ? count : undefined
    }, 'drops')
    expect(dropped).toBeLessThan(requests)
    const status = await (await gateway.ask('admin', '/api/v1/status')).json()
    expect((status as { auditBytesWaiting: number }).auditBytesWaiting).toBeLessThanOrEqual(8192)
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })

  it('leaves out what was allowed where only denials are wanted', async () => {
    await start('{ events: denied }')
    await refused(1)
    const [event] = await gateway.audit({ event: 'deny' })
    expect(event?.host).toBe('h0.example')
  })
})
