import { type Dependency, readDependencies } from '../core/azure/dependencies-file.ts'
import { formatAuthority } from '../core/names/authority.ts'
import type { Explanation } from '../core/policy/explain.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { type CommandIo, counted, EXIT, refuseConfig } from './command-io.ts'
import { answer } from './explain.ts'
import { readGivenJson } from './read-json.ts'
import { chosenConfig } from './shipped-config.ts'

export interface CompareOptions {
  readonly config?: string
  readonly json?: boolean
}

/** Asks the policy about every host that Azure says the workspace needs; exit 1 where one would be refused. */
export async function compare(file: string, options: CompareOptions, io: CommandIo): Promise<number> {
  const value = await readGivenJson(file, io)
  const dependencies = value.ok ? readDependencies(value.value) : value
  if (!dependencies.ok) {
    io.stderr.write(`${printable(dependencies.error)}\n`)
    return EXIT.failed
  }
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const { list, unread } = dependencies.value
  const judged = list.map((dependency) => ({
    dependency,
    explanation: answer({ target: { authority: dependency.authority } }, loaded.value, true),
  }))
  const refused = judged.filter(({ explanation }) => explanation.verdict === 'deny')
  for (const text of unread) io.stderr.write(`${printable(`passed over: ${text}`)}\n`)
  io.stdout.write(options.json ? `${JSON.stringify(judged.map(described), undefined, 2)}\n` : text(judged, refused.length))
  return refused.length > 0 || unread.length > 0 ? EXIT.failed : EXIT.ok
}

interface Judged {
  readonly dependency: Dependency
  readonly explanation: Explanation
}

function text(judged: readonly Judged[], refused: number): string {
  const lines = judged.flatMap(({ dependency, explanation }) => {
    const { verdict, entry, reason, hint } = explanation
    const line = `${verdict.padEnd(8)}${shown(dependency)}  ${entry?.id ?? reason ?? ''}  (${dependency.category})`
    return hint === undefined ? [line] : [line, `        ${hint.text}`]
  })
  const total = `${counted(judged.length, 'dependency', 'dependencies')}, ${refused === 0 ? 'all allowed' : `${refused} refused`}`
  return [...lines, total].map((line) => `${printable(line)}\n`).join('')
}

/** A wildcard is shown as it was written; what was asked is one host under it. */
function shown({ domain, authority }: Dependency): string {
  return domain.startsWith('*') ? `${domain}:${authority.port}` : formatAuthority(authority)
}

function described({ dependency, explanation }: Judged) {
  const { verdict, entry, reason, hint } = explanation
  return {
    category: dependency.category,
    host: dependency.domain,
    port: dependency.authority.port,
    verdict,
    ...(entry === undefined ? {} : { entry: entry.id }),
    ...(reason === undefined ? {} : { reason }),
    ...(hint === undefined ? {} : { hint: hint.text }),
  }
}
