import { describe, expect, it } from 'vitest'
import { Metrics } from '../../../src/io/telemetry/metrics.ts'

/** Names and labels are API: a dashboard or an alert stands on each. Adding to this table is fine, changing it is not. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  sallyport_requests_total: ['listener', 'kind', 'verdict', 'reason'],
  sallyport_denials_total: ['listener', 'verdict', 'reason', 'host'],
  sallyport_denied_hosts_first_seen_total: [],
  sallyport_denial_remedies_total: ['remedy', 'name'],
  sallyport_entry_hits_total: ['entry', 'feature'],
  sallyport_entry_bytes_total: ['entry', 'direction'],
  sallyport_tunnels_open: [],
  sallyport_tunnels_limit: [],
  sallyport_tunnel_bytes_total: ['direction'],
  sallyport_setup_duration_seconds: [],
  sallyport_dial_duration_seconds: ['outcome'],
  sallyport_dns_lookups_total: ['outcome'],
  sallyport_limit_hits_total: ['limit'],
  sallyport_certificates_minted_total: [],
  sallyport_tls_handshake_failures_total: ['cause'],
  sallyport_ca_expiry_timestamp_seconds: [],
  sallyport_service_tags_timestamp_seconds: [],
  sallyport_policy_reloads_total: ['outcome'],
  sallyport_policy_loaded_timestamp_seconds: [],
  sallyport_policy_current: [],
  sallyport_policy_info: ['hash', 'mode', 'cloud'],
  sallyport_policy_entries: ['feature'],
  sallyport_audit_dropped_total: [],
  sallyport_worker_restarts_total: [],
  sallyport_build_info: [],
}
/** What may have more labels than the design names. */
const OPEN = new Set(['sallyport_build_info'])

describe('the metrics', () => {
  const metrics = new Metrics()

  for (const [name, labels] of Object.entries(NAMES)) {
    it(`have ${name}{${labels.join(',')}}`, () => {
      const metric = metrics.registry.getSingleMetric(name)
      expect(metric, name).toBeDefined()
      const own = (metric as unknown as { labelNames: string[] }).labelNames
      if (!OPEN.has(name)) expect(own).toEqual(labels)
    })
  }

  it('have a prefix, a help text, and a unit or `_total` where they count', async () => {
    for (const metric of await metrics.registry.getMetricsAsJSON()) {
      expect(metric.help).not.toBe('')
      if (!metric.name.startsWith('sallyport_')) expect(metric.name).toMatch(/^(process|nodejs)_/)
      else if (String(metric.type) === 'counter') expect(metric.name).toMatch(/_total$/)
      else if (String(metric.type) === 'histogram') expect(metric.name).toMatch(/_seconds$/)
    }
  })

  it('hold the defaults of the process and of Node.js', async () => {
    const text = await metrics.registry.metrics()
    for (const name of ['process_resident_memory_bytes', 'process_open_fds', 'nodejs_eventloop_lag_seconds'])
      expect(text).toContain(`\n${name} `)
  })

  it('show counters without labels from the start, so that an alert on them is not absent', async () => {
    const text = await new Metrics().registry.metrics()
    for (const name of [
      'audit_dropped_total',
      'denied_hosts_first_seen_total',
      'worker_restarts_total',
      'certificates_minted_total',
    ])
      expect(text).toContain(`\nsallyport_${name} 0\n`)
    expect(text).toContain('sallyport_tunnel_bytes_total{direction="up"} 0')
  })

  it('do not share a registry: two gateways in one process count apart', async () => {
    const other = new Metrics()
    other.auditDropped.inc(5)
    expect((await metrics.registry.getSingleMetric('sallyport_audit_dropped_total')?.get())?.values[0]?.value).toBe(0)
  })
})
