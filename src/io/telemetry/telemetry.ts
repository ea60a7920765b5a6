import type { AuditEvent, AuditVerdict } from '../../core/audit-event.ts'
import type { Hint } from '../../core/policy/hints.ts'
import type { AuditSink } from './audit-log.ts'
import { ClientNames, type ClientPrivacy } from './client-names.ts'
import { DeniedHosts } from './denied-hosts.ts'
import type { Metrics } from './metrics.ts'
import { RecentDenials } from './recent-denials.ts'

const NO_GROUPS: ReadonlySet<string> = new Set()

/** What an entry, or a client group, is counted under that a reload has removed. */
export const REMOVED_ENTRY = 'removed'

export interface TelemetryOptions {
  readonly metrics: Metrics
  readonly audit: Pick<AuditSink, 'write'>
  readonly auditEvents: 'all' | 'denied'
  readonly deniedHosts: number
  /** Ids of the entries in force: only these are labels. */
  readonly entries: ReadonlySet<string>
  /** Names of the client groups in force. */
  readonly groups?: ReadonlySet<string>
  readonly clients: ClientPrivacy
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
  #groups: ReadonlySet<string>
  readonly #clients: ClientNames
  /** Series of a host, to be removed with it. */
  readonly #series = new Map<string, Set<string>>()

  constructor({ metrics, audit, auditEvents, deniedHosts, clients, entries, groups = NO_GROUPS }: TelemetryOptions) {
    this.#entries = entries
    this.#groups = groups
    this.metrics = metrics
    this.#audit = audit
    this.#auditEvents = auditEvents
    this.#deniedHosts = new DeniedHosts({ slots: deniedHosts, onFree: (host) => this.#freeSeries(host) })
    this.#clients = new ClientNames(clients)
  }

  /** Takes other settings from now on. */
  configure({
    auditEvents,
    deniedHosts,
    clients,
    entries,
    groups = NO_GROUPS,
  }: Omit<TelemetryOptions, 'metrics' | 'audit'>): void {
    this.#entries = entries
    this.#groups = groups
    this.#auditEvents = auditEvents
    this.#clients.configure(clients)
    this.#deniedHosts.limit(deniedHosts)
  }

  /**
   * Counts a request when its fate is settled: a tunnel at its 200, anything else at its end.
   *
   * @param quiet whether a deny rule asked that its refusals stay out of what alerts look at
   */
  count(
    event: Pick<FullAuditEvent, 'listener' | 'kind' | 'event' | 'reason' | 'entry' | 'feature' | 'host' | 'client' | 'group'>,
    hint: Hint | undefined,
    quiet = false,
  ): void {
    const { listener, kind, event: verdict, reason = '', entry, feature = 'rules', group = '' } = event
    this.metrics.requests.inc({ listener, kind, verdict, reason })
    if (this.#groups.size > 0)
      this.metrics.groupRequests.inc({ group: group === '' || this.#groups.has(group) ? group : REMOVED_ENTRY, verdict })
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
    if (this.#auditEvents === 'denied' && event.event === 'allow') return
    this.#audit.write(this.#clients.applied(event))
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
