import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../../src/core/audit-event.ts'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'
import { comeIn, configOf, WAYS_IN, type WayIn } from '../../support/ways-in.ts'

/** What the origin does with a connection, once it has the head of a request. */
type Origins = (socket: Socket, head: string) => void

const says =
  (...pieces: readonly string[]): Origins =>
  (socket) => {
    // Each a segment of its own, as far as the system lets it be.
    for (const piece of pieces) socket.write(Buffer.from(piece, 'latin1'))
  }
const saysAndEnds =
  (text: string): Origins =>
  (socket) =>
    socket.end(Buffer.from(text, 'latin1'))

interface Case {
  readonly what: string
  readonly origin: Origins
  readonly method?: string
  readonly fields?: string
  readonly path?: string
  /** What the client has got once the exchange is over. */
  readonly until: (text: string) => boolean
  /** The gateway closes. */
  readonly closes?: true
}

const has = (end: string) => (text: string) => text.endsWith(end)
const headOnly = has('\r\n\r\n')
const refused = has('}\n')
const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

const cases: readonly Case[] = [
  { what: 'a length', origin: says(`${OK}Content-Length: 5\r\n\r\nhello`), until: has('hello') },
  { what: 'a length of none', origin: says(`${OK}Content-Length: 0\r\n\r\n`), until: headOnly },
  {
    what: 'a length in pieces',
    origin: says('HTTP/1.1 2', '00 OK\r\nContent-', 'Length: 5\r\n\r\nhe', 'llo'),
    until: has('hello'),
  },
  { what: 'chunks', origin: says(`${CHUNKED}5\r\nhello\r\n0\r\n\r\n`), until: has('0\r\n\r\n') },
  { what: 'an extension', origin: says(`${CHUNKED}5;a="b"\r\nhello\r\n0;c\r\n\r\n`), until: has('0\r\n\r\n') },
  { what: 'trailers', origin: says(`${CHUNKED}5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`), until: has('0\r\n\r\n') },
  { what: 'no length', origin: saysAndEnds(`${OK}\r\nhello`), until: has('0\r\n\r\n') },
  { what: 'HTTP/1.0', origin: saysAndEnds('HTTP/1.0 200 OK\r\n\r\nhello'), until: has('0\r\n\r\n') },
  { what: 'HEAD', method: 'HEAD', origin: says(`${OK}Content-Length: 5\r\n\r\n`), until: headOnly },
  { what: 'HEAD of chunks', method: 'HEAD', origin: says(CHUNKED), until: headOnly },
  { what: '204', origin: says('HTTP/1.1 204 No Content\r\n\r\n'), until: headOnly },
  {
    what: '304 with a length',
    origin: says('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n'),
    until: headOnly,
  },
  { what: 'no reason phrase', origin: says('HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'), until: headOnly },
  { what: 'Latin-1', origin: says('HTTP/1.1 200 Tr\xe8s bien\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n'), until: headOnly },
  {
    what: 'interim answers',
    origin: says(
      'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n',
      `${OK}Content-Length: 2\r\n\r\nok`,
    ),
    until: has('ok'),
  },
  { what: 'a flood of interim answers', origin: says('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40)), until: refused },
  {
    what: 'a switch of protocols',
    origin: says('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'),
    until: refused,
  },
  {
    what: 'fields of a connection, and of the gateway',
    origin: says(
      `${OK}Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nSallyport-Reason: host_not_listed\r\nVia: 1.1 there\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok`,
    ),
    until: has('ok'),
  },
  {
    what: 'a length that `Connection` takes for its own',
    origin: says(`${OK}Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello`),
    until: has('hello'),
  },
  { what: 'two lengths', origin: says(`${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`), until: refused },
  {
    what: 'a length and chunks',
    origin: says(`${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    until: refused,
  },
  { what: 'a length that is none', origin: says(`${OK}Content-Length: +2\r\n\r\nok`), until: refused },
  { what: 'bytes that are no answer', origin: says('SSH-2.0-OpenSSH_9\r\n\r\n'), until: refused },
  { what: 'a NUL in a field', origin: says(`${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`), until: refused },
  { what: 'a head without an end', origin: says(`${OK}X: ${'x'.repeat(20_000)}`), until: refused },
  { what: 'an end before anything', origin: (socket) => socket.end(), until: refused },
  { what: 'an end in the head', origin: saysAndEnds(OK), until: refused },
  { what: 'a reset before anything', origin: (socket) => socket.resetAndDestroy(), until: refused },
  {
    what: 'a body that breaks off',
    origin: saysAndEnds(`${OK}Content-Length: 9\r\n\r\nhello`),
    until: () => false,
    closes: true,
  },
  { what: 'chunks that break off', origin: saysAndEnds(`${CHUNKED}5\r\nhello\r\n`), until: () => false, closes: true },
  { what: 'silence', origin: () => {}, until: refused },
  { what: 'silence in the body', origin: says(`${OK}Content-Length: 9\r\n\r\nhello`), until: () => false, closes: true },
  { what: 'a path that is not listed', origin: says(OK), path: '/other', until: refused },
  { what: 'a path that is not listed, by HEAD', method: 'HEAD', origin: says(OK), path: '/other', until: headOnly },
  { what: 'a path that is not canonical', origin: says(OK), path: '/team/../x', until: refused, closes: true },
  {
    what: 'fields that name another host',
    fields: 'X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1\r\nSallyport-Role: admin\r\nAccept: */*\r\n',
    origin: says(`${OK}Content-Length: 2\r\n\r\nok`),
    until: has('ok'),
  },
  { what: 'an expectation of something else', fields: 'Expect: x\r\n', origin: says(OK), until: refused, closes: true },
  { what: 'Max-Forwards used up', fields: 'Max-Forwards: 0\r\n', origin: says(OK), until: refused, closes: true },
  { what: 'gRPC', fields: 'Content-Type: application/grpc\r\n', origin: says(OK), until: refused, closes: true },
]

/** The same on every gateway: ids, ports and times are its own. */
const comparable = (text: string) =>
  text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
    .replaceAll(/sallyport-[0-9a-f]{12}/g, 'VIA')
    // How an answer of no stated length is cut is everybody's own affair.
    .replace(
      /\r\n\r\n(?=[0-9a-f]+\r\n)([\s\S]*)\r\n0\r\n\r\n$/,
      (_all, chunks: string) => `\r\n\r\nCHUNKS ${chunks.replaceAll(/[0-9a-f]+\r\n|\r\n/g, '')}`,
    )

describe('a plain request, beside the same through Node', () => {
  let origin: Origin
  let does: Origins = says('')
  const heads: string[] = []
  const gateways = new Map<WayIn, TestGateway>()

  beforeAll(async () => {
    origin = await Origin.start((socket) => {
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
        if (!text.endsWith('\r\n\r\n')) return
        const head = text
        text = ''
        heads.push(head)
        does(socket, head)
      })
      socket.on('end', () => socket.end())
    })
    for (const way of WAYS_IN)
      gateways.set(
        way,
        await startGateway(`${configOf(way)}
rules: [{ name: web, hosts: [web.test], ports: [80], paths: ["/team/*"] }]
destinations: { pin: { web.test: "127.0.0.1:${origin.port}" } }
limits: { originSeconds: 0.5 }
`),
      )
  })

  afterAll(async () => {
    for (const gateway of gateways.values()) await gateway.stop()
    await origin.stop()
  })

  function gatewayWith(way: WayIn): TestGateway {
    const gateway = gateways.get(way)
    if (gateway === undefined) throw new Error('no gateway')
    return gateway
  }

  async function outcomeOf(way: WayIn, each: Case) {
    const { method = 'GET', fields = '', path = '/team/x', until, closes } = each
    does = each.origin
    const gateway = gatewayWith(way)
    const before = heads.length
    const client = await comeIn(way, gateway.port)
    client.send(`${method} http://web.test${path} HTTP/1.1\r\nHost: web.test\r\n${fields}\r\n`)
    if (closes) {
      client.socket.once('end', () => client.socket.end())
      await client.untilClosed()
    } else await client.until(until)
    const [event] = await gateway.audit(1, ({ clientPort }) => clientPort === client.localPort)
    client.close()
    return { text: comparable(client.text), sent: heads.slice(before).map(comparable), event: told(event) }
  }

  /** What a line says apart from when, how much, and in whose words. */
  function told(event: AuditEvent | undefined) {
    const { time, id, durationMs, clientPort, detail, address, bytesDown, policyHash, ...rest } = event ?? ({} as AuditEvent)
    return { ...rest, detailed: detail !== undefined }
  }

  /** Details are in the words of whoever read the answer. */
  const apart = ({ text, ...rest }: Awaited<ReturnType<typeof outcomeOf>>) => ({
    ...rest,
    text: text
      .replace(/"detail": ".*"/, 'DETAIL')
      .replace(/content-length: \d+\r\n(?=[\s\S]*problem:|[\s\S]*urn:sallyport)/i, 'LENGTH\r\n'),
  })

  for (const each of cases)
    it(`with ${each.what} is answered, sent and logged alike`, async () => {
      const node = await outcomeOf('node', each)
      for (const way of ['kernel', 'portable'] as const) expect(apart(await outcomeOf(way, each))).toEqual(apart(node))
    })

  describe('and the connections', () => {
    const get = (path: string) => `GET http://web.test/team/${path} HTTP/1.1\r\nHost: web.test\r\n\r\n`
    const post = (body: string) =>
      `POST http://web.test/team/p HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const answers = (body: string) => says(`${OK}Content-Length: ${body.length}\r\n\r\n${body}`)
    const idle = () => gatewayWith('kernel').metric('sallyport_origin_connections_idle')

    it('of both kinds are kept for both kinds', async () => {
      does = answers('first')
      const client = await RawClient.connect(gatewayWith('kernel').port)
      client.send(get('1'))
      await client.until(has('first'))
      const before = origin.connections
      does = (socket, head) => {
        if (head.startsWith('POST')) socket.write(`${OK}Content-Length: 6\r\n\r\nsecond`)
        else socket.write(`${OK}Content-Length: 5\r\n\r\nthird`)
      }
      // Its body comes with the head, and the origin of this lab waits for the end of a head.
      client.send(post('\r\n\r\n'))
      await client.until(has('second'))
      const other = await RawClient.connect(gatewayWith('kernel').port)
      other.send(get('3'))
      await other.until(has('third'))
      expect(origin.connections).toBe(before)
      client.close()
      other.close()
      expect(await idle()).toBe(1)
    })

    it('are left when an answer has something behind it', async () => {
      does = says(`${OK}Content-Length: 2\r\n\r\nok${OK}Content-Length: 4\r\n\r\nevil`)
      const client = await RawClient.connect(gatewayWith('kernel').port)
      client.send(get('1'))
      await client.until((text) => text.endsWith('ok'))
      does = answers('good')
      client.send(get('2'))
      await client.until(has('good'))
      expect(client.text).not.toContain('evil')
      client.close()
    })

    it('are not taken for another request while something of the last one is unread', async () => {
      // The first answer fills a read to its last byte; what stands behind it is there before the next request.
      const start = `${OK}Content-Length: 65400\r\nX-Pad: `
      const first = `${start}${'p'.repeat(65_536 - 65_400 - start.length - 4)}\r\n\r\n${'A'.repeat(65_400)}`
      for (let round = 0; round < 5; round++) {
        let asked = 0
        does = (socket) => {
          asked++
          socket.write(asked === 1 ? `${first}${OK}Content-Length: 6\r\n\r\nFORGED` : `${OK}Content-Length: 4\r\n\r\ntrue`)
        }
        const client = await RawClient.connect(gatewayWith('kernel').port)
        client.send(get('a'))
        // A segment of its own, and there before the answer to the first is out.
        await new Promise((resolve) => setTimeout(resolve, 0))
        client.send(get('b'))
        await client.until(has('true'))
        expect(client.text).not.toContain('FORGED')
        client.close()
      }
    })

    it('are not kept after HEAD: a body that comes all the same would be the next answer', async () => {
      does = says(`${OK}Content-Length: 5\r\n\r\n`)
      const client = await RawClient.connect(gatewayWith('kernel').port)
      client.send(get('h').replace('GET', 'HEAD'))
      await client.until(headOnly)
      const before = origin.connections
      does = answers('next')
      client.send(get('n'))
      await client.until(has('next'))
      expect(origin.connections).toBe(before + 1)
      client.close()
    })

    it('gather no listeners however often they go from one kind to the other', async () => {
      does = answers('ok')
      const client = await RawClient.connect(gatewayWith('kernel').port)
      const warnings: string[] = []
      const onWarning = ({ name }: Error) => warnings.push(name)
      process.on('warning', onWarning)
      for (let n = 0; n < 30; n++) {
        const other = await RawClient.connect(gatewayWith('kernel').port)
        other.send(`OPTIONS http://web.test/team/${n} HTTP/1.1\r\nHost: web.test\r\n\r\n`)
        await other.until(has('ok'))
        other.close()
        client.send(get(`${n}`))
        const wanted = n + 1
        await client.until((text) => text.split('\r\n\r\nok').length > wanted)
      }
      await new Promise((resolve) => setImmediate(resolve))
      process.off('warning', onWarning)
      client.close()
      expect(warnings).toEqual([])
    })

    it('that died unseen are not the next request’s fault', async () => {
      does = answers('first')
      const client = await RawClient.connect(gatewayWith('kernel').port)
      client.send(get('1'))
      await client.until(has('first'))
      const kept = origin.connections
      // Read, and not answered: as if the origin had closed just before.
      does = (socket) => {
        does = answers('again')
        socket.destroy()
      }
      client.send(get('2'))
      await client.until(has('again'))
      expect(origin.connections).toBe(kept + 1)
      client.close()
    })

    it('end with a client that leaves, and its line says so', async () => {
      const gateway = gatewayWith('kernel')
      let asked: Socket | undefined
      does = (socket) => {
        asked = socket
        socket.write(`${OK}Content-Length: 100\r\n\r\nsome`)
      }
      const client = await RawClient.connect(gateway.port)
      client.send(get('leaves'))
      await client.until(has('some'))
      client.socket.resetAndDestroy()
      const [event] = await gateway.audit(1, ({ clientPort }) => clientPort === client.localPort)
      expect(event).toMatchObject({ event: 'allow', endedBy: 'client', path: '/team/leaves' })
      await waitFor(() => (asked?.destroyed === true ? true : undefined), 'the origin to be let go')
    })
  })

  it('whose client does not take the rest of its answer ends with the connection’s patience, and has its line', async () => {
    const gateway = await startGateway(`rules: [{ name: web, hosts: [web.test], ports: [80] }]
destinations: { pin: { web.test: "127.0.0.1:${origin.port}" } }
limits: { keepAliveSeconds: 1, originSeconds: 1, tunnelsPerClient: 100 }
`)
    try {
      const sizeOf = (head: string) => Number(/\/tail\/(\d+)/.exec(head)?.[1])
      does = (socket, head) => {
        const bytes = sizeOf(head)
        socket.write(Buffer.concat([Buffer.from(`${OK}Content-Length: ${bytes}\r\n\r\n`), Buffer.alloc(bytes)]))
      }
      const clients: RawClient[] = []
      const ask = async (bytes: number) => {
        const client = await RawClient.connect(gateway.port)
        client.socket.pause()
        client.send(`GET http://web.test/tail/${bytes} HTTP/1.1\r\nHost: web.test\r\n\r\n`)
        clients.push(client)
      }
      // How much the sockets on the way hold of an answer that nobody reads.
      await ask(60e6)
      const [event] = await gateway.audit(1)
      const held = event?.bytesDown ?? 0
      // Of some of these nothing is left but what waits in the gateway for the client. The system does not hold as much each time.
      const ends = new Set<string | undefined>()
      for (let round = 1; round <= 8 && !ends.has('client'); round++) {
        for (let bytes = held - round * 300_000; bytes < held + 300_000; bytes += round * 20_000) await ask(bytes)
        for (const { endedBy } of await gateway.audit(clients.length)) ends.add(endedBy)
      }
      expect(ends).toEqual(new Set([undefined, 'client', 'origin']))
      for (const client of clients) client.close()
    } finally {
      await gateway.stop()
    }
  })

  it('with a length beside 204 is answered without one: there is no body that it could be of', async () => {
    does = says('HTTP/1.1 204 No Content\r\nContent-Length: 31\r\n\r\n')
    const client = await RawClient.connect(gatewayWith('kernel').port)
    client.send('GET http://web.test/team/none HTTP/1.1\r\nHost: web.test\r\n\r\n')
    expect(await client.until(headOnly)).not.toMatch(/content-length/i)
    client.close()
  })

  it('whose answer is refused is counted as that, and not as allowed', async () => {
    const gateway = gatewayWith('kernel')
    const counted = (verdict: string, reason: string) =>
      gateway.metric(`sallyport_requests_total{listener="proxy",kind="forward",verdict="${verdict}",reason="${reason}"}`)
    const before = [await counted('allow', ''), (await counted('error', 'origin_protocol_error')) ?? 0]
    does = says(`${CHUNKED}zz\r\n`)
    const client = await RawClient.connect(gateway.port)
    client.send('GET http://web.test/team/zz HTTP/1.1\r\nHost: web.test\r\n\r\n')
    await client.until(refused)
    expect([await counted('allow', ''), await counted('error', 'origin_protocol_error')]).toEqual([
      before[0],
      Number(before[1]) + 1,
    ])
    client.close()
  })

  it('may be cut anywhere: what is not whole in one piece is Node’s', async () => {
    does = (socket) => socket.write(`${OK}Content-Length: 2\r\n\r\nok`)
    const text = 'GET http://web.test/team/x HTTP/1.1\r\nHost: web.test\r\nA: b\r\n\r\n'
    for (let cut = 1; cut < text.length; cut += 3) {
      const client = await RawClient.connect(gatewayWith('kernel').port)
      client.socket.setNoDelay(true)
      client.send(text.slice(0, cut))
      await new Promise((resolve) => setImmediate(resolve))
      client.send(text.slice(cut))
      await client.until(has('ok'))
      client.close()
    }
  })

  it('carries 200 MB to a slow reader in bounded memory', async () => {
    const bytes = 200e6
    const gateway = gatewayWith('kernel')
    does = (socket) => {
      socket.write(`${OK}Content-Length: ${bytes}\r\n\r\n`)
      const piece = Buffer.alloc(100_000, 'x')
      const more = (left: number): void => {
        if (left === 0) return
        socket.write(piece, () => more(left - piece.length))
      }
      more(bytes)
    }
    const client = await RawClient.connect(gateway.port)
    client.socket.pause()
    client.socket.removeAllListeners('data')
    client.send('GET http://web.test/team/big HTTP/1.1\r\nHost: web.test\r\n\r\n')
    const before = process.memoryUsage().rss
    let most = 0
    let got = 0
    await new Promise<void>((resolve) => {
      client.socket.on('data', (chunk: Buffer) => {
        got += chunk.length
        most = Math.max(most, process.memoryUsage().rss)
        client.socket.pause()
        setImmediate(() => client.socket.resume())
        if (got >= bytes) resolve()
      })
      client.socket.resume()
    })
    expect(most - before).toBeLessThan(100e6)
    const [event] = await gateway.audit(1, ({ path }) => path === '/team/big')
    expect(event?.bytesDown).toBeGreaterThanOrEqual(bytes)
    client.close()
  })
})
