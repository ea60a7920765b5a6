import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { Origin } from '../support/origin.ts'
import { ProgramUnderTest, type StartOptions, startProgram } from '../support/program-under-test.ts'
import { RawClient } from '../support/raw-client.ts'

const cleanUps: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** An origin that sends everything back, and a gateway that lets anything through to it. */
async function start(limits: string, options?: StartOptions) {
  const origin = await Origin.start()
  cleanUps.push(() => origin.stop())
  const gateway = await startProgram(
    `limits: ${limits}
rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }`,
    options,
  )
  cleanUps.push(() => gateway.stop())
  return gateway
}

async function openTunnel(gateway: ProgramUnderTest): Promise<RawClient> {
  const client = await RawClient.connect(gateway.port('proxy'))
  cleanUps.push(() => client.close())
  client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n')
  await client.until((text) => text === 'HTTP/1.1 200 Connection established\r\n\r\n')
  return client
}

/** Sends a text through a tunnel and sees it come back. */
async function echo(client: RawClient, text: string): Promise<void> {
  client.send(text)
  await client.until((received) => received.endsWith(text))
}

/** True once nobody listens any more. */
async function refused(gateway: ProgramUnderTest): Promise<true | undefined> {
  try {
    ;(await RawClient.connect(gateway.port('proxy'))).close()
    return undefined
  } catch (error) {
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    return true
  }
}

async function readiness(gateway: ProgramUnderTest): Promise<number> {
  return (await gateway.ask('metrics', '/readyz')).status
}

