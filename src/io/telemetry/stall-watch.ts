import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** How often it looks. */
const LOOK_MS = 100

export interface StallWatchOptions {
  /** A pause at least this long is told. */
  readonly limitMs: () => number
  readonly metrics: Metrics
  readonly log: Logger
}

/**
 * Tells when the process stood still: while the event loop does not turn, every client waits. The cause is a computation that takes
 * too long, a machine without a processor to spare, or a process that was stopped; the clock is monotonic, so that a change of the
 * time of day is none.
 */
export class StallWatch {
  readonly #options: StallWatchOptions
  #timer: NodeJS.Timeout | undefined
  #expectedMs = 0

  constructor(options: StallWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#expectedMs = performance.now() + LOOK_MS
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const now = performance.now()
    const lateMs = now - this.#expectedMs
    this.#expectedMs = now + LOOK_MS
    if (lateMs >= this.#options.limitMs()) this.#tell(lateMs)
  }

  #tell(lateMs: number): void {
    const { metrics, log } = this.#options
    metrics.eventLoopStalls.inc()
    log.warn({ durationMs: Math.round(lateMs) }, 'the process stood still, and every client with it')
  }
}
