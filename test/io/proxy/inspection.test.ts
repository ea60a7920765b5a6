import { once } from 'node:events'
import { connect as connectH2 } from 'node:http2'
import { createServer, type Server } from 'node:https'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { OpensslCa } from '../../support/openssl-ca.ts'
import { openTls, openTunnel, request } from '../../support/tunnel-client.ts'

let ca: OpensslCa
let originCa: OpensslCa
let origin: Server
let gateway: TestGateway
const seen: string[] = []

beforeAll(async () => {
  ca = new OpensslCa('Inspection Root')
  originCa = new OpensslCa('Origin Root')
  origin = createServer(originCa.issue('DNS:paths.test,DNS:whole.test'), (req, res) => {
    seen.push(`${req.method} ${req.headers.host} ${req.url}`)
    res.end(`origin saw ${req.url}`)
  })
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const address = origin.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  gateway = await startGateway(`
rules:
  - { name: paths, hosts: [paths.test], paths: ["/ok/*"] }
  - { name: whole, hosts: [whole.test] }
destinations: { pin: { paths.test: "127.0.0.1:${port}", whole.test: "127.0.0.1:${port}" } }
inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}", upstreamCa: ["${originCa.certificateFile}"] }
`)
})

afterAll(async () => {
  await gateway?.stop()
  origin?.close()
  origin?.closeAllConnections()
  ca?.remove()
  originCa?.remove()
})

describe('a TLS tunnel to a host without paths', () => {
  it('is relayed untouched: the client sees the origin itself', async () => {
    const secure = await openTls(gateway.port, 'whole.test:443', { ca: originCa.pem })
    expect(await request(secure, 'GET /x HTTP/1.1\r\nHost: whole.test\r\n\r\n')).toContain('origin saw /x')
    expect(secure.getPeerCertificate().issuer.CN).toBe('Origin Root')
    secure.destroy()
  })

  it('is closed with an alert when the SNI names another host', async () => {
    await expect(openTls(gateway.port, 'whole.test:443', { servername: 'paths.test', ca: originCa.pem })).rejects.toThrow(
      /access denied/i,
    )
    const [event] = await gateway.audit(1, ({ reason }) => reason === 'sni_mismatch')
    expect(event).toMatchObject({ event: 'deny', host: 'whole.test', sni: 'paths.test', entry: 'rule/whole' })
  })

  it('is closed when it carries no TLS', async () => {
    const tunnel = await openTunnel(gateway.port, 'whole.test:443')
    tunnel.send('SSH-2.0-OpenSSH\r\n')
    await tunnel.untilClosed()
    expect(await gateway.audit(1, ({ reason }) => reason === 'not_tls')).toHaveLength(1)
  })
})

describe('a TLS tunnel to a host with paths', () => {
  it('carries an allowed path to the origin, verified', async () => {
    const secure = await openTls(gateway.port, 'paths.test:443', { ca: ca.pem })
    expect(secure.getPeerCertificate().issuer.CN).toBe('Inspection Root')
    expect(await request(secure, 'GET /ok/a?q=1 HTTP/1.1\r\nHost: paths.test\r\n\r\n')).toContain('origin saw /ok/a?q=1')
    expect(await request(secure, 'GET /no HTTP/1.1\r\nHost: paths.test\r\n\r\n')).toMatch(/^HTTP\/1.1 403 path_not_listed/)
    expect(await request(secure, 'GET /ok/b HTTP/1.1\r\nHost: whole.test\r\n\r\n')).toMatch(/^HTTP\/1.1 421 host_mismatch/)
    secure.destroy()
    expect(seen).toContain('GET paths.test /ok/a?q=1')
    expect(seen.some((line) => line.includes('/no') || line.includes('/ok/b'))).toBe(false)
    const [event] = await gateway.audit(1, ({ kind }) => kind === 'inspected')
    expect(event).toMatchObject({ event: 'allow', method: 'GET', path: '/ok/a', entry: 'rule/paths', parent: expect.any(String) })
  })

  it('speaks HTTP/2 to the client', async () => {
    const secure = await openTls(gateway.port, 'paths.test:443', { ca: ca.pem, ALPNProtocols: ['h2'] })
    const session = connectH2('https://paths.test', { createConnection: () => secure })
    const ask = async (path: string) => {
      const stream = session.request({ ':path': path })
      const [headers] = await once(stream, 'response')
      let body = ''
      for await (const chunk of stream) body += chunk
      return { status: headers[':status'], reason: headers['sallyport-reason'], body }
    }
    expect(await ask('/ok/h2')).toEqual({ status: 200, reason: undefined, body: 'origin saw /ok/h2' })
    expect(await ask('/no')).toMatchObject({ status: 403, reason: 'path_not_listed' })
    session.destroy()
  })
})