describe('SIGTERM', () => {
  it('drains: not ready but accepting, then refusing, then ending with the last tunnel', async () => {
    const gateway = await start('{ drainDelaySeconds: 2, drainSeconds: 60 }')
    const early = await openTunnel(gateway)
    expect(await readiness(gateway)).toBe(200)

    gateway.signal('SIGTERM')
    await waitFor(async () => ((await readiness(gateway)) === 503 ? true : undefined), '/readyz to say 503')
    expect(await (await gateway.ask('metrics', '/livez')).text()).toBe('ok\n')
    const late = await openTunnel(gateway)

    await gateway.logged('no new work; waiting for tunnels and requests to end')
    // The kernel's relay closes its listener in a thread of its own.
    await waitFor(() => refused(gateway), 'connections to be refused')
    expect(await readiness(gateway)).toBe(503)
    await echo(early, 'still carried')
    late.close()
    early.close()
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    const ends = (await gateway.audit({ kind: 'connect', event: 'allow' }, 2)).map(({ endedBy }) => endedBy)
    expect(ends).toEqual(['client', 'client'])
  })

  it('sent twice ends at once, and the open tunnels have their lines', async () => {
    const gateway = await start('{ drainDelaySeconds: 600, drainSeconds: 600 }')
    const clients = await Promise.all(Array.from({ length: 20 }, () => openTunnel(gateway)))
    gateway.signal('SIGTERM')
    await gateway.logged('draining; the same signal again ends at once')
    const started = performance.now()
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    expect(performance.now() - started).toBeLessThan(5_000)
    await Promise.all(clients.map((client) => client.untilClosed()))
    const events = await gateway.audit({ kind: 'connect' }, clients.length)
    expect(new Set(events.map(({ endedBy }) => endedBy))).toEqual(new Set(['drain']))
  })

  it('sent twice leaves a line for each request under way', async () => {
    const origin = await HttpOrigin.start((req, res) => {
      if (req.url === '/streaming') res.write('first half, ')
    })
    cleanUps.push(() => origin.stop())
    const gateway = await startProgram(`destinations: { pin: { cloud.r-project.org: "127.0.0.1:${origin.port}" } }`)
    cleanUps.push(() => gateway.stop())
    for (const path of ['/waiting', '/streaming']) {
      const client = await RawClient.connect(gateway.port('proxy'))
      cleanUps.push(() => client.close())
      client.send(`GET http://cloud.r-project.org${path} HTTP/1.1\r\nHost: cloud.r-project.org\r\n\r\n`)
      await waitFor(() => (origin.asked.includes(`GET ${path}`) ? true : undefined), path)
    }
    gateway.signal('SIGTERM')
    await gateway.logged('no new work; waiting for tunnels and requests to end')
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    const events = await gateway.audit({ kind: 'forward' }, 2)
    expect(events.map(({ path }) => path).toSorted()).toEqual(['/streaming', '/waiting'])
  })

  it('closes what is still open after `drainSeconds`', async () => {
    const gateway = await start('{ drainSeconds: 0.2 }')
    const client = await openTunnel(gateway)
    gateway.signal('SIGTERM')
    await client.untilClosed()
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    const [event] = await gateway.audit({ kind: 'connect' })
    expect(event?.endedBy).toBe('drain')
  })

  it('is not held up by clients that are idle', async () => {
    const gateway = await start('{ drainSeconds: 600 }')
    const agent = new Agent({ keepAlive: true })
    cleanUps.push(() => agent.destroy())
    for (const path of ['/metrics', '/livez'] as const) await gateway.ask('metrics', path)
    await gateway.ask('admin', '/api/v1/status')
    // One that was refused and is kept alive, and one on each listener that never says a word.
    await new Promise((resolve, reject) => {
      const target = { port: gateway.port('proxy'), path: 'http://idle.example/', headers: { Host: 'idle.example' }, agent }
      get(target, (res) => res.resume().on('end', resolve)).on('error', reject)
    })
    for (const listener of ['proxy', 'metrics', 'admin'] as const) {
      const silent = connect(gateway.port(listener), '127.0.0.1')
      cleanUps.push(() => silent.destroy())
      await new Promise((resolve) => silent.once('connect', resolve))
    }
    const started = performance.now()
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it('lets a request that is under way finish', async () => {
    let answer: (() => void) | undefined
    const origin = await HttpOrigin.start((_req, res) => {
      res.write('first half, ')
      answer = () => res.end('second half')
    })
    cleanUps.push(() => origin.stop())
    const gateway = await startProgram(`destinations: { pin: { cloud.r-project.org: "127.0.0.1:${origin.port}" } }`)
    cleanUps.push(() => gateway.stop())
    const client = await RawClient.connect(gateway.port('proxy'))
    cleanUps.push(() => client.close())
    client.send('GET http://cloud.r-project.org/ HTTP/1.1\r\nHost: cloud.r-project.org\r\n\r\n')
    await client.until((text) => text.includes('first half'))
    gateway.signal('SIGTERM')
    await gateway.logged('no new work; waiting for tunnels and requests to end')
    expect(await readiness(gateway)).toBe(503)
    answer?.()
    const text = await client.untilClosed()
    expect(text).toMatch(/second half\r\n0\r\n\r\n$/)
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    const [event] = await gateway.audit({ kind: 'forward' })
    expect(event).toMatchObject({ event: 'allow', path: '/' })
  })

  it('refuses new requests on connections that are kept alive once it stopped accepting', async () => {
    const gateway = await start('{ drainSeconds: 600 }')
    const tunnel = await openTunnel(gateway)
    // The head is half sent, so the connection is not idle and stays.
    const client = await RawClient.connect(gateway.port('proxy'))
    cleanUps.push(() => client.close())
    client.send('CONNECT echo.test:7 HTTP/1.1\r\n')
    await echo(tunnel, 'so that the half is there too')
    gateway.signal('SIGTERM')
    await gateway.logged('no new work; waiting for tunnels and requests to end')
    client.send('Host: echo.test:7\r\n\r\n')
    const text = await client.untilClosed()
    expect(text).toMatch(/^HTTP\/1\.1 503 draining\r\n/)
    expect(text).toMatch(/\r\nRetry-After: \d+\r\n/)
    tunnel.close()
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })
})

it('SIGINT drains as well', async () => {
  const gateway = await start('{ drainSeconds: 600 }')
  gateway.signal('SIGINT')
  expect(await gateway.exited).toEqual({ code: 0, signal: null })
})

it('SIGINT that comes twice for one press of a key, as under npm, is one', async () => {
  const gateway = await start('{ drainDelaySeconds: 600, drainSeconds: 600 }')
  const client = await openTunnel(gateway)
  gateway.signal('SIGINT')
  await gateway.logged('draining; the same signal again ends at once')
  gateway.signal('SIGINT')
  await echo(client, 'still carried')
  expect(gateway.log.map(({ msg }) => msg)).not.toContain('ending at once')
  gateway.signal('SIGTERM')
  expect(await gateway.exited).toEqual({ code: 0, signal: null })
})

describe('a start that fails', () => {
  async function failing(yaml: string): Promise<ProgramUnderTest> {
    const gateway = new ProgramUnderTest(yaml)
    cleanUps.push(() => gateway.stop())
    await gateway.exited
    return gateway
  }

  it('for its config exits 78 and shows every mistake with its place', async () => {
    const gateway = await failing('clod: public\nrules:\n  - { name: a, hosts: ["*.*"] }\n  - { name: b }\n')
    expect(await gateway.exited).toEqual({ code: 78, signal: null })
    const lines = gateway.stderr.trimEnd().split('\n')
    expect(lines.length).toBeGreaterThanOrEqual(3)
    for (const line of lines) expect(line.startsWith(`${gateway.configFile}:`), line).toBe(true)
    expect(gateway.stderr).toMatch(/:2:1: .*`clod`.*did you mean `cloud`/)
    expect(gateway.stderr).toMatch(/:4:\d+: .*\*\.\*/)
    expect(gateway.stderr).toMatch(/:5:\d+: .*hosts/)
    expect(gateway.stdout).toBe('')
  })

  for (const listener of ['proxy', 'metrics', 'admin'] as const) {
    it(`for a port of the ${listener} listener that is taken says which`, async () => {
      const taken = await Origin.start()
      cleanUps.push(() => taken.stop())
      const listen = { proxy: '127.0.0.1:0', metrics: '127.0.0.1:0', admin: '127.0.0.1:0', [listener]: `127.0.0.1:${taken.port}` }
      const gateway = await failing(`listen: ${JSON.stringify(listen)}\n`)
      expect((await gateway.exited).code).toBe(69)
      expect(gateway.log.at(-1)).toMatchObject({
        level: 'fatal',
        msg: `cannot start: cannot listen on 127.0.0.1:${taken.port}: something else listens there`,
      })
    })
  }

  it('for a variable that would lead requests past vetting says which', async () => {
    const gateway = new ProgramUnderTest('', { env: { FORCE_FETCH_PATH: 'true' } })
    cleanUps.push(() => gateway.stop())
    expect((await gateway.exited).code).toBe(69)
    expect(gateway.log.at(-1)).toMatchObject({
      level: 'fatal',
      msg: expect.stringMatching(/^cannot start: unset FORCE_FETCH_PATH/),
    })
  })

  it('for an audit log that cannot be opened says which file', async () => {
    const gateway = await failing('audit: { file: missing/folder/audit.log }\n')
    expect((await gateway.exited).code).toBe(69)
    expect(gateway.log.at(-1)?.msg).toMatch(
      /^cannot start: cannot open the audit log `\S*missing\/folder\/audit\.log` \(`audit\.file`\): ENOENT$/,
    )
  })
})
