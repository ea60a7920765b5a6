import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { configSchema } from '../../src/core/config.ts'
import { LIMIT_HITS } from '../../src/io/telemetry/limit-hits.ts'
import { DnsServer } from '../support/dns-server.ts'
import { type TestGateway, waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'
import { type InspectionLab, inspected, startInspectionLab } from './inspection-lab.ts'
import { type LabOptions, startLab } from './lab.ts'

/**
 * Every limit and deadline there is: its default, its unit, the metric that counts it, and how it is reached here. One that is added
 * to the config without a row fails the first test.
 */
interface Row {
  readonly default: number
  readonly unit: 'seconds' | 'ms' | 'bytes' | 'count'
  readonly metric: string
  /** Brings it to bear once. */
  readonly reach: () => Promise<void>
}

const left: (() => Promise<void> | void)[] = []
let gateway: TestGateway

afterEach(async () => {
  for (const clear of left.splice(0).reverse()) await clear()
})

const CONNECT = (authority: string) => `CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`
const get = (host: string, fields = '') => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`

async function lab(config: string, options: LabOptions = {}): Promise<void> {
  const started = await startLab({ ...options, config })
  gateway = started.gateway
  left.push(() => started.stop())
}

async function inspectionLab(config: string, inspection = ''): Promise<InspectionLab> {
  const started = await startInspectionLab({ config, inspection })
  gateway = started.gateway
  left.push(() => started.stop())
  return started
}

async function client(bytes = ''): Promise<RawClient> {
  const opened = await RawClient.connect(gateway.port)
  left.push(() => opened.close())
  if (bytes !== '') opened.send(bytes)
  return opened
}

async function tunnel(authority = 'allowed.test:7'): Promise<RawClient> {
  const opened = await client(CONNECT(authority))
  await opened.until((text) => text.startsWith('HTTP/1.1 200 ') && text.endsWith('\r\n\r\n'))
  return opened
}

/** At the limit new work is refused with a word on when to come again, and what is open goes on. */
async function refused(status: number, open: RawClient, bytes = CONNECT('allowed.test:7')): Promise<void> {
  const answer = await exchangeRaw(gateway.port, bytes)
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} (client_limit|gateway_full)\\r\\n`))
  expect(answer).toMatch(/\r\nRetry-After: \d+\r\n/i)
  open.send('goes on')
  await open.until((text) => text.endsWith('goes on'))
}

/** A request that the gateway answers, with the connection kept. */
async function asked(host: string): Promise<void> {
  const opened = await client(get(host))
  await opened.answer()
}

async function silentDns(config: string, dialSeconds: number): Promise<void> {
  const dns = await DnsServer.start(() => ({ kind: 'silence' }))
  left.push(() => dns.stop())
  await lab(`dns: { servers: ["${dns.address}"], ${config} }\nlimits: { dialSeconds: ${dialSeconds} }`, {
    rules: ['{ name: looked-up, hosts: ["*.looked-up.test"] }'],
  })
}

async function answeredWith(status: number, bytes: string): Promise<void> {
  const opened = await client(bytes)
  await opened.answer()
  expect(readAnswers(opened.text, [], false)[0]?.status).toBe(status)
}

const echo = async () => ({ origin: await Origin.start() })
const silent = async () => ({ origin: await Origin.start(() => {}) })
const hit = (label: keyof typeof LIMIT_HITS) => `sallyport_limit_hits_total{limit="${label}"}`

