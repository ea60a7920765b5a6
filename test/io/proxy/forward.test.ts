import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { attack, eventsOf, type Lab, type LabOptions, startLab } from '../../security/lab.ts'
import { waitFor } from '../../support/gateway.ts'
import { readAnswers } from '../../support/http-answers.ts'
import { httpAnswer, Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

let lab: Lab
afterEach(() => lab.stop())

const request = (method: string, path: string, fields = '', body = '') =>
  `${method} http://allowed.test${path} HTTP/1.1\r\nHost: allowed.test\r\n${fields}\r\n${body}`
const CLOSE = 'Connection: close\r\n'
const OK = httpAnswer('ok')

/** A lab whose origin is driven by the test: it says nothing by itself. */
async function silentLab(options: LabOptions = {}): Promise<Lab> {
  lab = await startLab({ ...options, origin: await Origin.start(() => {}) })
  return lab
}

async function sendTo(bytes: string): Promise<RawClient> {
  const client = await RawClient.connect(lab.gateway.port)
  client.send(bytes)
  return client
}

/** The origin's side of the nth connection, once what it received ends like this. */
const atOrigin = (ending: string | RegExp, nth = 0): Promise<Socket> =>
  waitFor(() => {
    const text = lab.origin.received[nth]?.toString('latin1') ?? ''
    return (typeof ending === 'string' ? text.endsWith(ending) : ending.test(text)) ? lab.origin.sockets[nth] : undefined
  }, `${ending} at the origin`)

describe('case 41: interim answers', () => {
  it('of the origin are dropped, whatever they carry', async () => {
    lab = await startLab({
      origin: await Origin.answering(
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </secret>\r\nSallyport-Reason: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}`,
      ),
    })
    const { answers } = await attack(lab, request('GET', '/', CLOSE))
    expect(answers.map(({ status }) => status)).toEqual([200])
    expect(answers[0]?.fields.has('link')).toBe(false)
  })

  it('in a flood are a fault of the origin', async () => {
    lab = await startLab({ origin: await Origin.answering('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(10_000)) })
    const { answers, events } = await attack(lab, request('POST', '/', 'Content-Length: 0\r\n'))
    expect(answers).toMatchObject([{ status: 502, reasonPhrase: 'origin_protocol_error' }])
    expect(events).toHaveLength(1)
  })

  for (const fields of ['Connection: Upgrade\r\nUpgrade: h2c\r\n', ''])
    it(`of 101 that nobody asked for are a fault of the origin: ${JSON.stringify(fields)}`, async () => {
      lab = await startLab({ origin: await Origin.answering(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`) })
      const { answers } = await attack(lab, request('GET', '/', CLOSE))
      expect(answers).toMatchObject([{ status: 502, reasonPhrase: 'origin_protocol_error' }])
    })
})

describe('case 41: trailers', () => {
  it('of an answer are dropped', async () => {
    lab = await startLab({
      origin: await Origin.answering(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: secret\r\nSet-Cookie: a\r\n\r\n',
      ),
    })
    const { text, answers } = await attack(lab, request('GET', '/', CLOSE))
    expect(answers).toMatchObject([{ body: 'ok', complete: true }])
    expect(text).not.toMatch(/x-trailer|set-cookie/i)
  })

  it('of a request are dropped', async () => {
    await silentLab()
    const client = await sendTo(
      request(
        'POST',
        '/',
        'Transfer-Encoding: chunked\r\nTrailer: X-T\r\n',
        '2\r\nhi\r\n0\r\nX-T: secret\r\nHost: evil.test\r\n\r\n',
      ),
    )
    const origin = await atOrigin('2\r\nhi\r\n0\r\n\r\n')
    origin.write(OK)
    await client.answer()
    client.close()
    expect(lab.origin.text).not.toMatch(/secret|evil/)
  })
})

