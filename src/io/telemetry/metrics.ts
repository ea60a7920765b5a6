import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, type LabelValues, Registry } from 'prom-client'
import { LIMIT_LABELS } from './limit-hits.ts'

export type { Counter, LabelValues }

/** One metric as it stands, as plain data: what a worker tells the primary. */
export interface MetricReading {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  readonly aggregator: string
  readonly values: readonly MetricValue[]
}

export interface MetricValue {
  readonly value: number
  readonly labels: Readonly<Record<string, string | number>>
  /** Of a histogram: the series, as in `name_bucket`. */
  readonly metricName?: string
}

/**
 * What is known of the gateway as a whole, and only where it is loaded, watched and supervised. A worker knows the same of itself: added
 * up it would be wrong, and the worker that was replaced last would say that the policy is new.
 */
const OF_THE_GATEWAY: ReadonlySet<string> = new Set(
  [
    'tunnels_limit',
    'policy_reloads_total',
    'policy_loaded_timestamp_seconds',
    'policy_current',
    'policy_info',
    'policy_entries',
    'rule_expiry_timestamp_seconds',
    'report_mode_since_timestamp_seconds',
    'denied_hosts_first_seen_total',
    'worker_restarts_total',
    'audit_writable',
    'ca_expiry_timestamp_seconds',
    'service_tags_timestamp_seconds',
    'subnet_ranges',
    'subnet_rules_in_force',
    'subnet_dropped_packets_total',
  ].map((name) => `sallyport_${name}`),
)

/** What of a worker's metrics counts. */
export function readingsOfWorker(readings: readonly MetricReading[]): MetricReading[] {
  return readings.filter(({ name }) => !OF_THE_GATEWAY.has(name))
}

/**
 * How several processes become one number: counters, histograms and all else that adds up are summed; limits and delays are those of
 * the process that has most; the start is the gateway's own, which no replaced worker moves.
 */
function mergeOf({ name, aggregator }: MetricReading): string {
  if (name === 'process_start_time_seconds') return 'first'
  if (name === 'process_max_fds' || name === 'sallyport_build_info') return 'max'
  // A parent that one process cannot use is not up.
  if (name === 'sallyport_parent_up') return 'min'
  if (name.startsWith('nodejs_eventloop_lag_')) return name.endsWith('_min_seconds') ? 'min' : 'max'
  return aggregator
}

