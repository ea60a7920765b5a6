import { afterEach, describe, expect, it } from 'vitest'
import { addressRecords, DnsServer } from '../support/dns-server.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, expectRefused, type Lab, startLab } from './lab.ts'

/**
 * Names that lead somewhere else than they seem to. No public address can be dialled here: a rule makes 127.0.0.0/8 its own range,
 * so 127.0.0.1 stands for the public address and everything else for the private one. What was dialled is in the audit line.
 */

let lab: Lab
let dns: DnsServer
afterEach(async () => {
  await lab.stop()
  await dns.stop()
})

const LOOPBACK = 'destinations: ["127.0.0.0/8"]'

async function startWith(server: DnsServer, config = '', dnsOptions = ''): Promise<void> {
  dns = server
  const origin = await Origin.answering(httpAnswer('here'))
  lab = await startLab({
    origin,
    config: `dns: { servers: ["${dns.address}"]${dnsOptions} }\n${config}`,
    rules: [
      `{ name: lab, hosts: ["*.lab.test"], ports: [80, ${origin.port}], ${LOOPBACK} }`,
      '{ name: deny, hosts: [denied.lab.test], action: deny }',
    ],
  })
}

const connectTo = (host: string) => `CONNECT ${host}:${lab.origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`
const get = (host: string) => `GET http://${host}:${lab.origin.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`

async function reaches(host: string): Promise<string | undefined> {
  const { answers, events } = await attack(lab, get(host))
  expect(answers).toMatchObject([{ status: 200, body: 'here' }])
  return events[0]?.address
}

