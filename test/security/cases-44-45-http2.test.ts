import { once } from 'node:events'
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import {
  FLAG,
  FRAME,
  FrameClient,
  frame,
  requestBlock,
  requestFrame,
  resetStream,
  settings,
  uint32,
} from '../support/h2-frames.ts'
import {
  eventsInside,
  type InspectionLab,
  inspected,
  inspectedRaw,
  requestsCounted,
  seenByOrigins,
  startInspectionLab,
} from './inspection-lab.ts'

let lab: InspectionLab
/** Requests whose answer the origin holds back until it is told. */
const held: (() => void)[] = []

beforeAll(async () => {
  lab = await startInspectionLab({
    // After its GOAWAY the gateway reads no more; the connection goes with the idle ones.
    config: 'limits: { requestsPerSecondPerClient: 100000, keepAliveSeconds: 1 }',
    serve: (req, res) => {
      if (req.url === '/team/held') held.push(() => res.end('late'))
      else if (req.url === '/team/upload') {
        let length = 0
        req.on('data', (chunk: Buffer) => {
          length += chunk.length
        })
        req.on('end', () => res.end(`took ${length} ${req.headers['transfer-encoding'] ?? req.headers['content-length']}`))
      } else if (req.url === '/team/hop') {
        res.writeHead(200, {
          Connection: 'close, X-Private',
          'X-Private': 'x',
          'Keep-Alive': 'timeout=5',
          'Proxy-Connection': 'keep-alive',
          Upgrade: 'h2c',
          'Transfer-Encoding': 'chunked',
          'Sallyport-Reason': 'forged',
          'Set-Cookie': ['a=1', 'b=2'],
        })
        res.end('hop')
      } else if (req.url === '/team/trailers') {
        res.writeHead(200, { Trailer: 'X-Checksum' })
        res.write('body')
        res.addTrailers({ 'X-Checksum': 'abc' })
        res.end()
      } else if (req.url === '/team/broken') {
        res.writeHead(200, { 'Content-Length': '100' })
        res.write('half')
        setImmediate(() => res.destroy())
      } else if (req.url === '/team/none') {
        res.writeHead(204)
        res.end()
      } else res.end(`origin saw ${req.method} ${req.url}`)
    },
  })
})
afterAll(() => lab.stop())

interface Asked {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly trailers: IncomingHttpHeaders | undefined
}

async function session(host = 'paths.test'): Promise<{ session: ClientHttp2Session; port: number }> {
  const secure = await inspected(lab, host, ['h2'])
  expect(secure.alpnProtocol).toBe('h2')
  const made = connect(`https://${host}`, { createConnection: () => secure })
  made.on('error', () => {})
  return { session: made, port: secure.localPort ?? 0 }
}

async function ask(client: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Asked> {
  const stream = client.request(headers, { endStream: body === undefined })
  stream.on('error', () => {})
  let trailers: IncomingHttpHeaders | undefined
  stream.on('trailers', (received) => {
    trailers = received
  })
  if (body !== undefined) stream.end(body)
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }]
  let text = ''
  for await (const chunk of stream) text += chunk
  return { status: answer[':status'], headers: answer, body: text, trailers }
}

async function frames(host = 'paths.test'): Promise<FrameClient> {
  return new FrameClient(await inspectedRaw(lab, host, ['h2']))
}

const ALLOWED = { path: '/team/a', authority: 'paths.test' }

