import type { Authority } from '../names/authority.ts'
import type { Hint } from '../policy/hints.ts'
import { type Reason, reasonSpec } from '../policy/reasons.ts'
import type { Field } from './fields.ts'

/** An answer the gateway gives itself. */
export interface Answer {
  readonly status: number
  /** The code alone as reason phrase: pip and requests show nothing else of a refused CONNECT. */
  readonly reasonPhrase: string
  readonly fields: readonly Field[]
  readonly body: string
}

export interface AnswerParts {
  readonly reason: Reason
  readonly requestId: string
  /** Left out where the client is not to be told anything. */
  readonly target?: Authority | undefined
  readonly hint?: Hint | undefined
  readonly detail?: string | undefined
}

export type HintsSetting = 'full' | 'code'

/** Error types of RFC 9209 section 2.3. */
const PROXY_STATUS_ERROR = {
  host_not_listed: 'http_request_denied',
  port_not_listed: 'http_request_denied',
  path_not_listed: 'http_request_denied',
  method_not_listed: 'http_request_denied',
  inspection_unavailable: 'http_request_denied',
  sni_mismatch: 'http_request_denied',
  sni_missing: 'http_request_denied',
  not_tls: 'http_request_denied',
  ech_refused: 'http_request_denied',
  denied_by_rule: 'http_request_denied',
  denied_by_hook: 'http_request_denied',
  hook_failed: 'http_request_denied',
  address_refused: 'destination_ip_prohibited',
  loop_detected: 'proxy_loop_detected',
  not_forwarded: 'http_request_denied',
  address_mismatch: 'destination_ip_prohibited',
  client_not_allowed: 'http_request_denied',
  credentials_required: 'http_request_denied',
  malformed_request: 'http_request_error',
  path_not_canonical: 'http_request_error',
  not_a_proxy_request: 'http_request_error',
  scheme_not_supported: 'http_request_error',
  host_mismatch: 'http_request_error',
  target_too_long: 'http_request_error',
  head_too_large: 'http_request_error',
  body_malformed: 'http_request_error',
  head_timeout: 'http_request_error',
  opening_timeout: 'http_request_error',
  client_limit: 'connection_limit_reached',
  gateway_full: 'connection_limit_reached',
  draining: 'destination_unavailable',
  dns_failed: 'dns_error',
  dial_failed: 'connection_refused',
  origin_certificate_invalid: 'tls_certificate_error',
  origin_protocol_error: 'http_protocol_error',
  dial_timeout: 'connection_timeout',
  origin_timeout: 'http_response_timeout',
  internal_error: 'proxy_internal_error',
} as const satisfies Record<Reason, string>

/** Builds the one answer for a reason: status line, RFC 9209 `Proxy-Status` and an RFC 9457 body. */
export function buildAnswer(parts: AnswerParts, hints: HintsSetting): Answer {
  const { reason, requestId, target } = parts
  const { status, means, retryAfterSeconds } = reasonSpec(reason)
  // Somebody who may not use the gateway learns nothing from it.
  const shown = reason === 'client_not_allowed' ? undefined : target
  const told = reason !== 'client_not_allowed' && hints === 'full'
  const problem = {
    type: `urn:sallyport:reason:${reason}`,
    title: means,
    status,
    reason,
    ...(shown === undefined ? {} : { host: shown.host.text, port: shown.port }),
    ...(told && parts.detail !== undefined ? { detail: parts.detail } : {}),
    ...(told && parts.hint !== undefined ? { hint: parts.hint.text } : {}),
    requestId,
  }
  const body = `${escaped(JSON.stringify(problem, undefined, 2))}\n`
  const fields: Field[] = [
    ['Content-Type', 'application/problem+json'],
    ['Content-Length', String(body.length)],
    ['X-Content-Type-Options', 'nosniff'],
    ['Cache-Control', 'no-store'],
    ['Proxy-Status', `sallyport; error=${PROXY_STATUS_ERROR[reason]}; details="${reason}"`],
    ['Sallyport-Reason', reason],
    ['Sallyport-Request-Id', requestId],
  ]
  if (retryAfterSeconds !== undefined) fields.push(['Retry-After', String(retryAfterSeconds)])
  if (status === 407) fields.push(['Proxy-Authenticate', 'Basic realm="sallyport", charset="UTF-8"'])
  return { status, reasonPhrase: reason, fields, body }
}

/** The answer as bytes of text for a connection that ends after it. */
export function formatClosingAnswer({ status, reasonPhrase, fields, body }: Answer): string {
  const lines = [...fields, ['Connection', 'close'] as const].map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${reasonPhrase}\r\n${lines.join('')}\r\n${body}`
}

/**
 * The same JSON in printable ASCII without markup: it stays JSON for a reader that guesses another encoding, takes it for HTML
 * or shows it on a terminal, and has as many bytes as characters.
 */
function escaped(json: string): string {
  return json.replace(/[^\n\x20-\x7e]|[<>]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
