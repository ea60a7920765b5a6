import { Counter, collectDefaultMetrics, Gauge, Histogram, type LabelValues, Registry } from 'prom-client'

export type { Counter, LabelValues }

/**
 * Every metric the gateway has: names and labels are API. Each label is closed (reasons, verdicts, entries of the policy) or
 * bounded (`host`, see `DeniedHosts`). Each gateway has a registry of its own, so that two can live in one process.
 */
export class Metrics {
  readonly registry = new Registry()

  readonly requests = this.#counter('requests_total', 'Requests, by what became of them', [
    'listener',
    'kind',
    'verdict',
    'reason',
  ])
  readonly denials = this.#counter('denials_total', 'Refused or would-be refused requests', [
    'listener',
    'verdict',
    'reason',
    'host',
  ])
  readonly denialsQuiet = this.#counter('denials_quiet_total', 'Requests refused by a deny rule that says `quiet: true`', [
    'listener',
    'reason',
  ])
  readonly deniedHostsFirstSeen = this.#counter('denied_hosts_first_seen_total', 'Hosts that were refused for the first time')
  readonly denialRemedies = this.#counter('denial_remedies_total', 'Refused requests, by what would allow them', [
    'remedy',
    'name',
  ])
  readonly entryHits = this.#counter('entry_hits_total', 'Allowed requests, by the entry that allowed them', ['entry', 'feature'])
  readonly entryBytes = this.#counter('entry_bytes_total', 'Bytes relayed, by entry', ['entry', 'direction'])
  readonly tunnelsOpen = this.#gauge('tunnels_open', 'Tunnels open now')
  readonly tunnelsLimit = this.#gauge('tunnels_limit', 'Tunnels that may be open at once')
  readonly tunnelBytes = this.#counter('tunnel_bytes_total', 'Bytes relayed through tunnels', ['direction'])
  readonly setupSeconds = this.#histogram('setup_duration_seconds', 'From the head of a CONNECT to its 200')
  readonly dialSeconds = this.#histogram('dial_duration_seconds', 'Resolving and connecting', ['outcome'])
  readonly dnsLookups = this.#counter('dns_lookups_total', 'Names resolved', ['outcome'])
  readonly limitHits = this.#counter('limit_hits_total', 'Work refused because a limit was reached', ['limit'])
  readonly policyReloads = this.#counter('policy_reloads_total', 'Attempts to load the policy', ['outcome'])
  readonly policyLoadedTimestamp = this.#gauge('policy_loaded_timestamp_seconds', 'When the policy in force was loaded')
  readonly policyCurrent = this.#gauge(
    'policy_current',
    '1 while the policy in force is the one in the files, 0 after a failed reload',
  )
  readonly policyInfo = this.#gauge('policy_info', 'The policy in force', ['hash', 'mode', 'cloud'])
  readonly reportModeSince = this.#gauge(
    'report_mode_since_timestamp_seconds',
    'Since when would-be denials are let through; 0 in enforce mode',
  )
  readonly policyEntries = this.#gauge('policy_entries', 'Entries in force; operator rules have the feature `rules`', ['feature'])
  readonly auditDropped = this.#counter('audit_dropped_total', 'Audit lines that could not be written')
  readonly workerRestarts = this.#counter('worker_restarts_total', 'Workers replaced after a crash')
  readonly certificatesMinted = this.#counter('certificates_minted_total', 'Certificates made for inspection')
  readonly certificateCacheHits = this.#counter('certificate_cache_hits_total', 'Inspected tunnels whose certificate was at hand')
  readonly tlsHandshakeFailures = this.#counter('tls_handshake_failures_total', 'TLS handshakes that failed', ['cause'])
  readonly caExpiryTimestamp = this.#gauge('ca_expiry_timestamp_seconds', 'When the inspection CA expires; 0 without one')
  readonly buildInfo = this.#gauge('build_info', 'What is running', ['version', 'node', 'relay'])

  constructor() {
    collectDefaultMetrics({ register: this.registry })
    // A counter without labels that never moved must be there all the same: an alert on its absence would be noise.
    for (const counter of [
      this.deniedHostsFirstSeen,
      this.auditDropped,
      this.workerRestarts,
      this.certificatesMinted,
      this.certificateCacheHits,
    ])
      counter.inc(0)
    for (const direction of ['up', 'down']) this.tunnelBytes.inc({ direction }, 0)
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: `sallyport_${name}`, help, labelNames, registers: [this.registry] })
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return new Gauge({ name: `sallyport_${name}`, help, labelNames, registers: [this.registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Histogram<L> {
    const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    return new Histogram({ name: `sallyport_${name}`, help, labelNames, buckets, registers: [this.registry] })
  }
}
