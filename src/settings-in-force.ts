import type { Listen } from './core/config/listen.ts'
import type { Config } from './core/config.ts'
import { dayNumber } from './core/day.ts'
import { inspectedHosts } from './core/policy/inspected-hosts.ts'
import { everyEntry, everyPolicy, type Policy } from './core/policy/policy.ts'
import type { Result } from './core/result.ts'
import { type ClientAccess, NO_ACCESS_FILES } from './io/credentials/client-access.ts'
import type { RecordedReads } from './io/file-reads.ts'
import { HookHost } from './io/hooks/hook-host.ts'
import type { HookSource } from './io/hooks/messages.ts'
import type { Generation } from './io/proxy/generation.ts'
import type { Logger } from './io/telemetry/log.ts'
import type { Metrics } from './io/telemetry/metrics.ts'
import { Inspection, type InspectionMaterial } from './io/tls/inspection.ts'
import type { UpstreamWay } from './io/tls/upstream-way.ts'
import { VERSION } from './version.ts'

/** What can change while the gateway runs, as one. */
export interface Settings {
  readonly config: Config
  readonly policy: Policy
  /** Absent without a usable CA. */
  readonly inspection?: InspectionMaterial | undefined
  /** Who clients are, as far as files say; absent where none do. */
  readonly access?: ClientAccess | undefined
  /** The operator's own code; absent where there is none. */
  readonly hooks?: readonly HookSource[] | undefined
  /** Ways through parent proxies. */
  readonly upstream: readonly UpstreamWay[]
  /** Bearer token of the admin API; absent where none is configured. */
  readonly adminToken?: string | undefined
  /** Key of the clients' pseudonyms in the audit log; absent where none is configured. */
  readonly auditKey?: string | undefined
  /** What the files said, so that workers load the same whatever stands in them by then; absent where there are none. */
  readonly reads?: RecordedReads | undefined
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

/** The settings in force, what became of the last reload, and what log, metrics and probes are told of both. */
export class SettingsInForce {
  readonly #metrics: Metrics
  readonly #log: Logger
  #generation: Generation
  #settings: Settings
  /** Hooks that run already, for settings that are not in force yet. */
  #prepared: { readonly settings: Settings; readonly hooks: HookHost | undefined } | undefined
  /** Problems of a reload that failed, until one succeeds. */
  #failure: readonly string[] | undefined
  #restartRequired: readonly string[] = []
  /** What was read once, at start. */
  readonly #started: Config
  #reportModeSince: number | undefined

  constructor(settings: Settings, metrics: Metrics, log: Logger) {
    this.#metrics = metrics
    this.#log = log
    this.#settings = settings
    this.#started = settings.config
    this.#generation = this.#generationOf(settings, 1, undefined)
    this.#describe()
  }

  get generation(): Generation {
    return this.#generation
  }

  get settings(): Settings {
    return this.#settings
  }

