import { readdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { quote } from '../../core/names/quote.ts'
import { didYouMean } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import type { LocatedProblem } from './located-problem.ts'
import { readSource, rulesOf } from './read-source.ts'
import type { YamlSource } from './read-yaml.ts'

/** A file with rules that another names. */
export interface Included {
  /** As it is shown: beside the config file, the way that was given. */
  readonly file: string
  readonly source: YamlSource
  readonly rules: readonly unknown[]
  readonly hash: string
}

export interface ReadIncludes {
  readonly files: readonly Included[]
  /** Patterns with a `*`, absolute: what they find is to be looked for again. */
  readonly patterns: readonly string[]
  readonly problems: readonly LocatedProblem[]
}

/** Far more than teams have files; what is beyond is a pattern that catches the wrong folder. */
const FILES_MAX = 1_000

type Complain = (path: readonly (string | number)[], message: string) => LocatedProblem

/**
 * Reads what `include` names, in its order, and by name where a `*` finds several; no file twice.
 *
 * @param complain locates what is wrong with the list itself
 */
export async function readIncludes(
  main: string,
  wanted: readonly string[],
  reads: FileReads,
  complain: Complain,
): Promise<ReadIncludes> {
  const patterns: string[] = []
  const problems: LocatedProblem[] = []
  const names = new Map<string, string>()
  for (const [index, text] of wanted.entries()) {
    const given = join(dirname(main), text)
    const shown = text.startsWith('/') ? text : given
    if (!isPattern(shown)) {
      names.set(resolve(shown), shown)
      continue
    }
    patterns.push(resolve(shown))
    const found = await findFiles(resolve(shown), reads)
    if (!found.ok) problems.push(complain(['include', index], `${quote(text)}: ${found.error}`))
    else for (const name of found.value) names.set(join(dirname(resolve(shown)), name), join(dirname(shown), name))
  }
  if (names.size > FILES_MAX) problems.push(complain(['include'], `${names.size} files are included; at most ${FILES_MAX} are`))
  if (problems.length > 0) return { files: [], patterns, problems }

  const files: Included[] = []
  for (const [absolute, shown] of names) {
    const read =
      absolute === resolve(main) ? err([complain(['include'], 'the config file includes itself')]) : await readOne(shown, reads)
    if (read.ok) files.push(read.value)
    else problems.push(...read.error)
  }
  return { files, patterns, problems }
}

/** Whether a name of `include`, or of a file that is watched, stands for several files. */
export function isPattern(name: string): boolean {
  return name.includes('*')
}

/** Names of the files that a pattern finds in its folder, sorted; hidden ones are left out, as a shell does. */
export async function findFiles(pattern: string, reads: FileReads): Promise<Result<readonly string[], string>> {
  const folder = dirname(pattern)
  if (isPattern(folder)) return err('`*` stands for a part of a file name, not of a folder; write `folder/*.yaml`')
  const name = new RegExp(`^${basename(pattern).split('*').map(escaped).join('.*')}$`, 's')
  return reads(pattern, async () => {
    try {
      const all = await readdir(folder)
      return ok(all.filter((one) => !one.startsWith('.') && name.test(one)).toSorted())
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
      return err(code === 'ENOENT' || code === 'ENOTDIR' ? 'there is no such folder' : `the folder cannot be read: ${code}`)
    }
  })
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

async function readOne(file: string, reads: FileReads): Promise<Result<Included, readonly LocatedProblem[]>> {
  const read = await readSource(file, reads)
  if (!read.ok) return read
  const { source, hash } = read.value
  const at = (path: readonly string[], key: 'key' | 'value', message: string): LocatedProblem => ({
    file,
    place: source.locate(path, key),
    severity: 'error',
    message,
  })
  // An empty file is a team without rules.
  if (source.value === null || source.value === undefined) return ok({ file, source, rules: [], hash })
  if (typeof source.value !== 'object' || Array.isArray(source.value))
    return err([at([], 'value', 'an included file is a mapping with `rules:` and the list under it')])
  const strange = Object.keys(source.value).filter((key) => key !== 'rules')
  if (strange.length > 0) {
    return err(
      strange.map((key) => {
        const nearest = didYouMean(key, ['rules'])
        const remedy = nearest === undefined ? 'everything else belongs into the config file' : `did you mean \`${nearest}\`?`
        return at([key], 'key', `an included file has \`rules\` and nothing else, found ${quote(key)}; ${remedy}`)
      }),
    )
  }
  const rules = rulesOf(source.value)
  return rules === undefined ? err([at(['rules'], 'value', '`rules` wants a list')]) : ok({ file, source, rules, hash })
}
