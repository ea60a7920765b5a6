import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { DnsServer } from '../support/dns-server.ts'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, type Lab, type LabOptions, startLab } from './lab.ts'

let lab: Lab
afterEach(() => lab.stop())

const start = async (config: string, options: LabOptions = {}) => {
  lab = await startLab({ ...options, config })
}
const CONNECT = 'CONNECT allowed.test:7 HTTP/1.1\r\nHost: x\r\n\r\n'
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const get = (host = 'allowed.test', fields = 'Connection: close\r\n') =>
  `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`

async function tunnel(from = '127.0.0.1'): Promise<RawClient> {
  const client = await RawClient.connect(lab.gateway.port, '127.0.0.1', from)
  client.send(CONNECT)
  await client.until((text) => text === ESTABLISHED)
  return client
}

async function refusal(from = '127.0.0.1', bytes = CONNECT) {
  const client = await RawClient.connect(lab.gateway.port, '127.0.0.1', from)
  client.send(bytes)
  await client.answer()
  client.close()
  const [answer] = readAnswers(client.text, [], false)
  return [answer?.status, answer?.reasonPhrase, answer?.fields.get('retry-after')]
}

const metric = (line: string) => lab.gateway.metric(line)
const tunnelsOpen = () => metric('sallyport_tunnels_open')
const noTunnels = () => waitFor(async () => ((await tunnelsOpen()) === 0 ? true : undefined), 'no tunnel')
const descriptors = () => readdirSync('/proc/self/fd').length

describe('case 34: clients that take their time', () => {
  const heads = {
    'nothing at all': [''],
    'a head in pieces': ['GET http://al', 'lowed.test/ HT', 'TP/1.1\r\nHos'],
    'a CONNECT in pieces': ['CONNECT al', 'lowed.test:7 HTTP/1.1\r\nHo', 'st:'],
    'a head without its end': ['GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n'],
    'fields without end': ['GET http://allowed.test/ HTTP/1.1\r\n', 'A: b\r\n', 'C: d\r\n', 'E: f\r\n'],
  }
  for (const [name, pieces] of Object.entries(heads)) {
    it(`${name}: closed at the deadline, and live tunnels are not cut`, async () => {
      await start('limits: { headSeconds: 0.5 }', { origin: await Origin.start() })
      const living = await tunnel()
      const client = await RawClient.connect(lab.gateway.port)
      const started = performance.now()
      const dribble = setInterval(() => client.send(pieces.length > 0 ? (pieces.splice(0, 1)[0] ?? '') : ''), 120)
      const text = await client.untilClosed()
      clearInterval(dribble)
      client.close()
      expect(performance.now() - started).toBeLessThan(3_000)
      expect(readAnswers(text).map(({ status, reasonPhrase }) => [status, reasonPhrase])).toEqual([[408, 'head_timeout']])
      expect(await eventsOf(lab, client)).toMatchObject([{ event: 'deny', reason: 'head_timeout' }])
      living.send('still there')
      await living.until((got) => got.endsWith('still there'))
      living.close()
    })
  }

  it('a second head on a kept connection has the same deadline', async () => {
    await start('limits: { headSeconds: 0.5 }')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('allowed.test', ''))
    await client.answer()
    client.send('GET http://allowed.test/ HTTP/1.1\r\n')
    await client.untilClosed()
    client.close()
    expect(readAnswers(client.text).map(({ status }) => status)).toEqual([200, 408])
  })

  it('a kept connection without a further request is closed without an answer', async () => {
    await start('limits: { keepAliveSeconds: 0.3 }')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('allowed.test', ''))
    await client.untilClosed()
    client.close()
    expect(readAnswers(client.text).map(({ status }) => status)).toEqual([200])
  })

  it('a body that stops ends the exchange', async () => {
    await start('limits: { originSeconds: 0.3 }', { origin: await Origin.start(() => {}) })
    const client = await RawClient.connect(lab.gateway.port)
    client.send('POST http://allowed.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello')
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 504, reasonPhrase: 'origin_timeout' }])
    client.close()
  })

  it('a CONNECT whose client then says nothing is ended as idle', async () => {
    await start('limits: { tunnelIdleSeconds: 0.3 }', { origin: await Origin.start(() => {}) })
    const client = await tunnel()
    await client.untilClosed()
    client.close()
    expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy: 'idle_timeout', bytesUp: 0, bytesDown: 0 }])
    await noTunnels()
  })

  it('a tunnel that moves is ended at the end of its lifetime', async () => {
    await start('limits: { tunnelLifetimeSeconds: 0.4 }', { origin: await Origin.start() })
    const client = await tunnel()
    const moving = setInterval(() => client.send('x'), 30)
    await client.untilClosed()
    clearInterval(moving)
    client.close()
    expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy: 'lifetime' }])
  })
})

