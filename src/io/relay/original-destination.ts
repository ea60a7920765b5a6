import type { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { err, ok, type Result } from '../../core/result.ts'
import { loadNative } from './load-native.ts'

/** Where a connection was going before netfilter redirected it, as the kernel writes it; or the system's name of what went wrong. */
export type ReadOriginal = (socket: Socket) => Result<{ readonly address: string; readonly port: number }, string>

/** The part of the addon that reads it, or why there is none. */
export function loadReadOriginal(): Result<ReadOriginal, string> {
  const native = loadNative()
  if (!native.ok) return native
  return ok((socket) => {
    // Node's types leave the handle out.
    const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null }
    const found = native.value.originalDestination(handle?.fd ?? -1)
    return typeof found === 'number' ? err(getSystemErrorName(found)) : ok(found)
  })
}
