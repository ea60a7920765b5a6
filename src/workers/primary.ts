import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type ClientAddresses, clientAddresses } from '../core/config/listen.ts'
import { groupTunnels, limitsOf } from '../core/policy/compile-groups.ts'
import { Ending } from '../ending.ts'
import { type BoundAddresses, newVia, type RunningGateway, shownListeners } from '../gateway.ts'
import { createAdminService } from '../io/admin/admin-service.ts'
import type { HttpService } from '../io/admin/http-service.ts'
import { createMetricsService, type Readiness } from '../io/admin/metrics-service.ts'
import type { RelayKind } from '../io/relay/relay.ts'
import { DroppedPackets } from '../io/subnet/dropped-packets.ts'
import { AuditLog } from '../io/telemetry/audit-log.ts'
import { auditTrouble, countAuditLoss, reportAuditError, reportAuditWritable } from '../io/telemetry/audit-trouble.ts'
import { ClientNames } from '../io/telemetry/client-names.ts'
import type { Logger } from '../io/telemetry/log.ts'
import { Metrics } from '../io/telemetry/metrics.ts'
import { StallWatch } from '../io/telemetry/stall-watch.ts'
import { type ReloadReport, type Settings, SettingsInForce, type SettingsSource } from '../settings-in-force.ts'
import { AuditIntake, READ_BYTES } from './audit-intake.ts'
import type { WorkerAudit } from './audit-pipe.ts'
import { Crew } from './crew.ts'
import { CrewView } from './crew-view.ts'
import type { FromWorker, GatewayIdentity, GenerationFiles, ToWorker } from './messages.ts'
import { ShareDesk } from './share-desk.ts'
import type { WorkerHandle } from './worker-handle.ts'

/** How often every worker is asked how its metrics stand: what it counted since is lost when it is killed. */
const ASK_MS = 1_000

export interface PrimaryOptions {
  readonly settings: Settings
  /** Name of the config file. */
  readonly file: string
  /** Loads the settings again, for `reload`. */
  readonly source: SettingsSource
  readonly log: Logger
  /** Lines of the process log so far that nobody took. */
  readonly logDropped: () => number
  /** At least two. */
  readonly workers: number
}

/**
 * A gateway of several processes. This one carries no request: it loads and watches the files, starts and replaces the workers, deals out
 * the limits, writes the one audit log, and answers on the listeners for metrics and for the admin API.
 */
export class Primary implements RunningGateway {
  readonly #log: Logger
  readonly #file: string
  readonly #source: SettingsSource
  readonly #metrics = new Metrics()
  readonly #settings: SettingsInForce
  readonly #audit: AuditLog
  readonly #intake: AuditIntake
  readonly #desk: ShareDesk
  readonly #crew: Crew
  readonly #view: CrewView
  readonly #services: { readonly metrics: HttpService; readonly admin: HttpService }
  readonly #ending: Ending
  readonly #dropped: DroppedPackets
  readonly #stalls: StallWatch
  readonly #startedAt = new Date()
  readonly #via = newVia()
  readonly #pseudonymKey = randomBytes(32).toString('hex')
  #bound: BoundAddresses | undefined
  /** Where workers are to listen, and where that is. */
  #listen: ClientAddresses
  #clients: ClientAddresses | undefined
  /** What moves the bytes of tunnels in the worker that started last. */
  #relay: RelayKind | undefined
  #reloading: Promise<ReloadReport> | undefined
  /** Of the loads that were sent to workers, the one tried last. */
  #lastLoad = 1
  #asking: NodeJS.Timeout | undefined