describe('case 45: HTTP/2 requests that are not for the host of their tunnel, or lead out of it', () => {
  const rows: readonly { name: string; headers: OutgoingHttpHeaders; status: number; reason: string }[] = [
    {
      name: ':authority of another host',
      headers: { ':authority': 'evil.test', ':path': '/team/a' },
      status: 421,
      reason: 'host_mismatch',
    },
    {
      name: ':authority of another listed host',
      headers: { ':authority': 'whole.test', ':path': '/team/a' },
      status: 421,
      reason: 'host_mismatch',
    },
    {
      name: ':authority with another port',
      headers: { ':authority': 'paths.test:8443', ':path': '/team/a' },
      status: 421,
      reason: 'host_mismatch',
    },
    {
      name: ':authority right and host not',
      headers: { ':authority': 'paths.test', host: 'evil.test', ':path': '/team/a' },
      status: 421,
      reason: 'host_mismatch',
    },
    {
      name: ':authority wrong and host right',
      headers: { ':authority': 'evil.test', host: 'paths.test', ':path': '/team/a' },
      status: 421,
      reason: 'host_mismatch',
    },
    { name: 'another path', headers: { ':path': '/secret' }, status: 403, reason: 'path_not_listed' },
    { name: 'a path that climbs', headers: { ':path': '/team/../secret' }, status: 400, reason: 'path_not_canonical' },
    { name: 'a path with an escape', headers: { ':path': '/team/%2e%2e/secret' }, status: 400, reason: 'path_not_canonical' },
    { name: 'a path with a fragment', headers: { ':path': '/team/a#b' }, status: 400, reason: 'malformed_request' },
    {
      name: 'gRPC',
      headers: { ':method': 'POST', ':path': '/team/S/M', 'content-type': 'application/grpc', te: 'trailers' },
      status: 400,
      reason: 'scheme_not_supported',
    },
    { name: 'TRACE to a sibling', headers: { ':method': 'TRACE', ':path': '/x' }, status: 403, reason: 'path_not_listed' },
    {
      name: 'another expectation',
      headers: { ':path': '/team/a', expect: 'the moon' },
      status: 400,
      reason: 'malformed_request',
    },
  ]
  for (const { name, headers, status, reason } of rows)
    it(`are refused: ${name}`, async () => {
      const seen = seenByOrigins(lab)
      const { session: client, port } = await session()
      const answer = await ask(client, headers)
      expect([answer.status, answer.headers['sallyport-reason']]).toEqual([status, reason])
      expect(JSON.parse(answer.body)).toMatchObject({ reason, host: 'paths.test', port: 443 })
      // The others of the connection are not hurt.
      expect((await ask(client, { ':path': '/team/next' })).status).toBe(200)
      client.destroy()
      expect(seenByOrigins(lab).asked).toEqual([...seen.asked, 'GET /team/next'])
      const [event] = await eventsInside(lab, port)
      expect(event).toMatchObject({ event: 'deny', reason, kind: 'inspected', host: 'paths.test', port: 443 })
    })

  it('are refused: CONNECT', async () => {
    const seen = seenByOrigins(lab)
    const { session: client, port } = await session()
    const stream = client.request({ ':method': 'CONNECT', ':authority': 'evil.test:443' })
    stream.on('error', () => {})
    const [headers] = await once(stream, 'response')
    expect(headers[':status']).toBe(403)
    expect(headers['sallyport-reason']).toBe('method_not_listed')
    client.destroy()
    expect(seenByOrigins(lab)).toEqual(seen)
    expect(await eventsInside(lab, port)).toMatchObject([{ event: 'deny', reason: 'method_not_listed', method: 'CONNECT' }])
  })

  it('are refused: CONNECT, and what it sends goes nowhere', async () => {
    const client = await frames()
    const fields = Buffer.concat([
      requestBlock({ method: 'CONNECT', authority: 'whole.test:443' }).subarray(0, 0),
      connectBlock('whole.test:443'),
    ])
    const seen = seenByOrigins(lab)
    client.send(frame(FRAME.headers, FLAG.endHeaders, 1, fields))
    await client.until((c) => c.of(FRAME.headers, 1).length > 0, 'an answer')
    client.send(frame(FRAME.data, 0, 1, Buffer.alloc(1_000)))
    client.send(resetStream(1, 1), requestFrame(3, ALLOWED))
    await client.until((c) => c.of(FRAME.data, 3).length > 0, 'the next answer')
    client.raw.close()
    expect(seenByOrigins(lab).asked).toEqual([...seen.asked, 'GET /team/a'])
  })

  it('are refused: extended CONNECT (RFC 8441), which was not offered', async () => {
    const seen = seenByOrigins(lab)
    const client = await frames()
    const block = Buffer.concat([
      requestBlock({ method: 'CONNECT', ...ALLOWED }),
      requestBlock({}).subarray(0, 0),
      pseudo(':protocol', 'websocket'),
    ])
    client.send(frame(FRAME.headers, FLAG.endHeaders, 1, block))
    await client.until((c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length > 0, 'a refusal')
    client.raw.close()
    expect(seenByOrigins(lab)).toEqual(seen)
  })

  for (const path of ['https://evil.test/team/a', 'http://paths.test/team/a', 'team/a', 'evil.test/team/a', '', '*x'])
    it(`are refused: :path ${JSON.stringify(path)}, by status or as a broken stream`, async () => {
      const seen = seenByOrigins(lab)
      const client = await frames()
      client.send(requestFrame(1, { ...ALLOWED, path }))
      await client.until((c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length > 0, 'a refusal')
      client.raw.close()
      expect(seenByOrigins(lab)).toEqual(seen)
    })

  // Newer releases of nghttp2 refuse it themselves.
  it('are refused: user information, by status or as a broken stream', async () => {
    const seen = seenByOrigins(lab)
    const client = await frames()
    client.send(requestFrame(1, { ...ALLOWED, authority: 'u@paths.test' }))
    await client.until((c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length > 0, 'a refusal')
    client.raw.close()
    expect(seenByOrigins(lab)).toEqual(seen)
  })

  const malformed: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
    Connection: [['connection', 'upgrade']],
    'Upgrade: h2c': [['upgrade', 'h2c']],
    'Transfer-Encoding': [['transfer-encoding', 'chunked']],
    'a second :path': [[':path', '/team/b']],
    'a second :authority': [[':authority', 'evil.test']],
    'two hosts': [
      ['host', 'paths.test'],
      ['host', 'evil.test'],
    ],
    'capitals in a name': [['Host', 'evil.test']],
    'two lengths': [
      ['content-length', '0'],
      ['content-length', '5'],
    ],
    'a length without a body': [['content-length', '5']],
    'te: other than trailers': [['te', 'gzip']],
  }
  for (const [name, fields] of Object.entries(malformed))
    it(`are refused: ${name}, by status or as a broken stream`, async () => {
      const seen = seenByOrigins(lab)
      const client = await frames()
      client.send(requestFrame(1, { ...ALLOWED, fields }))
      await client.until((c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length > 0, 'a refusal')
      client.send(requestFrame(3, { ...ALLOWED, path: '/team/still-there' }))
      await client.until((c) => c.of(FRAME.data, 3).length > 0, 'the next answer')
      client.raw.close()
      expect(seenByOrigins(lab).asked).toEqual([...seen.asked, 'GET /team/still-there'])
    })

  const dropped: Readonly<Record<string, readonly [string, string]>> = {
    'LF in its value': ['x-evil', 'a\nhost: evil.test'],
    'CR LF in its value': ['x-evil', 'a\r\nhost: evil.test'],
    'NUL in its value': ['x-evil', 'a\0b'],
    'a colon in its name': ['x-evil:y', 'z'],
    'a space in its name': ['x-evil y', 'z'],
    'LF in its name': ['x-evil\nhost', 'evil.test'],
  }
  for (const [name, field] of Object.entries(dropped))
    it(`are forwarded without a field that has ${name}: nghttp2 drops it before anybody sees it`, async () => {
      const client = await frames()
      client.send(requestFrame(1, { ...ALLOWED, fields: [field] }))
      await client.until((c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length > 0, 'an answer')
      client.raw.close()
      expect(JSON.stringify(lab.web.requests.at(-1)?.rawHeaders)).not.toContain('evil')
    })

  it('pass with :authority in another spelling of the host', async () => {
    const { session: client } = await session()
    expect((await ask(client, { ':authority': 'PATHS.test:443', ':path': '/team/a' })).status).toBe(200)
    expect(lab.web.requests.at(-1)?.headers.host).toBe('paths.test')
    client.destroy()
  })

  it('pass without :authority when host is right', async () => {
    const client = await frames()
    client.send(requestFrame(1, { path: '/team/a', fields: [['host', 'paths.test']] }))
    await client.until((c) => c.of(FRAME.data, 1).length > 0, 'an answer')
    expect(client.of(FRAME.data, 1)[0]?.payload.toString()).toBe('origin saw GET /team/a')
    client.raw.close()
  })
})

const pseudo = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
const connectBlock = (authority: string): Buffer => Buffer.concat([pseudo(':method', 'CONNECT'), pseudo(':authority', authority)])

describe('case 44: floods of HTTP/2', () => {
  /** Whatever happens to one connection, the gateway goes on. */
  async function expectAlive() {
    const { session: client } = await session()
    expect((await ask(client, { ':path': '/team/alive' })).body).toBe('origin saw GET /team/alive')
    client.destroy()
    expect(lab.gateway.log.filter(({ level }) => level === 50)).toEqual([])
  }

  /** Sends until the gateway has had enough; resolves with what it said, and how many were sent. */
  async function flood(client: FrameClient, make: (n: number) => Buffer, most: number) {
    let sent = 0
    while (!client.raw.closed && client.of(FRAME.goaway).length === 0 && sent < most) {
      const batch: Buffer[] = []
      for (let i = 0; i < 100; i++) batch.push(make(sent++))
      client.send(...batch)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return sent
  }

  it('ends a rapid reset (CVE-2023-44487) with few requests at the origin', async () => {
    const before = lab.web.asked.length
    const client = await frames()
    const sent = await flood(
      client,
      (n) => Buffer.concat([requestFrame(2 * n + 1, { ...ALLOWED, path: '/team/reset' }), resetStream(2 * n + 1)]),
      200_000,
    )
    await client.untilClosed()
    client.raw.close()
    expect(sent).toBeLessThan(20_000)
    expect(lab.web.asked.length - before).toBeLessThan(sent / 2)
    await expectAlive()
  })

  it('ends a reset flood of refused requests', async () => {
    const client = await frames()
    const sent = await flood(
      client,
      (n) => Buffer.concat([requestFrame(2 * n + 1, { ...ALLOWED, path: '/secret' }), resetStream(2 * n + 1)]),
      200_000,
    )
    await client.untilClosed()
    client.raw.close()
    expect(sent).toBeLessThan(20_000)
    await expectAlive()
  })

  it('ends a CONTINUATION flood (CVE-2024-27919) within bounded memory', async () => {
    const client = await frames()
    client.send(frame(FRAME.headers, 0, 1, requestBlock(ALLOWED)))
    const block = Buffer.from(`\0\x04x-${'y'.repeat(2)}\x7f\x01${'z'.repeat(128)}`, 'latin1')
    await flood(client, () => frame(FRAME.continuation, 0, 1, block), 1_000_000)
    const code = await client.untilClosed()
    client.raw.close()
    expect(code === undefined || code > 0).toBe(true)
    await expectAlive()
  })

  it('ends a flood of empty CONTINUATION frames', async () => {
    const client = await frames()
    client.send(frame(FRAME.headers, 0, 1, requestBlock(ALLOWED)))
    const sent = await flood(client, () => frame(FRAME.continuation, 0, 1), 1_000_000)
    await client.untilClosed()
    client.raw.close()
    expect(sent).toBeLessThan(1_000_000)
    await expectAlive()
  })

  const unread: Readonly<Record<string, Buffer>> = {
    SETTINGS: settings([4, 65_535]),
    PING: frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
  }
  for (const [name, one] of Object.entries(unread))
    it(`ends a flood of ${name} whose answers are not read`, async () => {
      const client = await frames()
      client.raw.socket.pause()
      const before = process.memoryUsage().rss
      // Made once: a machine under load is to spend its time on the flood, not on making it.
      const thousand = Buffer.concat(Array<Buffer>(1_000).fill(one))
      let sent = 0
      let closed = false
      client.raw.socket.once('close', () => {
        closed = true
      })
      // Half a second in which the gateway took nothing is an end too: nothing grows any more. It is offered little at a time, so
      // that what waits here is what it does not read, and not what it has not come to yet.
      let still = 0
      while (!closed && still < 50 && sent < 3_000_000) {
        const waiting = client.raw.socket.writableLength
        if (waiting < 200_000) {
          client.raw.socket.write(thousand)
          sent += 1_000
        }
        await new Promise((resolve) => (waiting < 200_000 ? setImmediate(resolve) : setTimeout(resolve, 10)))
        still = client.raw.socket.writableLength === waiting ? still + 1 : 0
      }
      expect(closed || still === 50).toBe(true)
      expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000)
      client.raw.close()
      await expectAlive()
    })

  it('takes 100 streams at once and refuses more', async () => {
    const client = await frames()
    held.length = 0
    const all = Array.from({ length: 130 }, (_, n) => requestFrame(2 * n + 1, { ...ALLOWED, path: '/team/held' }))
    client.send(...all)
    await waitFor(() => (held.length >= 100 ? true : undefined), 'the held requests')
    await client.until((c) => c.of(FRAME.resetStream).length >= 30 || c.of(FRAME.goaway).length > 0, 'the refusals')
    expect(held.length).toBe(100)
    for (const answer of held.splice(0)) answer()
    await client.until((c) => c.of(FRAME.data).filter(({ payload }) => payload.length > 0).length === 100, 'the answers')
    client.raw.close()
    await expectAlive()
  })

  const tooLarge: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
    'one field of 20 KB': [['x', 'y'.repeat(20_000)]],
    'fields of 40 KB together': Array.from({ length: 40 }, (_, n) => [`x${n}`, 'y'.repeat(1_000)] as const),
    '1,000 small fields': Array.from({ length: 1_000 }, (_, n) => [`x${n}`, ''] as const),
    '250 small fields': Array.from({ length: 250 }, (_, n) => [`x${n}`, ''] as const),
    '2,000 cookies': Array.from({ length: 2_000 }, () => ['cookie', 'a=b'] as const),
  }
  for (const [name, fields] of Object.entries(tooLarge))
    it(`refuses a head with ${name}, and nothing else of the connection`, async () => {
      const seen = seenByOrigins(lab)
      const client = await frames()
      const block = requestBlock({ ...ALLOWED, fields })
      const pieces: Buffer[] = []
      for (let at = 0; at < block.length; at += 16_000) {
        const last = at + 16_000 >= block.length
        const flags = (last ? FLAG.endHeaders : 0) | (at === 0 ? FLAG.endStream : 0)
        pieces.push(frame(at === 0 ? FRAME.headers : FRAME.continuation, flags, 1, block.subarray(at, at + 16_000)))
      }
      client.send(...pieces)
      await client.until(
        (c) => c.of(FRAME.resetStream, 1).length + c.of(FRAME.headers, 1).length + c.of(FRAME.goaway).length > 0,
        'a refusal',
      )
      client.raw.close()
      expect(seenByOrigins(lab)).toEqual(seen)
      await expectAlive()
    })

  it('refuses a target of 10 KB with 414', async () => {
    const { session: client } = await session()
    const answer = await ask(client, { ':path': `/team/${'a'.repeat(9_000)}` })
    expect([answer.status, answer.headers['sallyport-reason']]).toEqual([414, 'target_too_long'])
    client.destroy()
  })

  it('ends a connection that does not begin as HTTP/2', async () => {
    const client = await inspectedRaw(lab, 'paths.test', ['h2'])
    client.send('GET /team/a HTTP/1.1\r\nHost: paths.test\r\n\r\n')
    await client.untilClosed()
    client.close()
    await expectAlive()
  })

  for (const [name, bytes] of Object.entries({
    'a frame that is too long': frame(FRAME.data, 0, 1, Buffer.alloc(20_000)),
    'DATA on no stream': frame(FRAME.data, 0, 0, Buffer.from('x')),
    'a stream of the server': requestFrame(2, ALLOWED),
    'CONTINUATION out of nowhere': frame(FRAME.continuation, FLAG.endHeaders, 1, Buffer.from('x')),
    'a window that overflows': frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff_ffff)),
    'HPACK that cannot be read': frame(
      FRAME.headers,
      FLAG.endHeaders | FLAG.endStream,
      1,
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]),
    ),
    PUSH_PROMISE: frame(FRAME.pushPromise, FLAG.endHeaders, 1, Buffer.concat([uint32(2), requestBlock(ALLOWED)])),
  }))
    it(`ends a connection with ${name}`, async () => {
      const seen = seenByOrigins(lab)
      const client = await frames()
      client.send(bytes)
      await client.untilClosed()
      client.raw.close()
      expect(seenByOrigins(lab)).toEqual(seen)
      await expectAlive()
    })

  it('survives a client that resets refused streams with every code there is', async () => {
    const client = await frames()
    for (let code = 0; code < 16; code++) {
      const stream = 4 * code + 1
      client.send(
        frame(FRAME.headers, FLAG.endHeaders, stream, requestBlock({ ...ALLOWED, authority: 'evil.test' })),
        resetStream(stream, code),
      )
      client.send(frame(FRAME.headers, FLAG.endHeaders, stream + 2, requestBlock({ ...ALLOWED, path: '/team/upload' })))
      client.send(frame(FRAME.data, 0, stream + 2, Buffer.from('x')), resetStream(stream + 2, code))
    }
    client.send(requestFrame(101, { ...ALLOWED, path: '/team/after' }))
    await client.until((c) => c.of(FRAME.data, 101).length > 0, 'an answer')
    client.raw.close()
    await expectAlive()
  })
})

