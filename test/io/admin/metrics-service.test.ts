import { Counter, Registry } from 'prom-client'
import supertest from 'supertest'
import { describe, expect, it } from 'vitest'
import { createMetricsService } from '../../../src/io/admin/metrics-service.ts'

const registry = new Registry()
new Counter({ name: 'probe_total', help: 'A probe', registers: [registry] }).inc(3)

const serve = (ready = true) =>
  createMetricsService(registry, () => ({ ready, lines: [ready ? 'ready' : 'draining', 'policy 0123, enforce, 26 entries'] }))
    .server

const ROUTES = ['/metrics', '/livez', '/readyz'] as const

describe('the metrics listener', () => {
  it('serves the metrics in the format of Prometheus', async () => {
    const { status, text, headers } = await supertest(serve()).get('/metrics')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toBe('# HELP probe_total A probe\n# TYPE probe_total counter\nprobe_total 3\n')
  })

  it('is alive as long as it answers, draining or not', async () => {
    for (const ready of [true, false]) {
      const { status, text } = await supertest(serve(ready)).get('/livez')
      expect([status, text]).toEqual([200, 'ok\n'])
    }
  })

  it('is ready, or not, with the policy in force', async () => {
    const serving = await supertest(serve()).get('/readyz')
    expect([serving.status, serving.text]).toEqual([200, 'ready\npolicy 0123, enforce, 26 entries\n'])
    const draining = await supertest(serve(false)).get('/readyz')
    expect([draining.status, draining.text]).toEqual([503, 'draining\npolicy 0123, enforce, 26 entries\n'])
  })

  it('ignores a query, as scrapers add one', async () => {
    expect((await supertest(serve()).get('/livez?from=probe')).status).toBe(200)
  })

  for (const path of ROUTES) {
    it(`answers HEAD of ${path} with the same head and no body`, async () => {
      const service = serve()
      const get = await supertest(service).get(path)
      const head = await supertest(service).head(path)
      expect(head.status).toBe(get.status)
      expect(head.headers['content-length']).toBe(get.headers['content-length'])
      expect(head.text ?? '').toBe('')
    })

    it(`answers POST to ${path} with 405 and the methods there are`, async () => {
      const { status, headers } = await supertest(serve()).post(path)
      expect(status).toBe(405)
      expect(headers['allow']).toBe('GET, HEAD')
    })
  }

  for (const path of ['/', '/metrics/', '/api/v1/status', '//livez', '/%6civez', '/livez/..', '/METRICS']) {
    it(`has nothing at ${path}`, async () => {
      const { status, text } = await supertest(serve()).get(path)
      expect([status, text]).toEqual([404, 'there is /metrics, /livez and /readyz\n'])
    })
  }

  it('lets nothing be cached, framed, sniffed or run', async () => {
    for (const path of [...ROUTES, '/nothing']) {
      const { headers } = await supertest(serve()).get(path)
      expect(headers, path).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
      })
      expect(Object.keys(headers)).not.toContain('x-powered-by')
    }
  })

  it('is scraped under any Host: Prometheus uses whatever name its configuration has', async () => {
    const { status } = await supertest(serve()).get('/metrics').set('Host', 'gateway.monitoring.svc')
    expect(status).toBe(200)
  })
})