describe('limits', () => {
  it('of tunnels altogether: 503, and a place that is given back is taken again', async () => {
    await start('limits: { tunnels: 2 }', { origin: await Origin.start() })
    const [first, second] = [await tunnel(), await tunnel('127.0.0.2')]
    expect(await tunnelsOpen()).toBe(2)
    expect(await refusal('127.0.0.3')).toEqual([503, 'gateway_full', '5'])
    expect(await metric('sallyport_limit_hits_total{limit="tunnels"}')).toBe(1)
    first.send('goes on')
    await first.until((text) => text.endsWith('goes on'))
    second.close()
    await waitFor(async () => ((await tunnelsOpen()) === 1 ? true : undefined), 'a free place')
    ;(await tunnel('127.0.0.3')).close()
    first.close()
    await noTunnels()
  })

  it('of tunnels per client: 429 for that client, not for others', async () => {
    await start('limits: { tunnelsPerClient: 2 }', { origin: await Origin.start() })
    const clients = [await tunnel(), await tunnel()]
    expect(await refusal()).toEqual([429, 'client_limit', '1'])
    expect(await metric('sallyport_limit_hits_total{limit="tunnels_per_client"}')).toBe(1)
    clients.push(await tunnel('127.0.0.2'))
    // A plain request takes no tunnel.
    expect((await refusal('127.0.0.1', get('evil.test')))[1]).toBe('host_not_listed')
    for (const client of clients) client.close()
    await noTunnels()
  })

  it('of requests per second and client: 429, with a burst of twice as many', async () => {
    await start('limits: { requestsPerSecondPerClient: 5 }', { origin: await Origin.answering(httpAnswer('ok')) })
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('evil.test', '').repeat(13))
    await client.until((text) => text.split('HTTP/1.1 ').length === 14)
    const statuses = readAnswers(client.text, [], false).map(({ status }) => status)
    expect(statuses.filter((status) => status === 403).length).toBeGreaterThanOrEqual(10)
    expect(statuses.filter((status) => status === 403).length).toBeLessThanOrEqual(11)
    expect(statuses.at(-1)).toBe(429)
    expect(readAnswers(client.text, [], false).at(-1)?.fields.get('retry-after')).toBe('1')
    expect(await refusal('127.0.0.1')).toEqual([429, 'client_limit', '1'])
    expect(await refusal('127.0.0.9', get('evil.test'))).toEqual([403, 'host_not_listed', undefined])
    client.close()
  })

  it('of connections altogether: more are not accepted, and counted', async () => {
    await start('limits: { connections: 3 }', { origin: await Origin.start() })
    const clients = [await tunnel(), await tunnel(), await tunnel()]
    const more = connect(lab.gateway.port, '127.0.0.1')
    more.on('error', () => {})
    await new Promise((resolve) => more.once('close', resolve))
    expect(await metric('sallyport_limit_hits_total{limit="connections"}')).toBe(1)
    for (const client of clients) client.close()
  })

  it('of dialling: 504 at the deadline', async () => {
    const dns = await DnsServer.start(() => ({ kind: 'silence' }))
    await start(`dns: { servers: ["${dns.address}"] }\nlimits: { dialSeconds: 0.3 }`, {
      rules: ['{ name: slow, hosts: [slow.test], ports: [7] }'],
    })
    const started = performance.now()
    expect(await refusal('127.0.0.1', 'CONNECT slow.test:7 HTTP/1.1\r\nHost: x\r\n\r\n')).toEqual([
      504,
      'dial_timeout',
      undefined,
    ])
    expect(performance.now() - started).toBeLessThan(1_500)
    await dns.stop()
    await noTunnels()
  })
})

