import type { AuditEvent, AuditVerdict } from '../../core/audit-event.ts'
import type { Hint } from '../../core/policy/hints.ts'
import type { AuditSink } from './audit-log.ts'
import { ClientNames, type ClientPrivacy } from './client-names.ts'
import { DeniedHosts, OTHER_HOST } from './denied-hosts.ts'
import type { LimitLabel } from './limit-hits.ts'
import type { Metrics } from './metrics.ts'
import { RecentDenials } from './recent-denials.ts'
import { Tallies } from './tallies.ts'

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
  /** Whoever else wants to know; absent costs nothing. */
  readonly observer: TelemetryObserver | undefined
}

/** Facts of a request whose fate is settled: a tunnel at its 200, anything else at its end. */
export type CountedRequest = Pick<
  FullAuditEvent,
  'listener' | 'kind' | 'event' | 'reason' | 'entry' | 'feature' | 'host' | 'port' | 'client' | 'group'
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
  #groups: ReadonlySet<string>
  readonly #clients: ClientNames
  #observer: TelemetryObserver | undefined
  readonly #requests: Tallies<'listener' | 'kind' | 'verdict' | 'reason'>
  readonly #groupRequests: Tallies<'group' | 'verdict'>
  readonly #entryHits: Tallies<'entry' | 'feature'>
  readonly #entryBytes: Tallies<'entry' | 'direction'>
  readonly #tunnelBytes: Tallies<'direction'>
  readonly #lookups: Tallies<'outcome'>
  readonly #denials: Tallies<'listener' | 'verdict' | 'reason' | 'host'>
  readonly #remedies: Tallies<'remedy' | 'name'>
  /** Keys of the series of a host, to be removed with it. */
  readonly #series = new Map<string, string[]>()

  constructor({ metrics, audit, auditEvents, deniedHosts, clients, entries, groups = NO_GROUPS, observer }: TelemetryOptions) {
    this.#observer = observer
    this.#entries = entries
    this.#groups = groups
    this.metrics = metrics
    this.#requests = new Tallies(metrics.requests)
    this.#groupRequests = new Tallies(metrics.groupRequests)
    this.#entryHits = new Tallies(metrics.entryHits)
    this.#entryBytes = new Tallies(metrics.entryBytes)
    this.#tunnelBytes = new Tallies(metrics.tunnelBytes)
    this.#lookups = new Tallies(metrics.dnsLookups)
    this.#denials = new Tallies(metrics.denials)
    this.#remedies = new Tallies(metrics.denialRemedies)
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
    observer,
  }: Omit<TelemetryOptions, 'metrics' | 'audit'>): void {
    this.#entryHits.clear()
    this.#entryBytes.clear()
    this.#groupRequests.clear()
    this.#entries = entries
    this.#groups = groups
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
    const { listener, kind, event: verdict, reason = '', entry, feature = 'rules', group = '' } = event
    const key = `${listener} ${kind} ${verdict} ${reason}`
    const requests = this.#requests.find(key) ?? this.#requests.begin(key, { listener, kind, verdict, reason })
    requests.count++
    if (this.#groups.size > 0) this.#countGroup(group === '' || this.#groups.has(group) ? group : REMOVED_ENTRY, verdict)
    if (verdict === 'allow' && entry !== undefined) this.#countHit(this.#label(entry), feature)
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

  /** A limit or deadline has come to bear. */
  hit(limit: LimitLabel): void {
    this.metrics.limitHits.inc({ limit })
  }

  countLookup(outcome: string): void {
    const lookups = this.#lookups.find(outcome) ?? this.#lookups.begin(outcome, { outcome })
    lookups.count++
  }

  countTunnelBytes(bytesUp: number, bytesDown: number): void {
    const up = this.#tunnelBytes.find('up') ?? this.#tunnelBytes.begin('up', { direction: 'up' })
    const down = this.#tunnelBytes.find('down') ?? this.#tunnelBytes.begin('down', { direction: 'down' })
    up.count += bytesUp
    down.count += bytesDown
  }

  countBytes(entry: string | undefined, bytesUp: number, bytesDown: number): void {
    if (entry === undefined) return
    const label = this.#label(entry)
    const [upKey, downKey] = [`up ${label}`, `down ${label}`]
    const up = this.#entryBytes.find(upKey) ?? this.#entryBytes.begin(upKey, { entry: label, direction: 'up' })
    const down = this.#entryBytes.find(downKey) ?? this.#entryBytes.begin(downKey, { entry: label, direction: 'down' })
    up.count += bytesUp
    down.count += bytesDown
  }

  #countGroup(group: string, verdict: AuditVerdict): void {
    const key = `${group} ${verdict}`
    const requests = this.#groupRequests.find(key) ?? this.#groupRequests.begin(key, { group, verdict })
    requests.count++
  }

  #countHit(entry: string, feature: string): void {
    const key = `${entry} ${feature}`
    const hits = this.#entryHits.find(key) ?? this.#entryHits.begin(key, { entry, feature })
    hits.count++
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
      host === undefined ? { label: '', first: false } : this.#deniedHosts.labelFor(host, client, performance.now())
    if (label === OTHER_HOST) this.hit('denied_hosts')
    if (first) this.metrics.deniedHostsFirstSeen.inc()
    const key = `${listener} ${verdict} ${reason} ${label}`
    let denials = this.#denials.find(key)
    if (denials === undefined) {
      denials = this.#denials.begin(key, { listener, verdict, reason, host: label })
      if (label === host) this.#series.set(host, [...(this.#series.get(host) ?? []), key])
    }
    denials.count++
    if (hint !== undefined) this.#countRemedy(hint.remedy)
  }

  #countRemedy({ kind, name }: Hint['remedy']): void {
    const key = `${kind} ${name}`
    const remedies = this.#remedies.find(key) ?? this.#remedies.begin(key, { remedy: kind, name })
    remedies.count++
  }

  #freeSeries(host: string): void {
    for (const key of this.#series.get(host) ?? []) this.#denials.remove(key)
    this.#series.delete(host)
  }
}
