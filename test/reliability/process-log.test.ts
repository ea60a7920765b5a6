import { writeFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { waitFor } from '../support/gateway.ts'
import { ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw } from '../support/raw-client.ts'

let gateway: ProgramUnderTest | undefined

afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
})

describe('the process log', () => {
  it('that nobody reads holds up no request: lines wait, bounded, then are dropped and counted, and what is read later says so', async () => {
    const metrics = await freePort()
    const proxy = await freePort()
    const admin = await freePort()
    const listen = `listen: { proxy: "127.0.0.1:${proxy}", metrics: "127.0.0.1:${metrics}", admin: "127.0.0.1:${admin}" }`
    // Each reload that fails leaves a line that says why.
    const broken = Array.from({ length: 200 }, (_, i) => `  - { name: r${i}, hosts: ["*bad*${'x'.repeat(150)}"] }`).join('\n')
    gateway = startUnread(`${listen}\nreload: { watch: false }\n`)
    const page = () =>
      fetch(`http://127.0.0.1:${metrics}/metrics`).then(
        (answer) => answer.text(),
        () => '',
      )
    await waitFor(async () => ((await page()) === '' ? undefined : true), 'the listeners')
    writeFileSync(gateway.configFile, `${listen}\nrules:\n${broken}\n`)
    let failed = 0
    const dropped = await waitFor(
      async () => {
        gateway?.signal('SIGHUP')
        const text = await page()
        failed = metricOn(text, 'sallyport_policy_reloads_total{outcome="failed"}')
        const count = metricOn(text, 'sallyport_log_dropped_total')
        return count > 2 ? count : undefined
      },
      'drops',
      30_000,
    )
    expect(failed).toBeGreaterThan(dropped)
    const started = performance.now()
    const answer = await exchangeRaw(proxy, 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 403 host_not_listed/)
    expect(performance.now() - started).toBeLessThan(1_000)
    gateway.readLog()
    const line = await gateway.logged('lines of this log were dropped: nobody took them')
    expect(line['lines']).toBeGreaterThanOrEqual(dropped)
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })

  it('of a program that cannot start is out before it ends', async () => {
    gateway = await startProgram('')
    const taken = gateway.port('proxy')
    const other = startUnread(`listen: { proxy: "127.0.0.1:${taken}", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\n`)
    other.readLog()
    try {
      expect((await other.exited).code).toBe(69)
      expect(other.log.at(-1)).toMatchObject({ level: 'fatal', msg: expect.stringMatching(/^cannot start: /) })
    } finally {
      await other.stop()
    }
  })
})

function startUnread(yaml: string): ProgramUnderTest {
  return new ProgramUnderTest(yaml, { stderr: 'stalled' })
}

function metricOn(page: string, name: string): number {
  const line = page.split('\n').find((text) => text.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? 0)
}
