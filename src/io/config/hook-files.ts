import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { type CompiledHook, compileHook } from '../hooks/compile-hook.ts'
import type { HookSource } from '../hooks/messages.ts'
import { readText } from './read-file.ts'

export interface HookFiles {
  readonly hooks: readonly HookSource[]
  /** Every file that went into them, absolute. */
  readonly inputs: readonly string[]
}

async function readHook(file: string): Promise<Result<CompiledHook, string>> {
  // Before the compiler, whose words for it are its own.
  const text = await readText(file)
  return text.ok ? compileHook(file) : err(text.error.message)
}

/** Compiles each hook file of the config, or says what is wrong with which. */
export async function readHooks(
  files: readonly string[],
  reads: FileReads = readNow,
): Promise<Result<HookFiles, readonly Problem[]>> {
  const compiled: CompiledHook[] = []
  const problems: Problem[] = []
  for (const [index, file] of files.entries()) {
    const read = await reads(file, () => readHook(file))
    if (read.ok) compiled.push(read.value)
    else problems.push(problem(['hooks', 'files', index], read.error))
  }
  if (problems.length > 0) return err(problems)
  const hooks = compiled.map(({ name, file, code, map }) => ({ name, file, code, map }))
  return ok({ hooks, inputs: compiled.flatMap(({ inputs }) => inputs) })
}
