import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { HttpOrigin } from '../../support/http-origin.ts'
import { OpensslCa } from '../../support/openssl-ca.ts'
import { Origin } from '../../support/origin.ts'
import { type ParentConduct, ParentProxy } from '../../support/parent-proxy.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type SquidUnderTest, startSquid } from '../../support/squid.ts'
import { openTls, openTunnel, request } from '../../support/tunnel-client.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function gatewayWith(yaml: string): Promise<TestGateway> {
  const gateway = await startGateway(yaml)
  stops.push(() => gateway.stop())
  return gateway
}

async function parentThat(
  conduct: ParentConduct | ((head: string) => ParentConduct),
  options: Parameters<typeof ParentProxy.start>[1] = {},
): Promise<ParentProxy> {
  const parent = await ParentProxy.start(typeof conduct === 'function' ? conduct : () => conduct, options)
  stops.push(() => parent.stop())
  return parent
}

async function echo(): Promise<Origin> {
  const origin = await Origin.start()
  stops.push(() => origin.stop())
  return origin
}

function newCa(name: string): OpensslCa {
  const ca = new OpensslCa(name)
  stops.push(() => ca.remove())
  return ca
}

/** What the folder of a throwaway CA is good for beside it. */
function passwordFile(ca: OpensslCa, text: string): string {
  const file = join(ca.folder, 'parent-password')
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

const RULE = 'rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]\n'
const upstream = (...urls: string[]) => `upstream: [{ proxy: [${urls.map((url) => `"${url}"`).join(', ')}] }]\n`
const at = ({ port }: { port: number }) => `http://127.0.0.1:${port}`

async function refused(gateway: TestGateway, target = 'echo.test:7'): Promise<string> {
  const client = await RawClient.connect(gateway.port)
  stops.push(() => client.close())
  client.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`)
  return client.answer()
}

async function echoes(gateway: TestGateway, target = 'echo.test:7', text = 'ping'): Promise<RawClient> {
  const client = await openTunnel(gateway.port, target)
  stops.push(() => client.close())
  client.send(text)
  await client.until((received) => received.endsWith(text))
  return client
}

describe('a tunnel through a parent', () => {
  for (const relay of ['auto', 'portable'])
    it(`is opened by name, carries bytes both ways and is told in the audit line (relay ${relay})`, async () => {
      const origin = await echo()
      const parent = await parentThat({ to: origin.port })
      const gateway = await gatewayWith(`relay: ${relay}\n${RULE}${upstream(at(parent))}`)
      const client = await echoes(gateway)
      client.close()
      expect(parent.heads[0]).toMatch(/^CONNECT echo\.test:7 HTTP\/1\.1\r\nHost: echo\.test:7\r\nVia: 1\.1 \S+\r\n\r\n$/)
      const [event] = await gateway.audit()
      const { port } = parent
      expect(event).toMatchObject({ event: 'allow', host: 'echo.test', parentProxy: at(parent), address: `127.0.0.1:${port}` })
      expect(event).toMatchObject({ bytesUp: 4, bytesDown: 4 })
      expect(await gateway.metric(`sallyport_parent_up{proxy="${at(parent)}"}`)).toBe(1)
      expect(await gateway.metric(`sallyport_parent_dials_total{proxy="${at(parent)}",outcome="connected"}`)).toBe(1)
      // `echo.test` has no address anywhere: whoever looked it up here would have failed.
      expect(await gateway.metric('sallyport_dns_lookups_total{outcome="not_found"}')).toBeUndefined()
    })

  for (const relay of ['auto', 'portable'])
    it(`loses nothing of what comes with the 200 (relay ${relay})`, async () => {
      const origin = await echo()
      const parent = await parentThat({ to: origin.port, early: '220 early greeting\r\n' })
      const gateway = await gatewayWith(`relay: ${relay}\n${RULE}${upstream(at(parent))}`)
      const client = await openTunnel(gateway.port, 'echo.test:7')
      stops.push(() => client.close())
      await client.until((text) => text.endsWith('220 early greeting\r\n'))
      client.send('more')
      await client.until((text) => text.endsWith('220 early greeting\r\nmore'))
    })

  it('keeps a half-closed side open until the other is done', async () => {
    const origin = await Origin.start((socket) => {
      socket.resume().once('end', () => socket.end('after the end'))
    })
    stops.push(() => origin.stop())
    const parent = await parentThat({ to: origin.port })
    const gateway = await gatewayWith(RULE + upstream(at(parent)))
    const client = await openTunnel(gateway.port, 'echo.test:7')
    client.socket.end('done')
    await client.until((text) => text.endsWith('after the end'))
    await client.untilClosed()
  })

  it('goes through TLS to the parent, verified by the CA that is named, with credentials', async () => {
    const origin = await echo()
    const ca = newCa('Parent Root')
    const parent = await parentThat({ to: origin.port, early: 'hello ' }, { tls: ca.issue('IP:127.0.0.1') })
    const file = passwordFile(ca, 'gateway:open sesame\n')
    const url = `https://127.0.0.1:${parent.port}`
    const gateway = await gatewayWith(
      `${RULE}upstream: [{ proxy: "${url}", ca: "${ca.certificateFile}", passwordFile: "${file}" }]\n`,
    )
    const client = await echoes(gateway)
    expect(client.text).toMatch(/\r\n\r\nhello ping$/)
    const credentials = Buffer.from('gateway:open sesame').toString('base64')
    expect(parent.heads[0]).toContain(`\r\nProxy-Authorization: Basic ${credentials}\r\n`)
    client.close()
    expect((await gateway.audit())[0]).toMatchObject({ parentProxy: url, bytesUp: 4, bytesDown: 10 })
  })

  it('is not made through a parent whose certificate is not to be believed', async () => {
    const origin = await echo()
    const ca = newCa('Parent Root')
    const other = newCa('Another Root')
    const parent = await parentThat({ to: origin.port }, { tls: ca.issue('IP:127.0.0.1') })
    const gateway = await gatewayWith(
      `${RULE}upstream: [{ proxy: "https://127.0.0.1:${parent.port}", ca: "${other.certificateFile}" }]\n`,
    )
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 502 /)
    expect((await gateway.audit())[0]).toMatchObject({ reason: 'dial_failed', detail: expect.stringContaining('certificate') })
    expect(parent.heads).toEqual([])
    expect(origin.connections).toBe(0)
  })

  it('is not made where the parent answers 403: another parent is not asked, for it would go round the first', async () => {
    const first = await parentThat({ says: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno' })
    const second = await parentThat('silence')
    const gateway = await gatewayWith(RULE + upstream(at(first), at(second)))
    const answer = await refused(gateway)
    expect(answer).toMatch(/^HTTP\/1\.1 502 /)
    expect(answer).toContain('noProxy')
    const [event] = await gateway.audit()
    expect(event).toMatchObject({ event: 'error', reason: 'dial_failed', detail: `${at(first)} answered 403 to CONNECT` })
    expect(second.heads).toEqual([])
    expect(await gateway.metric(`sallyport_parent_up{proxy="${at(first)}"}`)).toBe(1)
  })

  it('says plainly that the parent wants credentials, and never asks the client for them', async () => {
    const parent = await parentThat({
      says: 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    })
    const gateway = await gatewayWith(RULE + upstream(at(parent)))
    const answer = await refused(gateway)
    expect(answer).toMatch(/^HTTP\/1\.1 502 /)
    expect(answer).not.toMatch(/Proxy-Authenticate/i)
    expect(answer).toContain('passwordFile')
    await refused(gateway)
    const told = gateway.log.filter(({ msg }) => msg === 'a parent proxy wants other credentials of the gateway')
    expect(told).toHaveLength(1)
    expect(await gateway.metric(`sallyport_parent_up{proxy="${at(parent)}"}`)).toBe(0)
    expect(await gateway.metric(`sallyport_parent_dials_total{proxy="${at(parent)}",outcome="credentials"}`)).toBe(2)
  })

  it('is given up by the deadline where the parent takes the CONNECT and says nothing', async () => {
    const parent = await parentThat('silence')
    const gateway = await gatewayWith(`limits: { dialSeconds: 0.3 }\n${RULE}${upstream(at(parent))}`)
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 504 /)
    expect((await gateway.audit())[0]).toMatchObject({ reason: 'dial_timeout' })
    // One slow origin is no parent that is down.
    expect(await gateway.metric(`sallyport_parent_up{proxy="${at(parent)}"}`)).toBe(1)
  })

  it('goes to the next parent while the first hangs, within the same deadline', async () => {
    const origin = await echo()
    const hanging = await parentThat('silence')
    const parent = await parentThat({ to: origin.port })
    const gateway = await gatewayWith(`limits: { dialSeconds: 2 }\n${RULE}${upstream(at(hanging), at(parent))}`)
    await echoes(gateway)
    expect(hanging.heads).toHaveLength(1)
  })

  const broken = [
    { does: 'close', says: 'closed the connection instead of answering CONNECT' },
    { does: { says: 'HTTP/1.1 20' }, says: 'did not answer CONNECT in time' },
    { does: { says: 'SSH-2.0-OpenSSH_9.2\r\n' }, says: 'is no proxy: its answer is not HTTP/1' },
    { does: { says: `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(20_000)}` }, says: 'is no proxy: its answer has no end' },
  ] as const
  for (const { does, says } of broken)
    it(`fails, with the parent's fault told: ${says}`, async () => {
      const parent = await parentThat(does)
      const gateway = await gatewayWith(`limits: { dialSeconds: 0.5 }\n${RULE}${upstream(at(parent))}`)
      expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 50[24] /)
      expect((await gateway.audit())[0]).toMatchObject({ event: 'error', detail: `${at(parent)} ${says}` })
    })

  it('fails over from a parent that is down, and lets it alone for a while', async () => {
    const origin = await echo()
    const down = { port: await freePort() }
    const parent = await parentThat({ to: origin.port })
    const gateway = await gatewayWith(RULE + upstream(at(down), at(parent)))
    await echoes(gateway)
    await echoes(gateway)
    expect(await gateway.metric(`sallyport_parent_dials_total{proxy="${at(down)}",outcome="failed"}`)).toBe(1)
    expect(await gateway.metric(`sallyport_parent_dials_total{proxy="${at(parent)}",outcome="connected"}`)).toBe(2)
    expect(await gateway.metric(`sallyport_parent_up{proxy="${at(down)}"}`)).toBe(0)
    expect(gateway.gateway.status()['parents']).toEqual([
      { proxy: at(down), state: 'down' },
      { proxy: at(parent), state: 'up' },
    ])
  })

  it('fails where all are down, says which were tried, and works as soon as one is there', async () => {
    const origin = await echo()
    const ports = [await freePort(), await freePort()]
    const urls = ports.map((port) => at({ port }))
    const gateway = await gatewayWith(RULE + upstream(...urls))
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 502 /)
    const [event] = await gateway.audit()
    expect(event?.reason).toBe('dial_failed')
    for (const url of urls) expect(event?.detail).toContain(`${url} takes no connection`)
    await parentThat({ to: origin.port }, { port: ports[1] ?? 0 })
    await echoes(gateway)
  })

  it('is closed by a reload that changes its way, and stays otherwise', async () => {
    const origin = await echo()
    const parent = await parentThat({ to: origin.port })
    const gateway = await gatewayWith(RULE + upstream(at(parent)))
    const client = await echoes(gateway)
    await gateway.reload(`${RULE}${upstream(at(parent))}metrics: { deniedHosts: 10 }\n`)
    client.send('still')
    await client.until((text) => text.endsWith('still'))
    await gateway.reload(RULE)
    await client.untilClosed()
    expect((await gateway.audit())[0]).toMatchObject({ endedBy: 'policy_changed' })
    expect(await gateway.metric(`sallyport_parent_up{proxy="${at(parent)}"}`)).toBeUndefined()
  })
})

