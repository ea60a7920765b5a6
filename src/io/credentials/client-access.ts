import type { Credentials } from '../../core/config/credential-file.ts'
import type { ListenerTls } from '../tls/listener-tls.ts'

/** What the files say of who clients are. */
export interface ClientAccess {
  /** Absent where none are configured. */
  readonly credentials: Credentials | undefined
  /** Absent where clients speak to the proxy without TLS. */
  readonly tls: ListenerTls | undefined
}

/** Nobody is asked who they are. */
export const NO_ACCESS_FILES: ClientAccess = { credentials: undefined, tls: undefined }
