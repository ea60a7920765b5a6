import { resolve } from 'node:path'
import type { Problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import { digest } from './digest.ts'
import { type Included, readIncludes } from './include.ts'
import type { LocatedProblem } from './located-problem.ts'
import { readSource, rulesOf } from './read-source.ts'
import type { YamlSource } from './read-yaml.ts'

type Path = readonly (string | number)[]

/** The config file and the files it includes, as one value whose places lead back to where each part is written. */
export class ConfigFiles {
  readonly file: string
  /** As if everything stood in one file. */
  readonly value: unknown
  /** Changes when the bytes of any of the files do: 12 hexadecimal digits. */
  readonly contentHash: string
  /** Every file that was read, and every pattern by which files were looked for; absolute. */
  readonly names: readonly string[]
  readonly #source: YamlSource
  readonly #included: readonly Included[]
  readonly #ownRules: number

  constructor(file: string, source: YamlSource, hash: string, { files, patterns }: Includes) {
    this.file = file
    this.#source = source
    this.#included = files
    const own = rulesOf(source.value)
    this.#ownRules = own?.length ?? 0
    this.value = files.length === 0 ? source.value : { ...(source.value as object), rules: merged(own, source.value, files) }
    this.contentHash = files.length === 0 ? hash : digest([hash, ...files.map((included) => included.hash)].join(' '))
    this.names = [resolve(file), ...patterns, ...files.map((included) => resolve(included.file))]
  }

  /** A scalar as it is written. */
  written(path: Path): string | undefined {
    const { source, inside } = this.#home(path)
    return source.written(inside)
  }

  place(path: Path, at: Problem['at']): Required<Pick<LocatedProblem, 'file' | 'place'>> {
    const { file, source, inside } = this.#home(path)
    return { file, place: source.locate(inside, at) }
  }

  /** Errors before warnings, each file from its top to its end, in the order in which the files are read. */
  located(problems: readonly Problem[]): LocatedProblem[] {
    const files = [this.file, ...this.#included.map(({ file }) => file)]
    return problems
      .map(({ severity, path, at, message }) => ({ ...this.place(path, at), severity, message }))
      .toSorted(
        (a, b) =>
          a.severity.localeCompare(b.severity) ||
          files.indexOf(a.file) - files.indexOf(b.file) ||
          a.place.line - b.place.line ||
          a.place.column - b.place.column,
      )
  }

  /** The file that a path of the whole leads into, and the path inside that file. */
  #home(path: Path): { readonly file: string; readonly source: YamlSource; readonly inside: Path } {
    const [top, index] = path
    if (top === 'rules' && typeof index === 'number') {
      let first = this.#ownRules
      for (const { file, source, rules } of this.#included) {
        if (index >= first && index < first + rules.length)
          return { file, source, inside: ['rules', index - first, ...path.slice(2)] }
        first += rules.length
      }
    }
    return { file: this.file, source: this.#source, inside: path }
  }
}

interface Includes {
  readonly files: readonly Included[]
  readonly patterns: readonly string[]
}

/** Reads the config file and what it includes, or says everything that cannot be read of them. */
export async function readConfigFiles(file: string, reads: FileReads): Promise<Result<ConfigFiles, readonly LocatedProblem[]>> {
  const main = await readSource(file, reads)
  if (!main.ok) return main
  const { source, hash } = main.value
  const alone = new ConfigFiles(file, source, hash, { files: [], patterns: [] })
  const wanted = wantedFiles(source.value)
  if (wanted.length === 0) return ok(alone)
  const { files, patterns, problems } = await readIncludes(file, wanted, reads, (path, message) => ({
    ...alone.place(path, 'value'),
    severity: 'error',
    message,
  }))
  return problems.length > 0 ? err(problems) : ok(new ConfigFiles(file, source, hash, { files, patterns }))
}

/** As far as it is a list of texts; what else it may be is for the schema to refuse. */
function wantedFiles(value: unknown): readonly string[] {
  const include = typeof value === 'object' && value !== null && 'include' in value ? value.include : undefined
  return Array.isArray(include) && include.every((one) => typeof one === 'string' && one !== '') ? include : []
}

/** What is no list is left for the schema to refuse. */
function merged(own: readonly unknown[] | undefined, value: unknown, files: readonly Included[]): unknown {
  if (own === undefined && typeof value === 'object' && value !== null && 'rules' in value) return value.rules
  return [...(own ?? []), ...files.flatMap(({ rules }) => rules)]
}
