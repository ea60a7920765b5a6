import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import { digest } from './digest.ts'
import type { LocatedProblem } from './located-problem.ts'
import { readText } from './read-file.ts'
import { readYaml, type YamlSource } from './read-yaml.ts'

/** One file of YAML, with the hash of its bytes. */
export async function readSource(
  file: string,
  reads: FileReads,
): Promise<Result<{ readonly source: YamlSource; readonly hash: string }, readonly LocatedProblem[]>> {
  const text = await reads(file, () => readText(file))
  if (!text.ok) return err([{ file, severity: 'error', ...text.error }])
  const source = readYaml(text.value.text)
  if (!source.ok) return err(source.error.map((problem) => ({ file, severity: 'error', ...problem })))
  return ok({ source: source.value, hash: digest(text.value.bytes) })
}

/** Undefined where there are none, or something that is no list. */
export function rulesOf(value: unknown): readonly unknown[] | undefined {
  const rules = typeof value === 'object' && value !== null && 'rules' in value ? value.rules : undefined
  return Array.isArray(rules) ? rules : undefined
}
