import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, expectRefused, type Lab, startLab } from './lab.ts'

const connectTo = (target: string, fields = '') => `CONNECT ${target} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`
const get = (path: string, fields = '', host = 'allowed.test') =>
  `GET http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}Connection: close\r\n\r\n`

describe('with an origin that must see nothing', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab({ config: 'limits: { requestsPerSecondPerClient: 100000 }' })
  })
  afterAll(() => lab.stop())

  describe('case 31: proxy credentials', () => {
    const SECRET = 'Basic c2VjcmV0LXRva2Vu'
    const everything = () => `${JSON.stringify(lab.gateway.log)}${lab.origin.text}`

    it('stand in no answer, log or audit line, and do not reach the origin', async () => {
      for (const bytes of [
        connectTo('evil.test:443', `Proxy-Authorization: ${SECRET}\r\n`),
        get('/', `Proxy-Authorization: ${SECRET}\r\n`, 'evil.test'),
        get('/', `Proxy-Authorization: ${SECRET}\r\nBad Name: x\r\n`),
        get('/', `Proxy-Authorization: ${SECRET}\x01\r\n`),
        `GET http://user:secret-token@allowed.test/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: ${SECRET}\r\n\r\n`,
        get('/fine', `Proxy-Authorization: ${SECRET}\r\n`),
      ]) {
        const { text, events } = await attack(lab, bytes)
        for (const seen of [text, JSON.stringify(events), everything()]) expect(seen).not.toMatch(/c2VjcmV0|secret-token/)
      }
    })

    it('near miss: Authorization is the origin’s and passes', async () => {
      await attack(lab, get('/auth', 'Authorization: Bearer for-the-origin\r\n'))
      expect(lab.origin.text).toContain('\r\nAuthorization: Bearer for-the-origin\r\n')
    })
  })

  describe('case 32: what a client sends into answers, logs and labels', () => {
    const nasty = ['<script>alert(1)</script>', '"><img src=x>', "';--", '{{7*7}}', '%0d%0aX-Injected:%20yes', '&lt;']
    it('is markup nowhere', async () => {
      for (const text of nasty) {
        for (const bytes of [
          get(`/${text}`, '', 'evil.test'),
          `CONNECT ${text}:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
          get('/', '', `${text}.test`),
        ]) {
          const outcome = await attack(lab, bytes)
          expect(outcome.answers).toHaveLength(1)
          const [answer] = outcome.answers
          expect(answer?.fields.get('content-type')).toBe('application/problem+json')
          expect(answer?.fields.get('x-content-type-options')).toBe('nosniff')
          expect(answer?.fields.has('x-injected')).toBe(false)
          expect(answer?.body).not.toMatch(/[<>]/)
          expect(JSON.parse(answer?.body ?? '')).toMatchObject({ reason: answer?.reasonPhrase })
        }
      }
    })

    it('is one line of printable JSON in the audit log, whatever its bytes', async () => {
      const paths = ['/\x7f', '/a"b\\c', '/\u00e9'.normalize('NFD'), '/{"event":"allow"}', `/${'x'.repeat(5_000)}`]
      for (const path of paths) {
        const { events } = await attack(lab, get(path, '', 'evil.test'))
        expect(events).toHaveLength(1)
        expect(JSON.stringify(events[0])).toMatch(/^[\x20-\x7e]*$/)
      }
    })

    it('cannot forge a series: labels are canonical hosts or nothing', async () => {
      await attack(lab, connectTo('evil.test"} 1\nforged{x="y:443'))
      await attack(lab, connectTo('EVIL.Test.:443'))
      const text = await lab.gateway.gateway.metrics.registry.metrics()
      expect(text).not.toContain('forged')
      expect(text).toContain('sallyport_denials_total{listener="proxy",verdict="deny",reason="host_not_listed",host="evil.test"}')
      for (const line of text.split('\n').filter((line) => line.startsWith('sallyport_denials_total{')))
        expect(line).toMatch(/host="([a-z0-9._-]*|other)"/)
    })
  })

  describe('case 33: heads that are too large', () => {
    const rows = [
      { name: 'a field of 17 KB', bytes: get('/', `X-Long: ${'x'.repeat(17_000)}\r\n`), status: 431, reason: 'head_too_large' },
      {
        name: 'X-Forwarded-For of 17 KB',
        bytes: get('/', `X-Forwarded-For: ${'10.0.0.1, '.repeat(1_700)}\r\n`),
        status: 431,
        reason: 'head_too_large',
      },
      {
        name: 'X-Forwarded-For of 1 MB',
        bytes: get('/', `X-Forwarded-For: ${'10.0.0.1, '.repeat(100_000)}\r\n`),
        status: 431,
        reason: 'head_too_large',
      },
      { name: 'a field of 1 MB', bytes: get('/', `X-Long: ${'x'.repeat(1_000_000)}\r\n`), status: 431, reason: 'head_too_large' },
      { name: 'a field name of 100 KB', bytes: get('/', `${'x'.repeat(100_000)}: y\r\n`), status: 431, reason: 'head_too_large' },
      { name: '20,000 fields', bytes: get('/', 'X: y\r\n'.repeat(20_000)), status: 431, reason: 'head_too_large' },
      { name: '201 small fields', bytes: get('/', 'X: y\r\n'.repeat(199)), status: 431, reason: 'head_too_large' },
      { name: 'a target of 9 KB', bytes: get(`/${'x'.repeat(9_000)}`), status: 414, reason: 'target_too_long' },
      { name: 'a target of 70 KB', bytes: get(`/${'x'.repeat(70_000)}`), status: 414, reason: 'target_too_long' },
      {
        name: 'a CONNECT target of 70 KB',
        bytes: connectTo(`${'x'.repeat(70_000)}:443`),
        status: 414,
        reason: 'target_too_long',
      },
      {
        name: 'a CONNECT with a field of 17 KB',
        bytes: connectTo('allowed.test:7', `X-Long: ${'x'.repeat(17_000)}\r\n`),
        status: 431,
        reason: 'head_too_large',
      },
      { name: 'a method of 70 KB', bytes: `${'X'.repeat(70_000)} / HTTP/1.1\r\n\r\n`, status: 400, reason: 'malformed_request' },
    ]
    for (const { name, bytes, status, reason } of rows)
      it(`${name}: ${status}`, async () => {
        await expectRefused(lab, bytes, status, reason)
      })

    it('near misses: what is just small enough is served', async () => {
      for (const bytes of [
        get('/', `X-Long: ${'x'.repeat(15_000)}\r\n`),
        get('/', 'X: y\r\n'.repeat(190)),
        get(`/${'x'.repeat(8_000)}`),
      ])
        expect((await attack(lab, bytes)).answers).toMatchObject([{ status: 200 }])
    })
  })

  describe('case 36: requests without what others expect of them', () => {
    const rows = [
      { name: 'origin-form', bytes: 'GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'not_a_proxy_request' },
      { name: 'asterisk-form', bytes: 'OPTIONS * HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'not_a_proxy_request' },
      { name: 'origin-form in HTTP/1.0', bytes: 'GET / HTTP/1.0\r\n\r\n', reason: 'not_a_proxy_request' },
      { name: 'a CONNECT with a path', bytes: connectTo('/'), reason: 'malformed_request' },
      { name: 'a CONNECT with an asterisk', bytes: connectTo('*'), reason: 'malformed_request' },
      {
        name: 'GET with an authority',
        bytes: 'GET allowed.test:80 HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
        reason: 'malformed_request',
      },
      { name: 'a scheme without host', bytes: 'GET http: HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'malformed_request' },
      {
        name: 'a scheme with one slash',
        bytes: 'GET http:/allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
        reason: 'malformed_request',
      },
      { name: 'no host', bytes: 'GET http:// HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'malformed_request' },
      {
        name: 'https',
        bytes: 'GET https://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n',
        reason: 'scheme_not_supported',
      },
      { name: 'ftp', bytes: 'GET ftp://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'scheme_not_supported' },
      { name: 'file', bytes: 'GET file:///etc/passwd HTTP/1.1\r\nHost: allowed.test\r\n\r\n', reason: 'scheme_not_supported' },
      { name: 'Max-Forwards: 0', bytes: get('/', 'Max-Forwards: 0\r\n'), reason: 'malformed_request' },
    ]
    for (const { name, bytes, reason } of rows) {
      it(`${name}: a 400, never a crash`, async () => {
        const { answers, events } = await attack(lab, bytes)
        expect(answers).toMatchObject([{ status: 400 }])
        expect(events).toHaveLength(1)
        // Which of the two a target without scheme is, Node's parser decides for some of them.
        expect([reason, 'malformed_request', 'not_a_proxy_request']).toContain(answers[0]?.reasonPhrase)
      })
    }
  })

  describe('case 37: paths under a path rule', () => {
    const refused = [
      '/team/../secret',
      '/team/./a',
      '/team/..',
      '/team/%2e%2e/secret',
      '/team/%2E%2e/secret',
      '/team/.%2e/secret',
      '/team/%2fsecret',
      '/team%2Fa',
      '/team//a',
      '//team/a',
      '/team/\\..\\secret',
      '/team/%5c',
      '/team/a;x=1',
      '/team/%00',
      '/team/%252e%252e/secret',
      '/team/%252fsecret',
      '/team/%zz',
      '/team/%',
      '/team/a%2',
    ]
    for (const path of refused) {
      it(`${path} is refused as not canonical`, () => expectRefused(lab, get(path, '', 'paths.test'), 400, 'path_not_canonical'))
    }
    for (const path of ['/', '/team', '/teams/a', '/TEAM/a', '/secret', '/secret?/team/a', '/a/team/b']) {
      it(`${path} is not listed`, () => expectRefused(lab, get(path, '', 'paths.test'), 403, 'path_not_listed'))
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
      it(`${method} is not listed`, () =>
        expectRefused(lab, get('/team/a', '', 'paths.test').replace('GET', method), 403, 'method_not_listed'))
    }
    for (const path of ['/team/', '/team/a/b', '/team/a%20b', '/team/a?x=../..//', '/team/a.b/..c', '/team/%41']) {
      it(`near miss: ${path} is served exactly as it stands`, async () => {
        const { answers } = await attack(lab, get(path, '', 'paths.test'))
        expect(answers).toMatchObject([{ status: 200 }])
        expect(lab.origin.text).toContain(`GET ${path} HTTP/1.1\r\nHost: paths.test\r\n`)
      })
    }
  })

  describe('case 48: a body behind a refused request', () => {
    for (const [name, head] of [
      ['a refused POST', 'POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 1073741824\r\n\r\n'],
      ['a chunked one', 'POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n'],
      ['a malformed one', 'POST http://allowed.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1073741824\r\n\r\n'],
      ['a refused CONNECT', connectTo('evil.test:443')],
      ['one that the parser refuses', 'POST http://allowed.test/ HTTP/1.1\r\nBad Name: x\r\n\r\n'],
    ] as const) {
      it(`of a gigabyte is not read to its end, and the answer arrives: ${name}`, async () => {
        const client = await RawClient.connect(lab.gateway.port)
        client.send(head)
        const chunk = Buffer.alloc(256 * 1024)
        let sent = 0
        const started = performance.now()
        const feed = () => {
          while (!client.closed && sent < 1024 * 1024 * 1024) {
            sent += chunk.length
            if (!client.socket.write(chunk)) return
          }
        }
        client.socket.on('drain', feed)
        feed()
        await waitFor(() => client.closed || undefined, 'the end')
        expect(performance.now() - started).toBeLessThan(3_000)
        // What the kernels' buffers took in between is not the gateway's.
        expect(sent).toBeLessThan(64 * 1024 * 1024)
        expect(lab.origin.text).not.toContain('evil')
        expect(await eventsOf(lab, client)).toHaveLength(1)
      })
    }

    it('near miss: a little of it is read, so that the answer is not lost to a reset', async () => {
      const { answers } = await attack(
        lab,
        `POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 30000\r\n\r\n${'x'.repeat(30_000)}`,
      )
      expect(answers).toMatchObject([{ status: 403, complete: true }])
    })

    it('that is never sent does not keep the connection open', async () => {
      const client = await RawClient.connect(lab.gateway.port)
      const started = performance.now()
      client.send('POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 5\r\n\r\n')
      expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 403 }])
      await waitFor(() => lab.gateway.metric('sallyport_tunnels_open').then((open) => (open === 0 ? true : undefined)), 'rest')
      expect(performance.now() - started).toBeLessThan(3_000)
      client.close()
    })
  })
})

describe('client_not_allowed', () => {
  let lab: Lab
  beforeEach(async () => {
    lab = await startLab({ origin: await Origin.answering(httpAnswer('ok')), config: 'clients: { allow: ["127.0.0.2/32"] }' })
  })
  afterEach(() => lab.stop())

  for (const bytes of [
    connectTo('allowed.test:7'),
    get('/'),
    'GET / HTTP/1.1\r\nBad Name: x\r\n\r\n',
    `POST http://allowed.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`,
  ])
    it(`tells a stranger nothing: ${JSON.stringify(bytes.slice(0, 20))}`, async () => {
      const { answers } = await expectRefused(lab, bytes, 403, 'client_not_allowed')
      expect(Object.keys(JSON.parse(answers[0]?.body ?? '{}')).sort()).toEqual(['reason', 'requestId', 'status', 'title', 'type'])
      expect(answers[0]?.fields.get('connection')).toBe('close')
    })

  it('near miss: the client that is allowed is served', async () => {
    const client = await RawClient.connect(lab.gateway.port, '127.0.0.1', '127.0.0.2')
    client.send(get('/'))
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 200 }])
    client.close()
  })
})
