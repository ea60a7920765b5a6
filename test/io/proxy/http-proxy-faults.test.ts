import { afterEach, describe, expect, it } from 'vitest'
import { attack, eventsOf, expectRefused, type Lab, startLab } from '../../security/lab.ts'
import { waitFor } from '../../support/gateway.ts'
import { readAnswers } from '../../support/http-answers.ts'
import { httpAnswer, Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

/**
 * What http-proxy was measured to do wrong (docs/decisions), each with an origin or client that provokes it, and what else its
 * API would get wrong if it were given the client's own request.
 */

let lab: Lab
afterEach(() => lab.stop())

const request = (method: string, path: string, fields = '', body = '') =>
  `${method} http://allowed.test${path} HTTP/1.1\r\nHost: allowed.test\r\n${fields}\r\n${body}`
const CLOSE = 'Connection: close\r\n'

/** A lab whose origin gives the same bytes to every request. */
const answering = async (answer: string) => startLab({ origin: await Origin.answering(answer) })

/** A lab whose origin sends these bytes after each head, and leaves the connection open. */
const beginning = async (bytes: string) =>
  startLab({ origin: await Origin.start((socket) => socket.once('data', () => socket.write(Buffer.from(bytes, 'latin1')))) })

/** Ends the origin's side of the connection, well or badly. */
function tear(end: 'end' | 'reset'): void {
  for (const socket of lab.origin.sockets) end === 'end' ? socket.end() : socket.resetAndDestroy()
}

describe('a Trailer field beside Content-Length', () => {
  it('in an answer is no uncaught exception: the answer passes without it', async () => {
    lab = await answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\nok')
    const { answers } = await attack(lab, request('GET', '/', CLOSE))
    expect(answers).toMatchObject([{ status: 200, body: 'ok' }])
    expect(answers[0]?.fields.has('trailer')).toBe(false)
  })

  it('in a request is not passed on', async () => {
    lab = await answering(httpAnswer('ok'))
    const { answers } = await attack(lab, request('POST', '/', `${CLOSE}Trailer: X-Sum\r\nContent-Length: 2\r\n`, 'hi'))
    expect(answers).toMatchObject([{ status: 200 }])
    expect(lab.origin.text).not.toMatch(/trailer/i)
    expect(lab.origin.text).toMatch(/\r\nContent-Length: 2\r\n(.+\r\n)*\r\nhi$/)
  })
})

describe('the path and query', () => {
  const targets = [
    '//double//slashes//',
    '/a//b?x=//y',
    '/%2e%2e/%2F/%00',
    '/../../etc/passwd',
    '/a/./b',
    '/?a?b=c&d=%20%zz',
    '/\\windows',
    '/;x=1',
    '/"<>`{}|^',
    '/@evil.test/',
    '/http://evil.test/',
    "/'",
    '/a?',
    '/?',
    '//evil.test/x',
  ]
  for (const target of targets) {
    it(`arrive unchanged: ${JSON.stringify(target)}`, async () => {
      lab = await answering(httpAnswer('ok'))
      const { answers } = await attack(lab, request('GET', target, CLOSE))
      expect(answers).toMatchObject([{ status: 200 }])
      expect(lab.origin.text.split('\r\n', 1)[0]).toBe(`GET ${target} HTTP/1.1`)
    })
  }

  it('are refused with a byte beyond ASCII, which no URL has', async () => {
    lab = await answering(httpAnswer('ok'))
    await expectRefused(lab, request('GET', '/\xe4', CLOSE), 400, 'malformed_request')
  })

  const forms = [
    ['GET', 'http://allowed.test', 'GET / HTTP/1.1'],
    ['GET', 'http://allowed.test?q', 'GET /?q HTTP/1.1'],
    ['GET', 'HTTP://ALLOWED.test:80/X', 'GET /X HTTP/1.1'],
    ['OPTIONS', 'http://allowed.test', 'OPTIONS * HTTP/1.1'],
    ['OPTIONS', 'http://allowed.test/', 'OPTIONS / HTTP/1.1'],
  ]
  for (const [method = '', target = '', line] of forms) {
    it(`become origin-form: ${method} ${target}`, async () => {
      lab = await answering(httpAnswer('ok'))
      await attack(lab, `${method} ${target} HTTP/1.1\r\nHost: x\r\n${CLOSE}\r\n`)
      expect(lab.origin.text).toMatch(new RegExp(`^${line?.replace(/[*?]/g, '\\$&')}\r\nHost: allowed\\.test\r\n`))
    })
  }
})

describe('case 41: an answer that breaks off', () => {
  const half = {
    'inside a chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf',
    'before the last chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'before its Content-Length': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf',
  }
  for (const [name, bytes] of Object.entries(half)) {
    for (const end of ['end', 'reset'] as const) {
      it(`${name} by ${end} shows as broken to the client, which does not hang`, async () => {
        lab = await beginning(bytes)
        const client = await RawClient.connect(lab.gateway.port)
        client.send(request('GET', '/'))
        await client.until((text) => text.includes('half'))
        tear(end)
        await client.untilClosed()
        client.close()
        expect(readAnswers(client.text)).toMatchObject([{ status: 200, complete: false }])
        expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy: 'origin' }])
      })

      it(`${name} by ${end} is a reset for HTTP/1.0, which may have no other framing`, async () => {
        lab = await beginning(bytes)
        const client = await RawClient.connect(lab.gateway.port)
        const failure = new Promise((resolve) => client.socket.once('error', resolve))
        client.send('GET http://allowed.test/ HTTP/1.0\r\n\r\n')
        await client.until((text) => text.includes('half'))
        tear(end)
        expect(await failure).toMatchObject({ code: 'ECONNRESET' })
      })
    }
  }

  it('by reset where the answer ends with the connection is broken too', async () => {
    lab = await beginning('HTTP/1.1 200 OK\r\n\r\nhalf')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(request('GET', '/'))
    await client.until((text) => text.includes('half'))
    tear('reset')
    await client.untilClosed()
    client.close()
    expect(readAnswers(client.text)).toMatchObject([{ status: 200, complete: false }])
  })

  it('near miss: by end where the answer ends with the connection is whole', async () => {
    lab = await beginning('HTTP/1.1 200 OK\r\n\r\nwhole')
    const client = await RawClient.connect(lab.gateway.port)
    client.send(request('GET', '/'))
    await client.until((text) => text.includes('whole'))
    tear('end')
    await client.until((text) => text.endsWith('0\r\n\r\n'))
    expect(readAnswers(client.text, [], false)).toMatchObject([{ status: 200, body: 'whole', complete: true }])
    client.close()
  })

  for (const end of ['end', 'reset'] as const) {
    it(`in its head by ${end} is a 502 that names the cause`, async () => {
      lab = await beginning('HTTP/1.1 200 O')
      const client = await RawClient.connect(lab.gateway.port)
      client.send(request('POST', '/', 'Content-Length: 0\r\n'))
      await waitFor(() => (lab.origin.text.endsWith('\r\n\r\n') ? true : undefined), 'the request at the origin')
      tear(end)
      expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 502, reasonPhrase: 'origin_protocol_error' }])
      client.close()
      expect(await eventsOf(lab, client)).toMatchObject([{ event: 'error', reason: 'origin_protocol_error' }])
    })
  }
})