describe('what is vetted where there is a parent', () => {
  it('is an address that the client asks for: a private one stays refused', async () => {
    const parent = await parentThat('silence')
    const gateway = await gatewayWith(`rules: [{ name: net, addresses: ["10.0.0.0/8"], ports: [443] }]\n${upstream(at(parent))}`)
    expect(await refused(gateway, '10.1.2.3:443')).toMatch(/^HTTP\/1\.1 403 /)
    expect((await gateway.audit())[0]).toMatchObject({ reason: 'address_refused' })
    expect(parent.heads).toEqual([])
  })

  it('is a pinned name, which is dialled directly', async () => {
    const origin = await echo()
    const parent = await parentThat('silence')
    const gateway = await gatewayWith(
      `${RULE}${upstream(at(parent))}destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }\n`,
    )
    const client = await echoes(gateway)
    client.close()
    expect(parent.heads).toEqual([])
    expect((await gateway.audit())[0]?.parentProxy).toBeUndefined()
  })

  it("is the parent's own address: the metadata service is none, whatever the name", async () => {
    const gateway = await gatewayWith(
      `${RULE}${upstream('http://parent.test:3128')}destinations: { pin: { parent.test: "169.254.169.254" } }\n`,
    )
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 502 /)
    expect((await gateway.audit())[0]?.detail).toContain('is at 169.254.169.254')
  })

  it("is the parent's own address: one of this gateway's listeners is a loop", async () => {
    const port = await freePort()
    const gateway = await gatewayWith(
      `listen: { proxy: "127.0.0.1:${port}", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\n${RULE}${upstream(`http://parent.test:${port}`)}destinations: { pin: { parent.test: "127.0.0.1" } }\n`,
    )
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 403 /)
    expect((await gateway.audit())[0]).toMatchObject({ reason: 'loop_detected' })
  })
})

