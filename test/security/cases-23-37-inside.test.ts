import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { RawClient } from '../support/raw-client.ts'
import {
  eventsInside,
  type InspectionLab,
  inspectedRaw,
  requestsCounted,
  seenByOrigins,
  startInspectionLab,
} from './inspection-lab.ts'

let lab: InspectionLab

beforeAll(async () => {
  lab = await startInspectionLab({
    serve: (req, res) => {
      res.setHeader('Sallyport-Reason', 'forged')
      res.setHeader('Sallyport-Request-Id', 'forged')
      res.setHeader('Proxy-Authenticate', 'Basic realm="origin"')
      if (req.url?.startsWith('/team/trailers')) {
        res.writeHead(200, { Trailer: 'X-Checksum', 'Transfer-Encoding': 'chunked' })
        res.write('body')
        res.addTrailers({ 'X-Checksum': 'abc' })
        res.end()
      } else if (req.url === '/team/broken') {
        res.writeHead(200, { 'Transfer-Encoding': 'chunked' })
        res.write('half')
        setImmediate(() => res.destroy())
      } else if (req.url === '/team/redirect') {
        res.writeHead(302, { Location: 'https://evil.test/' })
        res.end()
      } else if (req.url === '/team/upload') {
        let length = 0
        req.on('data', (chunk: Buffer) => {
          length += chunk.length
        })
        req.on('end', () => res.end(`took ${length}, trailers ${JSON.stringify(req.trailers)}`))
      } else res.end(`origin saw ${req.url}`)
    },
  })
})
afterAll(() => lab.stop())

