import type { CredentialVerifier } from '../credentials/verifier.ts'
import type { Relay } from '../relay/relay.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Admission } from './admission.ts'
import type { Dialer } from './dial.ts'
import type { Exchanges } from './exchanges.ts'
import type { Generation } from './generation.ts'
import type { OriginPool } from './origin-pool.ts'
import type { Tunnels } from './tunnels.ts'

/** What the proxy's parts share. */
export interface ProxyContext {
  /** The generation in force for a request that begins now. */
  readonly generation: () => Generation
  readonly dialer: Dialer
  /** Origin connections that are kept between two requests. */
  readonly pool: OriginPool
  readonly relay: Relay
  readonly telemetry: Telemetry
  readonly admission: Admission
  readonly credentials: CredentialVerifier
  readonly tunnels: Tunnels
  readonly exchanges: Exchanges
  readonly log: Logger
  /** Name of this gateway in audit lines. */
  readonly gateway: string
  /** Name of this gateway in `Via`: unique, so that a request that comes back is recognised. */
  readonly via: string
  /** No new work is taken on. */
  readonly isDraining: () => boolean
  /** Nothing may begin now, because its audit line could not be written. */
  readonly mustWaitForAudit: () => boolean
}
