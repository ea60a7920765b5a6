import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type ClientAddresses, clientAddresses } from './core/config/listen.ts'
import { formatListenAddress, type ListenAddress } from './core/listen-address.ts'
import { groupTunnels, limitsOf } from './core/policy/compile-groups.ts'
import { Ending } from './ending.ts'
import { countAdmission, Gate, HOSTS_FILE } from './gate.ts'
import { createAdminService } from './io/admin/admin-service.ts'
import type { HttpService } from './io/admin/http-service.ts'
import { createMetricsService, type Readiness } from './io/admin/metrics-service.ts'
import { OwnAdmission } from './io/proxy/admission.ts'
import { DroppedPackets } from './io/subnet/dropped-packets.ts'
import { AuditLog } from './io/telemetry/audit-log.ts'
import { auditTrouble, countAuditLoss, reportAuditError, reportAuditWritable } from './io/telemetry/audit-trouble.ts'
import type { Logger } from './io/telemetry/log.ts'
import { Metrics } from './io/telemetry/metrics.ts'
import type { TelemetryObserver } from './io/telemetry/telemetry.ts'
import { type ReloadReport, type Settings, SettingsInForce, type SettingsSource } from './settings-in-force.ts'

export { forbidCoreDumps } from './io/relay/load-native.ts'
export type { ReloadReport, Settings, SettingsSource } from './settings-in-force.ts'

export interface GatewayOptions extends Settings {
  /** Loads the settings again, for `reload`. */
  readonly source?: SettingsSource
  readonly log: Logger
  /** Lines of the process log so far that nobody took. */
  readonly logDropped?: () => number
  /** Names with fixed addresses. */
  readonly hostsFile?: string
  /** Of a gateway inside another program: who is told what happens. Its metrics then leave the process out. */
  readonly observer?: TelemetryObserver
}

/** Where the gateway listens; port 0 has become a real one. */
export type BoundAddresses = ClientAddresses & {
  readonly metrics: ListenAddress
  readonly admin: ListenAddress
}

/** A gateway as the command line sees it, in one process or several. */
export interface RunningGateway {
  /** Binds every listener; throws what the system says, with nothing left open. */
  start(): Promise<BoundAddresses>
  /**
   * Loads the settings again and swaps them as one, or keeps those in force and says what is wrong. No connection is dropped but
   * the tunnels that the new policy would not open. Whoever asks while a reload is under way waits for one that begins after it.
   */
  reload(): Promise<ReloadReport>
  /** Writes the audit log to the file that now stands under its name. */
  rotateAuditLog(): Promise<void>
  /** Ends in order. */
  drain(): Promise<void>
  /** Ends at once. */
  stop(): Promise<void>
}

/** A new name for `Via`, which no other gateway has. */
export function newVia(): string {
  return `sallyport-${randomBytes(6).toString('hex')}`
}

/** The composition root: everything is made here, started, drained and stopped here. */
export class Gateway implements RunningGateway {
  readonly metrics: Metrics
  readonly #log: Logger
  readonly #source: SettingsSource | undefined
  readonly #settings: SettingsInForce
  #reloading: Promise<ReloadReport> | undefined
  readonly #audit: AuditLog
  readonly #gate: Gate
  readonly #services: { readonly metrics: HttpService; readonly admin: HttpService }
  readonly #dropped: DroppedPackets
  readonly #startedAt = new Date()
  readonly #ending: Ending
  #bound: BoundAddresses | undefined

