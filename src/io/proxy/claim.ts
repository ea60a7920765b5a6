import { formatAuthority } from '../../core/names/authority.ts'
import { letsThrough } from '../../core/policy/enforce.ts'
import type { Claim } from './dial.ts'
import type { Exchange } from './exchange.ts'
import type { ProxyContext } from './proxy-context.ts'

/**
 * What the client of a redirected connection holds to be its host's address. Where the name leads elsewhere that is counted and told in
 * the audit line, and refused where the operator wants that.
 */
export function claimOf(context: ProxyContext, exchange: Exchange): Claim | undefined {
  const { original } = exchange.connection
  const { target } = exchange
  if (original === undefined || target === undefined) return undefined
  return { address: original.address, onMismatch: () => noteMismatch(context, exchange) }
}

function noteMismatch({ telemetry }: ProxyContext, exchange: Exchange): string | undefined {
  const { connection, target, policy, generation } = exchange
  const detail = `${connection.original?.address.text} is not among the addresses of ${target && formatAuthority(target)}`
  const { mismatch } = generation.config.transparent
  const isRefused = mismatch === 'refuse' && !letsThrough('address_mismatch', policy.mode)
  telemetry.metrics.transparentMismatches.inc({ outcome: isRefused ? 'refused' : 'dialled' })
  exchange.note = detail
  if (isRefused) return detail
  if (mismatch === 'refuse') exchange.wouldDeny ??= { reason: 'address_mismatch', detail }
  return undefined
}