const get = (path: string, fields = '', host = 'paths.test') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`

interface Row {
  readonly name: string
  readonly bytes: string
  readonly status: number
  readonly reason: string
}

/** Sends one request inside an inspected tunnel that must be refused there, with nothing at the origin. */
async function expectRefusedInside({ bytes, status, reason }: Row, host = 'paths.test') {
  const seen = seenByOrigins(lab)
  const client = await inspectedRaw(lab, host)
  const port = client.localPort
  try {
    client.send(bytes)
    await client.answer()
    const [answer, ...others] = readAnswers(client.text)
    expect(others).toEqual([])
    expect([answer?.status, answer?.reasonPhrase, answer?.fields.get('sallyport-reason')]).toEqual([status, reason, reason])
    expect(answer?.fields.get('proxy-status')).toContain(`details="${reason}"`)
  } finally {
    client.close()
  }
  expect(seenByOrigins(lab)).toEqual(seen)
  const [event] = await eventsInside(lab, port)
  expect(event).toMatchObject({ event: 'deny', reason, kind: 'inspected', parent: expect.any(String) })
  return event
}

const paths: readonly string[] = [
  '/team/../secret',
  '/team/..',
  '/team/.',
  '/team/./a',
  '/team/a/../../secret',
  '/../team/a',
  '/team/%2e%2e/secret',
  '/team/%2E%2E/secret',
  '/team/%2e./secret',
  '/team/.%2e/secret',
  '/team/%252e%252e/secret',
  '/team/%25252e/secret',
  '/team/a%2fb',
  '/team/a%2Fb',
  '/team%2fa',
  '/team/a%252fb',
  '/team/a%5cb',
  '/team/a%5Cb',
  '/team/a%255cb',
  '/team/..%5csecret',
  '/team/\\..\\secret',
  '\\team\\a',
  '/team//a',
  '//team/a',
  '//evil.test/team/a',
  '/team/a//',
  '/team/a;x=1',
  '/team/..;/secret',
  '/team/a;',
  '/team/a%00',
  '/team/a%00.png',
  '/team/a%2500',
  '/team/a%',
  '/team/a%2',
  '/team/a%zz',
  '/team/a%u002f',
  '/team/%c0%ae%c0%ae/secret',
  '/team/%c0%af',
  '/team/\xe4',
  '/team/\x80',
  '/team/a#b',
]

describe('case 37: a path that can be read in more than one way', () => {
  for (const path of paths)
    it(`is refused: ${JSON.stringify(path)}`, async () => {
      const seen = seenByOrigins(lab)
      const client = await inspectedRaw(lab)
      client.send(get(path))
      await client.answer()
      const [answer] = readAnswers(client.text)
      expect(answer?.status).toBe(400)
      // What does not begin with a slash is no path at all.
      const reason = path.startsWith('\\') ? 'not_a_proxy_request' : answer?.reasonPhrase
      expect(['path_not_canonical', 'malformed_request', 'not_a_proxy_request']).toContain(reason)
      expect(answer?.fields.get('sallyport-reason')).toBe(answer?.reasonPhrase)
      client.close()
      expect(seenByOrigins(lab)).toEqual(seen)
      expect(await eventsInside(lab, client.localPort)).toMatchObject([{ event: 'deny', reason: answer?.reasonPhrase }])
    })

  for (const [path, because] of [
    ['/secret', 'a sibling'],
    ['/team', 'the folder without its slash'],
    ['/Team/a', 'case counts'],
    ['/teamx/a', 'a name that begins alike'],
    ['/%74eam/a', 'an escape that need not be one is another path'],
    ['/', 'the root'],
    ['/secret?/team/a', 'the query is no part of the path'],
    ['/?/team/', 'the query is no part of the path'],
  ] as const)
    it(`is refused as not listed: ${path} (${because})`, async () => {
      const event = await expectRefusedInside({ name: path, bytes: get(path), status: 403, reason: 'path_not_listed' })
      expect(event?.hint).toBeTypeOf('string')
    })

  for (const [path, because] of [
    ['/team/', 'the folder'],
    ['/team/a/b.c', 'anything under it'],
    ['/team/...', 'three dots are a name'],
    ['/team/..a', 'dots that begin a name'],
    ['/team/a%20b', 'a harmless escape'],
    ['/team/%C3%A4', 'UTF-8'],
    ['/team/%ff', 'an escape that is not UTF-8, and hides nothing'],
    ['/team/a?x=/../..', 'the query is the origin’s affair'],
    ['/team/a?x=%2e%2e%2f;y//', 'the query is the origin’s affair'],
  ] as const)
    it(`is forwarded exactly as sent: ${path} (${because})`, async () => {
      const client = await inspectedRaw(lab)
      client.send(get(path))
      expect(await client.answer()).toContain(`origin saw ${path}`)
      client.close()
      expect(lab.web.asked.at(-1)).toBe(`GET ${path}`)
      const [event] = await eventsInside(lab, client.localPort)
      expect(event).toMatchObject({ event: 'allow', kind: 'inspected', host: 'paths.test', port: 443, entry: 'rule/paths' })
      expect(event?.path).toBe(path.split('?')[0])
      expect(JSON.stringify(event)).not.toContain('?')
    })

  it('is not judged where the entry has no paths: it is the origin’s affair', async () => {
    const client = await inspectedRaw(lab, 'always.test')
    client.send(get('/a//b;c', '', 'always.test'))
    expect(await client.answer()).toContain('origin saw /a//b;c')
    client.close()
  })
})

describe('case 23: a request inside for another host', () => {
  const rows: readonly Row[] = [
    { name: 'another listed host', bytes: get('/team/a', '', 'whole.test'), status: 421, reason: 'host_mismatch' },
    { name: 'an unlisted host', bytes: get('/team/a', '', 'evil.test'), status: 421, reason: 'host_mismatch' },
    { name: 'another port', bytes: get('/team/a', '', 'paths.test:8443'), status: 421, reason: 'host_mismatch' },
    { name: 'port 80', bytes: get('/team/a', '', 'paths.test:80'), status: 421, reason: 'host_mismatch' },
    { name: 'a subdomain', bytes: get('/team/a', '', 'a.paths.test'), status: 421, reason: 'host_mismatch' },
    { name: 'an address', bytes: get('/team/a', '', '127.0.0.1'), status: 421, reason: 'host_mismatch' },
    {
      name: 'the origin in an absolute target',
      bytes: get('https://evil.test/team/a'),
      status: 421,
      reason: 'host_mismatch',
    },
    {
      name: 'another host in Host beside the right absolute target',
      bytes: get('https://paths.test/team/a', '', 'evil.test'),
      status: 421,
      reason: 'host_mismatch',
    },
    { name: 'plain HTTP, which is port 80', bytes: get('http://paths.test/team/a'), status: 421, reason: 'host_mismatch' },
    { name: 'another scheme', bytes: get('ftp://paths.test/team/a'), status: 400, reason: 'scheme_not_supported' },
    { name: 'no Host', bytes: 'GET /team/a HTTP/1.1\r\n\r\n', status: 400, reason: 'malformed_request' },
    { name: 'an empty Host', bytes: get('/team/a', '', ''), status: 400, reason: 'malformed_request' },
    {
      name: 'two Hosts',
      bytes: get('/team/a', 'Host: evil.test\r\n'),
      status: 400,
      reason: 'malformed_request',
    },
    { name: 'user information', bytes: get('https://u@paths.test/team/a'), status: 400, reason: 'malformed_request' },
    {
      name: 'an absolute target with two slashes',
      bytes: get('https://paths.test//team/a'),
      status: 400,
      reason: 'path_not_canonical',
    },
    { name: 'Host in brackets', bytes: get('/team/a', '', '[paths.test]'), status: 400, reason: 'malformed_request' },
    { name: 'Host with an escape', bytes: get('/team/a', '', 'paths%2etest'), status: 400, reason: 'malformed_request' },
  ]
  for (const row of rows) it(`is refused: ${row.name}`, () => expectRefusedInside(row))

  it('is refused where no path is to be judged, but the entry says `inspect: always`', () =>
    expectRefusedInside({ name: '', bytes: get('/', '', 'evil.test'), status: 421, reason: 'host_mismatch' }, 'always.test'))

  it('is refused as the second of a connection, which goes on for its own host', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('/team/first'))
    await client.until((text) => text.includes('origin saw /team/first'))
    client.send(get('/team/second', '', 'whole.test'))
    await client.until((text) => text.includes('421 host_mismatch'))
    client.send(get('/team/third'))
    await client.until((text) => text.includes('origin saw /team/third'))
    client.close()
    expect(lab.web.asked.filter((line) => line.includes('/team/second'))).toEqual([])
    const events = await eventsInside(lab, client.localPort, 3)
    expect(events.map(({ event, reason }) => reason ?? event)).toEqual(['allow', 'host_mismatch', 'allow'])
    expect(new Set(events.map(({ parent }) => parent)).size).toBe(1)
  })

  it('is refused as the second of two sent at once', async () => {
    const client = await inspectedRaw(lab)
    client.send(`${get('/team/p1')}${get('/team/p2', '', 'evil.test')}`)
    await client.until((text) => text.includes('421 host_mismatch'))
    expect(readAnswers(client.text, [], false).map(({ status }) => status)).toEqual([200, 421])
    client.close()
  })

  for (const host of ['paths.test', 'PATHS.test', 'paths.test.', 'paths.test:443'])
    it(`is served when Host is ${host}, which the origin gets in normal form`, async () => {
      const client = await inspectedRaw(lab)
      client.send(get('/team/host', '', host))
      expect(await client.answer()).toContain('origin saw /team/host')
      expect(lab.web.requests.at(-1)?.headers.host).toBe('paths.test')
      client.close()
    })

  it('is served in absolute form when the URL is of this tunnel (RFC 9112 section 3.2.2)', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('https://paths.test/team/absolute?q'))
    expect(await client.answer()).toContain('origin saw /team/absolute?q')
    client.close()
  })
})

describe('cases 45 and 46: ways out of an inspected tunnel', () => {
  const rows: readonly Row[] = [
    {
      name: 'CONNECT to another host',
      bytes: 'CONNECT whole.test:443 HTTP/1.1\r\nHost: whole.test:443\r\n\r\n',
      status: 403,
      reason: 'method_not_listed',
    },
    {
      name: 'CONNECT to its own host',
      bytes: 'CONNECT paths.test:443 HTTP/1.1\r\nHost: paths.test:443\r\n\r\n',
      status: 403,
      reason: 'method_not_listed',
    },
  ]
  for (const row of rows)
    it(`are refused: ${row.name}`, async () => {
      const seen = seenByOrigins(lab)
      const client = await inspectedRaw(lab)
      client.send(`${row.bytes}${get('/team/behind')}`)
      expect(await client.untilClosed()).toMatch(/^HTTP\/1\.1 403 method_not_listed\r\n/)
      expect(readAnswers(client.text)).toHaveLength(1)
      client.close()
      expect(seenByOrigins(lab)).toEqual(seen)
    })

  it('strips an upgrade to h2c', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('/team/h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'))
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 200 /)
    client.close()
    const { headers } = lab.web.requests.at(-1) ?? {}
    expect(headers?.upgrade).toBeUndefined()
    expect(headers?.['http2-settings']).toBeUndefined()
    expect(headers?.connection).toBe('keep-alive')
  })

  it('judges the path of a WebSocket', () =>
    expectRefusedInsideWebSocket(
      get('/secret', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n'),
      'path_not_listed',
      403,
    ))

  it('judges the host of a WebSocket', () =>
    expectRefusedInsideWebSocket(
      get(
        '/team/ws',
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n',
        'evil.test',
      ),
      'host_mismatch',
      421,
    ))

  async function expectRefusedInsideWebSocket(bytes: string, reason: string, status: number) {
    const seen = seenByOrigins(lab)
    const client = await inspectedRaw(lab)
    client.send(bytes)
    expect(await client.untilClosed()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} ${reason}\r\n`))
    client.close()
    expect(seenByOrigins(lab)).toEqual(seen)
    expect(await eventsInside(lab, client.localPort)).toMatchObject([{ event: 'deny', reason, kind: 'websocket' }])
  }
})

