import { devNull } from 'node:os'
import { join, resolve } from 'node:path'
import type { AuditEvent } from '../core/audit-event.ts'
import type { ConfigInput } from '../core/index.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type BoundAddresses, Gateway, type ReloadReport, type Settings } from '../gateway.ts'
import { ConfigSource } from '../io/config/config-source.ts'
import { formatProblem, type LoadedConfig, type LocatedProblem, loadConfig } from '../io/config/load.ts'
import { type FileReads, readNow } from '../io/file-reads.ts'
import { noticesOf } from '../io/hooks/notices.ts'
import { createLogFor, type LogLine } from '../io/telemetry/log.ts'
import type { CountedRequest } from '../io/telemetry/telemetry.ts'
import { TypedEvents } from './typed-events.ts'

export interface CreateGatewayOptions {
  /**
   * The config as an object, as it would stand in the file; or the path of a file. In an object, listeners that are not named take any
   * free port of 127.0.0.1, so that two gateways do not meet.
   */
  readonly config: ConfigInput | string
  /** Where relative paths in a config that is an object start; the working directory unless it is given. */
  readonly folder?: string
  /** Gets each line of the log. Without it there is none. */
  readonly log?: (line: LogLine) => void
  /** Lets `audit.file: "-"`, the default, write to standard output. Without it such an audit log is left to the `audit` event. */
  readonly stdout?: boolean
  /** Loads a config file again when it or a file it names changes. */
  readonly watch?: boolean
}

/** What happens to a request that was refused, or let through. */
export type DecisionEvent = CountedRequest

export interface GatewayEvents {
  /** Every listener stands. */
  readonly listening: BoundAddresses
  /** A request's fate is settled: a tunnel at its 200, anything else at its end. */
  readonly decision: DecisionEvent
  /** The line of a request in the audit log, whatever became of it and whether or not the log is written. */
  readonly audit: AuditEvent
  /** The same, of a request that was refused, or that report mode let through. */
  readonly denied: AuditEvent
  /** The same, of a tunnel that has ended. */
  readonly tunnelEnd: AuditEvent
  /** What came of a reload, whoever asked for it. */
  readonly reload: ReloadReport
}

/** The config is wrong; `problems` has everything that is, a line each, with the place where there is one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the config is not valid:\n${problems.join('\n')}`)
    this.problems = problems
  }
}

/** A gateway inside another program. It has no effect on the process: no signal handlers, no output, no exit, no global registry. */
export interface EmbeddedGateway {
  /** What `sallyport check` would warn of, a line each. */
  readonly warnings: readonly string[]
  /** Binds every listener and starts the hooks; throws what keeps it from that, with nothing left open. */
  start(): Promise<BoundAddresses>
  /**
   * Loads the file again, or takes another object for the config; all of it or nothing. Tunnels that are no longer allowed are closed.
   *
   * @param config instead of the one before; a gateway of a file takes none
   */
  reload(config?: ConfigInput): Promise<ReloadReport>
  /** Ends in order: no new work, then what is open may end by itself for `limits.drainSeconds`. */
  drain(): Promise<void>
  /** Ends at once. */
  stop(): Promise<void>
  /** Gives back what takes the listener off again. What a listener throws is logged, and stops nothing. */
  on<Name extends keyof GatewayEvents>(name: Name, listener: (event: GatewayEvents[Name]) => void): () => void
  /** The gateway's metrics in Prometheus' text format; those of the process are the program's own. */
  metrics(): Promise<string>
  /** What `/api/v1/status` says. */
  status(): Readonly<Record<string, unknown>>
}

/**
 * Makes a gateway from a config, ready to start.
 *
 * One process carries it, whatever `workers` says: several are the program's, `sallyport serve`.
 *
 * @throws ConfigError with everything that is wrong with the config
 *
 * @example
 * const gateway = await createGateway({ config: { rules: [{ name: 'git', hosts: ['git.example.com'] }] } })
 * gateway.on('denied', ({ host, reason, hint }) => report(host, reason, hint))
 * const { proxy } = await gateway.start()
 * // ... requests through http://127.0.0.1:${proxy.port}
 * await gateway.stop()
 */
export async function createGateway(options: CreateGatewayOptions): Promise<EmbeddedGateway> {
  const source = sourceOf(options)
  const loaded = await source.load()
  if (!loaded.ok) throw new ConfigError(loaded.error.map(formatProblem))
  return new Embedded(options, source, loaded.value)
}

/** Where the config comes from, each time it is loaded. */
interface Source {
  load(): Promise<Result<LoadedConfig, readonly LocatedProblem[]>>
  /** Takes another object; false where the config is a file. */
  replace(config: ConfigInput): boolean
  watch(onChange: () => void): void
  stop(): void
}

