import type { SecureContext } from 'node:tls'
import type { UpstreamSection } from '../../core/policy/upstream.ts'

/** A section of `upstream` with what was read from its files. */
export interface UpstreamWay extends UpstreamSection {
  /** `Proxy-Authorization`, whole. */
  readonly authorization: string | undefined
  /** By whom parents in TLS are believed; there where one is. */
  readonly trust: SecureContext | undefined
}