const ROWS: Readonly<Record<string, Row>> = {
  'limits.connections': {
    default: 25_000,
    unit: 'count',
    metric: hit('connections'),
    reach: async () => {
      await lab('limits: { connections: 1 }', await echo())
      const open = await tunnel()
      const dropped = await RawClient.connect(gateway.port)
      await dropped.untilClosed()
      dropped.close()
      open.send('goes on')
      await open.until((text) => text.endsWith('goes on'))
    },
  },
  'limits.tunnels': {
    default: 20_000,
    unit: 'count',
    metric: hit('tunnels'),
    reach: async () => {
      await lab('limits: { tunnels: 1 }', await echo())
      await refused(503, await tunnel())
    },
  },
  'limits.tunnelsPerClient': {
    default: 2_000,
    unit: 'count',
    metric: hit('tunnels_per_client'),
    reach: async () => {
      await lab('limits: { tunnelsPerClient: 1 }', await echo())
      await refused(429, await tunnel())
    },
  },
  'limits.inspectedTunnels': {
    default: 5_000,
    unit: 'count',
    metric: hit('inspected_tunnels'),
    reach: async () => {
      const there = await inspectionLab('limits: { inspectedTunnels: 1 }')
      const open = await inspected(there)
      left.push(() => void open.destroy())
      const answer = await exchangeRaw(gateway.port, CONNECT('paths.test:443'))
      expect(answer).toMatch(/^HTTP\/1\.1 503 gateway_full\r\n/)
      expect(answer).toMatch(/\r\nRetry-After: \d+\r\n/i)
      // What is not looked into takes none of those places, and the one that is open goes on.
      await tunnel('whole.test:443')
      const received = new Promise<string>((resolve) => open.once('data', (chunk: Buffer) => resolve(chunk.toString())))
      open.write('GET /team/x HTTP/1.1\r\nHost: paths.test\r\n\r\n')
      expect(await received).toMatch(/^HTTP\/1\.1 200 /)
      open.destroy()
      await waitFor(async () => {
        const again = await client(CONNECT('paths.test:443'))
        return (await again.until((text) => text.includes('\r\n\r\n'))).startsWith('HTTP/1.1 200 ') ? true : undefined
      }, 'the place to be free again')
    },
  },
  'limits.requestsPerSecondPerClient': {
    default: 200,
    unit: 'count',
    metric: hit('requests_per_second_per_client'),
    reach: async () => {
      await lab('limits: { requestsPerSecondPerClient: 1 }', await echo())
      const open = await tunnel()
      await exchangeRaw(gateway.port, CONNECT('denied.test:443'))
      await refused(429, open)
    },
  },
  'audit.bufferBytes': {
    default: 8_388_608,
    unit: 'bytes',
    metric: hit('audit_buffer'),
    reach: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'sallyport-limits-'))
      execFileSync('mkfifo', [join(folder, 'pipe')])
      const unread = openSync(join(folder, 'pipe'), constants.O_RDONLY | constants.O_NONBLOCK)
      left.push(() => {
        closeSync(unread)
        rmSync(folder, { recursive: true })
      })
      await lab(`audit: { file: "${join(folder, 'pipe')}", bufferBytes: 4096, onFailure: deny }`, await echo())
      const open = await tunnel()
      await waitFor(async () => {
        const answer = await exchangeRaw(gateway.port, CONNECT('denied.test:443'))
        return answer.startsWith('HTTP/1.1 503 ') ? true : undefined
      }, 'a full buffer')
      await refused(503, open)
    },
  },
  'limits.headSeconds': {
    default: 10,
    unit: 'seconds',
    metric: hit('head_seconds'),
    reach: async () => {
      await lab('limits: { headSeconds: 0.3 }')
      await answeredWith(408, 'GET http://allowed.test/ HTTP/1.1\r\n')
    },
  },
  'limits.openingSeconds': {
    default: 10,
    unit: 'seconds',
    metric: hit('opening_seconds'),
    reach: async () => {
      await inspectionLab('limits: { openingSeconds: 0.3 }')
      await (await tunnel('whole.test:443')).untilClosed()
    },
  },
  'limits.dialSeconds': {
    default: 10,
    unit: 'seconds',
    metric: hit('dial_seconds'),
    reach: async () => {
      await silentDns('timeoutMs: 5000', 0.4)
      await answeredWith(504, CONNECT('a.looked-up.test:443'))
    },
  },
  'limits.originSeconds': {
    default: 300,
    unit: 'seconds',
    metric: hit('origin_seconds'),
    reach: async () => {
      await lab('limits: { originSeconds: 0.3 }', await silent())
      await answeredWith(504, get('allowed.test'))
    },
  },
  'limits.tunnelIdleSeconds': {
    default: 3600,
    unit: 'seconds',
    metric: hit('tunnel_idle_seconds'),
    reach: async () => {
      await lab('limits: { tunnelIdleSeconds: 0.3 }', await silent())
      await (await tunnel()).untilClosed()
    },
  },
  'limits.tunnelLifetimeSeconds': {
    default: 0,
    unit: 'seconds',
    metric: hit('tunnel_lifetime_seconds'),
    reach: async () => {
      await lab('limits: { tunnelLifetimeSeconds: 0.3 }', await silent())
      await (await tunnel()).untilClosed()
    },
  },
  'limits.keepAliveSeconds': {
    default: 60,
    unit: 'seconds',
    metric: hit('keep_alive_seconds'),
    reach: async () => {
      await lab('limits: { keepAliveSeconds: 0.3 }')
      const opened = await client(get('allowed.test'))
      expect(await opened.untilClosed()).toMatch(/^HTTP\/1\.1 200 /)
    },
  },
  'limits.originKeepAliveSeconds': {
    default: 15,
    unit: 'seconds',
    metric: hit('origin_keep_alive_seconds'),
    reach: async () => {
      await lab('limits: { originKeepAliveSeconds: 0.2 }')
      await asked('allowed.test')
    },
  },
  'limits.originIdleConnections': {
    default: 2_048,
    unit: 'count',
    metric: hit('origin_idle_connections'),
    reach: async () => {
      await lab('limits: { originIdleConnections: 1 }')
      await asked('allowed.test')
      await asked('1password.test')
      await waitFor(
        async () => ((await gateway.metric('sallyport_origin_connections_idle')) === 1 ? true : undefined),
        'one idle connection',
      )
    },
  },
  'limits.originIdleConnectionsPerOrigin': {
    default: 128,
    unit: 'count',
    metric: hit('origin_idle_connections_per_origin'),
    reach: async () => {
      const waiting: (() => void)[] = []
      const origin = await Origin.start((socket) => {
        socket.on('data', () => {
          waiting.push(() => socket.write(httpAnswer('fine')))
          if (waiting.length === 2) for (const answer of waiting.splice(0)) answer()
        })
      })
      await lab('limits: { originIdleConnectionsPerOrigin: 1 }', { origin })
      await Promise.all([asked('allowed.test'), asked('allowed.test')])
      await waitFor(
        async () => ((await gateway.metric('sallyport_origin_connections_idle')) === 1 ? true : undefined),
        'one idle connection',
      )
    },
  },
  'limits.drainSeconds': {
    default: 300,
    unit: 'seconds',
    metric: hit('drain_seconds'),
    reach: async () => {
      await lab('limits: { drainSeconds: 0.2 }', await silent())
      await tunnel()
      await gateway.gateway.drain()
    },
  },
  'limits.headBytes': {
    default: 16_384,
    unit: 'bytes',
    metric: hit('head_bytes'),
    reach: async () => {
      await lab('limits: { headBytes: 1024 }')
      await answeredWith(431, get('allowed.test', `A: ${'x'.repeat(1100)}\r\n`))
    },
  },
  'limits.headFields': {
    default: 200,
    unit: 'count',
    metric: hit('head_fields'),
    reach: async () => {
      await lab('limits: { headFields: 3 }')
      await answeredWith(431, get('allowed.test', 'A: b\r\nC: d\r\nE: f\r\n'))
    },
  },
  'limits.targetBytes': {
    default: 8_192,
    unit: 'bytes',
    metric: hit('target_bytes'),
    reach: async () => {
      await lab('limits: { targetBytes: 1024 }')
      await answeredWith(414, `GET http://allowed.test/${'x'.repeat(1100)} HTTP/1.1\r\nHost: allowed.test\r\n\r\n`)
    },
  },
  'limits.heldBytes': {
    default: 131_072,
    unit: 'bytes',
    metric: hit('held_bytes'),
    reach: async () => {
      await inspectionLab('limits: { heldBytes: 1024 }')
      const opened = await tunnel('whole.test:443')
      // The beginning of a ClientHello of 16 KiB.
      opened.send(Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]), Buffer.alloc(2_000)]))
      await opened.untilClosed()
    },
  },
  'limits.eventLoopStallMs': {
    default: 500,
    unit: 'ms',
    metric: 'sallyport_event_loop_stalls_total',
    reach: async () => {
      await lab('limits: { eventLoopStallMs: 100 }')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
      const told = await waitFor(
        () => gateway.log.find(({ msg }) => String(msg).startsWith('the process stood still')),
        'the line in the log',
      )
      expect(told['durationMs']).toBeGreaterThanOrEqual(100)
    },
  },
  'dns.timeoutMs': {
    default: 2_000,
    unit: 'ms',
    metric: hit('dns_timeout'),
    reach: async () => {
      await silentDns('timeoutMs: 50', 8)
      await answeredWith(502, CONNECT('a.looked-up.test:443'))
    },
  },
  'dns.cacheEntries': {
    default: 10_000,
    unit: 'count',
    metric: hit('dns_cache_entries'),
    reach: async () => {
      const dns = await DnsServer.of({ 'a.looked-up.test': ['10.0.0.1'], 'b.looked-up.test': ['10.0.0.2'] })
      left.push(() => dns.stop())
      await lab(`dns: { servers: ["${dns.address}"], cacheEntries: 1 }`, {
        rules: ['{ name: looked-up, hosts: ["*.looked-up.test"] }'],
      })
      await answeredWith(403, CONNECT('a.looked-up.test:443'))
      await answeredWith(403, CONNECT('b.looked-up.test:443'))
    },
  },
  'inspection.certificates': {
    default: 1_000,
    unit: 'count',
    metric: hit('certificates'),
    reach: async () => {
      const there = await inspectionLab('', '  certificates: 1')
      for (const host of ['paths.test', 'always.test']) (await inspected(there, host)).destroy()
    },
  },
  'metrics.deniedHosts': {
    default: 200,
    unit: 'count',
    metric: hit('denied_hosts'),
    reach: async () => {
      await lab('metrics: { deniedHosts: 4 }')
      await answeredWith(403, CONNECT('one.test:443'))
      await answeredWith(403, CONNECT('two.test:443'))
    },
  },
}

