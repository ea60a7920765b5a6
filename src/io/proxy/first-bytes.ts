import { classifyOpening, type Opening } from '../../core/wire/tls-opening.ts'
import type { HeldBytes } from './held-bytes.ts'

/** What a connection begins with, or why that cannot be told: the client has gone or ended, or has not said enough in time. */
export type FirstBytes = Exclude<Opening, 'undecided'> | 'closed' | 'timeout'

/** Waits for as many bytes as it takes to tell the protocol. They stay held. */
export function awaitKind(held: HeldBytes, deadlineMs: number): Promise<FirstBytes> {
  const now = (): FirstBytes | undefined => {
    const opening = classifyOpening(held.bytes())
    if (opening !== 'undecided') return opening
    if (!held.ended) return undefined
    return held.bytes().length === 0 ? 'closed' : 'other'
  }
  return new Promise((resolve) => {
    const already = now()
    if (already !== undefined) return resolve(already)
    const timer = setTimeout(() => resolve('timeout'), deadlineMs)
    held.onMore(() => {
      const kind = now()
      if (kind === undefined) return
      clearTimeout(timer)
      resolve(kind)
    })
  })
}
