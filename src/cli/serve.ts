import { formatListenAddress } from '../core/listen-address.ts'
import { err, ok, type Result } from '../core/result.ts'
import { forbidCoreDumps, Gateway, type RunningGateway, type Settings } from '../gateway.ts'
import { ConfigSource } from '../io/config/config-source.ts'
import { formatProblem, type LoadedConfig } from '../io/config/load.ts'
import { type FileReads, type RecordedReads, recordReads } from '../io/file-reads.ts'
import { createLog, type Logger } from '../io/telemetry/log.ts'
import { surviveUnforeseen } from '../io/telemetry/unforeseen.ts'
import { workerCount } from '../workers/cores.ts'

/** sysexits.h: the configuration is at fault. */
const EXIT_CONFIG = 78
/** sysexits.h: an address could not be bound, or a file not opened. */
const EXIT_UNAVAILABLE = 69

/** Serves until it is told to stop. Resolves to the exit code. */
export async function serve({ config: file }: { readonly config: string }): Promise<number> {
  const { log, dropped } = createLog()
  const source = new ConfigSource(file)
  const reads = new Map<string, unknown>()
  const loaded = await source.load(recordReads(reads))
  if (!loaded.ok) {
    for (const problem of loaded.error) process.stderr.write(`${formatProblem(problem)}\n`)
    return EXIT_CONFIG
  }
  warn(log, loaded.value)
  surviveUnforeseen(log)
  if (!forbidCoreDumps()) log.info('core dumps are as the system has them: the native part is not there to forbid them')
  let stopped: Promise<number>
  try {
    const gateway = await createGateway(loaded.value, reads, source, log, dropped)
    // Before anybody can know that it runs: a signal that comes at once must not end it unheard.
    stopped = untilStopped(gateway, log)
    const bound = await gateway.start()
    if (loaded.value.config.reload.watch) source.watch(() => void gateway.reload())
    for (const [listener, address] of Object.entries(bound))
      log.info({ listener, address: formatListenAddress(address) }, 'listening')
    const { cloud, editions, mode, entries, hash } = loaded.value.compiled.policy
    log.info({ config: file, cloud, editions, mode, entries: entries.length, hash }, 'serving')
  } catch (error) {
    // What the system refused says all there is to say; anything else is ours, and wants its stack.
    const isSystems = error instanceof Error && error.cause !== undefined
    log.fatal(isSystems ? {} : { err: error }, `cannot start: ${error instanceof Error ? error.message : error}`)
    return EXIT_UNAVAILABLE
  }
  const code = await stopped
  source.stop()
  return code
}

/** One process, or as many as `workers` says; what only several need is not loaded for one. */
async function createGateway(
  loaded: LoadedConfig,
  reads: RecordedReads,
  source: ConfigSource,
  log: Logger,
  logDropped: () => number,
): Promise<RunningGateway> {
  const settings = settingsOf(loaded)
  const workers = workerCount(loaded.config.workers)
  if (workers === 1) return new Gateway({ ...settings, source: () => loadSettings(source, log), log, logDropped })
  const { Primary } = await import('../workers/primary.ts')
  log.info({ workers }, 'starting workers')
  return new Primary({
    settings: { ...settings, reads },
    file: source.file,
    source: async () => {
      const said = new Map<string, unknown>()
      const again = await loadSettings(source, log, recordReads(said))
      return again.ok ? ok({ ...again.value, reads: said }) : again
    },
    log,
    logDropped,
    workers,
  })
}

async function loadSettings(source: ConfigSource, log: Logger, reads?: FileReads): Promise<Result<Settings, readonly string[]>> {
  const loaded = await source.load(reads)
  if (!loaded.ok) return err(loaded.error.map(formatProblem))
  warn(log, loaded.value)
  return ok(settingsOf(loaded.value))
}

function settingsOf({ config, compiled, inspection, access, hooks, upstream, adminToken, auditKey }: LoadedConfig): Settings {
  return { config, policy: compiled.policy, inspection, access, hooks, upstream, adminToken, auditKey }
}

function warn(log: Logger, { warnings }: LoadedConfig): void {
  for (const warning of warnings) log.warn(formatProblem(warning))
}

/** Ctrl-C under npm comes twice: from the terminal to the whole group, and from npm. Nobody means it twice so soon. */
const SAME_PRESS_MS = 500

/** SIGTERM and SIGINT drain, the second one ends at once; SIGHUP reloads; SIGUSR2 reopens the audit log after its rotation. */
function untilStopped(gateway: RunningGateway, log: Logger): Promise<number> {
  return new Promise((resolve) => {
    let firstAt: number | undefined
    const onStop = (signal: NodeJS.Signals) => {
      const now = performance.now()
      if (signal === 'SIGINT' && firstAt !== undefined && now - firstAt < SAME_PRESS_MS) return
      const isFirst = firstAt === undefined
      firstAt ??= now
      log.info({ signal }, isFirst ? 'draining; the same signal again ends at once' : 'ending at once')
      void (isFirst ? gateway.drain() : gateway.stop()).then(() => resolve(0))
    }
    process.on('SIGTERM', onStop)
    process.on('SIGINT', onStop)
    process.on('SIGHUP', () => void gateway.reload())
    process.on('SIGUSR2', () => void gateway.rotateAuditLog())
  })
}
