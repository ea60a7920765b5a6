import type { Config } from '../../core/config.ts'
import type { Policy } from '../../core/policy/policy.ts'
import type { ClientAccess } from '../credentials/client-access.ts'
import type { HookHost } from '../hooks/hook-host.ts'
import type { Inspection } from '../tls/inspection.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'

/** Config, the policy compiled from it and what it needs to look inside TLS, swapped as one. A request keeps the generation it began with. */
export interface Generation {
  /** Counts up with every successful load. */
  readonly number: number
  readonly config: Config
  readonly policy: Policy
  /** Absent without a usable CA. */
  readonly inspection: Inspection | undefined
  readonly access: ClientAccess
  /** Ways through parent proxies. */
  readonly upstream: readonly UpstreamWay[]
  /** Absent where there are none. */
  readonly hooks: HookHost | undefined
}
