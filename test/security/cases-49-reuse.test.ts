import { connect, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressRecords, DnsServer } from '../support/dns-server.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { RawClient } from '../support/raw-client.ts'
import { openTls } from '../support/tunnel-client.ts'
import { NO_FEATURES } from './lab.ts'

/** One name, two origins on the same port of different addresses, and DNS that changes its mind between requests. */
let gateway: TestGateway
let dns: DnsServer
let ca: OpensslCa
let originCa: OpensslCa
let first: HttpOrigin
let second: HttpOrigin
let addresses = ['127.0.0.1']

const config = (paths = '["/team/*"]') => `features: ${NO_FEATURES}
rules:
  - { name: moving, hosts: [moving.test], ports: [${first.port}], paths: ${paths}, destinations: ["127.0.0.0/8"] }
dns: { servers: ["${dns.address}"], minTtlSeconds: 0, maxTtlSeconds: 0 }
inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}", upstreamCa: ["${originCa.certificateFile}"] }
`

beforeAll(async () => {
  ca = new OpensslCa('Inspection Root')
  originCa = new OpensslCa('Origin Root')
  const tls = originCa.issue('DNS:moving.test')
  first = await HttpOrigin.start((_req, res) => res.end('first'), { tls })
  second = await HttpOrigin.start((_req, res) => res.end('second'), { tls, host: '127.0.0.2', port: first.port })
  dns = await DnsServer.start(({ name, type }) =>
    name === 'moving.test' ? addressRecords(addresses, type, 0) : { kind: 'nxdomain' },
  )
  gateway = await startGateway(config())
})
afterAll(async () => {
  await gateway.stop()
  await Promise.all([first.stop(), second.stop(), dns.stop()])
  ca.remove()
  originCa.remove()
})

async function client(): Promise<RawClient> {
  addresses = ['127.0.0.1']
  return new RawClient(await openTls(gateway.port, `moving.test:${first.port}`, { ca: ca.pem }))
}

let asked = 0
async function ask(connection: RawClient): Promise<string> {
  const from = connection.text.length
  connection.send(`GET /team/${asked++} HTTP/1.1\r\nHost: moving.test:${first.port}\r\n\r\n`)
  const text = await connection.until((all) => /\r\n\r\n.*(first|second|\})\s*$/s.test(all.slice(from)), 'an answer')
  return text.slice(from)
}

describe('case 49: an origin connection that is kept open', () => {
  it('is used again while the name leads to its address', async () => {
    const connection = await client()
    const before = first.connections
    for (let n = 0; n < 3; n++) expect(await ask(connection)).toContain('first')
    expect(first.connections - before).toBeLessThanOrEqual(1)
    connection.close()
  })

  it('spares the next tunnel one of its own, and not where the name leads elsewhere by then', async () => {
    const one = await client()
    expect(await ask(one)).toContain('first')
    const before = { first: first.connections, second: second.connections }
    const two = await client()
    expect(await ask(two)).toContain('first')
    expect({ first: first.connections, second: second.connections }).toEqual(before)
    addresses = ['127.0.0.2']
    const three = new RawClient(await openTls(gateway.port, `moving.test:${first.port}`, { ca: ca.pem }))
    expect(await ask(three)).toContain('second')
    expect({ first: first.connections, second: second.connections }).toEqual({ ...before, second: before.second + 1 })
    for (const tunnel of [one, two, three]) tunnel.close()
  })

  it('is not used again once the name leads elsewhere, in the very same tunnel', async () => {
    const connection = await client()
    expect(await ask(connection)).toContain('first')
    const before = [...first.asked]
    addresses = ['127.0.0.2']
    expect(await ask(connection)).toContain('second')
    expect(first.asked).toEqual(before)
    connection.close()
  })

  it('is not used again once the name leads to an address that may not be dialled', async () => {
    const connection = await client()
    expect(await ask(connection)).toContain('first')
    const before = [...first.asked]
    addresses = ['10.0.0.1']
    expect(await ask(connection)).toMatch(/^HTTP\/1\.1 403 address_refused/)
    addresses = ['169.254.169.254']
    expect(await ask(connection)).toMatch(/^HTTP\/1\.1 403 address_refused/)
    expect(first.asked).toEqual(before)
    connection.close()
  })

  it('is not used again once the name has no address', async () => {
    const connection = await client()
    expect(await ask(connection)).toContain('first')
    const before = [...first.asked]
    addresses = []
    expect(await ask(connection)).toMatch(/^HTTP\/1\.1 502 dns_failed/)
    expect(first.asked).toEqual(before)
    connection.close()
  })

  it('that was made before the 200 is not used when the name has moved meanwhile', async () => {
    const connection = await client()
    const before = [...first.asked]
    addresses = ['127.0.0.2']
    expect(await ask(connection)).toContain('second')
    expect(first.asked).toEqual(before)
    connection.close()
  })

  it('that was made before the 200 is replaced where the origin has given it up meanwhile', async () => {
    const connection = await client()
    // An origin that waits no longer for a client that was in no hurry.
    first.server.closeAllConnections()
    for (const socket of first.sockets) socket.destroy()
    expect(await ask(connection)).toContain('first')
    connection.close()
  })

  it('that was made before the 200 is replaced where its origin ends it at the first byte', async () => {
    let connections = 0
    const impatient = createServer((socket) => {
      socket.on('error', () => {})
      if (connections++ === 0) return void socket.once('data', () => socket.destroy())
      socket.pipe(connect(first.port, '127.0.0.1').on('error', () => {})).pipe(socket)
    })
    await new Promise<void>((resolve) => impatient.listen(0, '127.0.0.1', resolve))
    const address = impatient.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    await gateway.reload(`${config()}destinations: { pin: { moving.test: "127.0.0.1:${port}" } }`)
    const connection = await client()
    expect(await ask(connection)).toContain('first')
    expect(connections).toBe(2)
    connection.close()
    impatient.close()
    await gateway.reload(config())
  })

  it('is not used again after a reload, whose policy judges the next request of the same tunnel', async () => {
    const connection = await client()
    expect(await ask(connection)).toContain('first')
    const connections = first.connections
    await gateway.reload(config('["/team/*", "/more/*"]'))
    expect(await ask(connection)).toContain('first')
    expect(first.connections).toBe(connections + 1)
    const before = [...first.asked]
    await gateway.reload(config('["/more/*"]'))
    await ask(connection).then(
      (text) => expect(text).toMatch(/^HTTP\/1\.1 403 path_not_listed/),
      // A tunnel whose host is no longer allowed may be ended as well.
      (error: Error) => expect(error.message).toContain('closed'),
    )
    expect(first.asked).toEqual(before)
    connection.close()
    await gateway.reload(config())
  })
})
