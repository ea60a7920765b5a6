import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { RelayAddon } from '../../../native/index.d.ts'
import { err, ok, type Result } from '../../core/result.ts'

/** The same folder from `src` and from `dist`. */
const FILE = fileURLToPath(new URL('../../../native/build/relay.node', import.meta.url))

/** What this program was written for; see `abi` in `native/index.d.ts`. */
const ABI = 3

/** Loads the kernel relay that was built at install, or says why it cannot be had. */
export function loadNative(file: string = FILE): Result<RelayAddon, string> {
  if (process.platform !== 'linux') return err(`it needs Linux, not ${process.platform}`)
  if (!existsSync(file)) return err('it was not built at install; `node native/build.mjs` builds it, and says what is missing')
  let addon: { readonly abi?: unknown }
  try {
    addon = createRequire(import.meta.url)(file)
  } catch (error) {
    return err(`it does not load: ${error instanceof Error ? error.message : String(error)}`)
  }
  return isRelayAddon(addon) ? ok(addon) : err('it was built from other sources; `node native/build.mjs` builds it again')
}

/**
 * No core dump of this process, nor of those it starts: it would hold keys, tokens and what clients sent. False where the native part
 * is not there; then it is up to whoever starts the process (`docs/operations.md`).
 */
export function forbidCoreDumps(): boolean {
  const native = loadNative()
  return native.ok && native.value.forbidCoreDumps?.() === 0
}

function isRelayAddon(addon: { readonly abi?: unknown }): addon is RelayAddon {
  return addon.abi === ABI
}
