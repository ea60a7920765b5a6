import { basename, dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BuildFailure, Message } from 'esbuild'
import { err, ok, type Result } from '../../core/result.ts'
import type { HookSource } from './messages.ts'

export interface CompiledHook extends HookSource {
  /** Every file that went into it, absolute: when one changes, the hook may. */
  readonly inputs: readonly string[]
}

/** What runs hooks is Node 20.19 or newer. */
const TARGET = 'node20.19'

/** A hook with everything it imports; what is larger is a program of its own. */
const CODE_BYTES_MAX = 4_194_304

/** `defineHook`, beside this file in the source and in the built program. */
const DEFINE_HOOK = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../define-hook.ts' : '../../define-hook.js', import.meta.url),
)

/** Builds under way: esbuild's own process is ended with the last of them. */
let building = 0

/**
 * A hook file as one piece of JavaScript: types stripped and what it imports bundled, so that it runs wherever the config is. `sallyport`
 * is found without being installed there. Error: what is wrong, with file, line and column where there is one.
 */
export async function compileHook(file: string): Promise<Result<CompiledHook, string>> {
  const { build, stop } = await import('esbuild')
  building++
  try {
    const { outputFiles, metafile } = await build({
      entryPoints: [file],
      absWorkingDir: dirname(file),
      bundle: true,
      write: false,
      outdir: dirname(file),
      metafile: true,
      platform: 'node',
      format: 'cjs',
      target: TARGET,
      sourcemap: 'external',
      sourcesContent: false,
      logLevel: 'silent',
      alias: { sallyport: DEFINE_HOOK },
      define: { 'import.meta.url': JSON.stringify(pathToFileURL(file).href) },
      // A `tsconfig.json` that happens to lie above the config has no say in what a hook means.
      tsconfigRaw: '{}',
    })
    const text = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? ''
    const code = text('.js')
    if (code.length > CODE_BYTES_MAX) return err(`with what it imports it is larger than ${CODE_BYTES_MAX} bytes`)
    const inputs = Object.keys(metafile.inputs).map((name) => resolve(dirname(file), name))
    return ok({ name: basename(file), file, code, map: text('.map'), inputs: inputs.filter((input) => input !== DEFINE_HOOK) })
  } catch (error) {
    const failure = error as Partial<BuildFailure>
    const [first] = failure.errors ?? []
    return err(
      first === undefined ? `it cannot be compiled: ${error instanceof Error ? error.message : error}` : problemOf(first),
    )
  } finally {
    if (--building === 0) await stop()
  }
}

function problemOf({ text, location }: Message): string {
  return location === null ? text : `${location.file}:${location.line}:${location.column + 1}: ${text}`
}
