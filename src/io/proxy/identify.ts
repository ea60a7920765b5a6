import type { CredentialRecord } from '../../core/config/credential-file.ts'
import { isLoopback } from '../../core/names/special-purpose.ts'
import { countedAs, type GroupMatch, groupOf } from '../../core/policy/client-group.ts'
import type { Policy } from '../../core/policy/policy.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { pairs } from '../../core/wire/fields.ts'
import type { RequestHead } from '../../core/wire/request-head.ts'
import { readBasic, type SentCredentials } from '../credentials/basic.ts'
import type { Verification } from '../credentials/verifier.ts'
import type { ClientCertificate } from '../tls/client-certificate.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Exchange, Refusal } from './exchange.ts'
import type { Generation } from './generation.ts'
import type { ProxyContext } from './proxy-context.ts'

/** Whose a request is, as far as it has been proved. */
export interface Identity {
  readonly match: Extract<GroupMatch, { kind: 'group' | 'none' }>
  /** The user whose password was right, as the file had it. */
  readonly proved?: CredentialRecord | undefined
}

/**
 * Finds out who asks and notes it on the exchange: the group whose policy counts, and the user. The password is looked at only where
 * something hangs on it. Gives the refusal, or nothing; a promise only where a password has to be looked at.
 *
 * @param head absent where the client cannot be asked for credentials, which counts as if it had sent none
 */
export function identify(
  context: ProxyContext,
  exchange: Exchange,
  head: RequestHead | undefined,
): Refusal | undefined | Promise<Refusal | undefined> {
  const { connection, generation } = exchange
  const { session } = connection
  // What came through a tunnel is its client's, and needs no proof of its own.
  if (session !== undefined) return note(exchange, identifyAgain(connection, session.proved, generation))
  const certificate = standingCertificate(connection, generation)
  if (!certificate.ok) return certificate.error
  const { groups } = generation.policy
  const { credentials } = generation.access
  if (groups.length === 0 && credentials === undefined) return undefined
  const facts = { address: connection.client, certificate: certificate.value?.names }
  const match = groupOf(groups, { ...facts, user: 'unread' })
  if (match.kind === 'group') return note(exchange, ok({ match }))
  if (credentials === undefined) return undefined
  // Nobody shows a proxy credentials who does not know of it: what comes is for the server.
  const sent = connection.original === undefined ? sentCredentials(connection, head) : ok(undefined)
  if (!sent.ok) return sent.error
  if (sent.value === undefined) {
    const refusal = note(exchange, identifyAgain(connection, undefined, generation))
    if (refusal !== undefined) context.telemetry.metrics.credentialChecks.inc({ outcome: 'missing' })
    return refusal
  }
  const { user } = sent.value
  const settle = (verdict: Verification): Refusal | undefined => {
    context.telemetry.metrics.credentialChecks.inc({ outcome: verdict })
    if (verdict !== 'right') {
      if (verdict === 'limited') context.telemetry.metrics.limitHits.inc({ limit: 'credential_failures_per_client' })
      return REFUSALS[verdict]
    }
    return note(exchange, identifyAgain(connection, credentials.get(user), generation))
  }
  const verdict = context.credentials.verify(credentials, connection.client.text, sent.value)
  return verdict instanceof Promise ? verdict.then(settle) : settle(verdict)
}

/** The group by what has been shown, without asking for credentials; refused is only a certificate that does not hold. */
export function recogniseUnasked(exchange: Exchange): Refusal | undefined {
  const { connection, generation } = exchange
  const certificate = standingCertificate(connection, generation)
  if (!certificate.ok) return certificate.error
  const match = groupOf(generation.policy.groups, {
    address: connection.client,
    certificate: certificate.value?.names,
    user: undefined,
  })
  return match.kind === 'ask' ? undefined : note(exchange, ok({ match }))
}