describe('case 35: nothing is left behind', () => {
  it('by dials that fail, tunnels that are refused, and clients that go while it dials', async () => {
    const dns = await DnsServer.start(({ name }) => (name.startsWith('slow') ? { kind: 'silence' } : { kind: 'nxdomain' }))
    const closed = await Origin.start()
    const deadPort = closed.port
    await closed.stop()
    await start(`dns: { servers: ["${dns.address}"] }\nlimits: { dialSeconds: 5, requestsPerSecondPerClient: 100000 }`, {
      origin: await Origin.start(),
      rules: ['{ name: more, hosts: ["*.more.test", dead.test], ports: [7, 80], protocol: any }'],
      pins: [`dead.test: "127.0.0.1:${deadPort}"`],
    })
    const round = async () => {
      const connectTo = (host: string) => `CONNECT ${host}:7 HTTP/1.1\r\nHost: x\r\n\r\n`
      // Refused by policy, by a closed port, by DNS; served and ended; ended by a reset.
      await attack(lab, connectTo('evil.test'))
      await attack(lab, connectTo('dead.test'))
      await attack(lab, connectTo('no.more.test'))
      await attack(lab, get('dead.test'))
      await attack(lab, get('no.more.test'))
      const ended = await tunnel()
      ended.socket.end('bye')
      await ended.until((text) => text.endsWith('bye'))
      ended.close()
      const reset = await tunnel()
      reset.socket.resetAndDestroy()
      for (const bytes of [connectTo('slow.more.test'), get('slow.more.test')]) {
        const leaving = await RawClient.connect(lab.gateway.port)
        leaving.send(bytes)
        await waitFor(() => (dns.count('slow.more.test') > 0 ? true : undefined), 'the look-up')
        leaving.socket.resetAndDestroy()
      }
    }
    await round()
    await noTunnels()
    const before = await settledDescriptors()
    for (let i = 0; i < 10; i++) await round()
    await noTunnels()
    await waitFor(() => (lab.gateway.gateway.status()['tunnels'] as { open: number }).open === 0 || undefined, 'no tunnel')
    expect(await settledDescriptors()).toBeLessThanOrEqual(before + 2)
    await dns.stop()
  })

  it('by forwards: kept origin connections go with their time', async () => {
    await start('limits: { originKeepAliveSeconds: 0.3, keepAliveSeconds: 0.3, requestsPerSecondPerClient: 100000 }', {
      origin: await Origin.answering(httpAnswer('ok')),
    })
    await attack(lab, get())
    const before = await settledDescriptors()
    await Promise.all(Array.from({ length: 30 }, () => attack(lab, get())))
    await waitFor(() => (descriptors() <= before + 2 ? true : undefined), 'the descriptors to come back')
    await waitFor(
      () => (lab.origin.sockets.every((socket) => socket.destroyed || socket.readableEnded) ? true : undefined),
      'the ends',
    )
  })
})

describe('draining, in process', () => {
  it('refuses new work on open connections with 503, lets tunnels end by themselves, then stops', async () => {
    await start('limits: { drainSeconds: 5 }', { origin: await Origin.start() })
    const living = await tunnel()
    const idle = await RawClient.connect(lab.gateway.port)
    idle.send(get('evil.test', ''))
    await idle.answer()
    const drained = lab.gateway.gateway.drain()
    await idle.untilClosed()
    living.send('goes on')
    await living.until((text) => text.endsWith('goes on'))
    await expect(RawClient.connect(lab.gateway.port)).rejects.toThrow('ECONNREFUSED')
    living.socket.end()
    await drained
    expect(await eventsOf(lab, living)).toMatchObject([{ event: 'allow', endedBy: 'client' }])
    idle.close()
    living.close()
  })

  it('closes what is left after `drainSeconds`, with its audit line', async () => {
    await start('limits: { drainSeconds: 0.2 }', { origin: await Origin.start() })
    const living = await tunnel()
    await lab.gateway.gateway.drain()
    expect(await living.untilClosed()).toBe(ESTABLISHED)
    expect(await eventsOf(lab, living)).toMatchObject([{ event: 'allow', endedBy: 'drain' }])
    living.close()
  })

  it('lets an answer under way finish, and the connection end after it', async () => {
    await start('limits: { drainSeconds: 5 }', { origin: await Origin.start(() => {}) })
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('allowed.test', ''))
    const origin = await waitFor(() => (lab.origin.text.endsWith('\r\n\r\n') ? lab.origin.sockets[0] : undefined), 'the request')
    const drained = lab.gateway.gateway.drain()
    await waitFor(
      () =>
        RawClient.connect(lab.gateway.port).then(
          (more) => void more.close(),
          () => true as const,
        ),
      'the listener to stop',
    )
    origin.write(httpAnswer('in time'))
    const [answer] = readAnswers(await client.untilClosed())
    expect(answer).toMatchObject({ status: 200, body: 'in time', complete: true })
    expect(answer?.fields.get('connection')).toBe('close')
    await drained
    client.close()
  })
})

/** The number of open descriptors, once it stands still. */
async function settledDescriptors(): Promise<number> {
  let last = descriptors()
  let same = 0
  return waitFor(() => {
    const now = descriptors()
    same = now === last ? same + 1 : 0
    last = now
    return same >= 30 ? now : undefined
  }, 'the descriptors to stand still')
}
