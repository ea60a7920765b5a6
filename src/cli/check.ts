import { formatProblem, type LocatedProblem, loadConfig, printable } from '../io/config/load.ts'
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
  const problems = loaded.ok ? loaded.value.warnings : loaded.error
  for (const problem of problems) stdout.write(`${formatProblem(problem)}\n`)
  if (!loaded.ok) {
    stdout.write(`${file}: ${tally(problems)}\n`)
    return EXIT.config
  }
  for (const note of loaded.value.compiled.notes) stdout.write(`${file}: note: ${printable(note)}\n`)
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

/** `2 errors, 1 warning`. */
function tally(problems: readonly LocatedProblem[]): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const warnings = problems.length - errors
  return [...(errors > 0 ? [counted(errors, 'error')] : []), ...(warnings > 0 ? [counted(warnings, 'warning')] : [])].join(', ')
}