  /** Why settings that are right in themselves cannot follow those in force. */
  objectionTo({ inspection, policy }: Settings): string | undefined {
    if (inspection !== undefined || this.#generation.inspection === undefined || inspectedHosts(policy).length === 0)
      return undefined
    return 'the CA of the inspection cannot be used any more; `sallyport check` says why'
  }

  /**
   * Starts the hooks of settings that are to be put in force, and keeps them ready: what is wrong with them, or nothing. Those that run
   * already and have not changed go on running.
   */
  async prepareHooks(settings: Settings): Promise<string | undefined> {
    this.abandonHooks()
    const { hooks: sources = [], config } = settings
    const running = this.#generation.hooks
    if (sources.length === 0) {
      this.#prepared = { settings, hooks: undefined }
      return undefined
    }
    if (running?.isFor(sources, config.hooks)) {
      this.#prepared = { settings, hooks: running }
      return undefined
    }
    const started = await HookHost.start({ sources, settings: config.hooks, metrics: this.#metrics, log: this.#log })
    if (!started.ok) return `hooks: ${started.error}`
    this.#prepared = { settings, hooks: started.value }
    return undefined
  }

  /** Ends the hooks that were prepared and are not wanted. */
  abandonHooks(): void {
    const hooks = this.#prepared?.hooks
    this.#prepared = undefined
    if (hooks !== this.#generation.hooks) void hooks?.close()
  }

  /** Runs the hooks of the settings that it was made with: what is wrong with them, or nothing. */
  async startHooks(): Promise<string | undefined> {
    const problem = await this.prepareHooks(this.#settings)
    if (problem === undefined) this.#generation = { ...this.#generation, hooks: this.#prepared?.hooks }
    this.#prepared = undefined
    return problem
  }

  /** Ends all hooks; resolves once they have finished what they had begun. */
  async closeHooks(): Promise<void> {
    this.abandonHooks()
    await this.#generation.hooks?.close()
  }

  /** The last good settings stay in force, and everybody who looks is told. */
  refuse(problems: readonly string[]): ReloadReport {
    this.#failure = problems
    this.#metrics.policyReloads.inc({ outcome: 'failed' })
    this.#metrics.policyCurrent.set(0)
    this.#log.error({ problems, hash: this.#generation.policy.hash }, 'reload failed; the policy in force stays')
    return { outcome: 'failed', problems }
  }

  /** Puts settings in force: the generation that they replace. */
  swap(settings: Settings): Generation {
    const before = this.#generation
    const hooks = this.#prepared?.settings === settings ? this.#prepared.hooks : undefined
    this.#prepared = undefined
    this.#generation = this.#generationOf(settings, before.number + 1, hooks)
    if (before.hooks !== hooks) void before.hooks?.retire()
    this.#settings = settings
    this.#failure = undefined
    this.#restartRequired = restartRequired(this.#started, settings.config)
    this.#describe()
    return before
  }

  /** Tells that a reload has put settings in force. */
  reportLoaded(): ReloadReport {
    const { hash, mode, entries } = this.#generation.policy
    const restartRequired = this.#restartRequired
    this.#metrics.policyReloads.inc({ outcome: 'ok' })
    this.#log.info({ hash, mode, entries: entries.length, restartRequired }, 'reloaded')
    if (restartRequired.length > 0) this.#log.warn({ restartRequired }, 'these keys are as they were until a restart')
    return { outcome: 'loaded', policyHash: hash, restartRequired }
  }

  /** Lines for `/readyz`. */
  readinessLines(): string[] {
    const { policy } = this.#generation
    const lines = [`policy ${policy.hash}, ${policy.mode}, ${policy.entries.length} entries`]
    // A bad file must not empty the load balancer: it is told here and the gateway stays ready.
    if (this.#failure !== undefined) lines.push(`the files do not load, this policy stays in force: ${this.#failure.join('; ')}`)
    if (this.#restartRequired.length > 0) lines.push(`restart required for: ${this.#restartRequired.join(', ')}`)
    return lines
  }

  /** What `/api/v1/status` says of the program and its policy. */
  status() {
    const { policy } = this.#generation
    return {
      version: VERSION,
      node: process.version,
      policy: {
        hash: policy.hash,
        mode: policy.mode,
        cloud: policy.cloud,
        editions: policy.editions,
        entries: policy.entries.length,
        serviceTags: policy.tagFile ?? null,
        ...(policy.groups.length === 0
          ? {}
          : { groups: policy.groups.map(({ name, policy: own }) => ({ name, mode: own.mode, entries: own.entries.length })) }),
      },
      reload: { failure: this.#failure ?? null, restartRequired: this.#restartRequired },
    }
  }

  #generationOf(
    { config, policy, inspection, access = NO_ACCESS_FILES, upstream }: Settings,
    number: number,
    hooks: HookHost | undefined,
  ): Generation {
    return { number, config, policy, inspection: inspection && this.#inspection(inspection, config), access, upstream, hooks }
  }

  #inspection(material: InspectionMaterial, config: Config): Inspection {
    const { certificatesMinted, certificateCacheHits, limitHits } = this.#metrics
    return new Inspection(material, {
      maxEntries: config.inspection.certificates,
      now: () => new Date(),
      onMint: () => certificatesMinted.inc(),
      onHit: () => certificateCacheHits.inc(),
      onEvict: () => limitHits.inc({ limit: 'certificates' }),
    })
  }

  #describe(): void {
    const { policy, config, inspection } = this.#generation
    const metrics = this.#metrics
    metrics.policyInfo.reset()
    metrics.policyEntries.reset()
    metrics.ruleExpiryTimestamp.reset()
    metrics.policyInfo.set({ hash: policy.hash, mode: policy.mode, cloud: policy.cloud }, 1)
    metrics.policyLoadedTimestamp.set(Math.floor(Date.now() / 1000))
    metrics.policyCurrent.set(1)
    for (const outcome of ['ok', 'failed']) metrics.policyReloads.inc({ outcome }, 0)
    const reports = everyPolicy(policy).some(({ mode }) => mode === 'report')
    this.#reportModeSince = reports ? (this.#reportModeSince ?? Math.floor(Date.now() / 1000)) : undefined
    metrics.reportModeSince.set(this.#reportModeSince ?? 0)
    metrics.caExpiryTimestamp.set(inspection === undefined ? 0 : Math.floor(inspection.authority.notAfter.getTime() / 1000))
    metrics.serviceTagsTimestamp.set(policy.tagFile?.publishedSeconds ?? 0)
    metrics.tunnelsLimit.set(config.limits.tunnels)
    for (const { id, feature = 'rules', expires } of everyEntry(policy)) {
      metrics.policyEntries.inc({ feature })
      // Its last day is the rule's still.
      if (expires !== undefined) metrics.ruleExpiryTimestamp.set({ entry: id }, (dayNumber(expires) + 1) * 86_400)
    }
  }
}

/** The files of `tls` are loaded again; whether TLS is spoken is settled at start. */
function boundTo(listen: Listen, name: string): unknown {
  if (name === 'proxy') return { ...listen.proxy, tls: listen.proxy.tls !== undefined }
  return Object.entries(listen).find(([key]) => key === name)
}

/** Keys that are read once, at start, and say something else now. */
function restartRequired(before: Config, after: Config): string[] {
  const changed = [
    ...[...new Set([...Object.keys(before.listen), ...Object.keys(after.listen)])].map(
      (name) => [`listen.${name}`, (config: Config) => boundTo(config.listen, name)] as const,
    ),
    ['workers', (config: Config) => config.workers] as const,
    ['stateDirectory', (config: Config) => config.stateDirectory] as const,
    ['relay', (config: Config) => config.relay] as const,
  ].filter(([, read]) => JSON.stringify(read(before)) !== JSON.stringify(read(after)))
  return changed.map(([key]) => key)
}
