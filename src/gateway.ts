import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { Config } from './core/config.ts'
import { formatListenAddress, type ListenAddress } from './core/listen-address.ts'
import { inspectedHosts } from './core/policy/inspected-hosts.ts'
import type { Policy } from './core/policy/policy.ts'
import type { Result } from './core/result.ts'
import { createAdminService } from './io/admin/admin-service.ts'
import type { HttpService } from './io/admin/http-service.ts'
import { createMetricsService, type Readiness } from './io/admin/metrics-service.ts'
import { Admission } from './io/proxy/admission.ts'
import { Dialer } from './io/proxy/dial.ts'
import { Exchanges } from './io/proxy/exchanges.ts'
import { Forwarder } from './io/proxy/forward.ts'
import type { Generation } from './io/proxy/generation.ts'
import { ProxyListener } from './io/proxy/listener.ts'
import { OriginPool } from './io/proxy/origin-pool.ts'
import { isListener } from './io/proxy/own-listener.ts'
import type { ProxyContext } from './io/proxy/proxy-context.ts'
import { recheckTunnels } from './io/proxy/recheck.ts'
import { Resolver, type ResolverOptions } from './io/proxy/resolver.ts'
import { Tunnels } from './io/proxy/tunnels.ts'
import { chooseRelay } from './io/relay/choose-relay.ts'
import type { Relay } from './io/relay/relay.ts'
import { AuditLog } from './io/telemetry/audit-log.ts'
import type { Logger } from './io/telemetry/log.ts'
import { Metrics } from './io/telemetry/metrics.ts'
import { Telemetry } from './io/telemetry/telemetry.ts'
import { Inspection, type InspectionMaterial } from './io/tls/inspection.ts'
import { VERSION } from './version.ts'

export interface GatewayOptions extends Settings {
  /** Loads the settings again, for `reload`. */
  readonly source?: SettingsSource
  readonly log: Logger
  /** Names with fixed addresses. */
  readonly hostsFile?: string
}

/** What can change while the gateway runs, as one. */
export interface Settings {
  readonly config: Config
  readonly policy: Policy
  /** Absent without a usable CA. */
  readonly inspection?: InspectionMaterial | undefined
  /** Bearer token of the admin API; absent where none is configured. */
  readonly adminToken?: string | undefined
  /** Key of the clients' pseudonyms in the audit log; absent where the gateway makes its own. */
  readonly auditKey?: string | undefined
}

/** Gives the settings as they are in the files now, or everything that is wrong with them, a line each. */
export type SettingsSource = () => Promise<Result<Settings, readonly string[]>>

/** What came of a reload. */
export type ReloadReport =
  | {
      readonly outcome: 'loaded'
      readonly policyHash: string
      /** Keys whose change waits for a restart. */
      readonly restartRequired: readonly string[]
    }
  | { readonly outcome: 'failed'; readonly problems: readonly string[] }

/** Where the gateway listens; port 0 has become a real one. */
export interface BoundAddresses {
  readonly proxy: ListenAddress
  readonly metrics: ListenAddress
  readonly admin: ListenAddress
}

type Phase = 'starting' | 'serving' | 'draining' | 'stopped'

/** The composition root: everything is made here, started, drained and stopped here. */
export class Gateway {
  readonly metrics = new Metrics()
  readonly #log: Logger
  readonly #source: SettingsSource | undefined
  readonly #hostsFile: string
  #generation: Generation
  #adminToken: string | undefined
  /** Problems of a reload that failed, until one succeeds. */
  #failure: readonly string[] | undefined
  #restartRequired: readonly string[] = []
  #reloading: Promise<ReloadReport> | undefined
  #reportModeSince: number | undefined
  readonly #audit: AuditLog
  readonly #telemetry: Telemetry
  readonly #resolver: Resolver
  readonly #pool: OriginPool
  readonly #tunnels = new Tunnels()
  readonly #exchanges = new Exchanges()
  readonly #admission: Admission
  readonly #relay: Relay
  readonly #proxy: ProxyListener
  readonly #services: { readonly metrics: HttpService; readonly admin: HttpService }
  readonly #startedAt = new Date()
  #phase: Phase = 'starting'
  #refusesNew = false
  #bound: BoundAddresses | undefined
  #cutShort: (() => void) | undefined
  #stopped: Promise<void> | undefined

