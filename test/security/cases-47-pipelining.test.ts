import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { eventsOf, type Lab, startLab } from './lab.ts'

/**
 * Case 47. Whatever is pipelined behind an answer that is pending, a client never sees an answer that is not for the request it
 * is next in line for. Node by itself lets the 200 of a CONNECT overtake.
 */

let lab: Lab
/** Requests the origin has been sent and not answered yet, by path. */
const waiting = new Map<string, Socket>()

beforeAll(async () => {
  const origin = await Origin.start((socket) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      for (let match = HEAD.exec(text); match !== null; match = HEAD.exec(text)) {
        text = text.slice(match.index + match[0].length)
        const path = match[1] ?? ''
        if (path.startsWith('/slow')) waiting.set(path, socket)
        else socket.write(answerTo(path))
      }
    })
    socket.on('end', () => socket.end())
  })
  lab = await startLab({ origin })
})
afterAll(() => lab.stop())

const HEAD = /[A-Z]+ (\S+) HTTP\/1\.1\r\n(?:.+\r\n)*\r\n/

function answerTo(path: string): string {
  const body = `answer to ${path}`
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** Lets the origin answer the request for this path, once it has arrived. */
async function release(path: string): Promise<void> {
  const socket = await waitFor(() => waiting.get(path), `the request for ${path}`)
  waiting.delete(path)
  socket.write(answerTo(path))
}

/** Resolves once a request on this connection has been refused. */
const refusedOn = (client: RawClient) =>
  lab.gateway.audit(1, ({ clientPort, reason }) => clientPort === client.localPort && reason === 'host_not_listed')

const get = (path: string, host = 'allowed.test', fields = '') =>
  `GET http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`
const post = (path: string, fields: string) => `POST http://allowed.test${path} HTTP/1.1\r\nHost: allowed.test\r\n${fields}\r\n`
const CONNECT = 'CONNECT allowed.test:7 HTTP/1.1\r\nHost: allowed.test:7\r\n\r\n'
const UPGRADE = get('/socket', 'allowed.test', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n')
const H2C = get('/h2c', 'allowed.test', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n')

describe('case 47: behind an answer that is pending', () => {
  const closing = {
    'an allowed CONNECT': CONNECT,
    'a refused CONNECT': 'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n',
    'a malformed CONNECT': 'CONNECT evil.test HTTP/1.1\r\nHost: evil.test\r\n\r\n',
    'a WebSocket': UPGRADE,
    'a refused WebSocket': UPGRADE.replaceAll('allowed.test', 'evil.test'),
    'bytes that are no request': '\x16\x03\x01\x02\x00\x01\r\n\r\n',
    'a head that is malformed': 'GET http://allowed.test/ HTTP/1.1\r\nBad Name: x\r\n\r\n',
  }
  for (const [name, bytes] of Object.entries(closing)) {
    for (const together of [true, false]) {
      it(`${name} ${together ? 'in the same packet' : 'in a packet of its own'} closes the connection, and nothing overtakes`, async () => {
        const path = `/slow/${encodeURIComponent(name)}/${together}`
        const before = lab.origin.text.length
        const client = await RawClient.connect(lab.gateway.port)
        if (together) client.send(get(path) + bytes)
        else {
          client.send(get(path))
          await waitFor(() => waiting.get(path), 'the slow request')
          client.send(bytes)
        }
        expect(await client.untilClosed()).toBe('')
        waiting.delete(path)
        client.close()
        const events = await eventsOf(lab, client, 2)
        expect(events.map(({ path: at, event, reason }) => (at === path ? event : reason)).sort()).toEqual([
          'allow',
          'malformed_request',
        ])
        const sent = lab.origin.text.slice(before)
        expect(sent.replace(/^GET \/slow(.|\r\n)*?\r\n\r\n/, '')).toBe('')
      })
    }
  }

  it('three requests are answered in order, however the origin orders them', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/1') + get('/slow/2') + get('/slow/3'))
    await release('/slow/3')
    await release('/slow/2')
    await release('/slow/1')
    await client.until((text) => text.endsWith('answer to /slow/3'))
    expect(readAnswers(client.text, [], false).map(({ body }) => body)).toEqual([
      'answer to /slow/1',
      'answer to /slow/2',
      'answer to /slow/3',
    ])
    client.close()
  })

  it('fifty requests in one packet are answered in order, on warm connections too', async () => {
    const paths = Array.from({ length: 50 }, (_, index) => `/quick/${index}`)
    for (let round = 0; round < 3; round++) {
      const client = await RawClient.connect(lab.gateway.port)
      client.send(paths.map((path) => get(path)).join(''))
      await client.until((text) => text.endsWith('answer to /quick/49'))
      expect(readAnswers(client.text, [], false).map(({ body }) => body)).toEqual(paths.map((path) => `answer to ${path}`))
      client.close()
      expect(await eventsOf(lab, client, 50)).toHaveLength(50)
    }
  })

  it('a refused GET keeps its place, and the connection goes on', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/before') + get('/x', 'evil.test') + get('/after'))
    await refusedOn(client)
    expect(client.text).toBe('')
    await release('/slow/before')
    await client.until((text) => text.endsWith('answer to /after'))
    expect(readAnswers(client.text, [], false).map(({ status, body }) => [status, body.slice(0, 23)])).toEqual([
      [200, 'answer to /slow/before'],
      [403, expect.stringContaining('{')],
      [200, 'answer to /after'],
    ])
    client.close()
  })

  it('a refused HEAD keeps its place and has no body', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/head') + get('/x', 'evil.test').replace('GET', 'HEAD') + get('/after'))
    await release('/slow/head')
    await client.until((text) => text.endsWith('answer to /after'))
    expect(readAnswers(client.text, ['GET', 'HEAD', 'GET'], false).map(({ status }) => status)).toEqual([200, 403, 200])
    client.close()
  })

  it('a refused POST keeps its place, is the last answer, and its body is not taken for a request', async () => {
    const smuggled = get('/smuggled')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(
      `${get('/slow/post')}POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}${get('/after')}`,
    )
    await refusedOn(client)
    expect(client.text).toBe('')
    await release('/slow/post')
    await client.untilClosed()
    const answers = readAnswers(client.text)
    expect(answers.map(({ status }) => status)).toEqual([200, 403])
    expect(answers[1]?.fields.get('connection')).toBe('close')
    expect(lab.origin.text).not.toContain('/smuggled')
    expect(lab.origin.text.match(/GET \/after /g)?.length ?? 0).toBe(2)
    client.close()
  })

  it('a malformed request in line gets its 400 in its place, and the end', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(`${get('/slow/malformed')}GET ftp://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n${get('/never')}`)
    await release('/slow/malformed')
    await client.untilClosed()
    expect(readAnswers(client.text).map(({ status, reasonPhrase }) => [status, reasonPhrase])).toEqual([
      [200, 'OK'],
      [400, 'scheme_not_supported'],
    ])
    expect(lab.origin.text).not.toContain('/never')
    client.close()
  })

  it('a CONNECT is served once the answer before it is finished', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/first'))
    await client.until((text) => text.endsWith('answer to /first'))
    client.send(CONNECT)
    await client.until((text) => text.endsWith('HTTP/1.1 200 Connection established\r\n\r\n'))
    client.close()
  })

  it('an offer of h2c is no upgrade, but one behind a pending answer closes all the same', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/h2c') + H2C)
    expect(await client.untilClosed()).toBe('')
    client.close()
  })

  it('a request that asks for 100-continue gets its 100 when it is its turn', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/100') + post('/slow/100/post', 'Expect: 100-continue\r\nContent-Length: 5\r\n'))
    await waitFor(() => waiting.get('/slow/100/post'), 'the head of the second request')
    expect(client.text).toBe('')
    await release('/slow/100')
    await client.until((text) => text.endsWith('100 Continue\r\n\r\n'))
    client.send('hello')
    await release('/slow/100/post')
    await client.until((text) => text.endsWith('answer to /slow/100/post'))
    expect(readAnswers(client.text, [], false).map(({ status }) => status)).toEqual([200, 100, 200])
    client.close()
  })

  it('a 100 that comes too late is not written into the body of the answer', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/late') + post('/slow/late/post', 'Expect: 100-continue\r\nContent-Length: 0\r\n'))
    await release('/slow/late/post')
    expect(client.text).toBe('')
    await release('/slow/late')
    await client.until((text) => text.endsWith('answer to /slow/late/post'))
    expect(readAnswers(client.text, [], false).map(({ body }) => body)).toEqual([
      'answer to /slow/late',
      'answer to /slow/late/post',
    ])
    client.close()
  })

  it('an answer that breaks off before its turn ends the connection at its turn, not before', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/ahead') + get('/slow/torn') + get('/after'))
    const torn = await waitFor(() => waiting.get('/slow/torn'), 'the request')
    torn.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
    await once(torn, 'close')
    expect(client.closed).toBe(false)
    await release('/slow/ahead')
    await client.untilClosed()
    expect(readAnswers(client.text)).toMatchObject([
      { status: 200, body: 'answer to /slow/ahead' },
      { status: 200, complete: false },
    ])
    client.close()
  })

  it('a request behind `Connection: close` is not served', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/last', 'allowed.test', 'Connection: close\r\n') + get('/beyond'))
    await client.untilClosed()
    expect(readAnswers(client.text).length).toBeLessThanOrEqual(1)
    expect(lab.origin.text).not.toContain('/beyond')
    client.close()
  })

  it('an origin that breaks off takes the answers behind it with it, visibly', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(get('/slow/broken') + get('/x', 'evil.test'))
    await refusedOn(client)
    const socket = await waitFor(() => waiting.get('/slow/broken'), 'the request')
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
    await client.until((text) => text.endsWith('half'))
    socket.destroy()
    await client.untilClosed()
    expect(readAnswers(client.text)).toMatchObject([{ status: 200, body: 'half', complete: false }])
    client.close()
  })
})