describe('methods', () => {
  for (const method of ['GET', 'HEAD'])
    it(`lets ${method} through where the rule says GET and HEAD`, async () => {
      const client = await inspectedRaw(lab, 'reads.test')
      client.send(`${method} /any/path HTTP/1.1\r\nHost: reads.test\r\n\r\n`)
      await client.until((text) => text.includes('\r\n\r\n'))
      expect(client.text).toMatch(/^HTTP\/1\.1 200 /)
      expect(lab.web.asked.at(-1)).toBe(`${method} /any/path`)
      client.close()
    })
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])
    it(`refuses ${method} there`, () =>
      expectRefusedInside(
        { name: '', bytes: `${method} /any HTTP/1.1\r\nHost: reads.test\r\n\r\n`, status: 403, reason: 'method_not_listed' },
        'reads.test',
      ))
})

describe('case 30: fields that only the gateway may set', () => {
  it('are stripped both ways, with proxy credentials', async () => {
    const client = await inspectedRaw(lab)
    client.send(
      get(
        '/team/fields',
        'Sallyport-Role: admin\r\nsallyport-reason: x\r\nProxy-Authorization: Basic c2VjcmV0\r\nAuthorization: Bearer mine\r\nX-Forwarded-For: 10.0.0.1\r\n',
      ),
    )
    const text = await client.answer()
    client.close()
    expect(text).not.toMatch(/forged|proxy-authenticate/i)
    const { headers = {} } = lab.web.requests.at(-1) ?? {}
    expect(Object.keys(headers).filter((name) => /sallyport|proxy-|forwarded/.test(name))).toEqual([])
    expect(headers.authorization).toBe('Bearer mine')
    expect(JSON.stringify(await eventsInside(lab, client.localPort))).not.toMatch(/c2VjcmV0|Bearer/)
  })
})

