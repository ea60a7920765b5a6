/**
 * For every pattern of edition 2021-07-29 in every cloud: names it lets out, and names that only look like it.
 *
 * Assumes `WORKSPACE` of shipped-2021.ts and the default features, unless a case says otherwise. `near-misses.test.ts`
 * proves that no pattern is forgotten; the policy tests run the same table through `decide`.
 */

import type { Cloud } from './doc-2021.ts'
import { BY_CLOUD } from './near-misses-by-cloud.ts'
import { FOR_ALL_CLOUDS } from './near-misses-for-all-clouds.ts'

export interface NearMiss {
  readonly cloud: Cloud
  /** The pattern that is probed, parameters filled in; another row may be the one that allows. */
  readonly pattern: string
  readonly host: string
  /** 443 where absent. */
  readonly port?: number
  /** Known only where the request is visible (plain HTTP); without it a path row can say no more than `inspect`. */
  readonly path?: string
  /** Switches that differ from the edition's defaults. */
  readonly features?: Readonly<Record<string, boolean>>
  readonly verdict: 'allow' | 'inspect' | 'deny'
  readonly because: string
}

export const NEAR_MISSES: readonly NearMiss[] = [...FOR_ALL_CLOUDS, ...BY_CLOUD]
