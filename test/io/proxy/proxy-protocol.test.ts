import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { httpAnswer, Origin } from '../../support/origin.ts'
import { proxyLine, tlv, v2Header, withChecksum } from '../../support/proxy-header.ts'
import { RawClient } from '../../support/raw-client.ts'

const listen = (proxyProtocol: string) => `
listen:
  proxy: { address: "127.0.0.1:0"${proxyProtocol} }
  transparent: { tls: { address: "127.0.0.1:0"${proxyProtocol} } }
  metrics: "127.0.0.1:0"
  admin: "127.0.0.1:0"
`

const CLIENT = '198.51.100.7'

/** A source and a port in version 2, as a load balancer sends it. */
const v2From = (address: readonly number[], port: number, more: Uint8Array = Buffer.alloc(0)) =>
  v2Header(0x21, 0x11, Buffer.concat([Buffer.from([...address, 192, 0, 2, 1, port >> 8, port & 255, 1, 187]), more]))

describe('a listener behind a load balancer', () => {
  let origin: Origin
  let gateway: TestGateway

  const config = (rest = '') => `
clients: { allow: ["${CLIENT}", "2001:db8::7"] }
rules: [{ name: origin, hosts: [origin.test], ports: [80, 7], protocol: any }]
destinations: { pin: { origin.test: "127.0.0.1:${origin.port}" } }
limits: { headSeconds: 1, requestsPerSecondPerClient: 1000, ${rest} }
`

  beforeAll(async () => {
    origin = await Origin.answering(httpAnswer('ok'))
    gateway = await startGateway(listen(', proxyProtocol: { from: ["127.0.0.1"] }') + config())
  })
  afterAll(async () => {
    await gateway?.stop()
    await origin?.stop()
  })

  const GET = 'GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n'
  const CONNECT = 'CONNECT origin.test:7 HTTP/1.1\r\nHost: origin.test:7\r\n\r\n'

  /** What comes back to these pieces, and the line of the request; a piece at a time. */
  async function send(pieces: readonly (string | Uint8Array)[], port: number | undefined, of = gateway) {
    const before = (await of.audit(0)).length
    const client = await RawClient.connect(of.port)
    try {
      for (const piece of pieces) {
        client.send(piece)
        await new Promise((resolve) => client.socket.write('', resolve))
      }
      const text = await Promise.race([client.answer(), client.untilClosed()])
      const fresh = await of.audit(before + 1)
      return { text, event: fresh.slice(before).find((event) => event.clientPort === (port ?? client.localPort)) }
    } finally {
      client.close()
    }
  }

  const headers: readonly (readonly [string, string | Uint8Array, string, number])[] = [
    ['version 1', proxyLine(CLIENT, 40_001), CLIENT, 40_001],
    ['version 1 over IPv6', proxyLine('2001:db8::7', 40_002), '2001:db8::7', 40_002],
    ['version 1 with a mapped address', `PROXY TCP6 ::ffff:${CLIENT} ::ffff:192.0.2.1 40003 443\r\n`, CLIENT, 40_003],
    ['version 2', v2From([198, 51, 100, 7], 40_004), CLIENT, 40_004],
    ['version 2 with a checksum', withChecksum(v2From([198, 51, 100, 7], 40_005, tlv(3, Buffer.alloc(4)))), CLIENT, 40_005],
  ]
  for (const [what, header, client, port] of headers) {
    it(`takes the client from the header: ${what}`, async () => {
      const { text, event } = await send([Buffer.concat([Buffer.from(header as string, 'latin1'), Buffer.from(GET)])], port)
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
      expect(event).toMatchObject({ event: 'allow', kind: 'forward', client, clientPort: port })
    })

    it(`takes it byte by byte too: ${what}`, async () => {
      const bytes = [...Buffer.from(header as string, 'latin1')].map((byte) => Buffer.from([byte]))
      const { text, event } = await send([...bytes, GET], port)
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
      expect(event).toMatchObject({ client, clientPort: port })
    })
  }

  it('opens tunnels, and loses none of what came with the CONNECT', async () => {
    const client = await RawClient.connect(gateway.port)
    client.send(`${proxyLine(CLIENT, 40_010)}${CONNECT}GET /early HTTP/1.1\r\nHost: x\r\n\r\n`)
    const text = await client.until((got) => got.endsWith('ok'))
    expect(text).toMatch(/^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK/)
    client.close()
    const [event] = await gateway.audit(1, ({ clientPort }) => clientPort === 40_010)
    expect(event).toMatchObject({ client: CLIENT, kind: 'connect' })
  })

  it('serves several requests of one client', async () => {
    const client = await RawClient.connect(gateway.port)
    client.send(`${proxyLine(CLIENT, 40_011)}${GET}`)
    await client.until((text) => text.endsWith('ok'))
    client.send(GET)
    await client.until((text) => text.split('200 OK').length === 3)
    client.close()
    expect(await gateway.audit(2, ({ clientPort }) => clientPort === 40_011)).toHaveLength(2)
  })

  it('goes by `clients.allow` for the client and not for the load balancer', async () => {
    const { text, event } = await send([proxyLine('198.51.100.8', 40_020), GET], 40_020)
    expect(text).toMatch(/^HTTP\/1\.1 403 client_not_allowed\r\n/)
    expect(event).toMatchObject({ reason: 'client_not_allowed', client: '198.51.100.8' })
    // What the load balancer says of itself is its own, and that one may not use the gateway.
    const own = await send([v2Header(0x20, 0, Buffer.alloc(0)), GET], undefined)
    expect(own.event).toMatchObject({ reason: 'client_not_allowed', client: '127.0.0.1' })
  })

  const hostile: readonly (readonly [string, string | Uint8Array, string])[] = [
    ['no header', GET, 'malformed_request'],
    ['a ClientHello', Buffer.from([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]), 'malformed_request'],
    ['a broken header', `PROXY TCP4 ${CLIENT} 192.0.2.1 0443 1\r\n${GET}`, 'malformed_request'],
    ['a header with a wrong checksum', v2From([198, 51, 100, 7], 40_030, tlv(3, Buffer.from([1, 2, 3, 4]))), 'malformed_request'],
    ['a header that does not end', `PROXY TCP4 ${CLIENT}`, 'head_timeout'],
    ['nothing', '', 'head_timeout'],
  ]
  for (const [what, bytes, reason] of hostile)
    it(`refuses ${what}`, async () => {
      const connections = origin.connections
      const { text, event } = await send([bytes], undefined)
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 \\d+ ${reason}\r\n`))
      expect(event).toMatchObject({ reason, client: '127.0.0.1' })
      expect(origin.connections).toBe(connections)
    })

  it('believes no second header', async () => {
    const { text, event } = await send([proxyLine(CLIENT, 40_040), proxyLine('198.51.100.9', 40_041), GET], 40_040)
    expect(text).toMatch(/^HTTP\/1\.1 400 malformed_request\r\n/)
    expect(event).toMatchObject({ client: CLIENT })
  })

  it('writes no line for a health check that says nothing', async () => {
    const before = (await gateway.audit(0)).length
    const client = await RawClient.connect(gateway.port)
    client.socket.end()
    await client.untilClosed()
    await send([proxyLine(CLIENT, 40_050), GET], 40_050)
    expect((await gateway.audit(before + 1)).slice(before).map(({ clientPort }) => clientPort)).toEqual([40_050])
  })

  it('refuses those that are not named, whatever header they bring', async () => {
    const strict = await startGateway(listen(', proxyProtocol: { from: ["192.0.2.0/24"] }') + config())
    try {
      const { text, event } = await send([proxyLine(CLIENT), GET], undefined, strict)
      expect(text).toMatch(/^HTTP\/1\.1 403 client_not_allowed\r\n/)
      expect(event).toMatchObject({
        reason: 'client_not_allowed',
        client: '127.0.0.1',
        detail: expect.stringContaining('proxyProtocol.from'),
      })
    } finally {
      await strict.stop()
    }
  })

  it('is nothing that a client can bring about: without the setting a header is no request', async () => {
    const plain = await startGateway(listen('') + config())
    try {
      const { text, event } = await send([`${proxyLine(CLIENT)}${GET}`], undefined, plain)
      // The very client is not allowed; that it says to be another changes nothing.
      expect(text).toMatch(/^HTTP\/1\.1 403 client_not_allowed\r\n/)
      expect(event).toMatchObject({ client: '127.0.0.1' })
    } finally {
      await plain.stop()
    }
  })
})

describe('listeners that share `limits.connections`', () => {
  it('take no more together than it says, and take again when one leaves', async () => {
    const gateway = await startGateway(`${listen('')}limits: { connections: 2 }\n`)
    const { listeners } = gateway.gateway.status() as { listeners: Record<string, string> }
    const transparent = Number(listeners['transparent.tls']?.split(':').at(-1))
    const open: RawClient[] = []
    /** Whether a connection is taken, and stays; one that was not has heard nothing. */
    const isTaken = async () => {
      const client = await RawClient.connect(gateway.port)
      client.send('GET http://unlisted.test/ HTTP/1.1\r\nHost: unlisted.test\r\n\r\n')
      const text = await Promise.race([client.answer(), client.untilClosed()])
      if (text === '') client.close()
      else open.push(client)
      return text.startsWith('HTTP/1.1 403 host_not_listed\r\n')
    }
    const isDropped = async (port: number) => {
      const client = await RawClient.connect(port)
      client.send('\x16')
      const text = await client.untilClosed()
      client.close()
      return text === ''
    }
    try {
      expect(await isTaken()).toBe(true)
      expect(await isDropped(transparent), 'an alert says that it was not redirected').toBe(false)
      await waitFor(async () => ((await isTaken()) ? true : undefined), 'the place that the refused one had')
      expect(await isDropped(transparent)).toBe(true)
      expect(await isDropped(gateway.port)).toBe(true)
      expect(await gateway.metric('sallyport_limit_hits_total{limit="connections"}')).toBeGreaterThanOrEqual(2)
      open[0]?.close()
      await waitFor(async () => ((await isDropped(transparent)) ? undefined : true), 'a place')
    } finally {
      for (const client of open) client.close()
      await gateway.stop()
    }
  })
})