describe('bodies inside', () => {
  it('are forwarded with their framing, without trailers', async () => {
    const client = await inspectedRaw(lab)
    client.send(
      'POST /team/upload HTTP/1.1\r\nHost: paths.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: secret\r\n\r\n',
    )
    expect(await client.answer()).toContain('took 5, trailers {}')
    client.close()
  })

  it('come back without trailers', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('/team/trailers'))
    const text = await client.until((answer) => answer.endsWith('0\r\n\r\n'))
    expect(text).toContain('\r\n4\r\nbody\r\n')
    expect(text).not.toMatch(/checksum|trailer/i)
    client.close()
  })

  it('show when they broke off', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('/team/broken'))
    const text = await client.untilClosed()
    expect(text).toContain('half')
    expect(text.endsWith('0\r\n\r\n')).toBe(false)
    client.close()
  })

  it('never come from where a redirect points', async () => {
    const client = await inspectedRaw(lab)
    client.send(get('/team/redirect'))
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 302 .*\r\nLocation: https:\/\/evil\.test\/\r\n/s)
    client.close()
  })

  it('are not read to their end behind a refused request', async () => {
    const client = await inspectedRaw(lab)
    client.send('POST /secret HTTP/1.1\r\nHost: paths.test\r\nContent-Length: 1000000000\r\n\r\n')
    await client.answer()
    expect(client.text).toMatch(/^HTTP\/1\.1 403 path_not_listed\r\n/)
    const block = Buffer.alloc(65_536)
    while (!client.closed) {
      client.send(block)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(client.socket.bytesWritten).toBeLessThan(8_000_000)
    client.close()
  })
})

