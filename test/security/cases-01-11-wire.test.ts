import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, eventsOf, expectRefused, type Lab, startLab } from './lab.ts'

let lab: Lab

beforeAll(async () => {
  lab = await startLab()
})
afterAll(() => lab.stop())

/** A request for an allowed URL with these fields after Host, and whatever follows the head. */
const post = (fields: string, body = '') => `POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n${fields}\r\n\r\n${body}`
const get = (fields: string) => `GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n${fields}\r\n\r\n`
const connectTo = (target: string, fields = 'Host: allowed.test:7\r\n') => `CONNECT ${target} HTTP/1.1\r\n${fields}\r\n`

const EMPTY_CHUNKED = '0\r\n\r\n'

interface Row {
  readonly name: string
  readonly bytes: string | Uint8Array
  readonly status?: number
  readonly reason?: string
}

const refused: Readonly<Record<string, readonly Row[]>> = {
  'case 1: a body that is framed twice, or by something that is no number': [
    {
      name: 'Content-Length with Transfer-Encoding',
      bytes: post('Content-Length: 5\r\nTransfer-Encoding: chunked', EMPTY_CHUNKED),
    },
    {
      name: 'Transfer-Encoding with Content-Length',
      bytes: post('Transfer-Encoding: chunked\r\nContent-Length: 5', EMPTY_CHUNKED),
    },
    { name: 'Content-Length twice', bytes: post('Content-Length: 5\r\nContent-Length: 5', 'hello') },
    { name: 'Content-Length twice, the second smaller', bytes: post('Content-Length: 5\r\nContent-Length: 0', 'hello') },
    { name: 'Content-Length as a list', bytes: post('Content-Length: 5, 5', 'hello') },
    { name: 'an empty Content-Length', bytes: post('Content-Length:', 'hello') },
    { name: 'a Content-Length of spaces', bytes: post('Content-Length:  ', 'hello') },
    { name: 'Content-Length +4', bytes: post('Content-Length: +4', 'abcd') },
    { name: 'Content-Length -1', bytes: post('Content-Length: -1', 'abcd') },
    { name: 'Content-Length 0x10', bytes: post('Content-Length: 0x10', 'abcd') },
    { name: 'Content-Length 4 4', bytes: post('Content-Length: 4 4', 'abcd') },
    { name: 'Content-Length 4;', bytes: post('Content-Length: 4;', 'abcd') },
    { name: 'Content-Length 1e1', bytes: post('Content-Length: 1e1', 'abcd') },
    { name: 'a Content-Length past 2^64', bytes: post('Content-Length: 18446744073709551620', 'abcd') },
    { name: 'a Content-Length past 2^53', bytes: post('Content-Length: 9007199254740993', 'abcd') },
    { name: 'Content-Length and Transfer-Encoding on a GET', bytes: get('Content-Length: 5\r\nTransfer-Encoding: chunked') },
    { name: 'Content-Length with a space before the colon', bytes: post('Content-Length : 5', 'hello') },
  ],
  'case 2: a Transfer-Encoding that is not plainly `chunked`': [
    { name: ',chunked', bytes: post('Transfer-Encoding: ,chunked', EMPTY_CHUNKED) },
    { name: 'in another case', bytes: post('Transfer-Encoding: Chunked', EMPTY_CHUNKED) },
    { name: 'in capitals', bytes: post('Transfer-Encoding: CHUNKED', EMPTY_CHUNKED) },
    { name: 'chunked,', bytes: post('Transfer-Encoding: chunked,', EMPTY_CHUNKED) },
    { name: 'chunked, chunked', bytes: post('Transfer-Encoding: chunked, chunked', EMPTY_CHUNKED) },
    { name: 'repeated', bytes: post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', EMPTY_CHUNKED) },
    { name: 'gzip, chunked', bytes: post('Transfer-Encoding: gzip, chunked', EMPTY_CHUNKED) },
    { name: 'chunked, identity', bytes: post('Transfer-Encoding: chunked, identity', EMPTY_CHUNKED) },
    { name: 'identity', bytes: post('Transfer-Encoding: identity', EMPTY_CHUNKED) },
    { name: 'xchunked', bytes: post('Transfer-Encoding: xchunked', EMPTY_CHUNKED) },
    { name: 'chunkedx', bytes: post('Transfer-Encoding: chunkedx', EMPTY_CHUNKED) },
    { name: 'empty', bytes: post('Transfer-Encoding:', EMPTY_CHUNKED) },
    { name: 'quoted', bytes: post('Transfer-Encoding: "chunked"', EMPTY_CHUNKED) },
    { name: 'with a parameter', bytes: post('Transfer-Encoding: chunked;q=1', EMPTY_CHUNKED) },
    { name: 'with a vertical tab before it', bytes: post('Transfer-Encoding: \x0bchunked', EMPTY_CHUNKED) },
    { name: 'with a space before the colon', bytes: post('Transfer-Encoding : chunked', EMPTY_CHUNKED) },
    { name: 'with a tab before the colon', bytes: post('Transfer-Encoding\t: chunked', EMPTY_CHUNKED) },
    { name: 'in HTTP/1.0', bytes: 'POST http://allowed.test/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' },
  ],
  'case 4: a head that is not lines of fields': [
    { name: 'bare LF lines', bytes: 'GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\n\n' },
    { name: 'one bare LF between fields', bytes: get('A: b\nB: c') },
    { name: 'a bare LF at the end of the head', bytes: 'GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\n' },
    { name: 'a bare CR in a value', bytes: get('A: b\rContent-Length: 5') },
    { name: 'a folded field', bytes: get('A: b\r\n c') },
    { name: 'a folded field by tab', bytes: get('A: b\r\n\tc') },
    { name: 'a folded first field', bytes: 'GET http://allowed.test/ HTTP/1.1\r\n Host: allowed.test\r\n\r\n' },
    { name: 'NUL in a value', bytes: get('A: b\0c') },
    { name: 'ESC in a value', bytes: get('A: b\x1b[31m') },
    { name: 'DEL in a value', bytes: get('A: b\x7f') },
    { name: 'NUL in a name', bytes: get('A\0: b') },
    { name: 'a field without a colon', bytes: get('Nonsense') },
    { name: 'an empty field name', bytes: get(': b') },
    { name: 'a space in a field name', bytes: get('A B: c') },
    { name: 'a byte past ASCII in a field name', bytes: get('\xc4: c') },
    { name: 'a tab in the request line', bytes: 'GET\thttp://allowed.test/\tHTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a NUL in the target', bytes: 'GET http://allowed.test/\0 HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a space in the target', bytes: 'GET http://allowed.test/a b HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'HTTP/0.9', bytes: 'GET http://allowed.test/\r\n\r\n' },
    { name: 'HTTP/1.2', bytes: 'GET http://allowed.test/ HTTP/1.2\r\nHost: allowed.test\r\n\r\n' },
    { name: 'HTTP/2.0', bytes: 'GET http://allowed.test/ HTTP/2.0\r\nHost: allowed.test\r\n\r\n' },
    { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { name: 'a lower-case method', bytes: 'get http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a TLS hello', bytes: Buffer.from('16030100050100000100', 'hex') },
  ],
  'case 7: CONNECT with a body': [
    { name: 'Content-Length 5', bytes: connectTo('allowed.test:7', 'Host: allowed.test:7\r\nContent-Length: 5\r\n') },
    { name: 'Transfer-Encoding', bytes: connectTo('allowed.test:7', 'Host: allowed.test:7\r\nTransfer-Encoding: chunked\r\n') },
    { name: 'both', bytes: connectTo('allowed.test:7', 'Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n') },
    { name: 'Content-Length twice', bytes: connectTo('allowed.test:7', 'Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n') },
    { name: 'Content-Length 00x', bytes: connectTo('allowed.test:7', 'Host: a\r\nContent-Length: 00x\r\n') },
  ],
  'case 8: a CONNECT target that is no authority': [
    ...[
      'user@allowed.test:7',
      'user:pass@allowed.test:7',
      'allowed.test:7/path',
      'http://allowed.test:7',
      'allowed.test',
      'allowed.test:',
      ':7',
      '',
      'allowed.test,evil.test:7',
      'allowed.test;evil.test:7',
      '%61llowed.test:7',
      'allowed.test%00.evil.test:7',
      '*.allowed.test:7',
      '*:7',
      'allowed..test:7',
      '.allowed.test:7',
      'allowed.test:7:7',
      'allowed.test:7?',
      'allowed.test:7#',
      'allowed.test :7',
      'allowed.test\t:7',
      '-allowed.test:7',
      'allowed.test-:7',
      '[allowed.test]:7',
      '[::1:7',
      '::1:7',
      '[::1]7',
      '[fe80::1%25eth0]:7',
      '[fe80::1%eth0]:7',
      '[127.0.0.1]:7',
      '[]:7',
      `${'a'.repeat(64)}.test:7`,
      `${'a.'.repeat(127)}test:7`,
      '\\allowed.test:7',
      'allowed.test\\.evil.test:7',
    ].map((target) => ({ name: `\`${target.slice(0, 40)}\``, bytes: connectTo(target) })),
  ],
  'case 9: a port that is not 1 to 65535 in plain digits': [
    ...['0', '07', '0443', '+7', '-7', '65536', '99999', '7.0', '0x7', '7e0', ' 7', '\xb2', '1e9', '4294967303'].flatMap(
      (port) => [
        { name: `CONNECT to port ${port}`, bytes: connectTo(`allowed.test:${port}`) },
        { name: `a URL with port ${port}`, bytes: `GET http://allowed.test:${port}/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n` },
      ],
    ),
  ],
  'case 11: a request whose host is not said once': [
    { name: 'HTTP/1.1 without Host', bytes: 'GET http://allowed.test/ HTTP/1.1\r\n\r\n' },
    { name: 'two Hosts', bytes: get('Host: evil.test') },
    { name: 'the same Host twice', bytes: get('Host: allowed.test') },
    { name: 'CONNECT without Host', bytes: connectTo('allowed.test:7', '') },
    { name: 'CONNECT with two Hosts', bytes: connectTo('allowed.test:7', 'Host: a\r\nHost: b\r\n') },
    { name: 'HTTP/1.0 with two Hosts', bytes: 'GET http://allowed.test/ HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n' },
    { name: 'user information in the URL', bytes: 'GET http://user@allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a password in the URL', bytes: 'GET http://u:p@allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'an empty host in the URL', bytes: 'GET http:///x HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a fragment', bytes: 'GET http://allowed.test/#x HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
    { name: 'a backslash before the path', bytes: 'GET http://evil.test\\@allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n' },
  ],
}

for (const [title, rows] of Object.entries(refused)) {
  describe(title, () => {
    for (const { name, bytes, status = 400, reason = 'malformed_request' } of rows)
      it(`refuses ${name}`, () => expectRefused(lab, bytes, status, reason))
  })
}

describe('case 2, near miss', () => {
  it('passes on Transfer-Encoding: chunked as chunked', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(post('transfer-encoding:  chunked ', '5\r\nhello\r\n0\r\n\r\n'))
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(lab.origin.text).toMatch(/\r\nTransfer-Encoding: chunked\r\n(.+\r\n)*\r\n5\r\nhello\r\n0\r\n\r\n$/)
    client.close()
  })
})

describe('case 3: chunks that are not validly framed', () => {
  const rows: readonly Row[] = [
    { name: 'a size of 0x1', bytes: '0x1\r\na\r\n0\r\n\r\n' },
    { name: 'a size of -0', bytes: '-0\r\n\r\n' },
    { name: 'a size of +1', bytes: '+1\r\na\r\n0\r\n\r\n' },
    { name: 'a size of 1junk', bytes: '1junk\r\na\r\n0\r\n\r\n' },
    { name: 'an empty size', bytes: '\r\na\r\n0\r\n\r\n' },
    { name: 'a space before the size', bytes: ' 1\r\na\r\n0\r\n\r\n' },
    { name: 'a space after the size', bytes: '1 \r\na\r\n0\r\n\r\n' },
    { name: 'a size past 64 bits', bytes: '10000000000000001\r\na\r\n0\r\n\r\n' },
    { name: 'a bare LF after the size', bytes: '1\na\r\n0\r\n\r\n' },
    { name: 'a bare CR after the size', bytes: '1\ra\r\n0\r\n\r\n' },
    { name: 'a bare LF after the data', bytes: '1\r\na\n0\r\n\r\n' },
    { name: 'data longer than its size', bytes: '1\r\nab\r\n0\r\n\r\n' },
    { name: 'a bare LF at the end', bytes: '0\r\n\n' },
    { name: 'a huge extension', bytes: `1;${'x'.repeat(40_000)}\r\na\r\n0\r\n\r\n` },
    { name: 'a bare LF in an extension', bytes: '1;x\na\r\n0\r\n\r\n' },
    { name: 'a bare CR in an extension', bytes: '1;x\ry\r\na\r\n0\r\n\r\n' },
    { name: 'a NUL in an extension', bytes: '1;x\0y\r\na\r\n0\r\n\r\n' },
  ]
  for (const { name, bytes } of rows)
    it(`refuses ${name}`, async () => {
      // The head was good, so a connection may have been made before the body turned out not to be: nothing is sent on it.
      const before = lab.origin.text
      const outcome = await attack(lab, post('Transfer-Encoding: chunked', bytes as string))
      expect(outcome.answers.map(({ status }) => status)).toEqual([400])
      expect(outcome.events.map(({ reason }) => reason)).toEqual(['body_malformed'])
      expect(lab.origin.text).toBe(before)
    })

  const BAD_END = '0x1\r\nb\r\n0\r\n\r\n'

  it('refuses a later chunk all the same, and the origin never sees the body end', async () => {
    const silent = await Origin.start(() => {})
    const here = await startLab({ origin: silent })
    try {
      const client = await RawClient.connect(here.gateway.port)
      client.send(post('Transfer-Encoding: chunked', '1\r\na\r\n'))
      await waitFor(() => (silent.text.endsWith('\r\n\r\n1\r\na\r\n') ? true : undefined), 'the first chunk')
      client.send(BAD_END)
      expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 400, reasonPhrase: 'body_malformed' }])
      client.close()
      expect(await eventsOf(here, client)).toMatchObject([{ reason: 'body_malformed' }])
      await waitFor(() => silent.sockets[0]?.readableEnded || silent.sockets[0]?.destroyed || undefined, 'the end at the origin')
      expect(silent.text.endsWith('\r\n\r\n1\r\na\r\n')).toBe(true)
    } finally {
      await here.stop()
    }
  })

  it('gives no second answer to a request whose origin did not wait for the body', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(post('Transfer-Encoding: chunked', '1\r\na\r\n'))
    await client.until((text) => text.endsWith('ok'))
    client.send(BAD_END)
    expect(readAnswers(await client.untilClosed())).toMatchObject([{ status: 200, body: 'ok', complete: true }])
    client.close()
    expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow' }])
  })
})