describe('what is seen of a request, through a parent', () => {
  it('is forwarded in a tunnel that is kept for the next one', async () => {
    const origin = await HttpOrigin.start((req, res) => res.end(`origin saw ${req.url} for ${req.headers.host}`))
    stops.push(() => origin.stop())
    const parent = await parentThat({ to: origin.port })
    const gateway = await gatewayWith(`rules: [{ name: web, hosts: [web.test] }]\n${upstream(at(parent))}`)
    const client = await RawClient.connect(gateway.port)
    stops.push(() => client.close())
    client.send('GET http://web.test/a HTTP/1.1\r\nHost: web.test\r\nVia: 1.1 before\r\n\r\n')
    await client.until((text) => text.includes('origin saw /a for web.test'))
    client.send('GET http://web.test/b HTTP/1.1\r\nHost: web.test\r\n\r\n')
    await client.until((text) => text.includes('origin saw /b for web.test'))
    expect(parent.heads).toHaveLength(1)
    expect(parent.heads[0]).toMatch(
      /^CONNECT web\.test:80 HTTP\/1\.1\r\nHost: web\.test:80\r\nVia: 1\.1 before, 1\.1 \S+\r\n\r\n$/,
    )
    for (const event of await gateway.audit(2)) expect(event).toMatchObject({ kind: 'forward', parentProxy: at(parent) })
  })

  for (const scheme of ['http', 'https'] as const)
    it(`is inspected, with the origin's TLS verified inside the tunnel (parent in ${scheme})`, async () => {
      const [ca, originCa, parentCa] = [newCa('Inspection Root'), newCa('Origin Root'), newCa('Parent Root')]
      const tls = originCa.issue('DNS:paths.test')
      const origin = await HttpOrigin.start((req, res) => res.end(`origin saw ${req.url}`), { tls })
      stops.push(() => origin.stop())
      const parent = await parentThat({ to: origin.port }, scheme === 'https' ? { tls: parentCa.issue('IP:127.0.0.1') } : {})
      const url = `${scheme}://127.0.0.1:${parent.port}`
      const believed = scheme === 'https' ? `, ca: "${parentCa.certificateFile}"` : ''
      const gateway = await gatewayWith(`
rules: [{ name: paths, hosts: [paths.test, wrong.test], paths: ["/ok/*"] }]
upstream: [{ proxy: "${url}"${believed} }]
inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}", upstreamCa: ["${originCa.certificateFile}"] }
`)
      const secure = await openTls(gateway.port, 'paths.test:443', { ca: ca.pem })
      expect(await request(secure, 'GET /ok/1 HTTP/1.1\r\nHost: paths.test\r\n\r\n')).toContain('origin saw /ok/1')
      expect(await request(secure, 'GET /no HTTP/1.1\r\nHost: paths.test\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /)
      secure.destroy()
      const [event] = await gateway.audit(1, ({ kind, event }) => kind === 'inspected' && event === 'allow')
      expect(event).toMatchObject({ parentProxy: url })
      const wrong = await openTls(gateway.port, 'wrong.test:443', { ca: ca.pem })
      expect(await request(wrong, 'GET /ok/2 HTTP/1.1\r\nHost: wrong.test\r\n\r\n')).toMatch(/^HTTP\/1\.1 502 /)
      wrong.destroy()
    })
})

describe('gateways in a chain', () => {
  async function squidBefore(next: number): Promise<SquidUnderTest> {
    const squid = await startSquid('http_access allow all\n', {}, next)
    stops.push(() => squid.stop())
    return squid
  }

  it('open tunnels and forward requests through Squid to the last, which dials', async () => {
    const origin = await echo()
    const web = await HttpOrigin.start((req, res) => res.end(`origin saw ${req.url}`))
    stops.push(() => web.stop())
    const rules = 'rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }, { name: web, hosts: [web.test] }]\n'
    const last = await gatewayWith(
      `${rules}destinations: { pin: { echo.test: "127.0.0.1:${origin.port}", web.test: "127.0.0.1:${web.port}" } }\n`,
    )
    const squid = await squidBefore(last.port)
    const first = await gatewayWith(rules + upstream(at(squid)))
    const client = await echoes(first)
    client.close()
    const plain = await RawClient.connect(first.port)
    plain.send('GET http://web.test/x HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n')
    await plain.until((text) => text.includes('origin saw /x'))
    plain.close()
    expect((await first.audit(1, ({ kind }) => kind === 'connect'))[0]).toMatchObject({ parentProxy: at(squid), bytesUp: 4 })
    const [event] = await last.audit(1, ({ host }) => host === 'echo.test')
    expect(event).toMatchObject({ event: 'allow', kind: 'connect', bytesUp: 4 })
  })

  it('refuse what would go round for ever: a gateway whose parent leads back to it', async () => {
    const gateway = await gatewayWith(RULE)
    const squid = await squidBefore(gateway.port)
    await gateway.reload(RULE + upstream(at(squid)))
    expect(await refused(gateway)).toMatch(/^HTTP\/1\.1 502 /)
    const events = await gateway.audit(2)
    expect(events.map(({ reason }) => reason).sort()).toEqual(['dial_failed', 'loop_detected'])
    expect(events).toHaveLength(2)
  })
})
