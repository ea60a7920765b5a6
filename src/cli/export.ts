import { EXPORT_TARGETS } from '../core/export/targets.ts'
import { parseCidr } from '../core/names/cidr.ts'
import { quote } from '../core/names/quote.ts'
import { didYouMean } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { EXPORT_NAMES, isOneOf } from './choices.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

/** As they were typed. */
export interface ExportOptions {
  readonly config?: string
  readonly to: string
  readonly sources?: readonly string[]
  readonly priority?: string
}

/** Prints the resolved allowlist for another firewall; what it cannot say goes to standard error. The same policy gives the same bytes. */
export async function exportPolicy(options: ExportOptions, io: CommandIo): Promise<number> {
  if (!isOneOf(EXPORT_NAMES, options.to)) {
    const nearest = didYouMean(options.to, EXPORT_NAMES)
    return refuseUsage(
      `${quote(options.to)} is nothing to export to; ${nearest === undefined ? `there is ${EXPORT_NAMES.join(', ')}` : `did you mean \`${nearest}\`?`}`,
      io,
    )
  }
  const wish = readWish(options)
  if (!wish.ok) return refuseUsage(wish.error, io)
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const { compiled, config } = loaded.value
  const { text, caveats } = EXPORT_TARGETS[options.to](compiled.policy, { ...wish.value, clients: config.clients.allow })
  io.stdout.write(text)
  for (const caveat of caveats) io.stderr.write(`${printable(`${caveat.entry} ${caveat.text}`)}\n`)
  if (caveats.length > 0)
    io.stderr.write(`${counted(caveats.length, 'difference')} from the gateway, also in the file where it has remarks\n`)
  return EXIT.ok
}

/** Azure's bounds, less the three collections that follow the first. */
const PRIORITY = { least: 100, most: 64_000, standard: '1000' } as const

function readWish({
  sources = ['*'],
  priority = PRIORITY.standard,
}: ExportOptions): Result<{ readonly sources: readonly string[]; readonly priority: number }, string> {
  const number = /^[0-9]{1,6}$/.test(priority) ? Number(priority) : 0
  if (number < PRIORITY.least || number > PRIORITY.most)
    return err(`\`--priority\` wants a number from ${PRIORITY.least} to ${PRIORITY.most}, found ${quote(priority)}`)
  for (const text of sources) {
    const range = text === '*' ? undefined : parseCidr(text)
    if (range?.ok === false) return err(`\`--sources\`: ${range.error}`)
  }
  return ok({ sources, priority: number })
}
