import { createServer as createHttpServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readAnswerHead } from '../../../src/core/wire/answer-head.ts'
import { ChunkedBody } from '../../../src/core/wire/chunked-body.ts'
import { readPlainRequest } from '../../../src/core/wire/plain-head.ts'
import { type RequestHead, readTarget } from '../../../src/core/wire/request-head.ts'

/** One way only: what the gateway's own readers read, Node's must read alike; what they leave or refuse, Node may read. */

const MAX_HEAD_BYTES = 65_536

const NOISE = ['\r', '\n', ' ', '\t', ':', '\0', '\x7f', '\xe9', 'A', '0', ',', '\r\n', '\r\n\r\n', '\r\n ']

/** Text in which something may have been replaced, removed or put in. */
function mutated(text: fc.Arbitrary<string>, noise: readonly string[] = NOISE): fc.Arbitrary<string> {
  const change = fc.record({ place: fc.nat(), noise: fc.constantFrom('', ...noise), removed: fc.nat({ max: 2 }) })
  return fc.tuple(text, fc.option(change, { freq: 2 })).map(([text, change]) => {
    if (change === null) return text
    const at = change.place % (text.length + 1)
    return text.slice(0, at) + change.noise + text.slice(at + change.removed)
  })
}

function fieldsOf(names: readonly string[], values: readonly string[]): fc.Arbitrary<string> {
  const blanks = fc.constantFrom('', '', ' ', ' ', ' ', ' ', '  ', '\t')
  const field = fc
    .tuple(fc.constantFrom(...names), blanks, fc.constantFrom(...values), blanks)
    .map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`)
  return fc.array(field, { maxLength: 4 }).map((fields) => fields.join(''))
}

describe('the reader of plain requests', () => {
  const NEXT = 'GET /next HTTP/1.1\r\n\r\n'
  const next: RequestHead = { method: 'GET', target: '/next', httpVersion: '1.1', rawHeaders: [] }

  /** What Node's parser makes of the requests on one connection, and the code of what it refuses. */
  function readByNode(text: string): Promise<(RequestHead | string | undefined)[]> {
    // As the gateway's own is set.
    const server = createHttpServer({ requireHostHeader: false, maxHeaderSize: MAX_HEAD_BYTES })
    server.maxHeadersCount = 0
    const all: (RequestHead | string | undefined)[] = []
    return new Promise((resolve) => {
      server.on('request', ({ method = '', url = '', httpVersion, rawHeaders }: IncomingMessage) =>
        all.push({ method, target: url, httpVersion, rawHeaders }),
      )
      for (const event of ['connect', 'upgrade', 'checkContinue', 'checkExpectation', 'dropRequest'])
        server.on(event, () => resolve([...all, event]))
      server.on('clientError', ({ code }: NodeJS.ErrnoException) => resolve([...all, code]))
      const connection = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(), allowHalfOpen: true })
      server.emit('connection', connection)
      connection.push(Buffer.from(text, 'latin1'))
      connection.push(null)
      connection.on('end', () => setImmediate(() => resolve(all)))
    })
  }

  const requests = [
    { head: 'GET / HTTP/1.1\r\n\r\n', because: 'it is the shortest' },
    { head: 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', because: 'HEAD is the other method' },
    { head: 'GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n', because: 'proxies are asked so' },
    { head: 'GET http://u:p@[::1]:80/?a HTTP/1.1\r\n\r\n', because: 'targets are not taken apart' },
    { head: 'GET /%00/../"<>\\^`{|}?a#b#c HTTP/1.1\r\n\r\n', because: 'nor decoded' },
    { head: 'GET * HTTP/1.1\r\n\r\n', because: 'Node does not ask for OPTIONS there' },
    { head: 'GET / HTTP/1.1\r\nA:b\r\nB:   c d  \r\nC:\r\nD: \r\n\r\n', because: 'blanks round a value are no part of it' },
    { head: 'GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\nHOST:\r\n\r\n', because: 'repeated fields are kept as they came' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: Keep-Alive\r\n\r\n', because: 'the connection stays' },
    { head: "GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~09Az: :\r\n\r\n", because: 'a name is any token' },
    { head: 'GET / HTTP/1.1\r\nCookie: a="b; c"\r\nCookie: d\r\n\r\n', because: 'quotes mean nothing' },
    { head: `GET /${'a'.repeat(15_000)} HTTP/1.1\r\n\r\n`, because: 'a target may be long' },
    { head: `GET / HTTP/1.1\r\n${'a:b\r\n'.repeat(2_500)}\r\n`, because: 'fields may be many' },
  ] as const
  for (const { head, because } of requests)
    it(`reads as Node's parser does ${JSON.stringify(head.slice(0, 80))}: ${because}`, async () => {
      const plain = readPlainRequest(head)
      expect(plain?.length).toBe(head.length)
      expect(await readByNode(head + NEXT)).toEqual([plain?.head, next])
    })

  it("reads nothing that Node's parser does not read, reads it alike, and ends it at the same byte", async () => {
    const targets = ['/', '/a?b=c#d', '//', 'http://a.example/', 'http://a.example:80', 'http://[::1]/?', 'https://u@a/', '*']
    const names = [
      'Host',
      'host',
      'User-Agent',
      'Connection',
      'Keep-Alive',
      'Authorization',
      'X',
      'a!#$%^&*_`|~',
      'Via',
      'Cookie',
    ]
    const values = ['x', '', 'keep-alive', 'Keep-Alive', 'keep-alive', 'close', 'a, b', '  padded  ', '"q: \\" t"', ':', '\xe9']
    const head = fc
      .tuple(fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'HEAD', 'POST'), fc.constantFrom(...targets), fieldsOf(names, values))
      .map(([method, target, fields]) => `${method} ${target} HTTP/1.1\r\n${fields}\r\n`)
    let read = 0
    await fc.assert(
      fc.asyncProperty(mutated(head, [...NOISE, ';', '/', '#', '"']), async (text) => {
        const plain = readPlainRequest(text)
        if (plain === undefined) return
        read++
        await expectAlike(plain.head, text.slice(0, plain.length))
      }),
      { seed: 20_261_125, numRuns: 4_000 },
    )
    // Else the comparison would be of nothing.
    expect(read).toBeGreaterThan(500)
  })

  it("reads no target that Node's parser does not read, but those that are refused later on", async () => {
    const start = fc.constantFrom('', '/', '/', 'http://', 'http://a.example', 'https://[::1]', 'HTTP://a:80/', '*')
    const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code))
    const target = fc.tuple(start, fc.string({ unit: visible, maxLength: 6 })).map((parts) => parts.join(''))
    let good = 0
    await fc.assert(
      fc.asyncProperty(target, async (target) => {
        const text = `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`
        const plain = readPlainRequest(text)
        if (plain === undefined) return
        if (readTarget(plain.head, true).ok) good++
        await expectAlike(plain.head, text)
      }),
      { seed: 20_261_127, numRuns: 1_000 },
    )
    expect(good).toBeGreaterThan(200)
  })

  /** A target may be refused by Node alone: the gateway judges it by itself, and must refuse it too, in tunnels and outside. */
  async function expectAlike(head: RequestHead, text: string): Promise<void> {
    const node = await readByNode(text + NEXT)
    if (node[0] !== 'HPE_INVALID_URL') return expect(node).toEqual([head, next])
    for (const inTunnel of [true, false]) expect(readTarget(head, inTunnel), text).toMatchObject({ ok: false })
  }
})

