import type { TunnelEnd } from '../../core/audit-event.ts'
import type { Reason } from '../../core/policy/reasons.ts'

/**
 * Every limit and deadline that is counted when it comes to bear, as the metric's label says it: the config key in words. `refuses` are
 * those at which new work is turned away; the others bound how long something may take, or how much is kept.
 */
export const LIMIT_HITS = {
  connections: { key: 'limits.connections', refuses: true },
  tunnels: { key: 'limits.tunnels', refuses: true },
  tunnels_per_group: { key: 'groups.*.limits.tunnels', refuses: true },
  tunnels_per_client: { key: 'limits.tunnelsPerClient', refuses: true },
  inspected_tunnels: { key: 'limits.inspectedTunnels', refuses: true },
  requests_per_second_per_client: { key: 'limits.requestsPerSecondPerClient', refuses: true },
  audit_buffer: { key: 'audit.bufferBytes', refuses: true },
  head_seconds: { key: 'limits.headSeconds', refuses: false },
  opening_seconds: { key: 'limits.openingSeconds', refuses: false },
  dial_seconds: { key: 'limits.dialSeconds', refuses: false },
  origin_seconds: { key: 'limits.originSeconds', refuses: false },
  tunnel_idle_seconds: { key: 'limits.tunnelIdleSeconds', refuses: false },
  tunnel_lifetime_seconds: { key: 'limits.tunnelLifetimeSeconds', refuses: false },
  keep_alive_seconds: { key: 'limits.keepAliveSeconds', refuses: false },
  origin_keep_alive_seconds: { key: 'limits.originKeepAliveSeconds', refuses: false },
  drain_seconds: { key: 'limits.drainSeconds', refuses: false },
  head_bytes: { key: 'limits.headBytes', refuses: false },
  head_fields: { key: 'limits.headFields', refuses: false },
  target_bytes: { key: 'limits.targetBytes', refuses: false },
  held_bytes: { key: 'limits.heldBytes', refuses: false },
  origin_idle_connections: { key: 'limits.originIdleConnections', refuses: false },
  origin_idle_connections_per_origin: { key: 'limits.originIdleConnectionsPerOrigin', refuses: false },
  dns_timeout: { key: 'dns.timeoutMs', refuses: false },
  dns_cache_entries: { key: 'dns.cacheEntries', refuses: false },
  certificates: { key: 'inspection.certificates', refuses: false },
  denied_hosts: { key: 'metrics.deniedHosts', refuses: false },
} as const satisfies Record<string, { readonly key: string; readonly refuses: boolean }>

export type LimitLabel = keyof typeof LIMIT_HITS

export const LIMIT_LABELS = Object.keys(LIMIT_HITS) as readonly LimitLabel[]

const OF_REASON: Partial<Record<Reason, LimitLabel>> = {
  head_timeout: 'head_seconds',
  opening_timeout: 'opening_seconds',
  dial_timeout: 'dial_seconds',
  origin_timeout: 'origin_seconds',
  head_too_large: 'head_bytes',
  target_too_long: 'target_bytes',
}

const OF_END: Partial<Record<TunnelEnd, LimitLabel>> = {
  idle_timeout: 'tunnel_idle_seconds',
  lifetime: 'tunnel_lifetime_seconds',
  drain: 'drain_seconds',
}

/** The limit that a refusal speaks of, if it does. Limits that have a reason in common are counted where they are found. */
export function limitOfReason(reason: Reason): LimitLabel | undefined {
  return OF_REASON[reason]
}

export function limitOfEnd(end: TunnelEnd): LimitLabel | undefined {
  return OF_END[end]
}
