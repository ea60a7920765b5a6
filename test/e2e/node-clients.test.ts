import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ProxyAgent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'

describeWith(['openssl'], () => {
  let ca: OpensslCa
  let secure: HttpOrigin
  let plain: HttpOrigin
  let gateway: ProgramUnderTest

  beforeAll(async () => {
    ca = new OpensslCa()
    secure = await HttpOrigin.start((req, res) => res.end(`over TLS ${req.url}`), {
      tls: ca.issue('DNS:pypi.org,DNS:x.azureml.ms'),
    })
    plain = await HttpOrigin.start((req, res) => res.end(`plain ${req.url}`))
    for (const { server } of [secure, plain]) {
      const sockets = new WebSocketServer({ server, path: '/socket' })
      sockets.on('connection', (socket) => {
        socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }))
      })
    }
    gateway = await startProgram(`
destinations:
  pin:
    pypi.org: "127.0.0.1:${secure.port}"
    x.azureml.ms: "127.0.0.1:${secure.port}"
    y.azureml.ms: "127.0.0.1:${plain.port}"
    denied.example: "127.0.0.1:${plain.port}"
`)
  })

  afterAll(async () => {
    await gateway?.stop()
    await Promise.all([secure, plain].map((origin) => origin?.stop()))
    ca?.remove()
  })

  describe('undici', () => {
    let agent: ProxyAgent

    beforeAll(() => {
      agent = new ProxyAgent({ uri: gateway.proxyUrl, requestTls: { ca: ca.pem } })
    })
    afterAll(() => agent?.close())

    it('fetches over HTTPS, and over plain HTTP in a tunnel to port 80', async () => {
      const overTls = await request('https://pypi.org/simple/', { dispatcher: agent })
      expect(await overTls.body.text()).toBe('over TLS /simple/')
      const inTunnel = await request('http://y.azureml.ms/history', { dispatcher: agent })
      expect(await inTunnel.body.text()).toBe('plain /history')
      await gateway.audit({ kind: 'forward', host: 'y.azureml.ms', path: '/history', event: 'allow' })
      const labels = 'entry="2021-07-29/python/pypi.org",feature="python"'
      expect(await gateway.metric(`sallyport_entry_hits_total{${labels}}`)).toBe(1)
    })

    it('forwards plain HTTP in absolute form', async () => {
      const forwarding = new ProxyAgent({ uri: gateway.proxyUrl, proxyTunnel: false })
      try {
        for (const path of ['/a', '/b']) {
          const { body } = await request(`http://y.azureml.ms${path}`, { dispatcher: forwarding })
          expect(await body.text()).toBe(`plain ${path}`)
        }
        const [event] = await gateway.audit({ kind: 'forward', path: '/b' })
        expect(event).toMatchObject({ host: 'y.azureml.ms', event: 'allow' })
        expect(event?.parent).toBeUndefined()
      } finally {
        await forwarding.close()
      }
    })

    it('is refused an unlisted host', async () => {
      await expect(request('https://undici.example/', { dispatcher: agent })).rejects.toThrow(/403/)
      await gateway.audit({ kind: 'connect', host: 'undici.example', event: 'deny', reason: 'host_not_listed' })
      const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="undici.example"'
      expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBe(1)
    })

    it('is answered 421 for another host on a connection made for one', async () => {
      const socket = await tunnel('y.azureml.ms', 80)
      const req = httpRequest('http://denied.example/', { createConnection: () => socket })
      const res = await new Promise<IncomingMessage>((resolve, reject) => req.on('response', resolve).on('error', reject).end())
      expect({ status: res.statusCode, reason: res.headers['sallyport-reason'] }).toEqual({
        status: 421,
        reason: 'host_mismatch',
      })
      res.resume()
      await gateway.audit({ kind: 'forward', reason: 'host_mismatch' })
      expect(plain.requests.every((req) => req.headers.host !== 'denied.example')).toBe(true)
    })
  })

  describe('ws', () => {
    it('opens a wss: socket through CONNECT', async () => {
      const socket = await tunnel('x.azureml.ms', 443)
      const client = new WebSocket('wss://x.azureml.ms/socket', {
        createConnection: () => connectTls({ socket, servername: 'x.azureml.ms', ca: ca.pem }),
      })
      expect(await echoed(client, 'inside TLS')).toBe('inside TLS')
      await closed(client)
      const [event] = await gateway.audit({ kind: 'connect', host: 'x.azureml.ms' })
      expect(event).toMatchObject({ event: 'allow', entry: '2021-07-29/studio/api' })
    })

    it('is refused a wss: socket to an unlisted host before any of it', async () => {
      await expect(tunnel('wss.example', 443)).rejects.toThrow('403 host_not_listed')
      await gateway.audit({ kind: 'connect', host: 'wss.example', event: 'deny' })
    })

    it('upgrades a ws: request that is sent to the proxy in absolute form', async () => {
      const client = viaProxy('ws://y.azureml.ms/socket?a=1')
      expect(await echoed(client, 'in the clear')).toBe('in the clear')
      const large = 'x'.repeat(1_000_000)
      expect(await echoed(client, large)).toBe(large)
      await waitFor(async () => ((await gateway.metric('sallyport_tunnels_open')) === 1 ? true : undefined), 'one open tunnel')
      await closed(client)
      const [event] = await gateway.audit({ kind: 'websocket', host: 'y.azureml.ms' })
      expect(event).toMatchObject({ event: 'allow', path: '/socket', method: 'GET', entry: '2021-07-29/studio/api', port: 80 })
      expect(event?.bytesUp).toBeGreaterThan(1_000_000)
      const labels = 'listener="proxy",kind="websocket",verdict="allow",reason=""'
      expect(await gateway.metric(`sallyport_requests_total{${labels}}`)).toBe(1)
    })

    it('upgrades inside a tunnel to port 80', async () => {
      const socket = await tunnel('y.azureml.ms', 80)
      const client = new WebSocket('ws://y.azureml.ms/socket', { createConnection: () => socket })
      expect(await echoed(client, 'nested')).toBe('nested')
      await closed(client)
      const events = await gateway.audit({ kind: 'websocket', host: 'y.azureml.ms' }, 2)
      expect(events.some(({ parent }) => parent !== undefined)).toBe(true)
    })

    it('is refused a ws: socket to an unlisted host, with the reason', async () => {
      const upgrades = plain.connections
      const client = viaProxy('ws://denied.example/socket')
      const answer = await new Promise<{ status: number | undefined; reason: unknown }>((resolve, reject) => {
        client.on('unexpected-response', (req, res) => {
          resolve({ status: res.statusCode, reason: res.headers['sallyport-reason'] })
          req.destroy()
        })
        client.on('open', () => reject(new Error('it opened')))
        client.on('error', () => {})
      })
      expect(answer).toEqual({ status: 403, reason: 'host_not_listed' })
      await gateway.audit({ kind: 'websocket', host: 'denied.example', event: 'deny', reason: 'host_not_listed' })
      expect(plain.connections).toBe(upgrades)
    })

    it('gets the answer of an origin that does not upgrade', async () => {
      const client = viaProxy('ws://y.azureml.ms/elsewhere')
      const status = await new Promise<number | undefined>((resolve) => {
        client.on('unexpected-response', (req, res) => {
          resolve(res.statusCode)
          req.destroy()
        })
        client.on('error', () => {})
      })
      expect(status).toBe(400)
    })
  })

  /** A connection through the gateway, as an agent for proxies makes it. */
  function tunnel(host: string, port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const authority = `${host}:${port}`
      const req = httpRequest({
        port: gateway.port('proxy'),
        method: 'CONNECT',
        path: authority,
        headers: { Host: authority },
        agent: false,
      })
      req.on('connect', (res, socket) => {
        if (res.statusCode === 200) return resolve(socket)
        socket.destroy()
        reject(new Error(`${res.statusCode} ${res.statusMessage}`))
      })
      req.on('error', reject)
      req.end()
    })
  }

  /** A client that connects to the proxy and names the whole URL in its request line. */
  function viaProxy(url: string): WebSocket {
    const { host, hostname, pathname, search } = new URL(url)
    return new WebSocket(`ws://127.0.0.1:${gateway.port('proxy')}`, {
      headers: { Host: host },
      finishRequest: (req) => {
        req.path = `http://${hostname}${pathname}${search}`
        req.end()
      },
    })
  }
})

async function echoed(client: WebSocket, text: string): Promise<string> {
  if (client.readyState !== WebSocket.OPEN) {
    await new Promise((resolve, reject) => {
      client.once('open', resolve)
      client.once('error', reject)
    })
  }
  return new Promise((resolve) => {
    client.once('message', (message) => resolve(String(message)))
    client.send(text)
  })
}

function closed(client: WebSocket): Promise<unknown> {
  const done = new Promise((resolve) => client.once('close', resolve))
  client.close()
  return done
}