/** Of a client that has shown what it had to show, whether it still holds, and what group it is in now. */
export function identifyAgain(
  connection: ClientConnection,
  proved: CredentialRecord | undefined,
  generation: Generation,
): Result<Identity, Refusal> {
  const certificate = standingCertificate(connection, generation)
  if (!certificate.ok) return certificate
  const { policy, access, config } = generation
  const { credentials } = access
  const stillProved = proved !== undefined && credentials?.get(proved.user)?.line === proved.line ? proved : undefined
  const facts = { address: connection.client, certificate: certificate.value?.names, user: stillProved?.user }
  const match = groupOf(policy.groups, facts)
  if (match.kind === 'ask') throw new Error('the user is known or there is none')
  const isKnown = match.kind === 'group' || stillProved !== undefined || certificate.value !== undefined
  if (!isKnown && credentials !== undefined && config.credentials.required)
    return err(connection.original === undefined ? MISSING : CANNOT_SHOW)
  return ok({ match, ...(stillProved === undefined ? {} : { proved: stillProved }) })
}

/** The policy that counts for a client by what it has shown so far; the one at the top where it is in no group. */
export function policyOf(connection: ClientConnection, generation: Generation): Policy {
  const identity = identifyAgain(connection, undefined, generation)
  return identity.ok && identity.value.match.kind === 'group' ? identity.value.match.group.policy : generation.policy
}

function note(exchange: Exchange, identity: Result<Identity, Refusal>): Refusal | undefined {
  if (!identity.ok) return identity.error
  const { match, proved } = identity.value
  exchange.proved = proved
  exchange.group = match.kind === 'group' ? match.group : undefined
  exchange.user = (match.kind === 'group' ? match.as : undefined) ?? proved?.user
  exchange.countedAs = countedAs(exchange.group, exchange.connection.client)
  return undefined
}

/**
 * The certificate of the connection, if it holds now: it may have been revoked, have expired or be of a CA that is not believed any
 * more, long after the handshake.
 */
function standingCertificate(
  { certificate }: ClientConnection,
  { access: { tls } }: Generation,
): Result<ClientCertificate | undefined, Refusal> {
  const refuse = (detail: string) => err<Refusal>({ reason: 'client_not_allowed', detail })
  if (certificate === undefined || tls === undefined) return ok(undefined)
  if (!certificate.shown.ok) return refuse(certificate.shown.error)
  const { value } = certificate.shown
  if (value === undefined) return tls.requiresCertificates ? refuse('no client certificate') : ok(undefined)
  if (certificate.clientCa !== tls.clientCa) return refuse('the client certificate was verified by CAs that have changed')
  if (tls.revoked.has(value.id)) return refuse('the client certificate is revoked')
  if (value.notAfterMs < Date.now()) return refuse('the client certificate has expired')
  return ok(value)
}

/** What was sent, if it came where nobody listens. */
function sentCredentials(
  connection: ClientConnection,
  head: RequestHead | undefined,
): Result<SentCredentials | undefined, Refusal> {
  const values = head === undefined ? [] : pairs(head.rawHeaders).filter(([name]) => name.toLowerCase() === 'proxy-authorization')
  const [first] = values
  if (first === undefined) return ok(undefined)
  if (values.length > 1) return err({ reason: 'malformed_request', detail: 'more than one Proxy-Authorization' })
  if (!connection.isConfidential && !isLoopback(connection.client))
    return err({ reason: 'credentials_required', detail: 'credentials are taken over TLS or loopback only' })
  const sent = readBasic(first[1])
  return sent === undefined ? err({ reason: 'credentials_required', detail: 'the credentials are not Basic' }) : ok(sent)
}

const MISSING: Refusal = { reason: 'credentials_required', detail: 'no credentials were sent', isChallenge: true }

const CANNOT_SHOW: Refusal = {
  reason: 'credentials_required',
  detail: 'a client that is redirected here cannot show any; only a group with its address in `sources` lets it in',
}

const REFUSALS: Readonly<Record<Exclude<Verification, 'right'>, Refusal>> = {
  wrong: { reason: 'credentials_required', detail: 'there is no such user, or the password is another' },
  limited: { reason: 'client_limit', detail: 'too many wrong passwords from this client; wait a minute' },
  busy: { reason: 'gateway_full', detail: 'too many passwords are being looked at' },
}
