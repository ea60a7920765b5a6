import { existsSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect, createSecureContext, rootCertificates, type SecureContext, type TLSSocket } from 'node:tls'
import type { Host } from '../../core/names/authority.ts'
import { err, ok, type Result } from '../../core/result.ts'

/** Where distributions keep their bundle: Debian, Ubuntu, Alpine; Fedora, RHEL; openSUSE; FreeBSD. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

export interface OriginHandshakeFailure {
  readonly reason: 'origin_certificate_invalid' | 'origin_protocol_error' | 'dial_timeout'
  /** The cause, for hint, log and metric. */
  readonly detail: string
}

/**
 * Whom the gateway believes about origins: the system's roots, or Node's own where the system has none, and the operator's.
 * There is no switch that turns verification off.
 *
 * @param extraPem certificates of `inspection.upstreamCa`
 */
export function originTrust(extraPem: readonly string[]): SecureContext {
  const bundle = SYSTEM_BUNDLES.find((file) => existsSync(file))
  const system = bundle === undefined ? [...rootCertificates] : [readFileSync(bundle, 'utf8')]
  return createSecureContext({ ca: [...system, ...extraPem], minVersion: 'TLSv1.2' })
}

/** TLS to the origin on a connected socket, verified against the host that was asked for. Owns the socket: a failure ends it. */
export function handshakeWithOrigin(
  socket: Socket,
  host: Host,
  trust: SecureContext,
  deadlineMs: number,
): Promise<Result<TLSSocket, OriginHandshakeFailure>> {
  return new Promise((resolve) => {
    const origin = connect({
      socket,
      // The identity is checked against `host`; an address has no server name (RFC 6066 section 3).
      host: host.text,
      ...(host.kind === 'name' ? { servername: host.name } : {}),
      secureContext: trust,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
    })
    const fail = (failure: OriginHandshakeFailure) => {
      clearTimeout(timer)
      origin.destroy()
      socket.destroy()
      resolve(err(failure))
    }
    const timer = setTimeout(
      () => fail({ reason: 'dial_timeout', detail: 'the origin did not finish its TLS handshake in time' }),
      deadlineMs,
    )
    origin.on('error', (error: NodeJS.ErrnoException) => fail(failureOf(error)))
    origin.once('close', () =>
      fail({ reason: 'origin_protocol_error', detail: 'the origin closed the connection in its TLS handshake' }),
    )
    origin.once('secureConnect', () => {
      clearTimeout(timer)
      resolve(ok(origin))
    })
  })
}

/** OpenSSL's verification errors as Node names them, in words. */
const CERTIFICATE_CAUSES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not yet valid',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'signed by a CA that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT: 'signed by a CA that is not known',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'signed by a CA that is not known',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'signed by a CA that is not known',
  ERR_TLS_CERT_ALTNAME_INVALID: 'for another name',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'for a name that cannot be read',
  CERT_REVOKED: 'revoked',
  INVALID_PURPOSE: 'not meant for servers',
  PERMITTED_VIOLATION: 'outside the name constraints of its CA',
  CERT_SIGNATURE_FAILURE: 'not validly signed',
}

function failureOf(error: NodeJS.ErrnoException): OriginHandshakeFailure {
  const cause = CERTIFICATE_CAUSES[error.code ?? '']
  if (cause !== undefined) return { reason: 'origin_certificate_invalid', detail: `the certificate is ${cause}` }
  return { reason: 'origin_protocol_error', detail: `the TLS handshake failed: ${error.code ?? 'unknown error'}` }
}
