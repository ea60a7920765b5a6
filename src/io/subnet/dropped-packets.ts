import { randomUUID } from 'node:crypto'
import type { AuditEvent } from '../../core/audit-event.ts'
import type { Config } from '../../core/config.ts'
import { parseIp } from '../../core/names/ip.ts'
import { DROPPED_SERIES, type DroppedFlow, droppedHint } from '../../core/subnet/dropped.ts'
import type { SubnetReport } from '../../core/subnet/report.ts'
import { LRUCache } from '../lru.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { readReport } from './report-file.ts'

/** How often the report is read; the watcher writes it as often. */
const LOOK_MS = 5_000

/** A report that is older says nothing of now: the watcher has ended, or cannot write. */
const STALE_MS = 60_000

/** One line for a client, a protocol and a port in this time: a client that tries on and on says nothing new. */
const LINE_EVERY_MS = 60_000

/** Lines at one look: a client that scans ports fills no log. What is left out is in the next line of its kind, or in the metric. */
const LINES_PER_LOOK = 20

/** Flows and kinds of packets that are remembered, each. */
const REMEMBERED = 8_192

export interface DroppedPacketsOptions {
  readonly metrics: Metrics
  readonly config: () => Config
  readonly policyHash: () => string
  /** Name of the gateway in the log. */
  readonly gateway: string
  readonly write: (event: AuditEvent & { readonly client: string }) => void
  readonly nowMs?: () => number
  readonly lookMs?: number
}

/**
 * Tells of the packets that the rules of the host dropped: counters, and an audit line for who sent what. The gateway has no right to ask
 * the kernel; it reads what `sallyport subnet --watch` writes into the state directory.
 */
export class DroppedPackets {
  readonly #options: DroppedPacketsOptions
  readonly #nowMs: () => number
  #looking: NodeJS.Timeout | undefined
  /** What each counter of the kernel stood at. */
  readonly #counted = new Map<string, number>()
  /** What each flow stood at. */
  readonly #flows = new LRUCache<string, number>({ max: REMEMBERED })
  /** Packets that no line told of yet, and when the last line was, by client, protocol and port. */
  readonly #kinds = new LRUCache<string, { waiting: number; toldMs: number }>({ max: REMEMBERED })
  #lastReportMs = 0

  constructor(options: DroppedPacketsOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? Date.now
  }

  start(): void {
    this.#looking = setInterval(() => void this.look(), this.#options.lookMs ?? LOOK_MS)
    this.#looking.unref()
    void this.look()
  }

  stop(): void {
    clearInterval(this.#looking)
  }

  /** Reads the report there is now. Never throws: without one there is nothing to tell. */
  async look(): Promise<void> {
    const { metrics, config } = this.#options
    const { subnet, stateDirectory } = config()
    metrics.subnetRanges.set(subnet.ranges.length)
    if (subnet.ranges.length === 0) return metrics.subnetRulesInForce.set(0)
    for (const series of DROPPED_SERIES) metrics.subnetDroppedPackets.inc({ ...series }, 0)
    const report = await readReport(stateDirectory)
    const fresh = report !== undefined && Math.abs(this.#nowMs() - report.timeMs) < STALE_MS
    metrics.subnetRulesInForce.set(fresh && report.rulesInForce ? 1 : 0)
    if (!fresh || report.timeMs === this.#lastReportMs) return
    this.#lastReportMs = report.timeMs
    this.#count(report)
    this.#tell(report.flows)
  }

  #count({ packets }: SubnetReport): void {
    const known = new Set(DROPPED_SERIES.map(({ proto, port }) => `${proto} ${port}`))
    for (const { proto, port, packets: now } of packets) {
      const series = `${proto} ${port}`
      if (!known.has(series)) continue
      this.#options.metrics.subnetDroppedPackets.inc({ proto, port }, sinceThen(this.#counted.get(series), now))
      this.#counted.set(series, now)
    }
  }

  #tell(flows: readonly DroppedFlow[]): void {
    let lines = 0
    for (const flow of flows) {
      const { client, destination, proto, port, packets } = flow
      if (parseIp(client) === undefined || parseIp(destination) === undefined) continue
      const place = `${client} ${destination} ${proto} ${port ?? ''}`
      const more = sinceThen(this.#flows.get(place), packets)
      this.#flows.set(place, packets)
      if (more === 0) continue
      const name = `${client} ${proto} ${port ?? ''}`
      const kind = this.#kinds.get(name) ?? { waiting: 0, toldMs: Number.NEGATIVE_INFINITY }
      kind.waiting += more
      this.#kinds.set(name, kind)
      const now = this.#nowMs()
      if (lines >= LINES_PER_LOOK || now - kind.toldMs < LINE_EVERY_MS) continue
      lines++
      this.#options.write(this.#event(flow, kind.waiting, now))
      kind.waiting = 0
      kind.toldMs = now
    }
  }

  #event(
    { client, destination, proto, port }: DroppedFlow,
    packets: number,
    now: number,
  ): AuditEvent & { readonly client: string } {
    const hint = droppedHint({ proto, port })
    return {
      time: new Date(now).toISOString(),
      id: randomUUID(),
      event: 'deny',
      kind: 'packet',
      listener: 'subnet',
      client,
      host: destination,
      ...(port === undefined ? {} : { port }),
      reason: 'not_forwarded',
      ...(hint === undefined ? {} : { hint: hint.text }),
      detail: `${packets} ${packets === 1 ? 'packet' : 'packets'} of ${proto}`,
      gateway: this.#options.gateway,
      policyHash: this.#options.policyHash(),
    }
  }
}

/** Counters of the kernel begin at zero again with every new table, and those of a flow when it was forgotten. */
function sinceThen(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before
}