describe('case 19: rebinding', () => {
  it('dials the very address that was vetted, however the name answers next', async () => {
    // Every question gets another answer: first the good one, then the metadata service.
    await startWith(
      await DnsServer.start(({ type }, nth) => addressRecords([nth === 0 ? '127.0.0.1' : '169.254.169.254'], type, 0)),
      '',
      ', minTtlSeconds: 0',
    )
    expect(await reaches('rebind.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
    await expectRefused(lab, get('rebind.lab.test'), 403, 'address_refused')
    expect(dns.count('rebind.lab.test', 'A')).toBe(2)
  })

  it('case 49: vets again what a kept connection was made for: it is retired when the address changes', async () => {
    await startWith(
      await DnsServer.start(({ type }, nth) => addressRecords([nth === 0 ? '127.0.0.1' : '127.0.0.2'], type, 0)),
      '',
      ', minTtlSeconds: 0',
    )
    expect(await reaches('moves.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
    // Nobody listens at 127.0.0.2, so the kept connection to 127.0.0.1 would be the only way to be served.
    const { answers } = await attack(lab, get('moves.lab.test'))
    expect(answers).toMatchObject([{ status: 502, reasonPhrase: 'dial_failed' }])
    expect(lab.origin.connections).toBe(1)
  })

  it('dials only what passes, of private and public answers that are mixed', async () => {
    await startWith(await DnsServer.of({ 'mixed.lab.test': ['10.0.0.1', '169.254.169.254', '127.0.0.1', '192.168.0.1'] }))
    expect(await reaches('mixed.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
  })

  it('dials only what passes, of families that are mixed', async () => {
    await startWith(await DnsServer.of({ 'families.lab.test': ['::1', 'fd00:ec2::254', '::ffff:a9fe:a9fe', '127.0.0.1'] }))
    expect(await reaches('families.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
  })

  it('refuses where none of several passes', async () => {
    await startWith(await DnsServer.of({ 'none.lab.test': ['10.0.0.1', '::1', 'fe80::1'] }))
    await expectRefused(lab, connectTo('none.lab.test'), 403, 'address_refused')
  })

  it('vets what a CNAME leads to, and the rule is that of the name asked for', async () => {
    await startWith(
      await DnsServer.start(({ name, type }) => {
        const target = name === 'good.lab.test' ? '127.0.0.1' : '10.0.0.1'
        return {
          kind: 'records',
          records: [
            { type: 'CNAME', value: 'elsewhere.example', ttl: 60 },
            ...(type === 'A' ? [{ type, value: target, owner: 'elsewhere.example' } as const] : []),
          ],
        }
      }),
    )
    expect(await reaches('good.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
    await expectRefused(lab, connectTo('bad.lab.test'), 403, 'address_refused')
  })

  it('case 42: holds on every way out: CONNECT, forward, WebSocket, and inside a tunnel on port 80', async () => {
    await startWith(await DnsServer.of({ 'private.lab.test': ['10.0.0.1'] }))
    const head =
      'Host: private.lab.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
    for (const bytes of [
      'CONNECT private.lab.test:80 HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET http://private.lab.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      `GET http://private.lab.test/ HTTP/1.1\r\n${head}`,
    ])
      await expectRefused(lab, bytes, 403, 'address_refused')
  })

  it('vets every request inside a tunnel on port 80 anew', async () => {
    const inner = await Origin.answering(httpAnswer('inside'))
    try {
      dns = await DnsServer.start(({ type }, nth) => addressRecords([nth < 2 ? '127.0.0.1' : '10.0.0.1'], type, 0))
      lab = await startLab({
        config: `dns: { servers: ["${dns.address}"], minTtlSeconds: 0 }`,
        rules: [`{ name: lab, hosts: ["*.lab.test"], ports: [${inner.port}], protocol: http, ${LOOPBACK} }`],
      })
      const client = await RawClient.connect(lab.gateway.port)
      client.send(`CONNECT tunnel.lab.test:${inner.port} HTTP/1.1\r\nHost: x\r\n\r\n`)
      await client.until((text) => text.endsWith('established\r\n\r\n'))
      const request = `GET / HTTP/1.1\r\nHost: tunnel.lab.test:${inner.port}\r\n\r\n`
      client.send(request)
      await client.until((text) => text.endsWith('inside'))
      client.send(request)
      await client.until((text) => text.includes('403 address_refused'))
      client.close()
      expect(inner.connections).toBe(1)
    } finally {
      await inner.stop()
    }
  })
})

describe('case 38: a flood of names', () => {
  it('is bounded: the cache forgets, and goes on answering', async () => {
    await startWith(
      await DnsServer.start(({ type }) => addressRecords(['10.0.0.1'], type)),
      'limits: { requestsPerSecondPerClient: 100000 }',
      ', cacheEntries: 50',
    )
    const client = await RawClient.connect(lab.gateway.port)
    let asked = 0
    for (let batch = 0; batch < 10; batch++) {
      let bytes = ''
      for (let i = 0; i < 50; i++) bytes += `GET http://n${asked++}.lab.test/ HTTP/1.1\r\nHost: x\r\n\r\n`
      client.send(bytes)
      await client.until((text) => text.split('403 address_refused').length > asked)
    }
    // The first is forgotten, the last is not.
    const before = dns.count('n0.lab.test', 'A')
    client.send('GET http://n0.lab.test/ HTTP/1.1\r\nHost: x\r\n\r\nGET http://n499.lab.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
    await client.until((text) => text.split('403 address_refused').length > asked + 2)
    client.close()
    expect(dns.count('n0.lab.test', 'A')).toBe(before + 1)
    expect(dns.count('n499.lab.test', 'A')).toBe(1)
  })

  it('of one name asks once', async () => {
    await startWith(await DnsServer.of({ 'one.lab.test': ['10.0.0.1'] }))
    await Promise.all(Array.from({ length: 30 }, () => attack(lab, connectTo('one.lab.test'))))
    expect(dns.count('one.lab.test', 'A')).toBe(1)
    expect(dns.count('one.lab.test', 'AAAA')).toBe(1)
  })
})

describe('case 40: a denied name', () => {
  const denied = {
    'is not listed': 'secret-data.evil.test',
    'is denied by a rule': 'denied.lab.test',
    'is listed for another port': 'secret.lab.test:8443',
  }
  for (const [name, target] of Object.entries(denied)) {
    it(`that ${name} is never looked up`, async () => {
      await startWith(await DnsServer.of({}))
      const [host = '', port = '443'] = target.split(':')
      await attack(lab, `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      await attack(lab, `GET http://${host}:${port}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      await attack(lab, `POST http://${host}:${port}/ HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\n\r\nx`)
      await attack(
        lab,
        `GET http://${host}:${port}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      )
      expect(dns.questions).toEqual([])
    })
  }

  it('is not looked up for a path or method that is not listed either', async () => {
    dns = await DnsServer.of({})
    lab = await startLab({
      config: `dns: { servers: ["${dns.address}"] }`,
      rules: ['{ name: narrow, hosts: [narrow.test], paths: ["/team/*"], methods: [GET] }'],
    })
    await expectRefused(
      lab,
      'GET http://narrow.test/secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      403,
      'path_not_listed',
    )
    await expectRefused(
      lab,
      'POST http://narrow.test/team/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n',
      403,
      'method_not_listed',
    )
    expect(dns.questions).toEqual([])
  })

  it('nor is a name that a client sends that may not use the gateway', async () => {
    dns = await DnsServer.of({})
    lab = await startLab({ config: `dns: { servers: ["${dns.address}"] }\nclients: { allow: ["10.0.0.0/8"] }` })
    const { text } = await expectRefused(lab, 'CONNECT allowed.test:7 HTTP/1.1\r\nHost: x\r\n\r\n', 403, 'client_not_allowed')
    expect(text).not.toMatch(/allowed\.test|hint/)
    expect(dns.questions).toEqual([])
  })

  it('near miss: an allowed name is, without search domains and in both families', async () => {
    await startWith(await DnsServer.of({ 'a.lab.test': ['127.0.0.1'] }))
    await reaches('a.lab.test')
    expect(dns.questions).toEqual(
      expect.arrayContaining([
        { name: 'a.lab.test', type: 'A' },
        { name: 'a.lab.test', type: 'AAAA' },
      ]),
    )
    expect(dns.questions).toHaveLength(2)
  })
})

describe('a name server', () => {
  it('that says nothing costs no more than the dialling deadline, on a CONNECT and on a forward', async () => {
    await startWith(await DnsServer.start(() => ({ kind: 'silence' })), 'limits: { dialSeconds: 0.3 }')
    for (const bytes of [connectTo('silent.lab.test'), get('silent2.lab.test')]) {
      const started = performance.now()
      const { answers, events } = await attack(lab, bytes)
      expect(answers).toMatchObject([{ status: 504, reasonPhrase: 'dial_timeout' }])
      expect(events).toMatchObject([{ event: 'error', reason: 'dial_timeout' }])
      expect(performance.now() - started).toBeLessThan(2_000)
    }
  })

  it('that says nothing is a failed look-up by its own timeout', async () => {
    await startWith(await DnsServer.start(() => ({ kind: 'silence' })), '', ', timeoutMs: 50')
    const { events } = await expectRefused(lab, connectTo('silent.lab.test'), 502, 'dns_failed')
    expect(events[0]?.detail).toBe('no name server answered in time')
    expect(await lab.gateway.metric('sallyport_dns_lookups_total{outcome="timeout"}')).toBe(1)
  })

  const failing = {
    servfail: { reply: { kind: 'servfail' }, detail: /ESERVFAIL/ },
    refused: { reply: { kind: 'refused' }, detail: /EREFUSED/ },
    nxdomain: { reply: { kind: 'nxdomain' }, detail: /does not exist \(NXDOMAIN\)/ },
    'no address': { reply: { kind: 'records', records: [] }, detail: /has no address/ },
  } as const
  for (const [name, { reply, detail }] of Object.entries(failing)) {
    it(`that answers ${name} is a 502 that says so`, async () => {
      await startWith(await DnsServer.start(() => reply))
      const { events, text } = await expectRefused(lab, connectTo('x.lab.test'), 502, 'dns_failed')
      expect(events[0]).toMatchObject({ event: 'error', detail: expect.stringMatching(detail) })
      expect(text).toMatch(detail)
    })
  }

  it('that goes away is not waited for by the next gateway, and what it said is used for its time', async () => {
    await startWith(await DnsServer.of({ 'a.lab.test': ['127.0.0.1'] }, 300))
    await reaches('a.lab.test')
    await dns.stop()
    expect(await reaches('a.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
    dns = await DnsServer.of({})
  })

  it('with IPv6 alone is enough', async () => {
    dns = await DnsServer.of({ 'six.lab.test': ['::1'] })
    const origin = await Origin.answering(httpAnswer('six'), '::1')
    lab = await startLab({
      origin,
      config: `dns: { servers: ["${dns.address}"] }`,
      rules: [`{ name: six, hosts: [six.lab.test, "::1"], ports: [${origin.port}], destinations: ["::1/128"] }`],
    })
    for (const host of ['six.lab.test', '[::1]', '[0:0::1]']) {
      const { answers, events } = await attack(lab, get(host))
      expect(answers).toMatchObject([{ status: 200, body: 'six' }])
      expect(events[0]?.address).toBe(`[::1]:${origin.port}`)
    }
  })

  it('that leads to a dead address and a living one is no failure', async () => {
    await startWith(await DnsServer.of({ 'half.lab.test': ['127.0.0.3', '127.0.0.1'] }))
    expect(await reaches('half.lab.test')).toBe(`127.0.0.1:${lab.origin.port}`)
    const client = await RawClient.connect(lab.gateway.port)
    client.send(connectTo('half.lab.test'))
    await client.until((text) => text.includes('\r\n\r\n'))
    client.close()
    expect((await eventsOf(lab, client))[0]?.address).toBe(`127.0.0.1:${lab.origin.port}`)
  })
})
