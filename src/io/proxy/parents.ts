import type { Parent, UpstreamSection } from '../../core/policy/upstream.ts'

/** What came of one attempt with one parent: metric labels. */
export const PARENT_OUTCOMES = ['connected', 'refused', 'credentials', 'failed', 'timeout', 'unanswered', 'loop'] as const
export type ParentOutcome = (typeof PARENT_OUTCOMES)[number]

export type ParentState = 'up' | 'down' | 'refuses_credentials'

export interface ParentStatus {
  readonly proxy: string
  readonly state: ParentState
}

const BEST_FIRST: readonly ParentState[] = ['up', 'down', 'refuses_credentials']

/** Of what several processes know: a parent that one of them cannot use is not up. */
export function worstOf(statuses: readonly ParentStatus[]): readonly ParentStatus[] {
  const worst = new Map<string, ParentState>()
  for (const { proxy, state } of statuses) {
    const known = worst.get(proxy) ?? 'up'
    worst.set(proxy, BEST_FIRST.indexOf(state) > BEST_FIRST.indexOf(known) ? state : known)
  }
  return [...worst].map(([proxy, state]) => ({ proxy, state }))
}

export interface ParentsHooks {
  readonly now: () => number
  readonly onAttempt: (label: string, outcome: ParentOutcome) => void
  /** Also for each one that is new, which is up until it is found to be down. */
  readonly onState: (label: string, state: ParentState, detail: string | undefined) => void
  readonly onForgotten: (label: string) => void
}

/** One that is down is let alone for so long while another is up, twice as long each time, and no longer than the second. */
const SKIPPED_MS = 10_000
const SKIPPED_MAX_MS = 60_000

/** A CONNECT that is not answered may be the origin's fault; so many in a row, with no answer between them, are the parent's. */
const UNANSWERED_MAX = 3

interface Health {
  state: ParentState
  /** Times that it was found to be down, one after another. */
  failures: number
  unanswered: number
  skippedUntilMs: number
}

/** What is known of the parents: whether they take connections, across reloads and for all requests. */
export class Parents {
  readonly #hooks: ParentsHooks
  readonly #health = new Map<string, Health>()

  constructor(hooks: ParentsHooks) {
    this.#hooks = hooks
  }

  /** Goes by these from now on; of those that stay, what is known stays. */
  configure(ways: readonly UpstreamSection[]): void {
    const labels = new Set(ways.flatMap(({ proxy }) => proxy.map(({ label }) => label)))
    for (const label of this.#health.keys()) {
      if (labels.has(label)) continue
      this.#health.delete(label)
      this.#hooks.onForgotten(label)
    }
    for (const label of labels) {
      if (this.#health.has(label)) continue
      this.#health.set(label, { state: 'up', failures: 0, unanswered: 0, skippedUntilMs: 0 })
      this.#hooks.onState(label, 'up', undefined)
    }
  }

  /** In the order to try them: as written, those that are to be let alone last. With none else, they are tried all the same. */
  inOrder(proxy: readonly Parent[]): readonly Parent[] {
    const nowMs = this.#hooks.now()
    const isSkipped = ({ label }: Parent) => (this.#health.get(label)?.skippedUntilMs ?? 0) > nowMs
    return [...proxy.filter((parent) => !isSkipped(parent)), ...proxy.filter(isSkipped)]
  }

  /** Notes what came of an attempt. Any answer shows that a parent is up. */
  note({ label }: Parent, outcome: ParentOutcome, detail?: string): void {
    this.#hooks.onAttempt(label, outcome)
    const health = this.#health.get(label)
    // Of a generation that is gone.
    if (health === undefined) return
    if (outcome === 'connected' || outcome === 'refused') return this.#turn(label, health, 'up', undefined)
    if (outcome === 'credentials') return this.#turn(label, health, 'refuses_credentials', detail)
    if (outcome === 'unanswered' && ++health.unanswered < UNANSWERED_MAX) return
    const skippedMs = Math.min(SKIPPED_MS * 2 ** health.failures, SKIPPED_MAX_MS)
    health.skippedUntilMs = this.#hooks.now() + skippedMs
    health.failures++
    if (health.state !== 'down') this.#hooks.onState(label, 'down', detail)
    health.state = 'down'
  }

  /** For `/api/v1/status`. */
  states(): readonly ParentStatus[] {
    return [...this.#health].map(([proxy, { state }]) => ({ proxy, state }))
  }

  #turn(label: string, health: Health, state: ParentState, detail: string | undefined): void {
    health.failures = 0
    health.unanswered = 0
    health.skippedUntilMs = 0
    if (health.state !== state) this.#hooks.onState(label, state, state === 'up' ? 'a parent proxy is up again' : detail)
    health.state = state
  }
}