describe('gRPC', () => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'Application/GRPC'])
    it(`is refused with the reason, as ${type}`, async () => {
      const event = await expectRefusedInside({
        name: type,
        bytes: `POST /team/pkg.Service/Call HTTP/1.1\r\nHost: paths.test\r\nContent-Type: ${type}\r\nContent-Length: 0\r\n\r\n`,
        status: 400,
        reason: 'scheme_not_supported',
      })
      expect(event?.detail).toMatch(/gRPC/)
      expect(event?.hint).toMatch(/gRPC/)
    })
})

describe('the audit log', () => {
  it('has one line for the tunnel and one for each request, bound by `parent`', async () => {
    const before = await requestsCounted(lab, 'inspected', 'allow', '')
    const client = await inspectedRaw(lab)
    client.send(get('/team/log?token=hunter2'))
    await client.answer()
    client.close()
    const [inside] = await eventsInside(lab, client.localPort)
    const [outside] = await lab.gateway.audit(1, (event) => event.clientPort === client.localPort && event.kind === 'connect')
    expect(inside?.parent).toBe(outside?.id)
    expect(inside).toMatchObject({ kind: 'inspected', method: 'GET', path: '/team/log', host: 'paths.test', port: 443 })
    expect(outside).toMatchObject({ event: 'allow', sni: 'paths.test', method: 'CONNECT' })
    await waitFor(
      async () => ((await requestsCounted(lab, 'inspected', 'allow', '')) === before + 1 ? true : undefined),
      'the count',
    )
  })

  it('keeps the query only where it is told to', async () => {
    const keeping = await startInspectionLab({ config: 'audit: { file: audit.log, query: keep }' })
    const client = await inspectedRaw(keeping)
    client.send(get('/team/log?token=hunter2'))
    await client.answer()
    client.close()
    expect(await eventsInside(keeping, client.localPort)).toMatchObject([{ path: '/team/log?token=hunter2' }])
    await keeping.stop()
  })

  it('shows control characters of a path as JSON escapes, on one line', async () => {
    const seen = seenByOrigins(lab)
    const client = await RawClient.connect(lab.gateway.port)
    client.close()
    const inside = await inspectedRaw(lab)
    inside.send(get('/team/\x1b[31m'))
    await inside.answer()
    inside.close()
    expect(seenByOrigins(lab)).toEqual(seen)
    const [event] = await eventsInside(lab, inside.localPort)
    expect(event?.event).toBe('deny')
  })
})
