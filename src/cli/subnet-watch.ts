import { err, type Result } from '../core/result.ts'
import { ConfigSource } from '../io/config/config-source.ts'
import { formatProblem, type LoadedConfig } from '../io/config/load.ts'
import type { LookedUp } from '../io/subnet/addresses.ts'
import type { HostRules } from '../io/subnet/host-rules.ts'
import { SubnetWatch, type WatchedSource } from '../io/subnet/watch.ts'
import { createLog } from '../io/telemetry/log.ts'
import { EXIT } from './command-io.ts'

export interface WatchSubnetOptions {
  /** The config file. */
  readonly file: string
  /** Applied already. */
  readonly rules: HostRules
  readonly source: WatchedSource
  readonly found: LookedUp
  readonly read: (loaded: LoadedConfig) => Result<WatchedSource, readonly string[]>
}

/** Looks after the rules until SIGTERM or SIGINT. SIGHUP loads the config again, as a changed file does. */
export async function watchSubnet({ file, rules, source, found, read }: WatchSubnetOptions): Promise<number> {
  const { log } = createLog()
  const config = new ConfigSource(file)
  const load = async () => {
    const loaded = await config.load()
    return loaded.ok ? read(loaded.value) : err(loaded.error.map(formatProblem))
  }
  // Only now it knows which files to watch.
  await config.load()
  const watch = new SubnetWatch({ rules, source, load, log })
  const ended = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  process.on('SIGHUP', () => void watch.reload())
  config.watch(() => void watch.reload())
  watch.start(found)
  log.info({ config: file, refreshSeconds: source.refreshSeconds }, 'watching the rules')
  const signal = await ended
  config.stop()
  await watch.stop()
  log.info({ signal }, 'ended; the rules stay')
  return EXIT.ok
}
