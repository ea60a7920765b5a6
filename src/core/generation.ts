import type { Config } from './config.ts'
import type { Policy } from './policy/policy.ts'

/** Config and the policy compiled from it, swapped as one. A request keeps the generation it began with. */
export interface Generation {
  /** Counts up with every successful load. */
  readonly number: number
  readonly config: Config
  readonly policy: Policy
}