describe('HTTP/2 requests inside', () => {
  it('keep their body, its length and their cookies, and lose what concerns one connection', async () => {
    const { session: client } = await session()
    const known = await ask(client, { ':method': 'POST', ':path': '/team/upload', 'content-length': '5' }, 'hello')
    expect(known.body).toBe('took 5 5')
    const streamed = await ask(client, { ':method': 'POST', ':path': '/team/upload' }, Buffer.alloc(300_000))
    expect(streamed.body).toBe('took 300000 chunked')
    await ask(client, { ':path': '/team/a', cookie: ['a=1', 'b=2'], te: 'trailers', 'proxy-authorization': 'Basic c2VjcmV0' })
    const { headers = {} } = lab.web.requests.at(-1) ?? {}
    expect(headers.cookie).toBe('a=1; b=2')
    expect(headers.te).toBeUndefined()
    expect(headers['proxy-authorization']).toBeUndefined()
    client.destroy()
  })

  it('get answers without fields of a connection', async () => {
    const { session: client } = await session()
    const answer = await ask(client, { ':path': '/team/hop' })
    expect(answer.status).toBe(200)
    expect(answer.body).toBe('hop')
    expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    for (const name of [
      'connection',
      'x-private',
      'keep-alive',
      'proxy-connection',
      'upgrade',
      'transfer-encoding',
      'sallyport-reason',
    ])
      expect(answer.headers[name], name).toBeUndefined()
    client.destroy()
  })

  it('get no trailers, and no body where there is none', async () => {
    const { session: client } = await session()
    const answer = await ask(client, { ':path': '/team/trailers' })
    expect(answer).toMatchObject({ status: 200, body: 'body', trailers: undefined })
    expect(await ask(client, { ':path': '/team/none' })).toMatchObject({ status: 204, body: '' })
    expect(await ask(client, { ':method': 'HEAD', ':path': '/team/a' })).toMatchObject({ status: 200, body: '' })
    client.destroy()
  })

  it('show when an answer broke off', async () => {
    const { session: client } = await session()
    const stream = client.request({ ':path': '/team/broken' })
    const failed = once(stream, 'error')
    stream.resume()
    await failed
    expect(stream.rstCode).toBeGreaterThan(0)
    client.destroy()
  })

  it('are told to go on where they expect it', async () => {
    const { session: client } = await session()
    const stream = client.request({ ':method': 'POST', ':path': '/team/upload', expect: '100-continue' }, { endStream: false })
    await once(stream, 'continue')
    stream.end('hello')
    const [headers] = await once(stream, 'response')
    expect(headers[':status']).toBe(200)
    client.destroy()
  })

  it('leave no request at the origin when the client goes away', async () => {
    held.length = 0
    const { session: client, port } = await session()
    client.request({ ':path': '/team/held' }).on('error', () => {})
    await waitFor(() => (held.length === 1 ? true : undefined), 'the request')
    const request = lab.web.requests.at(-1)
    client.destroy()
    await waitFor(() => (request?.destroyed ? true : undefined), 'the end at the origin')
    expect(await eventsInside(lab, port)).toMatchObject([{ endedBy: 'client' }])
  })

  it('are counted like any other', async () => {
    const before = await requestsCounted(lab, 'inspected', 'deny', 'path_not_listed')
    const { session: client } = await session()
    await ask(client, { ':path': '/secret' })
    client.destroy()
    expect(await requestsCounted(lab, 'inspected', 'deny', 'path_not_listed')).toBe(before + 1)
  })
})
