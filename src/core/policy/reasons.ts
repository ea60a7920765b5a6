/**
 * Every way a request can end without being served. The code goes to the client, the audit log and the `reason` metric
 * label; it is API, so codes are added, never renamed.
 */

/** Whose doing it is; decides whether the audit event is `deny` or `error`. */
export type ReasonClass = 'policy' | 'vetting' | 'client' | 'wire' | 'limit' | 'origin' | 'internal'

/**
 * What report mode does with it: `through` lets it pass as a `would_deny`; `gateway` does so only where report mode is on for
 * the whole gateway or group; `rule` only where that one deny rule says `mode: report`; `never` keeps it a refusal.
 */
export type ReportMode = 'through' | 'gateway' | 'rule' | 'never'

export interface ReasonSpec {
  /** HTTP status of the answer; where the client speaks TLS or nothing at all, the connection is closed instead. */
  readonly status: number
  readonly class: ReasonClass
  readonly report: ReportMode
  /** One plain sentence for the answer's `title`, the docs and the dashboard. */
  readonly means: string
  /** Seconds for `Retry-After`, where trying again later can help (RFC 9110 section 10.2.3). */
  readonly retryAfterSeconds?: number
}

export const REASONS = {
  host_not_listed: { status: 403, class: 'policy', report: 'through', means: 'the host is not on the allowlist' },
  port_not_listed: { status: 403, class: 'policy', report: 'through', means: 'the host is allowed, but not on this port' },
  path_not_listed: { status: 403, class: 'policy', report: 'through', means: 'the host is allowed, but not this path' },
  method_not_listed: { status: 403, class: 'policy', report: 'through', means: 'the host is allowed, but not with this method' },
  inspection_unavailable: {
    status: 403,
    class: 'policy',
    report: 'through',
    means: 'the host is allowed only for certain paths or methods, which cannot be seen inside TLS without inspection',
  },
  sni_mismatch: { status: 403, class: 'policy', report: 'gateway', means: 'the TLS server name differs from the host asked for' },
  sni_missing: { status: 403, class: 'policy', report: 'gateway', means: 'the TLS handshake names no server' },
  not_tls: { status: 403, class: 'policy', report: 'gateway', means: 'the tunnel does not carry TLS' },
  ech_refused: { status: 403, class: 'policy', report: 'gateway', means: 'the TLS handshake hides its server name (ECH)' },
  denied_by_rule: { status: 403, class: 'policy', report: 'rule', means: 'a deny rule names this destination' },
  denied_by_hook: { status: 403, class: 'policy', report: 'never', means: 'a hook refused the request' },
  hook_failed: { status: 403, class: 'policy', report: 'never', means: 'a hook failed, so the request is refused' },
  address_refused: {
    status: 403,
    class: 'vetting',
    report: 'never',
    means: 'the host leads to an address that may not be dialled',
  },
  loop_detected: { status: 403, class: 'vetting', report: 'never', means: 'the request would come back to this gateway' },
  not_forwarded: {
    status: 403,
    class: 'policy',
    report: 'never',
    means: 'packets that no listener carries and no exception of `subnet.forward` lets through; they get no answer',
  },
  address_mismatch: {
    status: 403,
    class: 'policy',
    report: 'gateway',
    means: "the client was connecting to an address that is none of the host's",
  },
  client_not_allowed: { status: 403, class: 'client', report: 'never', means: 'this client may not use the gateway' },
  credentials_required: { status: 407, class: 'client', report: 'never', means: 'the gateway wants proxy credentials' },
  malformed_request: { status: 400, class: 'wire', report: 'never', means: 'the request is not valid HTTP' },
  path_not_canonical: {
    status: 400,
    class: 'wire',
    report: 'never',
    means: 'the path can be read in more than one way, so a path rule cannot judge it',
  },
  not_a_proxy_request: {
    status: 400,
    class: 'wire',
    report: 'never',
    means: 'this is a proxy: it wants CONNECT or an absolute http:// URL',
  },
  scheme_not_supported: { status: 400, class: 'wire', report: 'never', means: 'only http:// URLs and CONNECT are carried' },
  host_mismatch: { status: 421, class: 'wire', report: 'never', means: 'the request names another host than its tunnel' },
  target_too_long: { status: 414, class: 'wire', report: 'never', means: 'the request target is too long' },
  head_too_large: { status: 431, class: 'wire', report: 'never', means: 'the request head is too large' },
  body_malformed: { status: 400, class: 'wire', report: 'never', means: 'the request body is not validly framed' },
  head_timeout: { status: 408, class: 'wire', report: 'never', means: 'the request head did not arrive in time' },
  opening_timeout: {
    status: 408,
    class: 'wire',
    report: 'never',
    means: 'the first bytes inside the tunnel did not arrive in time',
  },
  client_limit: {
    status: 429,
    class: 'limit',
    report: 'never',
    means: 'this client has reached its limit',
    retryAfterSeconds: 1,
  },
  gateway_full: {
    status: 503,
    class: 'limit',
    report: 'never',
    means: 'the gateway has reached its limit',
    retryAfterSeconds: 5,
  },
  draining: { status: 503, class: 'limit', report: 'never', means: 'the gateway is shutting down', retryAfterSeconds: 5 },
  dns_failed: { status: 502, class: 'origin', report: 'never', means: 'the host name could not be resolved' },
  dial_failed: { status: 502, class: 'origin', report: 'never', means: 'the origin could not be reached' },
  origin_certificate_invalid: { status: 502, class: 'origin', report: 'never', means: "the origin's certificate is not valid" },
  origin_protocol_error: { status: 502, class: 'origin', report: 'never', means: 'the origin did not answer with valid HTTP' },
  dial_timeout: { status: 504, class: 'origin', report: 'never', means: 'the origin did not accept a connection in time' },
  origin_timeout: { status: 504, class: 'origin', report: 'never', means: 'the origin did not answer in time' },
  internal_error: { status: 500, class: 'internal', report: 'never', means: 'the gateway failed; its log has the request id' },
} as const satisfies Record<string, ReasonSpec>

export type Reason = keyof typeof REASONS

/** The reasons `decide` itself can give. */
export type PolicyReason =
  | 'host_not_listed'
  | 'port_not_listed'
  | 'path_not_listed'
  | 'method_not_listed'
  | 'denied_by_rule'
  | 'path_not_canonical'

export function reasonSpec(reason: Reason): ReasonSpec {
  return REASONS[reason]
}

/** A refusal is the policy's or the client's doing (`deny`); a failure is the origin's or the gateway's (`error`). */
export function isFailure(reason: Reason): boolean {
  const { class: kind } = reasonSpec(reason)
  return kind === 'origin' || kind === 'internal'
}
