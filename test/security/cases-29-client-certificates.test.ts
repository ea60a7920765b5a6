import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway, waitFor } from '../support/gateway.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { Origin } from '../support/origin.ts'
import { proxyLine } from '../support/proxy-header.ts'
import { request } from '../support/tunnel-client.ts'
import { NO_FEATURES } from './lab.ts'

/**
 * Case 29: revoked and unknown client certificates, where the listener asks for them. The gateway lets the handshake finish, refuses the
 * first request, and says why in its log.
 */
const servers = new OpensslCa('Servers')
const clients = new OpensslCa('Clients')
const strangers = new OpensslCa('Clients')
const files = servers.folder
const file = (name: string) => join(files, name)

const good = clients.issueClient('/CN=worker-1', 'DNS:worker-1.jobs.test,URI:spiffe://jobs.test/worker/1')
const other = clients.issueClient('/CN=somebody')
const revoked = clients.issueClient('/CN=worker-2', 'DNS:worker-2.jobs.test')
const late = clients.issueClient('/CN=worker-3', 'DNS:worker-3.jobs.test')
const expired = clients.issueClient('/CN=worker-4', 'DNS:worker-4.jobs.test', ['-days', '-1'])
const unknown = strangers.issueClient('/CN=worker-1', 'DNS:worker-1.jobs.test')
const lookalike = clients.issueClient('/CN=worker-1.jobs.test', 'DNS:jobs.test.evil.example')

let origin: Origin
let gateway: TestGateway

const config = (tls = '', groups = 'jobs: { certificates: ["dns:*.jobs.test"] }') => `listen:
  proxy:
    address: "127.0.0.1:0"
    tls: { certificate: ${file('proxy.pem')}, key: ${file('proxy.key')}, clientCa: ${file('clients.pem')}, crl: ${file('crl.pem')}${tls} }
  metrics: "127.0.0.1:0"
  admin: "127.0.0.1:0"
audit: { file: audit.log }
features: ${NO_FEATURES}
groups:
  ${groups}
rules:
  - { name: jobs, hosts: [jobs.test], ports: [80], groups: [jobs] }
  - { name: bytes, hosts: [bytes.test], ports: [7], protocol: any, groups: [jobs] }
  - { name: everybody, hosts: [shared.test], ports: [80] }
destinations: { pin: { jobs.test: "127.0.0.1:${origin.port}", bytes.test: "127.0.0.1:${origin.port}", shared.test: "127.0.0.1:${origin.port}" } }
`

function write(name: string, text: string): void {
  writeFileSync(file(name), text)
  chmodSync(file(name), 0o600)
}

beforeAll(async () => {
  origin = await Origin.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  const { cert, key } = servers.issue('DNS:gateway.test')
  write('proxy.pem', cert)
  write('proxy.key', key)
  write('clients.pem', clients.pem)
  write('crl.pem', clients.revocationList([revoked]))
  gateway = await startGateway(config())
})

afterAll(async () => {
  await gateway?.stop()
  await origin?.stop()
  for (const ca of [servers, clients, strangers]) ca.remove()
})

