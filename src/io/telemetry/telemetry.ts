import type { AuditEvent, AuditVerdict } from '../../core/audit-event.ts'
import type { Hint } from '../../core/policy/hints.ts'
import type { AuditSink } from './audit-log.ts'
import { ClientNames, type ClientPrivacy } from './client-names.ts'
import { DeniedHosts } from './denied-hosts.ts'
import type { Metrics } from './metrics.ts'
import { RecentDenials } from './recent-denials.ts'

/** What an entry is counted under that a reload has removed. */
export const REMOVED_ENTRY = 'removed'

export interface TelemetryOptions {
  readonly metrics: Metrics
  readonly audit: Pick<AuditSink, 'write'>
  readonly auditEvents: 'all' | 'denied'
  readonly deniedHosts: number
  /** Ids of the entries in force: only these are labels. */
  readonly entries: ReadonlySet<string>
  readonly clients: ClientPrivacy
  /** Whoever else wants to know; absent costs nothing. */
  readonly observer: TelemetryObserver | undefined
}

/** Facts of a request whose fate is settled: a tunnel at its 200, anything else at its end. */
export type CountedRequest = Pick<
  FullAuditEvent,
  'listener' | 'kind' | 'event' | 'reason' | 'entry' | 'feature' | 'host' | 'port' | 'client'
>

export interface TelemetryObserver {
  readonly onDecision: (request: CountedRequest) => void
  /** The line as the audit log has it, whether or not it is written. */
  readonly onEvent: (event: AuditEvent) => void
}

/** An audit event before anything is left out of it. */
export type FullAuditEvent = AuditEvent & { readonly client: string }

/** Where every finished request is recorded: once in the audit log, once in each metric it belongs to. */
export class Telemetry {
  readonly metrics: Metrics
  readonly denials = new RecentDenials()
  readonly #audit: Pick<AuditSink, 'write'>
  #auditEvents: 'all' | 'denied'
  readonly #deniedHosts: DeniedHosts
  #entries: ReadonlySet<string>
  readonly #clients: ClientNames
  #observer: TelemetryObserver | undefined
  /** Series of a host, to be removed with it. */
  readonly #series = new Map<string, Set<string>>()

  constructor({ metrics, audit, auditEvents, deniedHosts, clients, entries, observer }: TelemetryOptions) {
    this.#observer = observer
    this.#entries = entries
    this.metrics = metrics
    this.#audit = audit
    this.#auditEvents = auditEvents
    this.#deniedHosts = new DeniedHosts({ slots: deniedHosts, onFree: (host) => this.#freeSeries(host) })
    this.#clients = new ClientNames(clients)
  }

  /** Takes other settings from now on. */
  configure({ auditEvents, deniedHosts, clients, entries, observer }: Omit<TelemetryOptions, 'metrics' | 'audit'>): void {
    this.#entries = entries
    this.#auditEvents = auditEvents
    this.#clients.configure(clients)
    this.#observer = observer
    this.#deniedHosts.limit(deniedHosts)
  }

  /**
   * Counts a request when its fate is settled: a tunnel at its 200, anything else at its end.
   *
   * @param quiet whether a deny rule asked that its refusals stay out of what alerts look at
   */
  count(event: CountedRequest, hint: Hint | undefined, quiet = false): void {
    this.#observer?.onDecision(event)
    const { listener, kind, event: verdict, reason = '', entry, feature = 'rules' } = event
    this.metrics.requests.inc({ listener, kind, verdict, reason })
    if (verdict === 'allow' && entry !== undefined) this.metrics.entryHits.inc({ entry: this.#label(entry), feature })
    if (verdict !== 'deny' && verdict !== 'would_deny') return
    if (quiet) this.metrics.denialsQuiet.inc({ listener, reason })
    else this.#countDenial(listener, verdict, reason, event.host, event.client, hint)
  }

  /** Writes the request's one line, with as much of the client as `audit.clients` lets stand. The admin API sees all of it. */
  audit(event: FullAuditEvent): void {
    if (event.event !== 'allow' && event.event !== 'error') {
      const { host = '', port, reason = '', event: verdict, client, hint, time } = event
      this.denials.add({ host, port, reason, verdict, client, hint }, time)
    }
    const isWritten = this.#auditEvents === 'all' || event.event !== 'allow'
    if (!isWritten && this.#observer === undefined) return
    const shown = this.#clients.applied(event)
    if (isWritten) this.#audit.write(shown)
    this.#observer?.onEvent(shown)
  }

  countTunnelBytes(bytesUp: number, bytesDown: number): void {
    this.metrics.tunnelBytes.inc({ direction: 'up' }, bytesUp)
    this.metrics.tunnelBytes.inc({ direction: 'down' }, bytesDown)
  }

  countBytes(entry: string | undefined, bytesUp: number, bytesDown: number): void {
    if (entry === undefined) return
    const label = this.#label(entry)
    this.metrics.entryBytes.inc({ entry: label, direction: 'up' }, bytesUp)
    this.metrics.entryBytes.inc({ entry: label, direction: 'down' }, bytesDown)
  }

  /** A request may end after its entry has gone: with a series each, a thousand reloads would make a thousand of them. */
  #label(entry: string): string {
    return this.#entries.has(entry) ? entry : REMOVED_ENTRY
  }

  #countDenial(
    listener: string,
    verdict: AuditVerdict,
    reason: string,
    host: string | undefined,
    client: string,
    hint: Hint | undefined,
  ): void {
    const { label, first } =
      host === undefined ? { label: '', first: false } : this.#deniedHosts.labelFor(host, client, Date.now())
    if (first) this.metrics.deniedHostsFirstSeen.inc()
    this.metrics.denials.inc({ listener, verdict, reason, host: label })
    if (host !== undefined && label === host) {
      const series = this.#series.get(host) ?? new Set()
      this.#series.set(host, series.add(JSON.stringify({ listener, verdict, reason, host })))
    }
    if (hint !== undefined) this.metrics.denialRemedies.inc({ remedy: hint.remedy.kind, name: hint.remedy.name })
  }

  #freeSeries(host: string): void {
    for (const labels of this.#series.get(host) ?? []) this.metrics.denials.remove(JSON.parse(labels))
    this.#series.delete(host)
  }
}