describe('case 5: bytes before the 200 to CONNECT', () => {
  it('never parses them as a request where the tunnel is refused', async () => {
    const outcome = await expectRefused(
      lab,
      `${connectTo('evil.test:7')}GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n`,
      403,
      'host_not_listed',
    )
    expect(outcome.answers[0]?.fields.get('connection')).toBe('close')
  })

  it('never parses them where they come after the refusal', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(connectTo('evil.test:7'))
    await client.answer()
    const before = lab.origin.connections
    client.send(get('A: b'))
    await client.untilClosed()
    expect(client.text.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(await eventsOf(lab, client)).toHaveLength(1)
    expect(lab.origin.connections).toBe(before)
  })
})

describe('case 7 and 11, near misses: what is allowed', () => {
  const tunnels = {
    'Content-Length: 0 on CONNECT': connectTo('allowed.test:7', 'Host: allowed.test:7\r\nContent-Length: 0\r\n'),
    'CONNECT whose Host differs: it is not used': connectTo('allowed.test:7', 'Host: evil.test:7\r\n'),
    'CONNECT whose Host is empty': connectTo('allowed.test:7', 'Host:\r\n'),
    'HTTP/1.0 CONNECT without Host': 'CONNECT allowed.test:7 HTTP/1.0\r\n\r\n',
  }
  for (const [name, bytes] of Object.entries(tunnels))
    it(`allows ${name}`, async () => {
      const client = await RawClient.connect(lab.gateway.port)
      client.send(bytes)
      await client.until((text) => text === 'HTTP/1.1 200 Connection established\r\n\r\n')
      client.close()
      expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', host: 'allowed.test', port: 7 }])
    })

  it('serves HTTP/1.0 without Host', async () => {
    const outcome = await attack(lab, 'GET http://allowed.test/old HTTP/1.0\r\n\r\n')
    expect(outcome.answers).toMatchObject([{ status: 200, body: 'ok' }])
    expect(lab.origin.text).toContain('GET /old HTTP/1.1\r\nHost: allowed.test\r\n')
  })

  it('lets the target win over Host, which the origin gets rewritten', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send('GET http://allowed.test:8080/who HTTP/1.1\r\nHost: evil.test\r\n\r\n')
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 200 /)
    client.close()
    expect(lab.origin.text).toContain('GET /who HTTP/1.1\r\nHost: allowed.test:8080\r\n')
    expect(lab.origin.text).not.toContain('evil.test')
  })
})

describe('case 10: a host that begins with a digit', () => {
  it('is allowed when it is listed', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send('GET http://1password.test/ HTTP/1.1\r\nHost: 1password.test\r\n\r\n')
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 200 /)
    client.close()
  })

  it('is refused as unlisted, not as an address, when it is not', () =>
    expectRefused(lab, connectTo('2password.test:443'), 403, 'host_not_listed'))
})