/** Settings that look like limits and have nothing to count. */
const NOT_COUNTED: Readonly<Record<string, string>> = {
  'limits.drainDelaySeconds': 'a wait of the gateway alone: `/readyz` says 503 meanwhile, and nobody is refused',
}

const CONFIG = configSchema.parse({}) as unknown as Record<string, Record<string, unknown>>

function defaultOf(key: string): unknown {
  const [section = '', name = ''] = key.split('.')
  return CONFIG[section]?.[name]
}

function unitOf(key: string): Row['unit'] {
  if (key.endsWith('Seconds')) return 'seconds'
  return key.endsWith('Ms') ? 'ms' : key.endsWith('Bytes') ? 'bytes' : 'count'
}

describe('every limit', () => {
  it('has a row here, or a reason why it needs none', () => {
    const limits = Object.keys(CONFIG['limits'] ?? {}).map((name) => `limits.${name}`)
    const known = [...Object.keys(ROWS), ...Object.keys(NOT_COUNTED)]
    expect(limits.filter((key) => !known.includes(key))).toEqual([])
    // And every label of the metric is some limit's.
    const labels = Object.entries(LIMIT_HITS).map(([label, { key }]) => [key, hit(label as keyof typeof LIMIT_HITS)])
    const unmatched = labels.filter(([key = '', metric]) => ROWS[key]?.metric !== metric)
    // A group's own, which has no default: reached in test/io/proxy/groups.test.ts.
    expect(unmatched).toEqual([['groups.*.limits.tunnels', hit('tunnels_per_group')]])
  })

  for (const [key, row] of Object.entries(ROWS)) {
    it(`\`${key}\` (${row.default}, ${row.unit}) is counted when it is reached`, async () => {
      expect(defaultOf(key)).toBe(row.default)
      expect(unitOf(key)).toBe(row.unit)
      await row.reach()
      await waitFor(async () => (((await gateway.metric(row.metric)) ?? 0) > 0 ? true : undefined), row.metric)
    })
  }
})