  constructor({ settings, file, source, log, logDropped, workers }: PrimaryOptions) {
    this.#log = log
    this.#file = file
    this.#source = source
    const metrics = this.#metrics
    metrics.countLogLosses(logDropped)
    this.#settings = new SettingsInForce(settings, metrics, log)
    this.#listen = clientAddresses(settings.config.listen)
    const config = () => this.#settings.generation.config
    this.#audit = new AuditLog({
      ...this.#auditSettings(config().audit, workers),
      onDrop: (lines, isFull) => countAuditLoss(metrics, lines, isFull),
      onError: (error) => reportAuditError(log, config().audit, error),
      onRoom: () => this.#intake.onRoom(),
      onWritable: (isWritable) => {
        reportAuditWritable(log, metrics, config().audit, isWritable)
        for (const worker of this.#crew.workers) worker.send({ kind: 'audit', isWritable })
      },
    })
    this.#intake = new AuditIntake(this.#audit, config().audit.bufferBytes / 2)
    this.#desk = new ShareDesk({
      limits: (client = '') => limitsOf(config(), client),
      groupTunnels: (client) => groupTunnels(config(), client),
      workers,
      send: (id, message) => this.#crew.workers.find((worker) => worker.id === id)?.send(message),
      nowMs: () => performance.now(),
    })
    this.#crew = new Crew({
      count: workers,
      log,
      intake: this.#intake,
      introduction: (worker) => this.#introduction(worker),
      untilQuiet: async () => this.#reloading,
      onMessage: (worker, message) => this.#onMessage(worker, message),
      onServing: (bound, relay) => {
        this.#clients = bound
        this.#relay = relay
      },
      onEnded: (worker) => this.#onEnded(worker),
      onRestart: () => metrics.workerRestarts.inc(),
      onTornLine: () => metrics.auditDropped.inc(),
    })
    this.#stalls = new StallWatch({ limitMs: () => config().limits.eventLoopStallMs, metrics, log })
    this.#view = new CrewView(this.#crew, metrics, this.#settings)
    const clients = new ClientNames(this.#clientPrivacy())
    this.#dropped = new DroppedPackets({
      metrics,
      config,
      policyHash: () => this.#settings.generation.policy.hash,
      gateway: hostname(),
      write: (event) => {
        clients.configure(this.#clientPrivacy())
        this.#audit.write(clients.applied(event))
      },
    })
    this.#ending = new Ending({
      limits: () => config().limits,
      log,
      refuseNew: () => this.#crew.refuseNew(),
      settled: () => this.#crew.ended(),
      close: () => this.#close(),
    })
    this.#services = {
      metrics: createMetricsService({ contentType: metrics.registry.contentType, metrics: () => this.#view.metricsPage() }, () =>
        this.readiness(),
      ),
      admin: createAdminService({
        generation: () => this.#settings.generation,
        status: () => this.status(),
        denials: () => this.#view.denials(),
        tunnels: () => this.#view.tunnels(),
        endTunnel: (id) => this.#view.endTunnel(id),
        token: () => this.#settings.settings.adminToken,
        reload: () => this.reload(),
      }),
    }
  }

  async start(): Promise<BoundAddresses> {
    const { listen } = this.#settings.generation.config
    try {
      await this.#audit.open()
      const metrics = await this.#services.metrics.start(listen.metrics)
      const admin = await this.#services.admin.start(listen.admin)
      this.#bound = { ...this.#listen, metrics, admin }
      await this.#crew.start()
      this.#bound = { ...(this.#clients ?? this.#listen), metrics, admin }
      this.#asking = setInterval(() => {
        this.#desk.look()
        void this.#view.look()
      }, ASK_MS)
      this.#dropped.start()
      this.#stalls.start()
      this.#ending.begin()
      return this.#bound
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async reload(): Promise<ReloadReport> {
    await this.#reloading
    this.#reloading ??= this.#reload().finally(() => {
      this.#reloading = undefined
    })
    return this.#reloading
  }

  /** All workers or none: each has the new settings ready before the first puts them in force. */
  async #reload(): Promise<ReloadReport> {
    const loaded = await this.#source()
    if (!loaded.ok) return this.#settings.refuse(loaded.error)
    const objection = this.#settings.objectionTo(loaded.value)
    if (objection !== undefined) return this.#settings.refuse([objection])
    const generation = this.#filesOf(loaded.value, ++this.#lastLoad)
    const { workers } = this.#crew
    const problem = await this.#prepare(workers, generation, loaded.value)
    if (problem !== undefined) {
      for (const worker of workers) worker.send({ kind: 'abandon', number: generation.number })
      return this.#settings.refuse([problem])
    }
    this.#settings.swap(loaded.value)
    this.#desk.limitsChanged()
    this.#intake.limit(this.#settings.generation.config.audit.bufferBytes / 2)
    await Promise.all(workers.map((worker) => worker.commit(generation.number, this.#auditOfWorker())))
    return this.#settings.reportLoaded()
  }

  async #prepare(
    workers: readonly WorkerHandle[],
    generation: GenerationFiles,
    { config: { audit } }: Settings,
  ): Promise<string | undefined> {
    const problems = await Promise.all(workers.map((worker) => worker.prepare(generation)))
    const problem = problems.find((one) => one !== undefined)
    if (problem !== undefined) return problem
    try {
      await this.#audit.reopen(this.#auditSettings(audit, this.#crew.size))
      return undefined
    } catch (error) {
      return `cannot open the audit log \`${audit.file}\`: ${(error as NodeJS.ErrnoException).code}`
    }
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
    clearInterval(this.#asking)
    this.#dropped.stop()
    this.#stalls.stop()
    // What still comes is taken even while the log stands still: it counts what it cannot write.
    this.#intake.finish()
    await this.#crew.stop()
    this.#desk.stop()
    this.#services.metrics.stop()
    this.#services.admin.stop()
    await this.#audit.close()
  }

  /** What `/readyz` says. */
  readiness(): Readiness {
    const { phase } = this.#ending
    const serving = this.#crew.serving.length
    const trouble = auditTrouble(this.#settings.generation.config.audit, this.#audit)
    const obstacle = serving === 0 ? 'no worker serves' : trouble?.obstacle
    const ready = phase === 'serving' && obstacle === undefined
    const state = phase === 'serving' ? (obstacle ?? 'ready') : phase
    const lines = [state, `${serving} of ${this.#crew.size} workers`, ...this.#settings.readinessLines()]
    return { ready, lines: [...lines, ...(trouble?.lines ?? [])] }
  }

  /** What `/api/v1/status` says. */
  async status(): Promise<Record<string, unknown>> {
    const { tunnels, auditBytesWaiting, parents, workers } = await this.#view.load()
    return {
      ...this.#settings.status(),
      relay: this.#relay,
      phase: this.#ending.phase,
      startedAt: this.#startedAt.toISOString(),
      listeners: shownListeners(this.#bound),
      tunnels: { open: tunnels, limit: this.#settings.generation.config.limits.tunnels },
      auditBytesWaiting: this.#audit.waitingBytes + auditBytesWaiting,
      parents,
      workers,
    }
  }

  #onMessage(worker: WorkerHandle, message: FromWorker): void {
    switch (message.kind) {
      case 'want':
        return this.#desk.want(worker.id, message.share)
      case 'give_back':
        return this.#desk.giveBack(worker.id, message.shares, message.recalled)
      case 'ended':
        return this.#view.lastWord(worker.id, message)
      default:
        // The rest is the crew's and the handle's.
        return
    }
  }

  #onEnded(worker: WorkerHandle): void {
    this.#desk.forget(worker.id)
    this.#view.forget(worker.id)
    // With the last worker Node closes the socket: the next one binds the port that clients know, also where any was taken.
    if (this.#crew.workers.length === 0) this.#listen = this.#clients ?? this.#listen
  }

  #introduction(worker: number): ToWorker {
    return {
      kind: 'start',
      worker,
      workers: this.#crew.size,
      generation: this.#filesOf(this.#settings.settings, this.#lastLoad),
      identity: this.#identity(),
      listen: this.#listen,
      connections: this.#desk.connectionsFor(worker),
      audit: this.#auditOfWorker(),
      isLogWritable: this.#audit.isWritable,
    }
  }

  /** As the workers have it: one client has one pseudonym in all of the log. */
  #clientPrivacy() {
    const { config, auditKey = this.#pseudonymKey } = this.#settings.settings
    return { shown: config.audit.clients, key: auditKey }
  }

  #identity(): GatewayIdentity {
    if (this.#bound === undefined) throw new Error('a worker before the listeners stand')
    const { metrics, admin } = this.#bound
    return { via: this.#via, pseudonymKey: this.#pseudonymKey, metrics, admin }
  }

  #filesOf({ reads, policy }: Settings, number: number): GenerationFiles {
    if (reads === undefined) throw new Error('settings without what the files said')
    return { number, file: this.#file, reads, policyHash: policy.hash }
  }

  /** Half of what may wait does so in the workers; what is read from them in one go comes on top. */
  #auditSettings<T extends { readonly bufferBytes: number }>(audit: T, workers: number): T {
    return { ...audit, bufferBytes: audit.bufferBytes / 2 + workers * READ_BYTES }
  }

  #auditOfWorker(): WorkerAudit {
    const { bufferBytes, onFailure } = this.#settings.generation.config.audit
    return { bufferBytes: Math.floor(bufferBytes / 2 / this.#crew.size), onFailure }
  }
}