function sourceOf({ config, folder = process.cwd() }: CreateGatewayOptions): Source {
  if (typeof config !== 'string') return new ObjectSource(config, folder)
  const source = new ConfigSource(config)
  return {
    load: () => source.load(),
    replace: () => false,
    watch: (onChange) => source.watch(onChange),
    stop: () => source.stop(),
  }
}

/** Any free port of this machine and nobody else's. */
const FREE = '127.0.0.1:0'

/** A config that stands in no file: it is read as the JSON that it is, which is YAML as well. */
class ObjectSource implements Source {
  #config: ConfigInput
  readonly #file: string

  constructor(config: ConfigInput, folder: string) {
    this.#config = config
    this.#file = join(resolve(folder), 'config')
  }

  load(): Promise<Result<LoadedConfig, readonly LocatedProblem[]>> {
    const config = { ...this.#config, listen: { proxy: FREE, metrics: FREE, admin: FREE, ...this.#config.listen } }
    const text = JSON.stringify(config)
    const said = ok({ text, bytes: new TextEncoder().encode(text) })
    const reads: FileReads = <T>(file: string, read: () => Promise<T>) =>
      file === this.#file ? Promise.resolve(said as T) : readNow(file, read)
    return withoutPlaces(loadConfig(this.#file, reads))
  }

  replace(config: ConfigInput): boolean {
    this.#config = config
    return true
  }

  // An object does not change by itself.
  watch(): void {}
  stop(): void {}
}

/** Columns of text that nobody has written help nobody. */
async function withoutPlaces(loading: ReturnType<typeof loadConfig>): ReturnType<typeof loadConfig> {
  const bare = ({ severity, message }: LocatedProblem): LocatedProblem => ({ file: 'config', severity, message })
  const loaded = await loading
  if (!loaded.ok) return err(loaded.error.map(bare))
  return ok({ ...loaded.value, warnings: loaded.value.warnings.map(bare) })
}

class Embedded implements EmbeddedGateway {
  readonly warnings: readonly string[]
  readonly #source: Source
  readonly #options: CreateGatewayOptions
  readonly #gateway: Gateway
  readonly #events: TypedEvents<GatewayEvents>

  constructor(options: CreateGatewayOptions, source: Source, loaded: LoadedConfig) {
    const log = createLogFor(options.log)
    const events = new TypedEvents<GatewayEvents>((event, error) => log.error({ event, err: error }, 'a listener threw'))
    this.warnings = loaded.warnings.map(formatProblem)
    this.#options = options
    this.#source = source
    this.#events = events
    this.#gateway = new Gateway({
      ...settingsOf(loaded, options),
      source: async () => {
        const again = await source.load()
        return again.ok ? ok(settingsOf(again.value, options)) : err(again.error.map(formatProblem))
      },
      log,
      observer: {
        onDecision: (request) => events.emit('decision', request),
        onEvent: (event) => tell(events, event),
      },
    })
  }

  async start(): Promise<BoundAddresses> {
    const bound = await this.#gateway.start()
    if (this.#options.watch === true) this.#source.watch(() => void this.reload())
    this.#events.emit('listening', bound)
    return bound
  }

  async reload(config?: ConfigInput): Promise<ReloadReport> {
    if (config !== undefined && !this.#source.replace(config))
      throw new TypeError('this gateway was made from a file, which it loads again; it takes no other config')
    const report = await this.#gateway.reload()
    this.#events.emit('reload', report)
    return report
  }

  async drain(): Promise<void> {
    this.#source.stop()
    await this.#gateway.drain()
  }

  async stop(): Promise<void> {
    this.#source.stop()
    await this.#gateway.stop()
  }

  on<Name extends keyof GatewayEvents>(name: Name, listener: (event: GatewayEvents[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  metrics(): Promise<string> {
    return this.#gateway.metrics.registry.metrics()
  }

  status(): Readonly<Record<string, unknown>> {
    return this.#gateway.status()
  }
}

const EVENT_OF = { onDenied: 'denied', onTunnelEnd: 'tunnelEnd' } as const

function tell(events: TypedEvents<GatewayEvents>, event: AuditEvent): void {
  events.emit('audit', event)
  for (const notice of noticesOf(event)) events.emit(EVENT_OF[notice], event)
}

function settingsOf(
  { config, compiled, inspection, access, hooks, upstream, adminToken, auditKey }: LoadedConfig,
  { stdout = false }: CreateGatewayOptions,
): Settings {
  const audit = config.audit.file === '-' && !stdout ? { ...config.audit, file: devNull } : config.audit
  return { config: { ...config, audit }, policy: compiled.policy, inspection, access, hooks, upstream, adminToken, auditKey }
}
