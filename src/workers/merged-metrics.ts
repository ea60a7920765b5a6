import { OTHER_HOST } from '../io/telemetry/denied-hosts.ts'
import { type MetricReading, type Metrics, type MetricValue, renderMerged } from '../io/telemetry/metrics.ts'
import { REMOVED_ENTRY } from '../io/telemetry/telemetry.ts'

/** How long a host keeps its series after the worker that refused it has gone, as with hosts that nobody asks for any more. */
const KEPT_HOST_MS = 3_600_000

const DENIALS = 'sallyport_denials_total'

export interface MergedMetricsOptions {
  /** The gateway's own: what a worker cannot know. */
  readonly own: Metrics
  /** Hosts with a series of their own, in the whole gateway. */
  readonly deniedHosts: () => number
  /** Ids of the entries in force. */
  readonly entries: () => ReadonlySet<string>
  /** Names of the client groups in force. */
  readonly groups?: () => ReadonlySet<string>
  readonly nowMs: () => number
}

/** What one metric of workers that are gone adds up to, by labels. */
interface Legacy {
  readonly head: Omit<MetricReading, 'values'>
  readonly values: Map<string, MetricValue & { readonly untilMs: number }>
}

/**
 * The metrics of all workers as if they were one process. A worker that ends leaves its counters behind, as they were when it was last
 * asked, so that none goes back; its gauges end with it.
 */
export class MergedMetrics {
  readonly #options: MergedMetricsOptions
  readonly #last = new Map<number, readonly MetricReading[]>()
  readonly #legacy = new Map<string, Legacy>()
  /** Denied hosts that have a series, and those that came too late for one. */
  readonly #hosts = new Set<string>()
  readonly #otherHosts = new Set<string>()

  constructor(options: MergedMetricsOptions) {
    this.#options = options
  }

  /** A worker has told how its metrics stand. */
  update(worker: number, readings: readonly MetricReading[]): void {
    this.#last.set(worker, readings)
    for (const { name, values } of readings) if (name === DENIALS) for (const { labels } of values) this.#place(labels['host'])
  }

  /** The worker has ended. */
  retire(worker: number): void {
    const readings = this.#last.get(worker) ?? []
    this.#last.delete(worker)
    const untilMs = this.#options.nowMs() + KEPT_HOST_MS
    for (const { values, ...head } of readings) {
      if (head.type !== 'counter' && head.type !== 'histogram') continue
      const legacy = this.#legacy.get(head.name) ?? { head, values: new Map() }
      this.#legacy.set(head.name, legacy)
      for (const value of values) add(legacy, value, untilMs)
    }
  }

  /** The page for Prometheus. */
  async page(): Promise<string> {
    this.#sweep()
    const readings = [this.#legacyReadings(), ...this.#last.values()].map((one) => one.map((reading) => this.#bounded(reading)))
    return renderMerged(await this.#options.own.read(), readings)
  }

  /** Gives a denied host a series while there are fewer than may be; what once was `other` stays so. */
  #place(host: string | number | undefined): void {
    if (host === undefined || host === '' || host === OTHER_HOST) return
    const name = String(host)
    if (this.#hosts.has(name) || this.#otherHosts.has(name)) return
    if (this.#hosts.size >= this.#options.deniedHosts()) this.#sweep()
    if (this.#hosts.size >= this.#options.deniedHosts()) return void this.#otherHosts.add(name)
    this.#hosts.add(name)
    this.#options.own.deniedHostsFirstSeen.inc()
  }

  /** Hosts that no worker has a series of any more make way for others. */
  #sweep(): void {
    const now = this.#options.nowMs()
    const denials = this.#legacy.get(DENIALS)
    for (const [key, { untilMs, ...value }] of denials?.values ?? []) {
      if (denials === undefined || untilMs > now || value.labels['host'] === OTHER_HOST) continue
      denials.values.delete(key)
      add(denials, { ...value, labels: { ...value.labels, host: OTHER_HOST } }, untilMs)
    }
    const seen = new Set<string>()
    for (const readings of [this.#legacyReadings(), ...this.#last.values()])
      for (const { name, values } of readings)
        if (name === DENIALS) for (const { labels } of values) seen.add(String(labels['host']))
    for (const hosts of [this.#hosts, this.#otherHosts]) for (const host of hosts) if (!seen.has(host)) hosts.delete(host)
  }

  #legacyReadings(): MetricReading[] {
    return [...this.#legacy.values()].map(({ head, values }) => ({ ...head, values: [...values.values()] }))
  }

  /** With no more series than the whole gateway may have. */
  #bounded(reading: MetricReading): MetricReading {
    if (reading.name === DENIALS)
      return relabelled(reading, 'host', (host) => (host === '' || this.#hosts.has(host) ? host : OTHER_HOST))
    if (reading.name === 'sallyport_group_requests_total') {
      const groups = this.#options.groups?.() ?? new Set<string>()
      return relabelled(reading, 'group', (group) => (group === '' || groups.has(group) ? group : REMOVED_ENTRY))
    }
    if (!reading.name.startsWith('sallyport_entry_')) return reading
    const entries = this.#options.entries()
    return relabelled(reading, 'entry', (entry) => (entries.has(entry) ? entry : REMOVED_ENTRY))
  }
}

function relabelled(reading: MetricReading, label: string, name: (value: string) => string): MetricReading {
  const values = reading.values.map((value) => ({
    ...value,
    labels: { ...value.labels, [label]: name(String(value.labels[label])) },
  }))
  return { ...reading, values }
}

function add({ values }: Legacy, { value, labels, metricName }: MetricValue, untilMs: number): void {
  const key = JSON.stringify([metricName, Object.entries(labels).toSorted()])
  const before = values.get(key)?.value ?? 0
  values.set(key, { value: before + value, labels, ...(metricName === undefined ? {} : { metricName }), untilMs })
}
