import type { Limits } from './core/config.ts'
import type { Logger } from './io/telemetry/log.ts'

export type Phase = 'starting' | 'serving' | 'draining' | 'stopped'

/** What is under way when no new work is taken any more. */
export interface WorkLeft {
  readonly tunnels: number
  readonly requests: number
}

export interface EndingParts {
  readonly limits: () => Limits
  readonly log: Logger
  /** Takes no new work from now on. */
  readonly refuseNew: () => WorkLeft | Promise<WorkLeft>
  /** Resolves once everything under way has ended by itself. */
  readonly settled: () => Promise<void>
  /** Ends everything at once. */
  readonly close: () => Promise<void>
}

/** How a gateway ends, in one process or several. */
export class Ending {
  readonly #parts: EndingParts
  #phase: Phase = 'starting'
  #cutShort: (() => void) | undefined
  #stopped: Promise<void> | undefined

  constructor(parts: EndingParts) {
    this.#parts = parts
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Every listener stands. */
  begin(): void {
    // Told to end in the meantime, it is on its way there.
    if (this.#phase === 'starting') this.#phase = 'serving'
  }

  /**
   * Ends in order: `/readyz` says 503 and new work is still taken for `drainDelaySeconds`, then listening stops, tunnels and
   * requests may end by themselves for `drainSeconds`, and what is left is closed.
   */
  async drain(): Promise<void> {
    if (this.#phase === 'draining' || this.#phase === 'stopped') return
    this.#phase = 'draining'
    const { drainDelaySeconds, drainSeconds } = this.#parts.limits()
    const cut = new Promise<void>((resolve) => {
      this.#cutShort = resolve
    })
    await Promise.race([wait(drainDelaySeconds * 1000), cut])
    const left = await this.#parts.refuseNew()
    this.#parts.log.info({ ...left, seconds: drainSeconds }, 'no new work; waiting for tunnels and requests to end')
    await Promise.race([this.#parts.settled(), wait(drainSeconds * 1000), cut])
    await this.stop()
  }

  /** Ends at once: open tunnels are closed, with their audit lines. Whoever asks again waits for the same end. */
  stop(): Promise<void> {
    this.#phase = 'stopped'
    this.#cutShort?.()
    this.#stopped ??= this.#parts.close()
    return this.#stopped
  }
}

/** Keeps no process alive by itself. */
export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