async function open(certificate?: { cert: string; key: string }, more: ConnectionOptions = {}): Promise<TLSSocket> {
  const own = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }
  const socket = connectTls({
    port: gateway.port,
    host: '127.0.0.1',
    servername: 'gateway.test',
    ca: servers.pem,
    ...own,
    ...more,
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

const get = (host: string) => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`

async function ask(host: string, certificate?: { cert: string; key: string }) {
  const socket = await open(certificate)
  const port = socket.localPort
  const text = await request(socket, get(host))
  socket.destroy()
  const [event] = await gateway.audit(1, ({ clientPort }) => clientPort === port)
  return { status: Number(text.slice(9, 12)), text, event }
}

describe('case 29, client certificates:', () => {
  const table = [
    { is: 'of the CA, with a name of the group', certificate: good, host: 'jobs.test', gets: 200, as: 'dns:worker-1.jobs.test' },
    { is: 'of the CA, with no name of a group', certificate: other, host: 'jobs.test', gets: 403, why: 'host_not_listed' },
    { is: 'of the CA, for a host that everybody may reach', certificate: other, host: 'shared.test', gets: 200 },
    {
      is: 'whose common name is what a DNS name should be',
      certificate: lookalike,
      host: 'jobs.test',
      gets: 403,
      why: 'host_not_listed',
    },
    {
      is: 'revoked',
      certificate: revoked,
      host: 'shared.test',
      gets: 403,
      why: 'client_not_allowed',
      detail: /CERT_REVOKED|revoked/,
    },
    {
      is: 'of a CA that nobody knows, with the same names',
      certificate: unknown,
      host: 'shared.test',
      gets: 403,
      why: 'client_not_allowed',
      detail: /does not hold/,
    },
    { is: 'expired', certificate: expired, host: 'shared.test', gets: 403, why: 'client_not_allowed', detail: /expired/i },
    {
      is: 'absent',
      certificate: undefined,
      host: 'shared.test',
      gets: 403,
      why: 'client_not_allowed',
      detail: /no client certificate/,
    },
  ] as const
  for (const { is, certificate, host, gets, ...more } of table)
    it(`${gets} where it is ${is}`, async () => {
      const before = origin.connections
      const { status, event, text } = await ask(host, certificate)
      expect(status).toBe(gets)
      if ('as' in more) expect(event).toMatchObject({ group: 'jobs', user: more.as })
      if (!('why' in more)) return
      expect(event?.reason).toBe(more.why)
      expect(origin.connections).toBe(before)
      if (!('detail' in more)) return
      expect(event?.detail).toMatch(more.detail)
      expect(text, 'the client is told nothing more').not.toMatch(more.detail)
    })

  it('a session that is resumed has what its first handshake had', async () => {
    const first = await open(good)
    const ticket = new Promise<Buffer>((resolve) => first.once('session', resolve))
    expect(await request(first, get('jobs.test'))).toMatch(/^HTTP\/1.1 200 /)
    const session = await ticket
    first.destroy()
    const again = await open(undefined, { session })
    expect(again.isSessionReused()).toBe(true)
    expect(await request(again, get('jobs.test'))).toMatch(/^HTTP\/1.1 200 /)
    again.destroy()
  })

  it('is good for tunnels, whose first bytes may come with the CONNECT', async () => {
    const socket = await open(good)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.write('CONNECT bytes.test:7 HTTP/1.1\r\nHost: bytes.test:7\r\n\r\nGET / HTTP/1.1\r\n\r\n')
    await waitFor(() => text.endsWith('ok') || undefined, 'the answer through the tunnel')
    expect(text.startsWith('HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK')).toBe(true)
    // The end of one side goes through and the other may still talk.
    socket.end()
    await once(socket, 'close')
  })

  it('speaks TLS alone: plain HTTP gets no answer', async () => {
    const before = await gateway.metric('sallyport_tls_handshake_failures_total{cause="listener"}')
    await expect(fetch(`http://127.0.0.1:${gateway.port}/`)).rejects.toThrow()
    await waitFor(
      async () =>
        ((await gateway.metric('sallyport_tls_handshake_failures_total{cause="listener"}')) ?? 0) > (before ?? 0) || undefined,
      'the failure to be counted',
    )
  })

  it('revoked by a reload: kept connections, tunnels and sessions end with it', async () => {
    const kept = await open(late)
    const ticket = new Promise<Buffer>((resolve) => kept.once('session', resolve))
    expect(await request(kept, get('jobs.test'))).toMatch(/^HTTP\/1.1 200 /)
    const session = await ticket
    const tunnel = await open(late)
    tunnel.write('CONNECT bytes.test:7 HTTP/1.1\r\nHost: bytes.test:7\r\n\r\n')
    await once(tunnel, 'data')
    const goods = await open(good)
    goods.write('CONNECT bytes.test:7 HTTP/1.1\r\nHost: bytes.test:7\r\n\r\n')
    await once(goods, 'data')
    const closed = once(tunnel, 'close')
    write('crl.pem', clients.revocationList([revoked, late]))
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'loaded', restartRequired: [] })
    await closed
    expect(await request(kept, get('jobs.test'))).toMatch(/^HTTP\/1.1 403 client_not_allowed/)
    expect((await ask('jobs.test', late)).status).toBe(403)
    const resumed = await open(late, { session })
    expect(await request(resumed, get('jobs.test'))).toMatch(/^HTTP\/1.1 403 client_not_allowed/)
    expect(goods.destroyed).toBe(false)
    for (const socket of [kept, resumed, goods]) socket.destroy()
  })

  it('of a CA that a reload takes away proves nothing any more', async () => {
    const kept = await open(good)
    expect(await request(kept, get('jobs.test'))).toMatch(/^HTTP\/1.1 200 /)
    write('clients.pem', strangers.pem)
    write('crl.pem', strangers.revocationList([]))
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'loaded' })
    expect(await request(kept, get('jobs.test'))).toMatch(/^HTTP\/1.1 403 client_not_allowed/)
    expect((await ask('jobs.test', good)).status).toBe(403)
    expect((await ask('jobs.test', unknown)).status).toBe(200)
    kept.destroy()
    write('clients.pem', clients.pem)
    write('crl.pem', clients.revocationList([revoked]))
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'loaded' })
    expect((await ask('jobs.test', good)).status).toBe(200)
  })

  it('and a list that is overdue refuse everybody, with a warning at load', async () => {
    write('crl.pem', clients.revocationList([revoked], -1))
    await gateway.gateway.reload()
    const { status, event } = await ask('jobs.test', good)
    expect([status, event?.detail]).toEqual([403, expect.stringMatching(/CRL_HAS_EXPIRED|CRL/)])
    write('crl.pem', clients.revocationList([revoked]))
    await gateway.gateway.reload()
    expect((await ask('jobs.test', good)).status).toBe(200)
  })

  it('is not needed where it is optional, and one that does not hold is refused there too', async () => {
    writeFileSync(gateway.file, config(', clientCertificates: optional'))
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'loaded' })
    expect((await ask('shared.test')).status).toBe(200)
    expect((await ask('jobs.test')).status).toBe(403)
    expect((await ask('shared.test', revoked)).event?.reason).toBe('client_not_allowed')
    writeFileSync(gateway.file, config())
    await gateway.gateway.reload()
  })

  it('in files that do not go together keep the old ones in force', async () => {
    write('proxy.key', servers.issue('DNS:gateway.test').key)
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'failed', problems: [expect.stringMatching(/make no pair/)] })
    expect((await ask('jobs.test', good)).status).toBe(200)
    const { cert, key } = servers.issue('DNS:gateway.test,DNS:renewed.test')
    write('proxy.pem', cert)
    write('proxy.key', key)
    expect(await gateway.gateway.reload()).toMatchObject({ outcome: 'loaded' })
    const renewed = await open(good)
    expect(renewed.getPeerCertificate().subjectaltname).toContain('renewed.test')
    renewed.destroy()
  })
})

