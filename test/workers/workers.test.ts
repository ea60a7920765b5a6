import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { CrewUnderTest } from '../support/crew-under-test.ts'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { Origin } from '../support/origin.ts'
import { ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'
import { openTunnel } from '../support/tunnel-client.ts'

let origin: Origin
let web: HttpOrigin

beforeAll(async () => {
  origin = await Origin.start()
  web = await HttpOrigin.start((_req, res) => void res.end('fine'))
})

afterAll(async () => {
  await origin.stop()
  await web.stop()
})

const rules = (more = '') => `rules:
  - { name: echo, hosts: [echo.test], ports: [7], protocol: any }
  - { name: web, hosts: [web.test] }
${more}destinations: { pin: { echo.test: "127.0.0.1:${origin.port}", web.test: "127.0.0.1:${web.port}", other.test: "127.0.0.1:${origin.port}" } }
`
const OTHER = '  - { name: other, hosts: [other.test], ports: [7], protocol: any }\n'

const get = (port: number, host: string, fields = '') =>
  exchangeRaw(port, `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${fields}Connection: close\r\n\r\n`)

async function echo(client: RawClient, text: string): Promise<void> {
  client.send(text)
  await client.until((received) => received.endsWith(text))
}

describe('two workers', () => {
  let crew: CrewUnderTest

  beforeAll(async () => {
    crew = await CrewUnderTest.start(rules())
  })

  afterAll(() => crew?.stop())

  it('share the port, and both serve', async () => {
    const tunnels = await crew.tunnelsOnEach('echo.test:7', 3)
    for (const [index, tunnel] of tunnels.entries()) await echo(tunnel, `tunnel ${index}`)
    for (const tunnel of tunnels) tunnel.close()
    await waitFor(
      async () => ((await crew.program.metric('sallyport_tunnels_open')) === 0 ? true : undefined),
      'the tunnels to end',
    )
  })

  it('take turns, also while there is little to do', async () => {
    const tunnels: RawClient[] = []
    for (let n = 0; n < 20; n++) tunnels.push(await openTunnel(crew.port, 'echo.test:7'))
    const shares = await waitFor(async () => {
      const { workers } = (await (await crew.program.ask('admin', '/api/v1/status')).json()) as { workers: { tunnels: number }[] }
      const each = workers.map((worker) => worker.tunnels)
      return each[0] !== undefined && each.reduce((sum, one) => sum + one, 0) === 20 ? each : undefined
    }, 'all of them')
    for (const tunnel of tunnels) tunnel.close()
    for (const share of shares) expect(share).toBeGreaterThanOrEqual(7)
    await waitFor(
      async () => ((await crew.program.metric('sallyport_tunnels_open')) === 0 ? true : undefined),
      'the tunnels to end',
    )
  })

  it('are counted as one gateway: metrics add up to what the audit log says', async () => {
    const before = crew.program.events().length
    await Promise.all(Array.from({ length: 60 }, (_, index) => get(crew.port, index % 3 === 0 ? 'denied.test' : 'web.test')))
    await crew.program.audit({}, before + 60)
    const count = (condition: (event: AuditEvent) => boolean) => crew.program.events().filter(condition).length
    const sumOn = (page: string, name: string) =>
      page
        .split('\n')
        .filter((line) => line.startsWith(name))
        .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
    // Lines of what came before may still be on their way.
    const page = await waitFor(async () => {
      const text = await (await crew.program.ask('metrics', '/metrics')).text()
      return sumOn(text, 'sallyport_requests_total{') === crew.program.events().length ? text : undefined
    }, 'as many requests counted as have their line')
    const sum = (name: string) => sumOn(page, name)
    expect(sum('sallyport_denials_total{')).toBe(count(({ event }) => event === 'deny'))
    expect(sum('sallyport_entry_hits_total{entry="rule/web"')).toBe(count(({ entry }) => entry === 'rule/web'))
    expect(sum('sallyport_setup_duration_seconds_count ')).toBe(count(({ kind }) => kind === 'connect'))
    expect(sum('sallyport_denied_hosts_first_seen_total ')).toBe(1)
    // Limits, timestamps and what describes the policy are not added up.
    expect(sum('sallyport_tunnels_limit ')).toBe(20_000)
    expect(sum('sallyport_policy_current ')).toBe(1)
    expect(sum('sallyport_policy_entries{feature="rules"}')).toBe(2)
    expect(sum('sallyport_build_info{')).toBe(1)
    expect(sum('process_start_time_seconds ')).toBeLessThan(Date.now() / 1000 + 5)
  })

  it('are shown as one gateway by the admin API', async () => {
    const tunnels = await crew.tunnelsOnEach('echo.test:7', 1)
    const list = (await (await crew.program.ask('admin', '/api/v1/tunnels')).json()) as {
      open: number
      tunnels: { id: string; clientPort: number }[]
    }
    expect(list.open).toBe(tunnels.length)
    expect(new Set(list.tunnels.map(({ clientPort }) => clientPort))).toEqual(new Set(tunnels.map(({ localPort }) => localPort)))
    for (const { id } of list.tunnels) expect(await crew.endTunnel(id)).toBe(200)
    await Promise.all(tunnels.map((tunnel) => tunnel.untilClosed()))
    expect(await crew.endTunnel('00000000-0000-4000-8000-000000000000')).toBe(404)
    const { denials } = (await (await crew.program.ask('admin', '/api/v1/denials')).json()) as {
      denials: { host: string; count: number }[]
    }
    expect(denials).toEqual([expect.objectContaining({ host: 'denied.test', count: 20 })])
  })

  it('know each other: a request that one has forwarded is a loop when it comes back to another', async () => {
    await get(crew.port, 'web.test')
    const via = web.requests.at(-1)?.headers.via ?? ''
    expect(via).toMatch(/sallyport-[0-9a-f]{12}/)
    for (let n = 0; n < 8; n++)
      expect(await get(crew.port, 'web.test', `Via: ${via}\r\n`)).toMatch(/^HTTP\/1\.1 403 loop_detected\r\n/)
  })

  it('take a new policy all at once, and close on each what it no longer allows', async () => {
    await expect(crew.tunnel('other.test:7')).rejects.toThrow(/host_not_listed/)
    const { status, body } = await crew.reload(rules(OTHER))
    expect(status).toBe(200)
    const opened = await crew.tunnelsOnEach('other.test:7', 2)
    expect((await crew.reload(rules())).status).toBe(200)
    await Promise.all(opened.map((tunnel) => tunnel.untilClosed()))
    const closed = await crew.program.audit({ endedBy: 'policy_changed', host: 'other.test' }, opened.length)
    expect(new Set(closed.map(({ policyHash }) => policyHash))).toEqual(new Set([body['policyHash']]))
    expect(await crew.program.metric('sallyport_policy_reloads_total{outcome="ok"}')).toBe(2)
  })

  it('keep the last good policy, both of them, when the file is broken', async () => {
    const { hash } = (await crew.status())['policy'] as { hash: string }
    expect((await crew.reload(`${rules(OTHER)}colour: blue\n`)).status).toBe(422)
    const from = crew.program.events().length
    for (let n = 0; n < 8; n++) await expect(crew.tunnel('other.test:7')).rejects.toThrow(/host_not_listed/)
    const events = (await crew.program.audit({}, from + 8)).slice(from)
    expect(new Set(events.map(({ policyHash }) => policyHash))).toEqual(new Set([hash]))
    expect(await crew.program.metric('sallyport_policy_current')).toBe(0)
    expect(await (await crew.program.ask('metrics', '/readyz')).text()).toContain('colour')
    expect((await crew.reload(rules())).status).toBe(200)
  })

  it('have one pseudonym for a client, whichever of them it meets', async () => {
    await crew.reload(`${rules()}audit: { clients: hash }\n`)
    const tunnels = await crew.tunnelsOnEach('echo.test:7', 1)
    const from = crew.program.events().length
    for (const tunnel of tunnels) tunnel.close()
    const events = (await crew.program.audit({}, from + tunnels.length)).slice(from)
    expect(new Set(events.map(({ client }) => client)).size).toBe(1)
    expect(events[0]?.client).toMatch(/^hmac:/)
  })

  it('are told what waits for a restart', async () => {
    const { body } = await crew.reload(`${rules()}stateDirectory: elsewhere\n`)
    expect(body).toMatchObject({ outcome: 'loaded', restartRequired: ['stateDirectory'] })
  })
})

describe('the limits of the gateway', () => {
  let crew: CrewUnderTest

  beforeAll(async () => {
    crew = await CrewUnderTest.start(rules())
  })

  afterAll(() => crew?.stop())

  const attempt = (authority: string): Promise<RawClient | string> =>
    crew.tunnel(authority).catch((error: Error) => /^HTTP\/1\.1 (.*)\r\n/.exec(error.message)?.[1] ?? error.message)

  for (const [limit, refusal, configOf] of [
    ['tunnels', '503 gateway_full', (count: number) => `limits: { tunnels: ${count} }\n`],
    ['tunnelsPerClient', '429 client_limit', (count: number) => `limits: { tunnelsPerClient: ${count} }\n`],
    [
      "a group's tunnels",
      '429 client_limit',
      (count: number) => `groups: { here: { sources: ["127.0.0.0/8"], limits: { tunnels: ${count} } } }\n`,
    ],
  ] as const) {
    for (const count of [1, 5])
      it(`are not multiplied by its workers: ${limit} ${count}`, async () => {
        await crew.reload(`${rules()}${configOf(count)}`)
        const outcomes = await Promise.all(Array.from({ length: 12 }, () => attempt('echo.test:7')))
        const open = outcomes.filter((outcome) => typeof outcome !== 'string')
        expect(open).toHaveLength(count)
        expect(outcomes.filter((outcome) => outcome === refusal)).toHaveLength(12 - count)
        // Whichever worker gets the next one: what another gave up is to be had.
        for (let n = 0; n < 6; n++) {
          open.pop()?.close()
          await waitFor(async () => {
            const next = await attempt('echo.test:7')
            return typeof next === 'string' ? undefined : open.push(next)
          }, 'a place that was given up')
          expect(await attempt('echo.test:7')).toBe(refusal)
        }
        for (const tunnel of open) tunnel.close()
        await waitFor(async () => ((await crew.program.metric('sallyport_tunnels_open')) === 0 ? true : undefined), 'the end')
      })
  }

  it('hold for the rate of a client: no more than its burst and what the time has brought', async () => {
    await crew.reload(`${rules()}limits: { requestsPerSecondPerClient: 20 }\n`)
    const started = performance.now()
    const answers = await Promise.all(Array.from({ length: 120 }, () => get(crew.port, 'web.test')))
    const seconds = (performance.now() - started) / 1000
    const served = answers.filter((answer) => answer.startsWith('HTTP/1.1 200 ')).length
    expect(served).toBeLessThanOrEqual(40 + Math.ceil(20 * seconds))
    // What workers held under the higher rate before is taken off this one's burst.
    expect(served).toBeGreaterThanOrEqual(10)
    expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 429 client_limit'))).toHaveLength(120 - served)
  })

  it('hold for a rate of one', async () => {
    await crew.reload(`${rules()}limits: { requestsPerSecondPerClient: 1 }\n`)
    const started = performance.now()
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(crew.port, 'web.test')))
    const served = answers.filter((answer) => answer.startsWith('HTTP/1.1 200 ')).length
    expect(served).toBeLessThanOrEqual(2 + Math.ceil((performance.now() - started) / 1000))
  })

  it('hold for connections', async () => {
    await waitFor(
      async () => ((await crew.workers()).every(({ connections }) => connections === 0) ? true : undefined),
      'all connections to end',
    )
    await crew.reload(`${rules()}limits: { connections: 8 }\n`)
    const clients = await Promise.all(Array.from({ length: 20 }, () => crew.connect()))
    await waitFor(async () => {
      const held = (await crew.workers()).reduce((sum, { connections }) => sum + connections, 0)
      expect(held).toBeLessThanOrEqual(8)
      return clients.filter(isOver).length >= 12 ? true : undefined
    }, 'the connections beyond the limit to be closed')
    expect(await crew.program.metric('sallyport_limit_hits_total{limit="connections"}')).toBeGreaterThanOrEqual(12)
    for (const client of clients) client.close()
  })
})

