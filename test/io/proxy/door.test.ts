import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { comeIn, configOf, WAYS_IN, type WayIn } from '../../support/ways-in.ts'

const GET = 'GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n'
const connectTo = (target: string, fields = `Host: ${target}\r\n`) => `CONNECT ${target} HTTP/1.1\r\n${fields}\r\n`

interface Case {
  readonly what: string
  /** Sent one after another, with a pause between, so that each is a read of its own. */
  readonly pieces: readonly string[]
  /** The last piece waits for the answer to those before it. */
  readonly isAsked?: true
  /** What the client must have got before it leaves. */
  readonly until: (text: string) => boolean
}

const closed = () => false
const cases: readonly Case[] = [
  { what: 'a host that is not listed', pieces: [connectTo('other.test:443')], until: closed },
  { what: 'the same with bytes behind it', pieces: [`${connectTo('other.test:443')}${'x'.repeat(500)}`], until: closed },
  {
    what: 'the same with more bytes than are read of a head',
    pieces: [`${connectTo('other.test:443')}${'x'.repeat(20_000)}`],
    until: closed,
  },
  { what: 'the same in pieces', pieces: ['CONNECT other.te', 'st:443 HTTP/1.1\r\nHost: a\r\n', '\r\n'], until: closed },
  { what: 'a port that is not listed', pieces: [connectTo('echo.test:8')], until: closed },
  {
    what: 'a listed host, carried',
    pieces: [connectTo('echo.test:7'), 'hello'],
    isAsked: true,
    until: (text) => text.endsWith('hello'),
  },
  { what: 'what came with the CONNECT', pieces: [`${connectTo('echo.test:7')}early`], until: (text) => text.endsWith('early') },
  {
    what: 'a CONNECT in pieces, carried',
    pieces: ['C', `${connectTo('echo.test:7').slice(1)}`, 'late'],
    isAsked: true,
    until: (text) => text.endsWith('late'),
  },
  {
    what: 'no TLS where TLS is wanted',
    pieces: [connectTo('tls.test:443'), 'GET / HTTP/1.1\r\n\r\n'],
    isAsked: true,
    until: closed,
  },
  { what: 'no TLS, before the 200', pieces: [`${connectTo('tls.test:443')}GET / HTTP/1.1\r\n\r\n`], until: closed },
  {
    what: 'an alert instead of a hello',
    pieces: [connectTo('tls.test:443'), '\x15\x03\x01\x00\x02\x02\x28'],
    isAsked: true,
    until: closed,
  },
  {
    what: 'plain HTTP in a tunnel',
    pieces: [connectTo('web.test:80'), GET.replaceAll('other', 'web')],
    isAsked: true,
    until: (text) => text.includes('origin_protocol_error') && text.endsWith('}\n'),
  },
  { what: 'an origin that refuses', pieces: [connectTo('nobody.test:443')], until: closed },
  { what: 'a name without an address', pieces: [connectTo('nowhere.test:443')], until: closed },
  { what: 'no Host', pieces: [connectTo('echo.test:7', '')], until: closed },
  { what: 'two Hosts', pieces: [connectTo('echo.test:7', 'Host: a\r\nHost: b\r\n')], until: closed },
  { what: 'a body', pieces: [connectTo('echo.test:7', 'Host: a\r\nContent-Length: 5\r\n')], until: closed },
  { what: 'a path as target', pieces: ['CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n'], until: closed },
  { what: 'no port', pieces: [connectTo('echo.test')], until: closed },
  { what: 'an address in another spelling', pieces: [connectTo('0177.0.0.1:443')], until: closed },
  { what: 'a control character in a field', pieces: [connectTo('echo.test:7', 'Host: a\r\nX: \x01\r\n')], until: closed },
  { what: 'too many fields', pieces: [connectTo('echo.test:7', `Host: a\r\n${'A: b\r\n'.repeat(150)}`)], until: closed },
  {
    what: 'fields that are too long',
    pieces: [connectTo('echo.test:7', `Host: a\r\nX: ${'x'.repeat(3000)}\r\n`)],
    until: closed,
  },
  {
    what: 'a head that is longer than any',
    pieces: [connectTo('echo.test:7', `Host: a\r\nX: ${'x'.repeat(12_000)}\r\n`)],
    until: closed,
  },
  { what: 'a target that is too long', pieces: [connectTo(`${'a'.repeat(1500)}.test:443`, 'Host: a\r\n')], until: closed },
  { what: 'another version', pieces: ['CONNECT echo.test:7 HTTP/3.0\r\nHost: a\r\n\r\n'], until: closed },
  { what: 'bare line feeds', pieces: ['CONNECT echo.test:7 HTTP/1.1\nHost: a\n\n'], until: closed },
  { what: 'a request that is none', pieces: ['nonsense\r\n\r\n'], until: closed },
  { what: 'a TLS client on the plain port', pieces: ['\x16\x03\x01\x02\x00\x01'], until: closed },
  {
    what: 'a request, then a CONNECT',
    pieces: [GET, connectTo('echo.test:7')],
    until: (text) => text.includes('200 Connection'),
  },
]

