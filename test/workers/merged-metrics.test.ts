import { describe, expect, it } from 'vitest'
import { type MetricReading, Metrics, readingsOfWorker } from '../../src/io/telemetry/metrics.ts'
import { MergedMetrics } from '../../src/workers/merged-metrics.ts'

interface Worker {
  readonly metrics: Metrics
  tell(): Promise<void>
}

function gateway({ deniedHosts = 200, entries = ['rule/a'] } = {}) {
  const own = new Metrics()
  let nowMs = 0
  const merged = new MergedMetrics({ own, deniedHosts: () => deniedHosts, entries: () => new Set(entries), nowMs: () => nowMs })
  const worker = (id: number): Worker => {
    const metrics = new Metrics()
    return { metrics, tell: async () => merged.update(id, readingsOfWorker(await metrics.read())) }
  }
  const value = async (line: string) => {
    const found = (await merged.page()).split('\n').find((text) => text.startsWith(`${line} `))
    return found === undefined ? undefined : Number(found.slice(line.length + 1))
  }
  return {
    own,
    merged,
    worker,
    value,
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

const denial = (host: string) => ({ listener: 'proxy', verdict: 'deny', reason: 'host_not_listed', host })
const series = (host: string) =>
  `sallyport_denials_total{listener="proxy",verdict="deny",reason="host_not_listed",host="${host}"}`

describe('the metrics of several workers', () => {
  it('add up: counters, tunnels that are open, and each bucket of a histogram', async () => {
    const { worker, value } = gateway()
    for (const [id, open, seconds] of [
      [1, 3, 0.002],
      [2, 4, 0.2],
    ] as const) {
      const { metrics, tell } = worker(id)
      metrics.dnsLookups.inc({ outcome: 'cached' }, id)
      metrics.tunnelsOpen.set(open)
      metrics.setupSeconds.observe(seconds)
      await tell()
    }
    expect(await value('sallyport_dns_lookups_total{outcome="cached"}')).toBe(3)
    expect(await value('sallyport_tunnels_open')).toBe(7)
    expect(await value('sallyport_setup_duration_seconds_count')).toBe(2)
    expect(await value('sallyport_setup_duration_seconds_bucket{le="0.0025"}')).toBe(1)
    expect(await value('sallyport_setup_duration_seconds_bucket{le="+Inf"}')).toBe(2)
  })

  it('are those of the gateway where a worker cannot know better: limits, timestamps, the policy', async () => {
    const { own, worker, value } = gateway()
    own.tunnelsLimit.set(20_000)
    own.policyLoadedTimestamp.set(1_000)
    own.policyCurrent.set(0)
    for (const id of [1, 2]) {
      const { metrics, tell } = worker(id)
      metrics.tunnelsLimit.set(20_000)
      metrics.policyLoadedTimestamp.set(2_000)
      metrics.policyCurrent.set(1)
      metrics.policyReloads.inc({ outcome: 'ok' })
      await tell()
    }
    expect(await value('sallyport_tunnels_limit')).toBe(20_000)
    expect(await value('sallyport_policy_loaded_timestamp_seconds')).toBe(1_000)
    expect(await value('sallyport_policy_current')).toBe(0)
    expect(await value('sallyport_policy_reloads_total{outcome="ok"}')).toBeUndefined()
  })

  it('are those of the worker that has most, where it is a limit or a delay; the start is the gateway’s', async () => {
    const { merged, value, own } = gateway()
    const reading = (name: string, number: number): MetricReading => ({
      name,
      help: name,
      type: 'gauge',
      aggregator: 'sum',
      values: [{ value: number, labels: {} }],
    })
    const started = (await own.read()).find(({ name }) => name === 'process_start_time_seconds')?.values[0]?.value ?? 0
    for (const id of [1, 2])
      merged.update(id, [
        reading('process_max_fds', 1e7 * id),
        reading('nodejs_eventloop_lag_p99_seconds', 1e3 * id),
        reading('process_start_time_seconds', started + id),
      ])
    expect(await value('process_max_fds')).toBe(2e7)
    expect(await value('nodejs_eventloop_lag_p99_seconds')).toBe(2e3)
    expect(await value('process_start_time_seconds')).toBe(started)
  })

  it('keep what a worker counted that has gone, and not what it had open', async () => {
    const { merged, worker, value } = gateway()
    for (const id of [1, 2, 3]) {
      const { metrics, tell } = worker(id)
      metrics.dnsLookups.inc({ outcome: 'cached' }, 5)
      metrics.setupSeconds.observe(0.01)
      metrics.tunnelsOpen.set(4)
      await tell()
      if (id < 3) merged.retire(id)
    }
    expect(await value('sallyport_dns_lookups_total{outcome="cached"}')).toBe(15)
    expect(await value('sallyport_setup_duration_seconds_count')).toBe(3)
    expect(await value('sallyport_tunnels_open')).toBe(4)
  })
})

describe('the hosts that were denied', () => {
  it('have no more series than those of one process, and are new once', async () => {
    const { worker, value, merged } = gateway({ deniedHosts: 2 })
    for (const id of [1, 2]) {
      const { metrics, tell } = worker(id)
      metrics.denials.inc(denial('a.test'))
      metrics.denials.inc(denial(`only-${id}.test`))
      await tell()
    }
    expect(await value(series('a.test'))).toBe(2)
    expect(await value(series('only-1.test'))).toBe(1)
    expect(await value(series('only-2.test'))).toBeUndefined()
    expect(await value(series('other'))).toBe(1)
    expect(await value('sallyport_denied_hosts_first_seen_total')).toBe(2)
    // What was counted as `other` stays there, also when there is room.
    merged.retire(1)
    expect(await value(series('other'))).toBe(1)
  })

  it('of a worker that has gone give their series back after an hour', async () => {
    const { worker, value, merged, pass } = gateway({ deniedHosts: 1 })
    const first = worker(1)
    first.metrics.denials.inc(denial('a.test'), 3)
    await first.tell()
    merged.retire(1)
    expect(await value(series('a.test'))).toBe(3)
    pass(3_600_001)
    expect(await value(series('a.test'))).toBeUndefined()
    expect(await value(series('other'))).toBe(3)
    const second = worker(2)
    second.metrics.denials.inc(denial('b.test'))
    await second.tell()
    expect(await value(series('b.test'))).toBe(1)
  })
})

describe('entries that a reload has removed', () => {
  it('are one series, also those of workers that have gone', async () => {
    const { worker, value, merged } = gateway({ entries: ['rule/a'] })
    const { metrics, tell } = worker(1)
    for (const entry of ['rule/a', 'rule/b', 'rule/c']) metrics.entryHits.inc({ entry, feature: 'rules' })
    await tell()
    merged.retire(1)
    expect(await value('sallyport_entry_hits_total{entry="rule/a",feature="rules"}')).toBe(1)
    expect(await value('sallyport_entry_hits_total{entry="removed",feature="rules"}')).toBe(2)
  })
})