/** The readings of a gateway of several processes as one page for Prometheus. */
export function renderMerged(
  ofGateway: readonly MetricReading[],
  ofWorkers: readonly (readonly MetricReading[])[],
): Promise<string> {
  const merged = [ofGateway, ...ofWorkers].map((readings) =>
    readings.map((reading) => ({ ...reading, aggregator: mergeOf(reading) })),
  )
  return AggregatorRegistry.aggregate(merged).metrics()
}

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
  readonly groupRequests = this.#counter(
    'group_requests_total',
    'Requests, by the client group whose policy judged them; an empty group is the policy at the top',
    ['group', 'verdict'],
  )
  readonly credentialChecks = this.#counter('credential_checks_total', 'Proxy credentials asked for or looked at', ['outcome'])
  readonly tunnelsOpen = this.#gauge('tunnels_open', 'Tunnels open now')
  readonly tunnelsLimit = this.#gauge('tunnels_limit', 'Tunnels that may be open at once')
  readonly tunnelBytes = this.#counter('tunnel_bytes_total', 'Bytes relayed through tunnels', ['direction'])
  readonly setupSeconds = this.#histogram(
    'setup_duration_seconds',
    'From the head of a CONNECT to its 200, or from the opening of a redirected connection until its origin is connected',
  )
  readonly dialSeconds = this.#histogram('dial_duration_seconds', 'Resolving and connecting', ['outcome'])
  readonly dnsLookups = this.#counter('dns_lookups_total', 'Names resolved', ['outcome'])
  readonly limitHits = this.#counter('limit_hits_total', 'Work that reached a limit or deadline', ['limit'])
  readonly transparentMismatches = this.#counter(
    'transparent_mismatches_total',
    "Redirected requests whose client was connecting to none of its host's addresses",
    ['outcome'],
  )
  readonly parentUp = this.#gauge(
    'parent_up',
    '1 while the parent proxy answers, 0 while it is down or refuses our credentials',
    ['proxy'],
  )
  readonly parentDials = this.#counter('parent_dials_total', 'Attempts to have a parent proxy open a tunnel', [
    'proxy',
    'outcome',
  ])
  readonly originConnectionsIdle = this.#gauge('origin_connections_idle', 'Origin connections that are kept between two requests')
  readonly eventLoopStalls = this.#counter(
    'event_loop_stalls_total',
    'Pauses of the process longer than `limits.eventLoopStallMs`',
  )
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
  readonly ruleExpiryTimestamp = this.#gauge(
    'rule_expiry_timestamp_seconds',
    'The end of the last day of each rule that has one; the rule stays in force after it',
    ['entry'],
  )
  readonly auditDropped = this.#counter('audit_dropped_total', 'Audit lines that could not be written')
  readonly auditWritable = this.#gauge('audit_writable', '1 while audit lines can be written, 0 while they cannot')
  readonly logDropped = this.#counter('log_dropped_total', 'Lines of the process log that nobody took')
  readonly workerRestarts = this.#counter('worker_restarts_total', 'Workers replaced after a crash')
  readonly certificatesMinted = this.#counter('certificates_minted_total', 'Certificates made for inspection')
  readonly certificateCacheHits = this.#counter('certificate_cache_hits_total', 'Inspected tunnels whose certificate was at hand')
  readonly tlsHandshakeFailures = this.#counter('tls_handshake_failures_total', 'TLS handshakes that failed', ['cause'])
  readonly caExpiryTimestamp = this.#gauge('ca_expiry_timestamp_seconds', 'When the inspection CA expires; 0 without one')
  readonly hookAnswers = this.#counter('hook_answers_total', 'What hooks said, and whether they were asked or it was kept', [
    'verdict',
    'from',
  ])
  readonly hookFailures = this.#counter('hook_failures_total', 'Requests refused because a hook gave no usable answer', [
    'failure',
  ])
  readonly hookSeconds = this.#histogram('hook_duration_seconds', 'From asking hooks to their answer')
  readonly hookRestarts = this.#counter('hook_restarts_total', 'Hook processes replaced', ['cause'])
  readonly hookProcesses = this.#gauge('hook_processes', 'Hook processes that have loaded the hooks and answer')
  readonly hookNoticesDropped = this.#counter('hook_notices_dropped_total', 'Events that hooks were too slow to be told of')
  readonly serviceTagsTimestamp = this.#gauge(
    'service_tags_timestamp_seconds',
    'When the file of service tags was published; 0 without one',
  )
  readonly subnetRanges = this.#gauge('subnet_ranges', 'Address ranges whose route leads here; 0 where subnet mode is off')
  readonly subnetRulesInForce = this.#gauge(
    'subnet_rules_in_force',
    '1 while `sallyport subnet --watch` says that the rules of this host are in force, 0 also where it says nothing',
  )
  readonly subnetDroppedPackets = this.#counter(
    'subnet_dropped_packets_total',
    'Packets of the subnet that no listener carries and no exception lets through',
    ['proto', 'port'],
  )
  readonly buildInfo = this.#gauge('build_info', 'What is running', ['version', 'node', 'relay'])

  /** @param ofProcess with those of Node and the process, which are the gateway's only where the process is */
  constructor(ofProcess = true) {
    if (ofProcess) collectDefaultMetrics({ register: this.registry })
    // A counter without labels that never moved must be there all the same: an alert on its absence would be noise.
    for (const counter of [
      this.deniedHostsFirstSeen,
      this.auditDropped,
      this.logDropped,
      this.eventLoopStalls,
      this.workerRestarts,
      this.certificatesMinted,
      this.certificateCacheHits,
      this.hookNoticesDropped,
    ])
      counter.inc(0)
    for (const outcome of ['dialled', 'refused']) this.transparentMismatches.inc({ outcome }, 0)
    this.auditWritable.set(1)
    for (const limit of LIMIT_LABELS) this.limitHits.inc({ limit }, 0)
    for (const direction of ['up', 'down']) this.tunnelBytes.inc({ direction }, 0)
  }

  /** Has the lines that the process log lost counted, whenever somebody looks. */
  countLogLosses(dropped: () => number): void {
    let counted = 0
    // prom-client calls it before each reading.
    Object.assign(this.logDropped, {
      collect: () => {
        const now = dropped()
        this.logDropped.inc(now - counted)
        counted = now
      },
    })
  }

  /** Every metric as it stands, as plain data. */
  async read(): Promise<MetricReading[]> {
    return (await this.registry.getMetricsAsJSON()) as unknown as MetricReading[]
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
