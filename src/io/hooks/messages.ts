/**
 * What the gateway and its hook process say to each other: one JSON text a line, over a pipe of their own. Requests and answers have
 * ids; what is told is acknowledged, so that nothing piles up before a process that does not read.
 */

/** A hook file as it was compiled: plain data, sent to every worker as it is. */
export interface HookSource {
  /** The file's name without its folder: what log, hint and audit call the hook. */
  readonly name: string
  /** Absolute. */
  readonly file: string
  /** CommonJS, with everything it imports but Node's own modules. */
  readonly code: string
  /** Source map of `code`, as JSON. */
  readonly map: string
}

export type Notice = 'onDenied' | 'onTunnelEnd'
export const NOTICES = ['onDenied', 'onTunnelEnd'] as const satisfies readonly Notice[]

export type ToHooks =
  | { readonly kind: 'load'; readonly hooks: readonly HookSource[]; readonly heapBytes: number }
  | { readonly kind: 'ask'; readonly id: number; readonly request: unknown }
  | { readonly kind: 'tell'; readonly notice: Notice; readonly event: unknown }
  | { readonly kind: 'ping' }

export type FromHooks =
  | { readonly kind: 'ready'; readonly asks: boolean; readonly notices: readonly Notice[] }
  /** A file does not load: nothing is served with it. */
  | { readonly kind: 'broken'; readonly problem: string }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown /** For the log. */; readonly problem?: string }
  | { readonly kind: 'told'; readonly hook?: string; readonly problem?: string }
  | { readonly kind: 'pong' }

/** Longest line from the hook process: an answer with a hundred paths and methods is not near it. */
export const LINE_BYTES_MAX = 65_536

/** How the hook process ends by itself when hooks hold more memory than they may. */
export const EXIT_MEMORY = 71

/** How long hooks may take over what they have begun when their process is let go. */
export const STOP_MS = 2_000

/** The pipe's number in the hook process. */
export const HOOKS_FD = 3