describe('Expect: 100-continue', () => {
  const expecting = request('POST', '/up', 'Expect: 100-continue\r\nContent-Length: 5\r\n')

  it('gets its 100 once the origin is connected, and the body then', async () => {
    await silentLab()
    const client = await sendTo(expecting)
    await client.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n')
    const origin = await atOrigin(/^POST \/up HTTP\/1\.1\r\n(.+\r\n)*\r\n$/)
    expect(lab.origin.text).not.toMatch(/expect/i)
    client.send('hello')
    await atOrigin('\r\n\r\nhello')
    origin.write(OK)
    await client.until((text) => text.endsWith('ok'))
    client.close()
  })

  const refused = [
    { name: 'a host that is not listed', bytes: expecting.replaceAll('allowed.test', 'evil.test'), status: 403 },
    { name: 'an origin that cannot be reached', bytes: expecting.replaceAll('allowed.test', 'closed.test'), status: 502 },
    { name: 'another expectation', bytes: expecting.replace('100-continue', '200-ok'), status: 400 },
  ]
  for (const { name, bytes, status } of refused) {
    it(`gets no 100 for ${name}, and the end of the connection`, async () => {
      const closed = await Origin.start()
      const { port } = closed
      await closed.stop()
      await silentLab({ rules: ['{ name: closed, hosts: [closed.test] }'], pins: [`closed.test: "127.0.0.1:${port}"`] })
      const { answers } = await attack(lab, bytes)
      expect(answers.map((answer) => answer.status)).toEqual([status])
      expect(lab.origin.connections).toBe(0)
    })
  }

  it('is not an expectation in HTTP/1.0', async () => {
    await silentLab()
    const client = await sendTo('POST http://allowed.test/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi')
    const origin = await atOrigin('\r\n\r\nhi')
    origin.write(OK)
    expect(readAnswers(await client.untilClosed()).map(({ status }) => status)).toEqual([200])
    client.close()
  })
})