describe('a worker that is killed', () => {
  let crew: CrewUnderTest

  beforeAll(async () => {
    crew = await CrewUnderTest.start(rules())
  })

  afterAll(() => crew?.stop())

  it('takes its own tunnels with it and nothing else, and is replaced and counted', async () => {
    const tunnels = await crew.tunnelsOnEach('echo.test:7', 2)
    for (let n = 0; n < 10; n++) await get(crew.port, 'web.test')
    const lines = crew.program.events().length
    const served = 'sallyport_requests_total{listener="proxy",kind="forward",verdict="allow",reason=""}'
    const setUps = 'sallyport_setup_duration_seconds_count'
    expect(await crew.program.metric(served)).toBe(10)
    const [killed, kept] = await crew.workers()
    if (killed === undefined || kept === undefined) throw new Error('there are fewer than two workers')
    process.kill(killed.pid, 'SIGKILL')

    await waitFor(() => (tunnels.filter(isOver).length === killed.tunnels ? true : undefined), 'its tunnels to end')
    for (const tunnel of tunnels.filter((tunnel) => !isOver(tunnel))) await echo(tunnel, 'still here')
    expect((await crew.program.ask('metrics', '/readyz')).status).toBe(200)
    expect(await crew.program.metric(served)).toBe(10)
    expect(await crew.program.metric(setUps)).toBe(tunnels.length)
    expect(crew.program.events().length).toBeGreaterThanOrEqual(lines)

    await waitFor(
      async () => ((await crew.workers()).filter(({ serving }) => serving).length === 2 ? true : undefined),
      'another worker',
    )
    expect((await crew.workers()).map(({ pid }) => pid)).not.toContain(killed.pid)
    expect(await crew.program.metric('sallyport_worker_restarts_total')).toBe(1)
    expect(await crew.program.metric(setUps)).toBe(tunnels.length)
    expect(crew.program.log.find(({ msg }) => msg === 'a worker has ended and is replaced')).toMatchObject({
      pid: killed.pid,
      signal: 'SIGKILL',
    })
    for (const tunnel of tunnels) tunnel.close()
  })

  it('is replaced by one with the policy in force, whatever the files say by then', async () => {
    expect((await crew.reload(rules(OTHER))).status).toBe(200)
    expect((await crew.reload('colour: blue\n')).status).toBe(422)
    const before = await crew.workers()
    for (const { pid } of before) process.kill(pid, 'SIGKILL')
    await waitFor(
      async () => ((await crew.program.ask('metrics', '/readyz')).status === 503 ? true : undefined),
      '/readyz to say 503',
    )
    await waitFor(
      async () => ((await crew.workers()).filter(({ serving }) => serving).length === 2 ? true : undefined),
      'two others',
    )
    const opened = await crew.tunnelsOnEach('other.test:7', 1)
    for (const tunnel of opened) tunnel.close()
    expect((await crew.reload(rules())).status).toBe(200)
  })

  it('does not hold its shares of the limits', async () => {
    const tunnels = await crew.tunnelsOnEach('echo.test:7', 1)
    await crew.reload(`${rules()}limits: { tunnels: ${tunnels.length} }\n`)
    await expect(crew.tunnel('echo.test:7')).rejects.toThrow(/gateway_full/)
    const [killed] = await crew.workers()
    process.kill(killed?.pid ?? 0, 'SIGKILL')
    await waitFor(() => (tunnels.some(isOver) ? true : undefined), 'its tunnels to end')
    for (let n = tunnels.filter(isOver).length; n > 0; n--)
      await waitFor(() => crew.tunnel('echo.test:7').catch(() => undefined), 'a place')
    await expect(crew.tunnel('echo.test:7')).rejects.toThrow(/gateway_full/)
  })
})