/** The same on every gateway: ids, ports and times are its own. */
const comparable = (text: string) =>
  text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'AT')
    .replaceAll(/date: .*/gi, 'DATE')

describe('a CONNECT at the door', () => {
  let origin: Origin
  const gateways = new Map<WayIn, TestGateway>()

  beforeAll(async () => {
    origin = await Origin.start()
    for (const way of WAYS_IN) {
      gateways.set(
        way,
        await startGateway(`${configOf(way)}
rules:
  - { name: echo, hosts: [echo.test], ports: [7], protocol: any }
  - { name: tls, hosts: [tls.test, nobody.test, nowhere.test], ports: [443] }
  - { name: web, hosts: [web.test], ports: [80] }
destinations:
  pin: { echo.test: "127.0.0.1:${origin.port}", tls.test: "127.0.0.1:${origin.port}", web.test: "127.0.0.1:${origin.port}", nobody.test: "127.0.0.1:1" }
limits: { headBytes: 2048, headFields: 100, targetBytes: 1024 }
dns: { servers: ["127.0.0.1:1"], timeoutMs: 200 }
`),
      )
    }
  })

  afterAll(async () => {
    for (const gateway of gateways.values()) await gateway.stop()
    await origin.stop()
  })

  async function outcomeOf(way: WayIn, { pieces, isAsked, until }: Case) {
    const gateway = gateways.get(way)
    if (gateway === undefined) throw new Error('no gateway')
    const client = await comeIn(way, gateway.port)
    const [first = '', ...others] = pieces
    client.send(first)
    for (const piece of others) {
      // The next piece is another read for the gateway.
      if (isAsked && piece === pieces.at(-1)) await client.until((text) => text.includes('\r\n\r\n'))
      else await new Promise((resolve) => setTimeout(resolve, 20))
      client.send(piece)
    }
    if (until === closed) {
      client.socket.once('end', () => client.socket.end())
      await client.untilClosed()
    } else {
      await client.until(until)
      client.socket.end()
      await client.untilClosed()
    }
    const isOurs = (event: { clientPort?: number | undefined }) => event.clientPort === client.localPort
    const events = await gateway.audit(1, isOurs)
    const lines = events.map(({ time: _, id, parent, durationMs, clientPort, address, policyHash, ...rest }) => rest)
    return { text: comparable(client.text), lines: lines.map((line) => comparable(JSON.stringify(line))) }
  }

  for (const one of cases)
    it(`has the answer, the end and the line that Node's own would have: ${one.what}`, async () => {
      const node = await outcomeOf('node', one)
      expect(await outcomeOf('portable', one)).toEqual(node)
      expect(await outcomeOf('kernel', one)).toEqual(node)
    })

  it('leaves no place taken and no tunnel counted', async () => {
    for (const gateway of gateways.values()) {
      await waitFor(async () => ((await gateway.metric('sallyport_tunnels_open')) === 0 ? true : undefined), 'no tunnel')
      expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
    }
  })

  it('is what both relays have, or the comparison would be of nothing', () => {
    for (const relay of ['kernel', 'portable'] as const) expect(gateways.get(relay)?.gateway.status()).toMatchObject({ relay })
  })
})
