import { formatListenAddress } from '../core/listen-address.ts'
import { Gateway } from '../gateway.ts'
import { formatProblem, loadConfig } from '../io/config/load.ts'
import { createLog } from '../io/telemetry/log.ts'

/** sysexits.h: the configuration is at fault. */
const EXIT_CONFIG = 78
/** sysexits.h: an address could not be bound, or a file not opened. */
const EXIT_UNAVAILABLE = 69

/** Serves until it is told to stop. Resolves to the exit code. */
export async function serve({ config: file }: { readonly config: string }): Promise<number> {
  const log = createLog()
  const loaded = await loadConfig(file)
  if (!loaded.ok) {
    for (const problem of loaded.error) process.stderr.write(`${formatProblem(problem)}\n`)
    return EXIT_CONFIG
  }
  const { config, compiled, inspection, warnings } = loaded.value
  for (const warning of warnings) log.warn(formatProblem(warning))
  const gateway = new Gateway({ config, policy: compiled.policy, inspection, log })
  // Whatever nobody foresaw ends one connection, not everybody's way out.
  process.on('uncaughtException', (error) => log.error({ err: error }, 'uncaught exception'))
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'))
  try {
    const bound = await gateway.start()
    const { policy } = compiled
    for (const [listener, address] of Object.entries(bound))
      log.info({ listener, address: formatListenAddress(address) }, 'listening')
    log.info(
      {
        config: loaded.value.file,
        cloud: policy.cloud,
        editions: policy.editions,
        mode: policy.mode,
        entries: policy.entries.length,
        hash: policy.hash,
      },
      'serving',
    )
  } catch (error) {
    log.fatal({ err: error }, 'cannot start')
    return EXIT_UNAVAILABLE
  }
  return untilStopped(gateway, log)
}

function untilStopped(gateway: Gateway, log: ReturnType<typeof createLog>): Promise<number> {
  return new Promise((resolve) => {
    let signals = 0
    const onSignal = (signal: NodeJS.Signals) => {
      signals++
      log.info({ signal }, signals === 1 ? 'draining; the same signal again ends at once' : 'ending at once')
      void (signals === 1 ? gateway.drain() : gateway.stop()).then(() => resolve(0))
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
}
