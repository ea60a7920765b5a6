import type { AuditEvent } from '../../core/audit-event.ts'
import type { Notice } from './messages.ts'

const NONE: readonly Notice[] = []

/** What hooks are told of a line of the audit log: of a tunnel that report mode let through, both. */
export function noticesOf({ event, kind, endedBy }: AuditEvent): readonly Notice[] {
  const isDenied = event === 'deny' || event === 'would_deny'
  const isTunnel = kind === 'connect' || kind === 'websocket' || kind === 'transparent'
  const hasEnded = isTunnel && endedBy !== undefined && event !== 'error'
  if (!isDenied && !hasEnded) return NONE
  return [...(isDenied ? (['onDenied'] as const) : []), ...(hasEnded ? (['onTunnelEnd'] as const) : [])]
}