  constructor(options: GatewayOptions) {
    const { config, policy, inspection, adminToken, source, log, hostsFile = '/etc/hosts' } = options
    this.#log = log
    this.#source = source
    this.#hostsFile = hostsFile
    this.#adminToken = adminToken
    const { metrics } = this
    this.#generation = { number: 1, config, policy, inspection: inspection && this.#inspection(inspection, config) }
    this.#audit = new AuditLog({
      ...config.audit,
      onDrop: (lines) => metrics.auditDropped.inc(lines),
      onError: (error) =>
        log.error(
          { err: error, file: this.#generation.config.audit.file },
          'audit log cannot be written; lines are dropped and counted',
        ),
    })
    this.#telemetry = new Telemetry({ metrics, audit: this.#audit, ...telemetrySettings(options) })
    this.#resolver = new Resolver(this.#resolverOptions(config))
    this.#pool = new OriginPool(() => this.#generation.config.limits.originKeepAliveSeconds * 1000)
    this.#admission = new Admission(
      () => this.#generation.config.limits,
      (limit) => metrics.limitHits.inc({ limit }),
      (open) => metrics.tunnelsOpen.set(open),
    )
    this.#relay = chooseRelay(config.relay, {
      onTaken: (tunnels) => this.#proxy.handedOver(tunnels),
      onTrouble: (errno) => log.error({ errno: getSystemErrorName(-errno) }, 'the kernel relay had to give a tunnel up'),
      onStandIn: (because) => log.warn({ because }, 'no kernel relay; the portable relay runs'),
    })
    const context = this.#context()
    this.#proxy = new ProxyListener('proxy', context, new Forwarder(context, this.#pool), config.limits)
    this.#services = {
      metrics: createMetricsService(metrics.registry, () => this.readiness()),
      admin: createAdminService({
        generation: () => this.#generation,
        status: () => this.status(),
        denials: () => this.#telemetry.denials.list(),
        tunnels: () => this.#tunnels.list(),
        token: () => this.#adminToken,
        reload: () => this.reload(),
      }),
    }
    this.#describePolicy()
  }

  /** Binds every listener; throws what the system says, with nothing left open. */
  async start(): Promise<BoundAddresses> {
    const { listen } = this.#generation.config
    try {
      await this.#audit.open()
      const metrics = await this.#services.metrics.start(listen.metrics)
      const admin = await this.#services.admin.start(listen.admin)
      const proxy = await this.#proxy.start(listen.proxy)
      this.#bound = { proxy, metrics, admin }
      // Told to end in the meantime, it is on its way there.
      if (this.#phase === 'starting') this.#phase = 'serving'
      return this.#bound
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /**
   * Loads the settings again and swaps them as one, or keeps those in force and says what is wrong. No connection is dropped but
   * the tunnels that the new policy would not open. Whoever asks while a reload is under way waits for one that begins after it.
   */
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
    if (!loaded.ok) return this.#refuse(loaded.error)
    const { config, policy, inspection } = loaded.value
    if (inspection === undefined && this.#generation.inspection !== undefined && inspectedHosts(policy).length > 0) {
      return this.#refuse(['the CA of the inspection cannot be used any more; `sallyport check` says why'])
    }
    try {
      await this.#audit.reopen(config.audit)
    } catch (error) {
      return this.#refuse([`cannot open the audit log \`${config.audit.file}\`: ${(error as NodeJS.ErrnoException).code}`])
    }
    return this.#apply(loaded.value)
  }

  /** The last good settings stay in force, and everybody who looks is told. */
  #refuse(problems: readonly string[]): ReloadReport {
    this.#failure = problems
    this.metrics.policyReloads.inc({ outcome: 'failed' })
    this.metrics.policyCurrent.set(0)
    this.#log.error({ problems, hash: this.#generation.policy.hash }, 'reload failed; the policy in force stays')
    return { outcome: 'failed', problems }
  }

  #apply(settings: Settings): ReloadReport {
    const { config, policy, inspection, adminToken } = settings
    const before = this.#generation
    const generation: Generation = {
      number: before.number + 1,
      config,
      policy,
      inspection: inspection && this.#inspection(inspection, config),
    }
    this.#generation = generation
    this.#adminToken = adminToken
    this.#failure = undefined
    this.#restartRequired = restartRequired(before.config, config, this.#restartRequired)
    this.#proxy.limit(config.limits)
    this.#telemetry.configure(telemetrySettings(settings))
    if (JSON.stringify(before.config.dns) !== JSON.stringify(config.dns))
      this.#resolver.reconfigure(this.#resolverOptions(config))
    this.#pool.retire(generation.number)
    this.#forgetEntries(before.policy)
    this.#describePolicy()
    this.metrics.policyReloads.inc({ outcome: 'ok' })
    this.#log.info(
      { hash: policy.hash, mode: policy.mode, entries: policy.entries.length, restartRequired: this.#restartRequired },
      'reloaded',
    )
    if (config.reload.tunnels === 'recheck') void this.#recheck(generation)
    return { outcome: 'loaded', policyHash: policy.hash, restartRequired: this.#restartRequired }
  }

  async #recheck(generation: Generation): Promise<void> {
    const closed = await recheckTunnels(this.#tunnels, generation, () => this.#generation === generation)
    if (closed > 0) this.#log.info({ closed, hash: generation.policy.hash }, 'closed tunnels that the new policy does not allow')
  }

  /** Writes the audit log to the file that now stands under its name. */
  async rotateAuditLog(): Promise<void> {
    try {
      await this.#audit.reopen()
    } catch (error) {
      this.#log.error({ err: error }, 'audit log cannot be reopened; the old file is written on')
    }
  }

  /**
   * Ends in order: `/readyz` says 503 and new work is still taken for `drainDelaySeconds`, then listening stops, tunnels and
   * requests may end by themselves for `drainSeconds`, and what is left is closed.
   */
  async drain(): Promise<void> {
    if (this.#phase === 'draining' || this.#phase === 'stopped') return
    this.#phase = 'draining'
    const { drainDelaySeconds, drainSeconds } = this.#generation.config.limits
    const cut = new Promise<void>((resolve) => {
      this.#cutShort = resolve
    })
    await Promise.race([wait(drainDelaySeconds * 1000), cut])
    this.#refusesNew = true
    this.#proxy.stop()
    const left = { tunnels: this.#tunnels.size, requests: this.#exchanges.size, seconds: drainSeconds }
    this.#log.info(left, 'no new work; waiting for tunnels and requests to end')
    await Promise.race([this.#exchanges.settled(), wait(drainSeconds * 1000), cut])
    await this.stop()
  }

  /** Ends at once: open tunnels are closed, with their audit lines. Whoever asks again waits for the same end. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#phase = 'stopped'
    this.#refusesNew = true
    this.#cutShort?.()
    this.#proxy.stop()
    this.#tunnels.endAll('drain')
    await Promise.race([this.#tunnels.empty(), wait(CLOSE_MS)])
    this.#relay.close()
    this.#proxy.destroy()
    // What was under way learns of its end from its sockets, and leaves its line in the audit log then.
    await Promise.race([this.#exchanges.settled(), wait(CLOSE_MS)])
    this.#pool.retire(0)
    this.#resolver.close()
    this.#services.metrics.stop()
    this.#services.admin.stop()
    await this.#audit.close()
  }

  /** What `/readyz` says. */
  readiness(): Readiness {
    const ready = this.#phase === 'serving'
    const { policy } = this.#generation
    const lines = [ready ? 'ready' : this.#phase, `policy ${policy.hash}, ${policy.mode}, ${policy.entries.length} entries`]
    // A bad file must not empty the load balancer: it is told here and the gateway stays ready.
    if (this.#failure !== undefined) lines.push(`the files do not load, this policy stays in force: ${this.#failure.join('; ')}`)
    if (this.#restartRequired.length > 0) lines.push(`restart required for: ${this.#restartRequired.join(', ')}`)
    return { ready, lines }
  }

  /** What `/api/v1/status` says. */
  status(): Record<string, unknown> {
    const { policy, config } = this.#generation
    const listeners =
      this.#bound === undefined
        ? {}
        : Object.fromEntries(Object.entries(this.#bound).map(([name, at]) => [name, formatListenAddress(at)]))
    return {
      version: VERSION,
      node: process.version,
      relay: this.#relay.kind,
      phase: this.#phase,
      startedAt: this.#startedAt.toISOString(),
      listeners,
      policy: {
        hash: policy.hash,
        mode: policy.mode,
        cloud: policy.cloud,
        editions: policy.editions,
        entries: policy.entries.length,
      },
      reload: { failure: this.#failure ?? null, restartRequired: this.#restartRequired },
      tunnels: { open: this.#admission.tunnelsOpen, limit: config.limits.tunnels },
      auditBytesWaiting: this.#audit.waitingBytes,
    }
  }

  #resolverOptions({ dns }: Config): ResolverOptions {
    return {
      ...dns,
      servers: dns.servers.map(formatListenAddress),
      hostsFile: this.#hostsFile,
      onLookup: (outcome) => this.metrics.dnsLookups.inc({ outcome }),
    }
  }

  /** Series of entries that are gone would pile up with every reload. */
  #forgetEntries({ entries }: Policy): void {
    const kept = idsOf(this.#generation.policy)
    for (const { id, feature = 'rules' } of entries) {
      if (kept.has(id)) continue
      this.metrics.entryHits.remove({ entry: id, feature })
      for (const direction of ['up', 'down']) this.metrics.entryBytes.remove({ entry: id, direction })
    }
  }

  #inspection(material: InspectionMaterial, config: Config): Inspection {
    const { certificatesMinted, certificateCacheHits } = this.metrics
    return new Inspection(material, {
      maxEntries: config.inspection.certificates,
      now: () => new Date(),
      onMint: () => certificatesMinted.inc(),
      onHit: () => certificateCacheHits.inc(),
    })
  }

  #context(): ProxyContext {
    const { metrics } = this
    const dialer = new Dialer({
      resolver: this.#resolver,
      rawDial: this.#relay.dial,
      dialMs: () => this.#generation.config.limits.dialSeconds * 1000,
      isOwnListener: (address, port) => isListener(Object.values(this.#bound ?? {}), address, port),
      onDialled: (outcome, seconds) => metrics.dialSeconds.observe({ outcome }, seconds),
    })
    return {
      generation: () => this.#generation,
      dialer,
      relay: this.#relay,
      telemetry: this.#telemetry,
      admission: this.#admission,
      tunnels: this.#tunnels,
      exchanges: this.#exchanges,
      log: this.#log,
      gateway: hostname(),
      via: `sallyport-${randomBytes(6).toString('hex')}`,
      isDraining: () => this.#refusesNew,
    }
  }

  #describePolicy(): void {
    const { policy, config, inspection } = this.#generation
    const { metrics } = this
    metrics.policyInfo.reset()
    metrics.policyEntries.reset()
    metrics.policyInfo.set({ hash: policy.hash, mode: policy.mode, cloud: policy.cloud }, 1)
    metrics.policyLoadedTimestamp.set(Math.floor(Date.now() / 1000))
    metrics.policyCurrent.set(1)
    for (const outcome of ['ok', 'failed']) metrics.policyReloads.inc({ outcome }, 0)
    this.#reportModeSince = policy.mode === 'report' ? (this.#reportModeSince ?? Math.floor(Date.now() / 1000)) : undefined
    metrics.reportModeSince.set(this.#reportModeSince ?? 0)
    metrics.caExpiryTimestamp.set(inspection === undefined ? 0 : Math.floor(inspection.authority.notAfter.getTime() / 1000))
    metrics.tunnelsLimit.set(config.limits.tunnels)
    metrics.buildInfo.set({ version: VERSION, node: process.version, relay: this.#relay.kind }, 1)
    for (const { feature = 'rules' } of policy.entries) metrics.policyEntries.inc({ feature })
  }
}

function idsOf({ entries }: Policy): ReadonlySet<string> {
  return new Set(entries.map(({ id }) => id))
}

/** Keys that are read once, at start: those that changed now, and those that wait already. */
function restartRequired(before: Config, after: Config, waiting: readonly string[]): string[] {
  const changed = [
    ...Object.keys(after.listen).map(
      (name) => [`listen.${name}`, (config: Config) => Object.entries(config.listen).find(([key]) => key === name)] as const,
    ),
    ['workers', (config: Config) => config.workers] as const,
    ['stateDirectory', (config: Config) => config.stateDirectory] as const,
    ['relay', (config: Config) => config.relay] as const,
  ].filter(([, read]) => JSON.stringify(read(before)) !== JSON.stringify(read(after)))
  return [...new Set([...waiting, ...changed.map(([key]) => key)])]
}

function telemetrySettings({ config, policy, auditKey }: Settings) {
  const { audit, metrics } = config
  return {
    auditEvents: audit.events,
    deniedHosts: metrics.deniedHosts,
    entries: idsOf(policy),
    clients: { shown: audit.clients, key: auditKey },
  }
}

/** How long closed tunnels may take to flush their last bytes. */
const CLOSE_MS = 2_000

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