describe('cases 30, 31 and 46: fields of one connection', () => {
  it('are not passed to the origin, nor what Connection names', async () => {
    lab = await answering(httpAnswer('ok'))
    const fields = [
      'Proxy-Authorization: Basic c2VjcmV0',
      'Proxy-Connection: keep-alive',
      'Connection: X-Hop, close, keep-alive',
      'Connection: x-other-hop',
      'X-Hop: 1',
      'x-Other-Hop: 2',
      'Keep-Alive: timeout=5',
      'TE: trailers, deflate',
      'X-Forwarded-For: 10.9.8.7',
      'Sallyport-Reason: forged',
      'sallyport-Role: admin',
      'Authorization: Bearer for-the-origin',
      'X-Kept: yes',
      'Cookie: a=b',
      'Cookie: c=d',
    ]
    const { answers } = await attack(lab, request('GET', '/', `${fields.join('\r\n')}\r\n`))
    expect(answers).toMatchObject([{ status: 200 }])
    const [head = ''] = lab.origin.text.split('\r\n\r\n')
    expect(head.split('\r\n').slice(1).sort()).toEqual([
      'Authorization: Bearer for-the-origin',
      'Connection: keep-alive',
      'Cookie: a=b; c=d',
      'Host: allowed.test',
      expect.stringMatching(/^Via: 1\.1 sallyport-[0-9a-f]{12}$/),
      'X-Kept: yes',
    ])
  })

  it('are not passed to the client, nor what Connection names, nor a forged reason', async () => {
    lab = await answering(
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSallyport-Reason: forged\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nVia: 1.0 cache\r\nDate: never\r\n\r\nok',
    )
    const { answers } = await attack(lab, request('GET', '/', CLOSE))
    expect(Object.fromEntries(answers[0]?.fields ?? [])).toEqual({
      connection: 'close',
      'content-length': '2',
      date: 'never',
      'set-cookie': 'a, b',
      via: expect.stringMatching(/^1\.0 cache, 1\.1 sallyport-[0-9a-f]{12}$/),
    })
  })

  for (const upgrade of ['h2c', 'TLS/1.0', 'websocket, h2c', 'HTTP/2.0', 'foo']) {
    it(`Upgrade: ${upgrade} is not offered to the origin, and the request is served without`, async () => {
      lab = await answering(httpAnswer('ok'))
      const { answers } = await attack(
        lab,
        request('GET', '/', `Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: ${upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n`),
      )
      expect(answers).toMatchObject([{ status: 200, body: 'ok' }])
      expect(lab.origin.text).not.toMatch(/upgrade|http2-settings/i)
    })
  }

  it('an offer of h2c on every request of a connection costs nothing that stays', async () => {
    lab = await answering(httpAnswer('ok'))
    const client = await RawClient.connect(lab.gateway.port)
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    for (let round = 1; round <= 40; round++) {
      client.send(request('GET', `/${round}`, 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n'))
      await client.until((text) => text.split('\r\n\r\nok').length === round + 1)
    }
    await new Promise(setImmediate)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    client.close()
  })

  it('a body behind an offer of h2c stays a body', async () => {
    lab = await answering(httpAnswer('ok'))
    const { answers } = await attack(
      lab,
      request(
        'POST',
        '/',
        'Connection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 43\r\n',
        'GET http://evil.test/ HTTP/1.1\r\nHost: x\r\n\r\n',
      ),
    )
    expect(answers).toMatchObject([{ status: 200 }])
    expect(lab.origin.text).toMatch(/\r\n\r\nGET http:\/\/evil\.test\/ HTTP\/1\.1\r\nHost: x\r\n\r\n$/)
  })
})

describe('the connection to the origin', () => {
  it('is kept and used for the next request, of any client', async () => {
    lab = await answering(httpAnswer('ok'))
    for (let round = 0; round < 5; round++) {
      expect((await attack(lab, request('GET', `/${round}`, CLOSE))).answers).toMatchObject([{ status: 200 }])
    }
    expect(lab.origin.connections).toBe(1)
  })

  it('is not shared by two names at the same address', async () => {
    lab = await startLab({ origin: await Origin.answering(httpAnswer('ok')) })
    await attack(lab, request('GET', '/', CLOSE))
    await attack(lab, request('GET', '/', CLOSE).replaceAll('allowed.test', '1password.test'))
    expect(lab.origin.connections).toBe(2)
  })

  it('is not kept after `Connection: close`, nor with a body that was not sent whole', async () => {
    lab = await answering(httpAnswer('ok', 'Connection: close\r\n'))
    await attack(lab, request('GET', '/1', CLOSE))
    await attack(lab, request('GET', '/2', CLOSE))
    expect(lab.origin.connections).toBe(2)
  })
})

describe('a method that http-proxy treats in its own way', () => {
  for (const method of ['DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'GET']) {
    it(`${method} with a chunked body arrives chunked and whole`, async () => {
      lab = await answering(httpAnswer('ok'))
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n'
      const { answers } = await attack(
        lab,
        request(
          method,
          '/x',
          `${CLOSE}Transfer-Encoding: chunked\r\n`,
          `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
        ),
      )
      expect(answers).toMatchObject([{ status: 200 }])
      expect(lab.origin.text).toMatch(/\r\nTransfer-Encoding: chunked\r\n/)
      expect(lab.origin.text).not.toMatch(/content-length/i)
      expect(lab.origin.text.endsWith(`\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`)).toBe(true)
    })
    it(`${method} with a Content-Length arrives with it`, async () => {
      lab = await answering(httpAnswer('ok'))
      await attack(lab, request(method, '/x', `${CLOSE}Content-Length: 5\r\n`, 'hello'))
      expect(lab.origin.text).toMatch(/\r\nContent-Length: 5\r\n(.+\r\n)*\r\nhello$/)
    })
    it(`${method} without a body arrives without one`, async () => {
      lab = await answering(httpAnswer('ok'))
      await attack(lab, request(method, '/x', CLOSE))
      expect(lab.origin.text).not.toMatch(/transfer-encoding/i)
      expect(lab.origin.text.endsWith('\r\n\r\n')).toBe(true)
    })
  }
})

describe('FORCE_FETCH_PATH, which would make http-proxy dial by itself', () => {
  it('is refused at start', async () => {
    lab = await answering(httpAnswer('ok'))
    process.env['FORCE_FETCH_PATH'] = 'true'
    try {
      await expect(startLab()).rejects.toThrow('FORCE_FETCH_PATH')
    } finally {
      delete process.env['FORCE_FETCH_PATH']
    }
  })
})
