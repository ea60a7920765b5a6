import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { SharedSuffixes } from '../core/names/registrable-domain.ts'
import { isLoopback } from '../core/names/special-purpose.ts'
import { lintWideHosts } from '../core/policy/lint-wide.ts'
import { readSharedServices } from '../io/config/catalogue-files.ts'
import { isOwnLoopback } from '../io/config/cross-checks.ts'
import { formatProblem, type LoadedConfig, type LocatedProblem, loadConfig, printable } from '../io/config/load.ts'
import { type CommandIo, counted, EXIT } from './command-io.ts'
import { shippedConfig } from './shipped-config.ts'

export interface CheckOptions {
  readonly config?: string
  readonly strict?: boolean
}

/**
 * Says everything that is wrong with a config file, what one ought to know of it (notes, which `--strict` passes), and what it
 * amounts to. The problems are its
 * output, so they go to `stdout`.
 */
export async function check({ config, strict = false }: CheckOptions, { stdout }: CommandIo): Promise<number> {
  const file = config ?? shippedConfig()
  const loaded = await loadConfig(file)
  const problems = loaded.ok ? [...loaded.value.warnings, ...(await doubts(loaded.value))] : loaded.error
  for (const problem of problems) stdout.write(`${formatProblem(problem)}\n`)
  if (!loaded.ok) {
    stdout.write(`${file}: ${tally(problems)}\n`)
    return EXIT.config
  }
  for (const note of [...loaded.value.compiled.notes, ...notesHere(loaded.value)])
    stdout.write(`${file}: note: ${printable(note)}\n`)
  const entries = counted(loaded.value.compiled.policy.entries.length, 'entry', 'entries')
  const groups = loaded.value.compiled.policy.groups.length
  const refused = strict && problems.length > 0
  const facts = [
    refused ? 'refused by --strict' : 'ok',
    entries,
    ...(groups === 0 ? [] : [counted(groups, 'client group')]),
    ...(problems.length > 0 ? [tally(problems)] : []),
  ]
  stdout.write(`${file}: ${facts.join(', ')}\n`)
  return refused ? EXIT.config : EXIT.ok
}

/** What one would want to know before it is put in force, and need not hear again at each start. */
async function doubts({ file, config, compiled, rulePlaces }: LoadedConfig): Promise<readonly LocatedProblem[]> {
  const wide = lintWideHosts(compiled.policy, new SharedSuffixes(await readSharedServices()))
  const found = wide.map(({ entry, message }): LocatedProblem => {
    const place = rulePlaces.get(entry.id)
    return {
      file: place?.file ?? file,
      ...(place === undefined ? {} : { place: { line: place.line, column: 1 } }),
      severity: 'warning',
      message,
    }
  })
  const isReachable = !isOwnLoopback(config.listen.proxy.address)
  if (isReachable && config.clients.allow.cidrs.every(({ network }) => isLoopback(network)))
    found.push({ file, severity: 'warning', message: ONLY_THIS_MACHINE })
  return found
}

const ONLY_THIS_MACHINE =
  '`listen.proxy` can be reached from elsewhere, and `clients.allow` lets nobody but this machine in: add the subnet of your clients'

/** What depends on the machine, and may be otherwise where the gateway runs. */
function notesHere({ config }: LoadedConfig): readonly string[] {
  const { file } = config.audit
  return [
    ...(config.mode === 'report' ? ['`mode: report` lets nearly everything out, and only tells what it would refuse'] : []),
    ...(file === '-' || existsSync(dirname(file))
      ? []
      : [`there is no folder \`${dirname(file)}\` here, where \`audit.file\` is to be`]),
  ]
}

/** `2 errors, 1 warning`. */
function tally(problems: readonly LocatedProblem[]): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const warnings = problems.length - errors
  return [...(errors > 0 ? [counted(errors, 'error')] : []), ...(warnings > 0 ? [counted(warnings, 'warning')] : [])].join(', ')
}