describe('a worker that stands still', () => {
  it('keeps a reload from all of them', async () => {
    const crew = await CrewUnderTest.start(rules())
    try {
      const [still] = await crew.workers()
      process.kill(still?.pid ?? 0, 'SIGSTOP')
      const { status, body } = await crew.reload(rules(OTHER))
      expect(status).toBe(422)
      expect(body['problems']).toEqual([`worker ${still?.worker} has not loaded the files within 10 s`])
      process.kill(still?.pid ?? 0, 'SIGCONT')
      for (let n = 0; n < 8; n++) await expect(crew.tunnel('other.test:7')).rejects.toThrow(/host_not_listed/)
      expect((await crew.reload(rules(OTHER))).status).toBe(200)
      await crew.tunnelsOnEach('other.test:7', 1)
    } finally {
      await crew.stop()
    }
  })
})

describe('an audit log that nobody reads', () => {
  it('holds nobody up: lines beyond the buffer are dropped and counted, and a worker that dies is replaced', async () => {
    const crew = await CrewUnderTest.start(
      `${rules()}audit: { bufferBytes: 65536 }\nlimits: { requestsPerSecondPerClient: 100000 }\n`,
      {
        stdout: 'stalled',
      },
    )
    try {
      const request = `GET http://${'a'.repeat(50)}.test/${'b'.repeat(2_000)} HTTP/1.1\r\nHost: x.test\r\n\r\n`
      await waitFor(
        async () => {
          const client = await crew.connect()
          client.send(request.repeat(100))
          await client.until((text) => text.split('HTTP/1.1 403').length > 100)
          client.close()
          return (await crew.program.metric('sallyport_audit_dropped_total')) > 0 ? true : undefined
        },
        'lines to be dropped',
        20_000,
      )
      const [killed] = await crew.workers()
      process.kill(killed?.pid ?? 0, 'SIGKILL')
      await waitFor(
        async () =>
          (await crew.workers()).filter(({ serving, pid }) => serving && pid !== killed?.pid).length === 2 ? true : undefined,
        'another',
      )
      await crew.tunnel('echo.test:7')
      crew.program.signal('SIGTERM')
      await crew.program.logged('draining; the same signal again ends at once')
      crew.program.signal('SIGTERM')
      expect(await crew.program.exited).toEqual({ code: 0, signal: null })
    } finally {
      await crew.stop()
    }
  })
})