  constructor({ source, log, logDropped = () => 0, hostsFile = HOSTS_FILE, observer, ...settings }: GatewayOptions) {
    this.#log = log
    this.#source = source
    const metrics = new Metrics(observer === undefined)
    this.metrics = metrics
    metrics.countLogLosses(logDropped)
    this.#settings = new SettingsInForce(settings, metrics, log)
    this.#audit = new AuditLog({
      ...settings.config.audit,
      onDrop: (lines, isFull) => countAuditLoss(metrics, lines, isFull),
      onError: (error) => reportAuditError(log, this.#settings.generation.config.audit, error),
      onWritable: (isWritable) => reportAuditWritable(log, metrics, this.#settings.generation.config.audit, isWritable),
    })
    this.#gate = new Gate({
      settings: this.#settings,
      metrics,
      audit: this.#audit,
      admission: new OwnAdmission({
        ...countAdmission(metrics),
        limits: (client) => limitsOf(this.#settings.generation.config, client),
        groupTunnels: (client) => groupTunnels(this.#settings.generation.config, client),
      }),
      log,
      hostsFile,
      observer,
      via: newVia(),
      ownListeners: () => (this.#bound === undefined ? [] : [this.#bound.metrics, this.#bound.admin]),
    })
    this.#dropped = new DroppedPackets({
      metrics,
      config: () => this.#settings.generation.config,
      policyHash: () => this.#settings.generation.policy.hash,
      gateway: hostname(),
      write: (event) => this.#gate.record(event),
    })
    this.#ending = new Ending({
      limits: () => this.#settings.generation.config.limits,
      log,
      refuseNew: () => this.#gate.refuseNew(),
      settled: () => this.#gate.settled(),
      close: () => this.#close(),
    })
    this.#services = {
      metrics: createMetricsService(metrics.registry, () => this.readiness()),
      admin: createAdminService({
        generation: () => this.#settings.generation,
        status: () => this.status(),
        denials: () => this.#gate.denials.list(),
        tunnels: () => this.#gate.tunnels.show(),
        endTunnel: (id) => this.#gate.tunnels.end(id, 'policy_changed'),
        token: () => this.#settings.settings.adminToken,
        reload: () => this.reload(),
      }),
    }
  }

  async start(): Promise<BoundAddresses> {
    const { listen } = this.#settings.generation.config
    try {
      const problem = await this.#settings.startHooks()
      if (problem !== undefined) throw new Error(problem)
      await this.#audit.open()
      const metrics = await this.#services.metrics.start(listen.metrics)
      const admin = await this.#services.admin.start(listen.admin)
      const clients = await this.#gate.start(clientAddresses(listen))
      this.#bound = { ...clients, metrics, admin }
      this.#dropped.start()
      this.#ending.begin()
      return this.#bound
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async reload(): Promise<ReloadReport> {
    const source = this.#source
    if (source === undefined) return { outcome: 'failed', problems: ['this gateway was started without a source to load from'] }
    await this.#reloading
    this.#reloading ??= this.#reload(source).finally(() => {
      this.#reloading = undefined
    })
    return this.#reloading
  }

  async #reload(source: SettingsSource): Promise<ReloadReport> {
    const loaded = await source()
    if (!loaded.ok) return this.#settings.refuse(loaded.error)
    const objection = this.#settings.objectionTo(loaded.value)
    if (objection !== undefined) return this.#settings.refuse([objection])
    const problem = await this.#settings.prepareHooks(loaded.value)
    if (problem !== undefined) return this.#settings.refuse([problem])
    const { audit } = loaded.value.config
    try {
      await this.#audit.reopen(audit)
    } catch (error) {
      this.#settings.abandonHooks()
      return this.#settings.refuse([`cannot open the audit log \`${audit.file}\`: ${(error as NodeJS.ErrnoException).code}`])
    }
    this.#gate.adopt(this.#settings.swap(loaded.value))
    return this.#settings.reportLoaded()
  }

  async rotateAuditLog(): Promise<void> {
    try {
      await this.#audit.reopen()
    } catch (error) {
      this.#log.error({ err: error }, 'audit log cannot be reopened; the old file is written on')
    }
  }

  drain(): Promise<void> {
    return this.#ending.drain()
  }

  stop(): Promise<void> {
    return this.#ending.stop()
  }

  async #close(): Promise<void> {
    this.#dropped.stop()
    await this.#gate.close()
    await this.#settings.closeHooks()
    this.#services.metrics.stop()
    this.#services.admin.stop()
    await this.#audit.close()
  }

  /** What `/readyz` says. */
  readiness(): Readiness {
    const { phase } = this.#ending
    const trouble = auditTrouble(this.#settings.generation.config.audit, this.#audit)
    const ready = phase === 'serving' && trouble?.obstacle === undefined
    const state = phase === 'serving' ? (trouble?.obstacle ?? 'ready') : phase
    return { ready, lines: [state, ...this.#settings.readinessLines(), ...(trouble?.lines ?? [])] }
  }

  /** What `/api/v1/status` says. */
  status(): Record<string, unknown> {
    return {
      ...this.#settings.status(),
      relay: this.#gate.relay,
      phase: this.#ending.phase,
      startedAt: this.#startedAt.toISOString(),
      listeners: shownListeners(this.#bound),
      tunnels: { open: this.#gate.tunnelsOpen, limit: this.#settings.generation.config.limits.tunnels },
      auditBytesWaiting: this.#audit.waitingBytes,
      parents: this.#gate.parents,
    }
  }
}

/** Where the gateway listens, by listener, as text; nothing before it does. */
export function shownListeners(bound: BoundAddresses | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(bound ?? {}).map(([name, at]) => [name, formatListenAddress(at)]))
}
