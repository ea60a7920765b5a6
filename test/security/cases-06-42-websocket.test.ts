import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, expectRefused, type Lab, startLab } from './lab.ts'

let lab: Lab
afterEach(() => lab.stop())

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const upgrade = (host = 'allowed.test', fields = '', path = '/socket') =>
  `GET http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${fields}\r\n`
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`

/** A lab whose origin says nothing by itself. */
const silent = async (config = '') => startLab({ origin: await Origin.start(() => {}), config })

/** The origin's side, once the request for the upgrade has arrived. */
const asked = () =>
  waitFor(
    () =>
      lab.origin.text.includes('Upgrade: websocket') && lab.origin.text.endsWith('\r\n\r\n') ? lab.origin.sockets[0] : undefined,
    'the upgrade at the origin',
  )

const tunnelsOpen = () => lab.gateway.metric('sallyport_tunnels_open')
const noTunnels = () => waitFor(async () => ((await tunnelsOpen()) === 0 ? true : undefined), 'no tunnel')

describe('a WebSocket', () => {
  it('is offered to the origin, and becomes a tunnel with the origin’s own 101', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(
      upgrade('allowed.test', 'Sec-WebSocket-Protocol: a\r\nProxy-Authorization: Basic x\r\nX-Forwarded-For: 10.1.1.1\r\n'),
    )
    const origin = await asked()
    expect(client.text).toBe('')
    expect(lab.origin.text).toMatch(/^GET \/socket HTTP\/1\.1\r\nHost: allowed\.test\r\n/)
    expect(lab.origin.text).toMatch(/\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/)
    expect(lab.origin.text).toMatch(/\r\nSec-WebSocket-Protocol: a\r\n/)
    expect(lab.origin.text).not.toMatch(/proxy-authorization|x-forwarded-for/i)
    origin.write(`${SWITCH}from origin`)
    await client.until((text) => text.endsWith('\r\n\r\nfrom origin'))
    expect(client.text).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
    expect(client.text).toContain(`Sec-WebSocket-Accept: ${ACCEPT}\r\n`)
    expect(await tunnelsOpen()).toBe(1)
    client.send('from client')
    await waitFor(() => (lab.origin.text.endsWith('\r\n\r\nfrom client') ? true : undefined), 'the bytes')
    client.socket.end()
    await waitFor(() => origin.readableEnded || undefined, 'the end')
    origin.end('last words')
    await client.until((text) => text.endsWith('last words'))
    await client.untilClosed()
    client.close()
    expect(await eventsOf(lab, client)).toMatchObject([
      {
        event: 'allow',
        kind: 'websocket',
        host: 'allowed.test',
        port: 80,
        path: '/socket',
        bytesUp: 11,
        bytesDown: 21,
        endedBy: 'client',
      },
    ])
    await noTunnels()
  })

  it('spelt in another case is one too', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(
      upgrade()
        .replace('Upgrade: websocket', 'upgrade: WebSocket')
        .replace('Connection: Upgrade', 'connection: keep-alive, UPGRADE'),
    )
    ;(await asked()).write(SWITCH)
    await client.until((text) => text.endsWith('\r\n\r\n'))
    client.close()
  })
})

describe('case 6: payload before the upgrade is accepted', () => {
  const SMUGGLED = 'GET http://allowed.test/smuggled HTTP/1.1\r\nHost: allowed.test\r\n\r\n'

  it('is held, and reaches the origin after its 101', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(`${upgrade()}early `)
    const origin = await asked()
    client.send('bytes')
    expect(lab.origin.text).not.toContain('early')
    origin.write(SWITCH)
    await waitFor(() => (lab.origin.text.endsWith('early bytes') ? true : undefined), 'the early bytes')
    client.close()
  })

  for (const [status, phrase] of [
    [200, 'OK'],
    [403, 'Forbidden'],
    [302, 'Found'],
    [400, 'Bad Request'],
    [500, 'Oops'],
  ] as const) {
    it(`is dropped when the origin answers ${status}: no tunnel, and the connection is not used again`, async () => {
      lab = await silent()
      const client = await RawClient.connect(lab.gateway.port)
      client.send(upgrade() + SMUGGLED)
      const origin = await asked()
      origin.write(`HTTP/1.1 ${status} ${phrase}\r\nContent-Length: 4\r\nX-From: origin\r\n\r\nbody`)
      await client.untilClosed()
      const answers = readAnswers(client.text)
      expect(answers).toMatchObject([{ status, reasonPhrase: phrase, body: 'body', complete: true }])
      expect(answers[0]?.fields.get('connection')).toBe('close')
      client.send(SMUGGLED)
      await noTunnels()
      expect(lab.origin.text).not.toContain('smuggled')
      expect(lab.origin.connections).toBe(1)
      expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', kind: 'websocket' }])
      client.close()
    })
  }

  it('of a megabyte is bounded while the origin thinks', async () => {
    lab = await silent('limits: { heldBytes: 65536 }')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(upgrade())
    const origin = await asked()
    client.send(Buffer.alloc(16 * 1024 * 1024))
    await waitFor(() => (client.socket.writableLength > 0 ? true : undefined), 'push back')
    origin.write(SWITCH)
    await waitFor(() => (client.socket.writableLength === 0 ? true : undefined), 'the rest')
    client.close()
  })

  it('is dropped when the origin breaks off', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(upgrade() + SMUGGLED)
    ;(await asked()).resetAndDestroy()
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 502, reasonPhrase: 'origin_protocol_error' }])
    client.close()
    expect(await eventsOf(lab, client)).toHaveLength(1)
    await noTunnels()
  })

  const wrong = {
    h2c: SWITCH.replace('Upgrade: websocket', 'Upgrade: h2c'),
    'no protocol': SWITCH.replace('Upgrade: websocket\r\n', ''),
  }
  for (const [name, bytes] of Object.entries(wrong)) {
    it(`is dropped when the origin switches to ${name}`, async () => {
      lab = await silent()
      const client = await RawClient.connect(lab.gateway.port)
      client.send(upgrade() + SMUGGLED)
      const origin = await asked()
      origin.write(bytes)
      expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 502, reasonPhrase: 'origin_protocol_error' }])
      client.close()
      await waitFor(() => origin.readableEnded || origin.destroyed || undefined, 'the end at the origin')
      await noTunnels()
    })
  }

  it('is dropped when the origin says nothing', async () => {
    lab = await silent('limits: { originSeconds: 0.2 }')
    const { answers } = await attack(lab, upgrade() + SMUGGLED)
    expect(answers).toMatchObject([{ status: 504, reasonPhrase: 'origin_timeout' }])
    await noTunnels()
  })

  it('whose client goes while the origin thinks leaves nothing behind', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(upgrade())
    const origin = await asked()
    client.close()
    await waitFor(() => origin.readableEnded || origin.destroyed || undefined, 'the end at the origin')
    expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy: 'client' }])
    await noTunnels()
  })
})

describe('an answer to an upgrade that is not 101', () => {
  it('that breaks off shows as broken', async () => {
    for (const bytes of [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf',
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf',
    ]) {
      lab = await silent()
      const client = await RawClient.connect(lab.gateway.port)
      const failure = once(client.socket, 'error')
      client.send(upgrade())
      const origin = await asked()
      origin.write(bytes)
      await client.until((text) => text.endsWith('half'))
      origin.end()
      expect(await failure).toMatchObject([{ code: 'ECONNRESET' }])
      await noTunnels()
      if (bytes.includes('chunked')) await lab.stop()
    }
  })

  it('of a client that stays half open takes no tunnel for long', async () => {
    lab = await silent()
    const client = await RawClient.connect(lab.gateway.port)
    client.send(upgrade())
    ;(await asked()).write(httpAnswer('no'))
    await client.until((text) => text.endsWith('no'))
    await noTunnels()
    client.close()
  })
})

describe('an upgrade that is refused', () => {
  const body = upgrade('allowed.test', 'Content-Length: 5\r\n')
  it('for an unlisted host', async () => {
    lab = await silent()
    await expectRefused(lab, upgrade('evil.test'), 403, 'host_not_listed')
  })
  it('for an unlisted path', async () => {
    lab = await silent()
    await expectRefused(lab, upgrade('paths.test'), 403, 'path_not_listed')
  })
  it('with a body', async () => {
    lab = await silent()
    await expectRefused(lab, `${body}hello`, 400, 'malformed_request')
  })
  it('in origin-form', async () => {
    lab = await silent()
    await expectRefused(lab, upgrade().replace('GET http://allowed.test', 'GET '), 400, 'not_a_proxy_request')
  })
  it('to wss, which needs CONNECT', async () => {
    lab = await silent()
    await expectRefused(lab, upgrade().replace('http:', 'ws:'), 400, 'scheme_not_supported')
  })
})

describe('case 42: a WebSocket to a private destination', () => {
  it('is refused like any other way', async () => {
    lab = await startLab({
      rules: ['{ name: private, hosts: ["10.0.0.1", "127.0.0.1", "::1", "169.254.169.254"], ports: [80] }'],
    })
    for (const host of ['10.0.0.1', '127.0.0.1', '[::1]', '169.254.169.254']) {
      await expectRefused(lab, upgrade(host), 403, 'address_refused')
      await expectRefused(lab, `GET http://${host}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 403, 'address_refused')
      await expectRefused(lab, `POST http://${host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx`, 403, 'address_refused')
      await expectRefused(lab, `CONNECT ${host}:80 HTTP/1.1\r\nHost: x\r\n\r\n`, 403, 'address_refused')
    }
  })
})