describe('the end of a gateway with workers', () => {
  it('comes with the last tunnel of the last worker', async () => {
    const crew = await CrewUnderTest.start(`${rules()}limits: { drainSeconds: 60 }\n`)
    try {
      const tunnels = await crew.tunnelsOnEach('echo.test:7', 1)
      const pids = (await crew.workers()).map(({ pid }) => pid)
      crew.program.signal('SIGTERM')
      expect(await crew.program.logged('no new work; waiting for tunnels and requests to end')).toMatchObject({
        tunnels: tunnels.length,
      })
      await expect(RawClient.connect(crew.port)).rejects.toThrow('ECONNREFUSED')
      expect((await crew.program.ask('metrics', '/readyz')).status).toBe(503)
      for (const tunnel of tunnels) {
        await echo(tunnel, 'still carried')
        tunnel.close()
      }
      expect(await crew.program.exited).toEqual({ code: 0, signal: null })
      expect(await crew.program.audit({ endedBy: 'client' }, tunnels.length)).toHaveLength(tunnels.length)
      for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    } finally {
      await crew.stop()
    }
  })

  it('comes at once with the second SIGTERM, and the open tunnels have their lines', async () => {
    const crew = await CrewUnderTest.start(`${rules()}limits: { drainDelaySeconds: 600 }\n`)
    try {
      const tunnels = await crew.tunnelsOnEach('echo.test:7', 5)
      crew.program.signal('SIGTERM')
      await crew.program.logged('draining; the same signal again ends at once')
      const started = performance.now()
      crew.program.signal('SIGTERM')
      expect(await crew.program.exited).toEqual({ code: 0, signal: null })
      expect(performance.now() - started).toBeLessThan(3_000)
      await Promise.all(tunnels.map((tunnel) => tunnel.untilClosed()))
      expect(await crew.program.audit({ endedBy: 'drain' }, tunnels.length)).toHaveLength(tunnels.length)
    } finally {
      await crew.stop()
    }
  })

  it('takes the workers with it when the primary is killed', async () => {
    const crew = await CrewUnderTest.start(rules())
    const pids = (await crew.workers()).map(({ pid }) => pid)
    await crew.stop()
    await waitFor(() => (pids.every((pid) => !isRunning(pid)) ? true : undefined), 'the workers to end')
  })
})

describe('a start with workers', () => {
  it('that fails for a port that is taken says which, and leaves nothing behind', async () => {
    const listen = `{ proxy: "127.0.0.1:${origin.port}", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }`
    const program = new ProgramUnderTest(`listen: ${listen}\nworkers: 2\n`)
    try {
      expect((await program.exited).code).toBe(69)
      expect(program.log.at(-1)).toMatchObject({
        level: 'fatal',
        msg: `cannot start: cannot listen on 127.0.0.1:${origin.port}: something else listens there`,
      })
    } finally {
      await program.stop()
    }
  })

  it('is none with one worker: there is one process, and no worker is shown', async () => {
    const program = await startProgram(`workers: 1\n${rules()}`)
    try {
      expect(await (await program.ask('admin', '/api/v1/status')).json()).not.toHaveProperty('workers')
      const { pid } = program.child
      expect(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()).toBe('')
    } finally {
      await program.stop()
    }
  })
})

function isOver({ socket, closed }: RawClient): boolean {
  return closed || socket.readableEnded
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
