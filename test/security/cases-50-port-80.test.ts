import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, type Lab, startLab } from './lab.ts'

/** Case 50: what goes through CONNECT to port 80 is judged as HTTP, request by request. */

let lab: Lab
beforeEach(async () => {
  lab = await startLab({
    origin: await Origin.answering((head) => httpAnswer(`saw ${head.split(' ')[1]}`)),
    config: 'limits: { headSeconds: 0.6 }',
  })
})
afterEach(() => lab.stop())

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const get = (path: string, host = 'allowed.test', fields = '') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`

async function tunnel(host = 'allowed.test', early = ''): Promise<RawClient> {
  const client = await RawClient.connect(lab.gateway.port)
  client.send(`CONNECT ${host}:80 HTTP/1.1\r\nHost: x\r\n\r\n${early}`)
  await client.until((text) => text.startsWith(ESTABLISHED))
  return client
}

const inside = (client: RawClient) => readAnswers(client.text.slice(ESTABLISHED.length), [], false)

describe('case 50: HTTP inside a tunnel to port 80', () => {
  it('serves several requests on one connection, each with its own audit line under the tunnel’s', async () => {
    const client = await tunnel()
    client.send(get('/1'))
    await client.until((text) => text.endsWith('saw /1'))
    client.send(get('/2', 'ALLOWED.test:80') + get('http://allowed.test/3'))
    await client.until((text) => text.endsWith('saw /3'))
    expect(inside(client).map(({ body }) => body)).toEqual(['saw /1', 'saw /2', 'saw /3'])
    client.close()
    const events = await eventsOf(lab, client, 4)
    const outer = events.find(({ kind }) => kind === 'connect')
    expect(outer).toMatchObject({ event: 'allow', host: 'allowed.test', port: 80 })
    expect(events.filter(({ parent }) => parent === outer?.id).map(({ path }) => path)).toEqual(['/1', '/2', '/3'])
    // The connection of before the 200 is used; two at once need two.
    expect(lab.origin.connections).toBeLessThanOrEqual(2)
    expect(lab.origin.received[0]?.toString('latin1')).toMatch(/^GET \/1 HTTP\/1\.1\r\nHost: allowed\.test\r\nVia: /)
  })

  it('serves what came with the CONNECT', async () => {
    const client = await tunnel('allowed.test', get('/early'))
    await client.until((text) => text.endsWith('saw /early'))
    client.close()
  })

  it('refuses another host with 421, and goes on', async () => {
    const client = await tunnel()
    for (const [index, host] of ['evil.test', '1password.test', 'allowed.test:8080', 'www.allowed.test'].entries()) {
      client.send(get('/other', host))
      await client.until((text) => text.split('HTTP/1.1 421 host_mismatch').length === index + 2)
    }
    client.send(get('http://1password.test/absolute', 'allowed.test'))
    await client.until((text) => text.split('HTTP/1.1 421 host_mismatch').length === 6)
    client.send(get('/right'))
    await client.until((text) => text.endsWith('saw /right'))
    client.close()
    expect(lab.origin.text).not.toMatch(/other|absolute|evil/)
  })

  it('judges paths and methods under a path rule', async () => {
    const client = await tunnel('paths.test')
    client.send(get('/team/a', 'paths.test'))
    await client.until((text) => text.endsWith('saw /team/a'))
    client.send(get('/secret', 'paths.test') + get('/team/../secret', 'paths.test'))
    await client.until((text) => text.includes('400 path_not_canonical') && text.endsWith('}\n'))
    expect(inside(client).map(({ status }) => status)).toEqual([200, 403, 400])
    client.close()
    expect(lab.origin.text).not.toContain('secret')
    const refused = (await eventsOf(lab, client, 4)).filter(({ event }) => event === 'deny')
    expect(refused.map(({ reason, path }) => [reason, path])).toEqual([
      ['path_not_listed', '/secret'],
      ['path_not_canonical', '/team/../secret'],
    ])
  })

  const noHttp: Record<string, string | Buffer> = {
    'a TLS hello': Buffer.from(
      readFileSync(new URL('../core/wire/hellos/node.hex', import.meta.url), 'latin1').replace(/#.*|\s/g, ''),
      'hex',
    ),
    SSH: 'SSH-2.0-OpenSSH_9.6\r\n',
    SMTP: 'EHLO mail.test\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'bare LF': 'GET / HTTP/1.1\nHost: allowed.test\n\n',
    'two Hosts': get('/', 'allowed.test', 'Host: evil.test\r\n'),
    'no Host': 'GET / HTTP/1.1\r\n\r\n',
    'HTTP/1.0 without Host': 'GET / HTTP/1.0\r\n\r\n',
    'a CL.TE body': `${get('/', 'allowed.test', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n`,
    'zero bytes': Buffer.alloc(100),
  }
  for (const [name, bytes] of Object.entries(noHttp)) {
    it(`refuses ${name} with 400 and ends, and the origin sees nothing of it`, async () => {
      const client = await tunnel()
      client.send(bytes)
      await client.untilClosed()
      client.close()
      expect(inside(client).map(({ status }) => status)).toEqual([400])
      expect(lab.origin.text).toBe('')
      const events = await eventsOf(lab, client, 2)
      expect(events.find(({ event }) => event === 'deny')).toMatchObject({
        reason: 'malformed_request',
        parent: expect.any(String),
      })
    })
  }

  it('refuses a CONNECT inside, which would be a second way out', async () => {
    for (const target of ['allowed.test:80', 'allowed.test:7', 'evil.test:443']) {
      const client = await tunnel()
      client.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\nGET / HTTP/1.1\r\n\r\n`)
      await client.untilClosed()
      client.close()
      const [answer, ...others] = inside(client)
      expect(answer?.status).toBeGreaterThanOrEqual(400)
      expect(others).toEqual([])
    }
    expect(lab.origin.text).toBe('')
  })

  it('carries a WebSocket', async () => {
    await lab.stop()
    lab = await startLab({ origin: await Origin.start(() => {}) })
    const client = await tunnel()
    client.send(get('/socket', 'allowed.test', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'))
    await waitFor(() => (lab.origin.text.includes('Upgrade: websocket') ? true : undefined), 'the upgrade')
    lab.origin.sockets[0]?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello')
    await client.until((text) => text.endsWith('hello'))
    client.send('there')
    await waitFor(() => (lab.origin.text.endsWith('there') ? true : undefined), 'the bytes')
    client.close()
    lab.origin.sockets[0]?.end()
    expect((await eventsOf(lab, client, 2)).map(({ kind }) => kind).sort()).toEqual(['connect', 'websocket'])
    await waitFor(async () => ((await lab.gateway.metric('sallyport_tunnels_open')) === 0 ? true : undefined), 'no tunnel')
  })

  it('closes a connection that sends no head in time, and one that dribbles it', async () => {
    for (const bytes of ['', 'GET / HTTP/1.1\r\nHost: al']) {
      const client = await tunnel()
      if (bytes !== '') client.send(bytes)
      await client.untilClosed()
      client.close()
      expect(inside(client).map(({ reasonPhrase }) => reasonPhrase)).toEqual(['head_timeout'])
    }
    expect(lab.origin.text).toBe('')
    await waitFor(async () => ((await lab.gateway.metric('sallyport_tunnels_open')) === 0 ? true : undefined), 'no tunnel')
  })

  it('is served where the origin has closed the first connection meanwhile', async () => {
    const client = await tunnel()
    const [first] = await waitFor(() => (lab.origin.connections > 0 ? lab.origin.sockets : undefined), 'the connection')
    first?.end()
    // By the time another connection has been served, the gateway has seen that end.
    await attack(lab, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.send(get('/late'))
    await client.until((text) => text.endsWith('saw /late'))
    client.close()
    expect(lab.origin.connections).toBe(2)
  })

  it('ends what it dialled when the client goes without a request', async () => {
    const client = await tunnel()
    const [origin] = await waitFor(() => (lab.origin.connections > 0 ? lab.origin.sockets : undefined), 'the connection')
    client.close()
    await waitFor(() => origin?.readableEnded || origin?.destroyed || undefined, 'the end at the origin')
    expect(await eventsOf(lab, client)).toMatchObject([{ kind: 'connect', event: 'allow', endedBy: 'client' }])
  })
})