describe('bodies', () => {
  /** More than every buffer on the way together. */
  const BIG = 24 * 1024 * 1024

  it('of a request stream: the first byte arrives before the last is sent, and a slow origin slows the client', async () => {
    lab = await startLab({ origin: await Origin.start((socket) => socket.pause()) })
    const client = await sendTo(request('POST', '/', `Content-Length: ${BIG}\r\n`, 'first'))
    const [origin] = await waitFor(() => (lab.origin.connections > 0 ? lab.origin.sockets : undefined), 'the origin')
    client.send(Buffer.alloc(BIG - 5))
    await waitFor(() => (client.socket.writableLength > 0 ? true : undefined), 'push back')
    const stalled = await settled(() => client.socket.writableLength)
    expect(stalled, 'not taken in').toBeGreaterThan(BIG / 4)
    expect(lab.origin.text).toBe('')
    origin?.resume()
    await waitFor(() => ((origin?.bytesRead ?? 0) > BIG ? true : undefined), 'the whole body')
    origin?.write(OK)
    await client.answer()
    client.close()
    const [event] = await eventsOf(lab, client)
    expect(event?.bytesUp).toBeGreaterThan(BIG)
    expect(event?.bytesUp).toBeLessThan(BIG + 1_000)
  })

  it('of an answer stream, and a slow client slows the origin', async () => {
    await silentLab()
    const client = await sendTo(request('GET', '/'))
    const origin = await atOrigin('\r\n\r\n')
    origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG}\r\n\r\nfirst`)
    await client.until((text) => text.endsWith('first'))
    client.socket.pause()
    origin.write(Buffer.alloc(BIG - 5))
    await waitFor(() => (origin.writableLength > 0 ? true : undefined), 'push back')
    expect(await settled(() => origin.writableLength), 'not taken in').toBeGreaterThan(BIG / 4)
    client.socket.resume()
    await waitFor(() => (client.socket.bytesRead > BIG ? true : undefined), 'the whole answer')
    client.close()
    expect((await eventsOf(lab, client))[0]?.bytesDown).toBeGreaterThan(BIG)
  })

  it('whose origin answers early and goes on reading arrive whole', async () => {
    await silentLab()
    const client = await sendTo(request('POST', '/', 'Content-Length: 10\r\n', 'hello'))
    const origin = await atOrigin('\r\n\r\nhello')
    origin.write(OK)
    await client.answer()
    client.send('world')
    await atOrigin('\r\n\r\nhelloworld')
    client.send(request('GET', '/next'))
    const next = await waitFor(
      () => lab.origin.sockets.find((_, i) => lab.origin.received[i]?.includes('GET /next')),
      'the next request',
    )
    next.write(OK)
    await client.until((text) => readAnswers(text, [], false).length === 2)
    client.close()
  })

  it('whose origin answers early and closes end with the answer and the connection', async () => {
    await silentLab()
    const client = await sendTo(request('POST', '/', `Content-Length: ${BIG}\r\n`, 'hello'))
    const origin = await atOrigin('\r\n\r\nhello')
    origin.end(httpAnswer('too large').replace('200 OK', '413 Content Too Large'))
    await client.answer()
    origin.destroy()
    const started = performance.now()
    client.send(Buffer.alloc(BIG - 5))
    await waitFor(() => client.closed || client.socket.readableEnded || undefined, 'the end')
    expect(performance.now() - started).toBeLessThan(3_000)
    expect(readAnswers(client.text)).toMatchObject([{ status: 413, body: 'too large' }])
    client.close()
  })

  it('that the client breaks off do not end well at the origin', async () => {
    await silentLab()
    const client = await sendTo(request('POST', '/', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n'))
    const origin = await atOrigin('5\r\nhello\r\n')
    client.close()
    await waitFor(() => origin.readableEnded || origin.destroyed || undefined, 'the end at the origin')
    expect(lab.origin.text.endsWith('5\r\nhello\r\n')).toBe(true)
    expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy: 'client' }])
  })
})

describe('a kept origin connection that the origin has closed', () => {
  /** A first request whose connection is kept, then the origin closes it in silence after the next request has been written. */
  async function keepOne(): Promise<Socket> {
    await silentLab()
    const client = await sendTo(request('GET', '/first', CLOSE))
    const origin = await atOrigin('\r\n\r\n')
    origin.write(OK)
    await client.untilClosed()
    client.close()
    return origin
  }

  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
    it(`is no failure for ${method}: it is sent again on a new one`, async () => {
      const origin = await keepOne()
      origin.once('data', () => origin.resetAndDestroy())
      const client = await sendTo(request(method, '/again', CLOSE))
      const second = await atOrigin(new RegExp(`^${method} /again (.|\r\n)*\r\n\r\n$`), 1)
      second.write(method === 'HEAD' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : OK)
      expect(readAnswers(await client.untilClosed(), [method])).toMatchObject([{ status: 200 }])
      client.close()
      expect(await eventsOf(lab, client)).toHaveLength(1)
      expect(lab.origin.connections).toBe(2)
    })

  for (const [name, bytes] of [
    ['POST', request('POST', '/again', `Content-Length: 0\r\n`)],
    ['a POST with a body', request('POST', '/again', `Content-Length: 2\r\n`, 'hi')],
    ['a PUT with a body, which is gone', request('PUT', '/again', `Content-Length: 2\r\n`, 'hi')],
    ['PATCH', request('PATCH', '/again')],
  ] as const)
    it(`is a 502 for ${name}: it may have been carried out`, async () => {
      const origin = await keepOne()
      origin.once('data', () => origin.resetAndDestroy())
      const client = await sendTo(bytes)
      expect((await client.answer()).startsWith('HTTP/1.1 502 origin_protocol_error\r\n')).toBe(true)
      client.close()
      expect(lab.origin.connections).toBe(1)
    })

  it('is not used again when its end was seen, not even for a POST', async () => {
    const origin = await keepOne()
    origin.end()
    await once(origin, 'close')
    const client = await sendTo(request('POST', '/again', 'Content-Length: 0\r\n'))
    const second = await atOrigin(/POST \/again/, 1)
    second.write(OK)
    await client.answer()
    client.close()
  })

  it('is not sent again where an answer has begun', async () => {
    const origin = await keepOne()
    origin.once('data', () => origin.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe'))
    const client = await sendTo(request('GET', '/again'))
    await client.until((text) => text.endsWith('he'))
    origin.resetAndDestroy()
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ complete: false }])
    client.close()
    expect(lab.origin.connections).toBe(1)
  })

  it('is not sent again a second time', async () => {
    const origin = await keepOne()
    origin.once('data', () => origin.resetAndDestroy())
    const client = await sendTo(request('GET', '/again'))
    const second = await atOrigin(/GET \/again/, 1)
    second.resetAndDestroy()
    expect((await client.answer()).startsWith('HTTP/1.1 502 ')).toBe(true)
    client.close()
    expect(lab.origin.connections).toBe(2)
  })
})

describe('an origin', () => {
  it('that says nothing for too long is a 504', async () => {
    await silentLab({ config: 'limits: { originSeconds: 0.2 }' })
    const { answers, events } = await attack(lab, request('GET', '/', CLOSE))
    expect(answers).toMatchObject([{ status: 504, reasonPhrase: 'origin_timeout' }])
    expect(events).toMatchObject([{ event: 'error', reason: 'origin_timeout' }])
    await waitFor(() => lab.origin.sockets[0]?.readableEnded || undefined, 'the end at the origin')
  })

  it('that stops in the middle for too long breaks the answer off', async () => {
    await silentLab({ config: 'limits: { originSeconds: 0.2 }' })
    const client = await sendTo(request('GET', '/'))
    const origin = await atOrigin('\r\n\r\n')
    origin.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ body: 'half', complete: false }])
    client.close()
  })

  const broken = {
    'no HTTP': 'SSH-2.0-OpenSSH_9.6\r\n',
    'HTTP/2 frames': '\0\0\x12\x04\0\0\0\0\0',
    'a control character in a field': 'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n',
    'a NUL in a field': 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n',
    'an escape in the reason phrase': 'HTTP/1.1 200 \x1b[31mOK\r\nContent-Length: 0\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
    'a length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a status of 99': 'HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n',
    'a status of 1000': 'HTTP/1.1 1000 No\r\nContent-Length: 0\r\n\r\n',
    'a head without end': `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}`,
    'fields without end': `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(50_000)}`,
    'a space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok',
  }
  for (const [name, bytes] of Object.entries(broken)) {
    it(`that answers with ${name} is a 502`, async () => {
      await silentLab()
      const client = await sendTo(request('POST', '/', 'Content-Length: 0\r\n'))
      const origin = await atOrigin('\r\n\r\n')
      origin.write(Buffer.from(bytes, 'latin1'))
      const text = await client.answer()
      expect(text).toMatch(/^HTTP\/1\.1 502 origin_protocol_error\r\n/)
      expect(await eventsOf(lab, client)).toMatchObject([{ event: 'error', reason: 'origin_protocol_error' }])
      client.close()
    })
  }

  it('that sends more than its answer does not desynchronise the next client', async () => {
    await silentLab()
    const first = await sendTo(request('GET', '/first', CLOSE))
    const origin = await atOrigin('\r\n\r\n')
    origin.write(`${OK}${httpAnswer('smuggled')}`)
    expect(readAnswers(await first.untilClosed())).toMatchObject([{ body: 'ok' }])
    const second = await sendTo(request('GET', '/second', CLOSE))
    const next = await waitFor(
      () => lab.origin.sockets.find((_, i) => lab.origin.received[i]?.includes('GET /second')),
      'the second request',
    )
    next.write(httpAnswer('right'))
    expect(readAnswers(await second.untilClosed())).toMatchObject([{ body: 'right' }])
    expect(lab.origin.connections).toBe(2)
    first.close()
    second.close()
  })

  it('that answers before it is asked does not desynchronise the next client', async () => {
    await silentLab()
    const first = await sendTo(request('GET', '/first', CLOSE))
    const origin = await atOrigin('\r\n\r\n')
    origin.write(OK)
    await first.untilClosed()
    first.close()
    origin.write(httpAnswer('smuggled'))
    const second = await sendTo(request('GET', '/second', CLOSE))
    const next = await atOrigin(/GET \/second/, 1)
    next.write(httpAnswer('right'))
    expect(readAnswers(await second.untilClosed())).toMatchObject([{ body: 'right' }])
    second.close()
  })
})

/** A number that has stopped moving. */
async function settled(look: () => number): Promise<number> {
  let last = look()
  let same = 0
  return waitFor(() => {
    const now = look()
    same = now === last ? same + 1 : 0
    last = now
    return same >= 10 ? now : undefined
  }, 'a number to settle')
}
