/**
 * The library: a gateway inside another program or a test, and the types that hooks are written against. Decisions without a gateway are
 * in `sallyport/core`.
 *
 * @module sallyport
 */
export type { AuditEvent } from './core/audit-event.ts'
export type { CatalogueData, ConfigInput } from './core/index.ts'
export type { ListenAddress } from './core/listen-address.ts'
export type { IpAddress } from './core/names/ip.ts'
export type { PolicyReason, Reason } from './core/policy/reasons.ts'
export { defineHook, type Hook, type HookEvent, type HookRequest, type HookResponse, type Keep } from './define-hook.ts'
export type { BoundAddresses, ReloadReport } from './gateway.ts'
export { readCatalogue } from './io/config/catalogue-files.ts'
export type { LogLine } from './io/telemetry/log.ts'
export {
  ConfigError,
  type CreateGatewayOptions,
  createGateway,
  type DecisionEvent,
  type EmbeddedGateway,
  type GatewayEvents,
} from './library/create-gateway.ts'