describe('case 29, behind a load balancer that says whose each connection is:', () => {
  let behind: TestGateway
  beforeAll(async () => {
    behind = await startGateway(
      `${config('', 'jobs: { sources: ["198.51.100.0/24"], certificates: ["dns:*.jobs.test"] }').replace(
        'address: "127.0.0.1:0"',
        'address: "127.0.0.1:0"\n    proxyProtocol: { from: ["127.0.0.1"] }',
      )}clients: { allow: ["198.51.100.0/24", "203.0.113.0/24"] }\n`,
    )
  })
  afterAll(() => behind?.stop())

  /** TLS with the header before it: in the same packet as the first bytes of TLS, or in one of its own. */
  async function openAs(address: string, port: number, inOnePacket: boolean): Promise<TLSSocket> {
    const tcp = connectTcp(behind.port, '127.0.0.1')
    await once(tcp, 'connect')
    let header = proxyLine(address, port)
    if (!inOnePacket) {
      tcp.write(header)
      header = ''
      await new Promise((resolve) => setImmediate(resolve))
    }
    const carrier = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        tcp.write(Buffer.concat([Buffer.from(header), chunk]), done)
        header = ''
      },
      final: (done) => tcp.end(done),
      destroy: (_error, done) => {
        tcp.destroy()
        done(null)
      },
    })
    tcp.on('data', (chunk) => carrier.push(chunk))
    tcp.on('error', () => {})
    tcp.on('close', () => carrier.push(null))
    const socket = connectTls({ socket: carrier, servername: 'gateway.test', ca: servers.pem, cert: good.cert, key: good.key })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    return socket
  }

  for (const inOnePacket of [true, false])
    it(`the address is the header's and the name the certificate's, ${inOnePacket ? 'in one packet' : 'in two packets'}`, async () => {
      for (const [address, port, status] of [
        ['198.51.100.7', 40_001, 200],
        ['203.0.113.7', 40_002, 403],
      ] as const) {
        const from = inOnePacket ? port : port + 100
        const socket = await openAs(address, from, inOnePacket)
        const answer = await request(socket, get('jobs.test'))
        expect(Number(answer.slice(9, 12))).toBe(status)
        // What is given back to the parser, and goes through a tunnel, is still theirs.
        if (status === 200) expect(await request(socket, get('shared.test'))).toMatch(/^HTTP\/1\.1 200 /)
        socket.destroy()
        const [event] = await behind.audit(1, ({ clientPort }) => clientPort === from)
        expect(event).toMatchObject({
          client: address,
          ...(status === 200 ? { group: 'jobs', user: 'dns:worker-1.jobs.test' } : { reason: 'host_not_listed' }),
        })
      }
    })

  it('carries a tunnel', async () => {
    const socket = await openAs('198.51.100.7', 40_003, true)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.write('CONNECT bytes.test:7 HTTP/1.1\r\nHost: bytes.test:7\r\n\r\nGET / HTTP/1.1\r\n\r\n')
    await waitFor(() => text.endsWith('ok') || undefined, 'the answer through the tunnel')
    socket.destroy()
    const [event] = await behind.audit(1, ({ clientPort }) => clientPort === 40_003)
    expect(event).toMatchObject({ event: 'allow', kind: 'connect', client: '198.51.100.7', group: 'jobs' })
  })

  it('gets nobody in without the header, whatever the certificate', async () => {
    const socket = connectTls({ port: behind.port, host: '127.0.0.1', servername: 'gateway.test', ca: servers.pem, ...good })
    let isOpen = false
    socket.on('error', () => {})
    socket.on('secureConnect', () => {
      isOpen = true
    })
    await new Promise((resolve) => socket.once('close', resolve))
    expect(isOpen).toBe(false)
    const [event] = await behind.audit(1, ({ reason }) => reason === 'malformed_request')
    expect(event).toMatchObject({ client: '127.0.0.1', detail: expect.stringMatching(/^PROXY header/) })
  })
})
