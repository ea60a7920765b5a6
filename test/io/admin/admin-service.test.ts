import supertest from 'supertest'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { exchangeRaw, RawClient } from '../../support/raw-client.ts'

const ROUTES = ['status', 'entries', 'denials', 'explain?target=pypi.org', 'tunnels'].map((name) => `/api/v1/${name}`)

describe('the admin API', () => {
  let gateway: TestGateway
  let origin: Origin
  let tunnel: RawClient
  let api: ReturnType<typeof supertest>

  beforeAll(async () => {
    origin = await Origin.start()
    gateway = await startGateway(`
rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }
`)
    api = supertest(`http://127.0.0.1:${gateway.adminPort}`)
    tunnel = await RawClient.connect(gateway.port)
    tunnel.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\nhello')
    await tunnel.until((text) => text.endsWith('hello'))
    for (const host of ['first.example', 'second.example', 'first.example'])
      await exchangeRaw(gateway.port, `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`)
  })

  afterAll(async () => {
    tunnel?.close()
    await gateway?.stop()
    await origin?.stop()
  })

  it('says what is running, where and with which policy', async () => {
    const { status, body } = await api.get('/api/v1/status')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      node: process.version,
      phase: 'serving',
      listeners: {
        proxy: `127.0.0.1:${gateway.port}`,
        metrics: `127.0.0.1:${gateway.metricsPort}`,
        admin: `127.0.0.1:${gateway.adminPort}`,
      },
      policy: {
        mode: 'enforce',
        cloud: 'public',
        editions: ['2021-07-29', '2026-03-19'],
        hash: expect.stringMatching(/^[0-9a-f]{12}$/),
      },
      tunnels: { open: 1, limit: 20_000 },
    })
    expect(Date.parse(body.startedAt)).toBeLessThanOrEqual(Date.now())
  })

  it('lists the entries in force, rules and documented rows', async () => {
    const { body } = await api.get('/api/v1/entries')
    const { entries } = body as { entries: { id: string }[] }
    expect(entries.find(({ id }) => id === 'rule/echo')).toMatchObject({
      origin: 'rule',
      action: 'allow',
      patterns: [{ host: 'echo.test', ports: [7], protocol: 'any' }],
    })
    expect(entries.find(({ id }) => id === '2021-07-29/python/pypi.org')).toMatchObject({
      feature: 'python',
      tenancy: 'any',
      patterns: [{ host: 'pypi.org', ports: [80, 443] }],
      source: { edition: '2021-07-29', lines: [135, 239] },
    })
  })

  it('lists what was refused, the latest first, the same ones counted together', async () => {
    const { body } = await api.get('/api/v1/denials')
    const { denials } = body as { denials: { host: string; count: number }[] }
    expect(denials.map(({ host, count }) => `${host} ${count}`)).toEqual(['first.example 2', 'second.example 1'])
    expect(denials[0]).toMatchObject({
      port: 443,
      reason: 'host_not_listed',
      verdict: 'deny',
      client: '127.0.0.1',
      hint: expect.stringContaining('hosts: [first.example]'),
    })
  })

  it('lists the open tunnels with what they have carried so far', async () => {
    const { body } = await api.get('/api/v1/tunnels')
    expect(body).toMatchObject({
      open: 1,
      tunnels: [
        { listener: 'proxy', client: '127.0.0.1', host: 'echo.test', port: 7, entry: 'rule/echo', bytesUp: 5, bytesDown: 5 },
      ],
    })
  })

  describe('explains', () => {
    const ask = async (query: Record<string, string>) => (await api.get('/api/v1/explain').query(query)).body

    it('what is allowed, and by which entry', async () => {
      expect(await ask({ target: 'pypi.org:443' })).toMatchObject({
        verdict: 'allow',
        host: 'pypi.org',
        port: 443,
        entry: { id: '2021-07-29/python/pypi.org' },
      })
    })

    it('what is denied, and what would allow it', async () => {
      expect(await ask({ target: 'https://shop.example/' })).toMatchObject({
        verdict: 'deny',
        reason: 'host_not_listed',
        hint: expect.stringContaining('hosts: [shop.example]'),
        remedy: { kind: 'rule' },
      })
    })

    it('a URL with its method', async () => {
      const target = 'http://raw.githubusercontent.com/elsewhere'
      expect(await ask({ target, method: 'POST' })).toMatchObject({ verdict: 'deny', reason: 'path_not_listed' })
    })

    it('nothing without a target that can be read: 400 and why', async () => {
      for (const query of [{}, { target: 'ftp://pypi.org/' }, { target: 'a b' }]) {
        const { status, body } = await api.get('/api/v1/explain').query(query)
        expect(status, JSON.stringify(query)).toBe(400)
        expect(body.error).toBeTypeOf('string')
      }
    })
  })

  for (const path of [
    '/',
    '/api',
    '/api/v1',
    '/api/v1/',
    '/api/v1/nothing',
    '/api/v2/status',
    '/api/v1/status/',
    '/metrics',
    '//x',
  ]) {
    it(`has nothing at ${path}`, async () => {
      const { status, body } = await api.get(path)
      expect(status).toBe(404)
      expect(body.error).toContain('/api/v1/')
    })
  }

  for (const target of [
    '/\\',
    '/\\evil.example/api/v1/status',
    '//evil.example/api/v1/status',
    '*',
    'http://127.0.0.1/api/v1/status',
  ]) {
    it(`has nothing for the target ${target}`, async () => {
      const request = `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`
      expect(await exchangeRaw(gateway.adminPort, request)).toMatch(/^HTTP\/1\.1 404 /)
      expect(await exchangeRaw(gateway.metricsPort, request)).toMatch(/^HTTP\/1\.1 404 /)
    })
  }

  for (const path of ROUTES) {
    it(`changes nothing: ${path} takes GET and HEAD alone`, async () => {
      for (const method of ['post', 'put', 'delete', 'patch', 'options'] as const) {
        const { status, headers } = await api[method](path)
        expect([status, headers['allow']], method).toEqual([405, 'GET, HEAD'])
      }
      const head = await api.head(path)
      expect(head.status).toBe(200)
      expect(Number(head.headers['content-length'])).toBeGreaterThan(2)
      expect(head.text ?? '').toBe('')
    })

    it(`answers ${path} with JSON that is not cached, framed, sniffed or run`, async () => {
      const { headers } = await api.get(path)
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
      })
      expect(headers['access-control-allow-origin']).toBeUndefined()
    })
  }

  describe('is asked by', () => {
    const cases = [
      { host: '127.0.0.1:9465', status: 200, because: 'an address cannot be rebound' },
      { host: '10.0.0.4', status: 200, because: 'any address will do' },
      { host: '[::1]:9465', status: 200, because: 'so is one of IPv6' },
      { host: 'localhost:9465', status: 200, because: 'it always means this host' },
      { host: 'LocalHost', status: 200, because: 'case does not count' },
      { host: 'gateway.example', status: 421, because: 'a name can be made to lead here (DNS rebinding)' },
      { host: 'localhost.evil.example', status: 421, because: 'names are compared whole' },
      { host: '127.0.0.1.evil.example', status: 421, because: 'so are addresses' },
      { host: '127.1', status: 421, because: 'a short address is none' },
      { host: '2130706433', status: 421, because: 'nor is a number' },
      { host: 'a@127.0.0.1', status: 421, because: 'userinfo has no place there' },
    ] as const
    for (const { host, status, because } of cases) {
      it(`${host}: ${status}, ${because}`, async () => {
        expect((await api.get('/api/v1/status').set('Host', host)).status).toBe(status)
      })
    }

    it('nobody without a Host', async () => {
      expect(await exchangeRaw(gateway.adminPort, 'GET /api/v1/status HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
      expect(await exchangeRaw(gateway.adminPort, 'GET /api/v1/status HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /)
    })
  })
})