describe('the reader of answers', () => {
  interface Answered {
    readonly status: number
    readonly reasonPhrase: string
    readonly httpVersion: string
    readonly rawHeaders: readonly string[]
    /** Interim answers and switches have none. */
    readonly body?: { readonly data: string; readonly isWhole: boolean }
  }

  const sockets = new Set<Socket>()
  /** What the origin says to the next request, before it ends the connection. */
  let said = ''
  const origin = createServer((socket) => {
    sockets.add(socket)
    let asked = ''
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (bytes) => {
      asked += bytes.toString('latin1')
      if (asked.endsWith('\r\n\r\n')) socket.end(Buffer.from(said, 'latin1'))
    })
  })
  beforeAll(() => new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve)))
  afterAll(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise<void>((resolve) => origin.close(() => resolve()))
  })

  /** What Node's client makes of it: nothing where it refuses the head. */
  function readByNode(text: string, method: string): Promise<Answered | undefined> {
    said = text
    const { port } = origin.address() as AddressInfo
    const asked = request({ host: '127.0.0.1', port, method, agent: false, maxHeaderSize: MAX_HEAD_BYTES })
    return new Promise((resolve) => {
      const refused = () => resolve(undefined)
      asked.on('information', ({ statusCode, statusMessage, httpVersion, rawHeaders }) =>
        resolve({ status: statusCode, reasonPhrase: statusMessage, httpVersion, rawHeaders }),
      )
      asked.on('upgrade', (answer, socket) => {
        socket.destroy()
        resolve(headOf(answer))
      })
      asked.on('response', (answer) => {
        if (answer.statusCode === 101) return void answer.resume().on('close', () => resolve(headOf(answer)))
        let data = ''
        answer.setEncoding('latin1').on('data', (text: string) => {
          data += text
        })
        answer.on('error', () => {})
        answer.on('close', () => resolve({ ...headOf(answer), body: { data, isWhole: answer.complete } }))
        asked.off('close', refused)
      })
      // Also what is said after the end of an answer.
      asked.on('error', () => {})
      asked.on('close', refused)
      asked.end()
    })
  }

  function headOf({ statusCode = 0, statusMessage = '', httpVersion, rawHeaders }: IncomingMessage): Answered {
    return { status: statusCode, reasonPhrase: statusMessage, httpVersion, rawHeaders }
  }

  /** What the gateway's own readers make of it: nothing where they refuse the head or the body. */
  function readByOurs(text: string, method: string): Answered | undefined {
    const end = text.indexOf('\r\n\r\n') + 4
    const read = readAnswerHead(text.slice(0, end), method)
    if (!read.ok) return undefined
    const { status, reasonPhrase, httpVersion, rawHeaders, framing } = read.value
    const head = { status, reasonPhrase, httpVersion, rawHeaders }
    if (status < 200) return framing.kind === 'none' ? head : undefined
    const rest = text.slice(end)
    switch (framing.kind) {
      case 'none':
        return { ...head, body: { data: '', isWhole: true } }
      case 'until_close':
        return { ...head, body: { data: rest, isWhole: true } }
      case 'length':
        return { ...head, body: { data: rest.slice(0, framing.bytes), isWhole: rest.length >= framing.bytes } }
      default: {
        const parts: Uint8Array[] = []
        const reading = new ChunkedBody().push(Buffer.from(rest, 'latin1'), (part) => parts.push(part))
        if (typeof reading === 'object') return undefined
        return { ...head, body: { data: Buffer.concat(parts).toString('latin1'), isWhole: reading === 'done' } }
      }
    }
  }

  const chunked = 'Transfer-Encoding: chunked\r\n'
  const answers: readonly { text: string; method?: string; data?: string; isWhole?: boolean; because: string }[] = [
    { text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', data: 'hello', because: 'most are so' },
    { text: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', data: '', because: 'a body may be empty' },
    { text: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello', data: 'he', because: 'what follows is another answer' },
    { text: 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhello', data: 'he', because: 'or nothing' },
    { text: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello', data: 'hello', isWhole: false, because: 'it broke off' },
    { text: 'HTTP/1.1 200 OK\r\ncontent-length:\t0005 \r\n\r\nhello', data: 'hello', because: 'digits are digits' },
    {
      text: 'HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nhello',
      data: 'hello',
      isWhole: false,
      because: 'a length may be long',
    },
    { text: 'HTTP/1.1 200 OK\r\n\r\nhello', data: 'hello', because: 'its end is that of the connection' },
    { text: 'HTTP/1.0 200 OK\r\n\r\n\r\nhello\r\n\r\n', data: '\r\nhello\r\n\r\n', because: 'as it was in HTTP/1.0' },
    { text: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nab', data: 'a', because: 'or was not' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n5\r\nhello\r\n0\r\n\r\n`, data: 'hello', because: 'chunks' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\nb`, data: 'a0123456789', because: 'sizes' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n1;a=b;c="\\";"\r\na\r\n0;d\r\n\r\n`, data: 'a', because: 'extensions' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n`, data: 'a', because: 'trailers' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n0\r\n\r\n`, data: '', because: 'no chunk at all' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n5\r\nhel`, data: 'hel', isWhole: false, because: 'it broke off in a chunk' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n1\r\na\r\n`, data: 'a', isWhole: false, because: 'and between two' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n1\r\na\r\n0\r\n`, data: 'a', isWhole: false, because: 'and before the last line' },
    { text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding:CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n', data: 'a', because: 'in upper case' },
    { text: 'HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na', data: 'a', because: 'there is no reason phrase' },
    { text: 'HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na', data: 'a', because: 'nor here' },
    { text: 'HTTP/1.1 200  \t\xe9\x80 \r\nContent-Length: 1\r\n\r\na', data: 'a', because: 'a reason phrase is kept as it is' },
    { text: 'HTTP/1.1 999 x\r\nContent-Length: 1\r\n\r\na', data: 'a', because: 'unknown statuses are like any other' },
    { text: 'HTTP/1.1 205 x\r\nContent-Length: 1\r\n\r\na', data: 'a', because: 'the wire does not forbid it' },
    { text: 'HTTP/1.1 200 OK\r\nA: \t\xe9\t\x80 \r\nA:\r\nB: :\r\n\r\n', data: '', because: 'values are Latin-1' },
    { text: "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09Az: :\r\n\r\n", data: '', because: 'a name is any token' },
    { text: 'HTTP/1.1 200 OK\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello', data: 'hello', because: 'that is an offer' },
    { text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', method: 'HEAD', data: '', because: 'HEAD has no body' },
    { text: `HTTP/1.1 200 OK\r\n${chunked}\r\n`, method: 'HEAD', data: '', because: 'not in chunks either' },
    { text: 'HTTP/1.1 200 OK\r\n\r\n', method: 'HEAD', data: '', because: 'nor up to the end of the connection' },
    { text: 'HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nhello', data: '', because: '204 has no body' },
    { text: `HTTP/1.1 204 x\r\n${chunked}\r\n1\r\na\r\n0\r\n\r\n`, data: '', because: 'whatever it says' },
    { text: 'HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello', data: '', because: '304 has no body' },
    { text: `HTTP/1.1 304 x\r\n${chunked}\r\n1\r\na\r\n0\r\n\r\n`, data: '', because: 'whatever it says' },
    { text: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n', because: 'an interim answer has no body' },
    { text: 'HTTP/1.1 103 x\r\nLink: a\r\nContent-Length: 4\r\n\r\nHTTP/1.1 204 x\r\n\r\n', because: 'whatever it says' },
    { text: `HTTP/1.1 199 x\r\n${chunked}\r\nHTTP/1.1 204 x\r\n\r\n`, because: 'unknown ones too' },
    { text: 'HTTP/1.1 101 x\r\n\r\n', because: 'a switch to nothing' },
    { text: 'HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: y\r\n\r\nz', because: 'what follows a switch is no body' },
  ]
  for (const { text, method = 'GET', data, isWhole = true, because } of answers)
    it(`reads as Node's client does ${JSON.stringify(text)} to ${method}: ${because}`, async () => {
      const ours = readByOurs(text, method)
      expect(ours, 'it is read').toBeDefined()
      expect(ours?.body).toEqual(data === undefined ? undefined : { data, isWhole })
      expect(await readByNode(text, method)).toEqual(ours)
    })

  it("reads nothing that Node's client does not read, and reads it alike", async () => {
    const statusLines = [
      '1.1 200 OK',
      '1.1 200 OK',
      '1.1 200 OK',
      '1.0 200 OK',
      '1.1 200',
      '1.1 404 \xe9',
      '1.1 204 ',
      '1.1 304 x',
    ]
    const interim = ['1.1 100 Continue', '1.1 101 x', '1.1 103 x']
    const names = ['Server', 'server', 'Connection', 'Keep-Alive', 'Upgrade', 'Set-Cookie', 'X', 'a!#$%^&*_`|~', 'Trailer', 'TE']
    const values = ['x', '', 'keep-alive', 'close', 'upgrade', 'timeout=5', 'a, b', '  padded  ', '"q: \\" t"', '\t', ':', '\xe9']
    const framing = ['', '', 'Content-Length: 5\r\n', 'content-length:0\r\n', chunked, chunked, 'transfer-encoding:Chunked \r\n']
    const head = fc
      .tuple(
        fc.constantFrom(...statusLines, ...statusLines, ...interim),
        fieldsOf(names, values),
        fc.constantFrom(...framing),
        fieldsOf(names, values),
      )
      .map(([line, before, framing, after]) => `HTTP/${line}\r\n${before}${framing}${after}\r\n`)
    const plainBody = fc.constantFrom(
      '',
      'hello',
      'hello, world',
      '0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      '1\r\na\r\n0b\r\nhello, you\r\r\n0\r\n\r\nrest',
      '5\r\nhel',
    )
    const withMore = fc.constantFrom('5\r\nhello\r\n0\r\nA: b\r\n\r\n', '1;a=b\r\na\r\n0\r\n\r\n')
    // Extensions and trailers are dropped without a look at what they say: no noise is to make one of its own.
    const bodyNoise = NOISE.filter((noise) => noise !== '\r\n ')
    const answer = fc.oneof(
      fc.tuple(mutated(head, [...NOISE, ';']), fc.oneof(plainBody, withMore)),
      fc.tuple(head, mutated(plainBody, bodyNoise)),
    )
    let read = 0
    let withBody = 0
    await fc.assert(
      fc.asyncProperty(answer, fc.constantFrom('GET', 'GET', 'GET', 'HEAD'), async ([head, body], method) => {
        const text = head + body
        const ours = readByOurs(text, method)
        if (ours === undefined) return
        read++
        if (ours.body !== undefined && ours.body.data !== '') withBody++
        expect(await readByNode(text, method)).toEqual(ours)
      }),
      { seed: 20_261_126, numRuns: 1_200 },
    )
    // Else the comparison would be of nothing.
    expect(read).toBeGreaterThan(300)
    expect(withBody).toBeGreaterThan(100)
  })
})
