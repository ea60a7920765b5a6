import { describe, expect, it } from 'vitest'
import type { Authority } from '../../../src/core/names/authority.ts'
import { REASONS, type Reason, reasonSpec } from '../../../src/core/policy/reasons.ts'
import {
  type Answer,
  type AnswerParts,
  buildAnswer,
  formatClosingAnswer,
  type HintsSetting,
} from '../../../src/core/wire/answer.ts'
import { authorityOf } from '../../support/policy.ts'

const SECRET_HINT = { text: 'feature `python-files` is off', remedy: { kind: 'feature', name: 'python-files' } } as const
const PARTS: AnswerParts = {
  reason: 'host_not_listed',
  requestId: 'r-1',
  target: authorityOf('files.pythonhosted.org:443'),
  hint: SECRET_HINT,
  detail: 'some detail',
}
const answer = (parts: Partial<AnswerParts> = {}, hints: HintsSetting = 'full'): Answer =>
  buildAnswer({ ...PARTS, ...parts }, hints)
const field = ({ fields }: Answer, name: string): string | undefined => fields.find(([key]) => key === name)?.[1]
const body = (one: Answer): Record<string, unknown> => JSON.parse(one.body) as Record<string, unknown>
const reasons = Object.keys(REASONS) as Reason[]

/** Error types registered for `Proxy-Status` (RFC 9209 section 2.3). */
const PROXY_STATUS_ERRORS =
  /^sallyport; error=(dns_error|destination_unavailable|destination_ip_prohibited|connection_refused|connection_timeout|connection_limit_reached|tls_certificate_error|http_request_error|http_request_denied|http_response_timeout|http_protocol_error|proxy_internal_error|proxy_loop_detected); details="[a-z0-9_]+"$/

describe('the answer to a refusal', () => {
  it('reads well on a terminal', () => {
    const head = [
      'HTTP/1.1 403 host_not_listed',
      'Content-Type: application/problem+json',
      'Content-Length: 291',
      'X-Content-Type-Options: nosniff',
      'Cache-Control: no-store',
      'Proxy-Status: sallyport; error=http_request_denied; details="host_not_listed"',
      'Sallyport-Reason: host_not_listed',
      'Sallyport-Request-Id: r-1',
      'Connection: close',
    ]
    const json = [
      '{',
      '  "type": "urn:sallyport:reason:host_not_listed",',
      '  "title": "the host is not on the allowlist",',
      '  "status": 403,',
      '  "reason": "host_not_listed",',
      '  "host": "files.pythonhosted.org",',
      '  "port": 443,',
      '  "detail": "some detail",',
      '  "hint": "feature `python-files` is off",',
      '  "requestId": "r-1"',
      '}',
    ]
    expect(formatClosingAnswer(answer())).toBe(`${head.join('\r\n')}\r\n\r\n${json.join('\n')}\n`)
  })

  for (const reason of reasons)
    it(`${reason}: status, reason phrase, Proxy-Status and problem body all name it`, () => {
      const one = answer({ reason })
      const { status, means, retryAfterSeconds } = reasonSpec(reason)
      expect(one.status).toBe(status)
      expect(one.reasonPhrase).toBe(reason)
      expect(field(one, 'Sallyport-Reason')).toBe(reason)
      expect(field(one, 'Sallyport-Request-Id')).toBe('r-1')
      expect(field(one, 'Proxy-Status')).toMatch(PROXY_STATUS_ERRORS)
      expect(field(one, 'Proxy-Status')).toContain(`details="${reason}"`)
      expect(field(one, 'Content-Type')).toBe('application/problem+json')
      expect(field(one, 'Content-Length')).toBe(String(new TextEncoder().encode(one.body).length))
      expect(field(one, 'Retry-After')).toBe(retryAfterSeconds === undefined ? undefined : String(retryAfterSeconds))
      expect(field(one, 'Proxy-Authenticate') !== undefined).toBe(status === 407)
      expect(body(one)).toMatchObject({ type: `urn:sallyport:reason:${reason}`, title: means, status, reason, requestId: 'r-1' })
    })

  it('has a body without what is not known', () => {
    const one = answer({ target: undefined, hint: undefined, detail: undefined })
    expect(Object.keys(body(one))).toEqual(['type', 'title', 'status', 'reason', 'requestId'])
  })

  it('shows IPv6 as the host alone', () => {
    expect(body(answer({ target: authorityOf('[2001:db8::1]:8443') }))).toMatchObject({ host: '2001:db8::1', port: 8443 })
  })
})

describe('`answers.hints: code`', () => {
  for (const reason of reasons)
    it(`tells nothing of the policy for ${reason}`, () => {
      const one = answer({ reason }, 'code')
      expect(Object.keys(body(one))).not.toContain('hint')
      expect(Object.keys(body(one))).not.toContain('detail')
      expect(formatClosingAnswer(one)).not.toMatch(/python-files|some detail/)
    })
})

describe('a client that is not allowed', () => {
  it('is told neither host nor hint nor detail, whatever the setting', () => {
    for (const hints of ['full', 'code'] as const) {
      const one = answer({ reason: 'client_not_allowed' }, hints)
      expect(Object.keys(body(one))).toEqual(['type', 'title', 'status', 'reason', 'requestId'])
      expect(formatClosingAnswer(one)).not.toContain('pythonhosted')
    }
  })
})

describe('what a client sent', () => {
  const HOSTILE = [
    '<script>alert(1)</script>',
    '"}\r\nSallyport-Reason: allow\r\n\r\n',
    '\u001b[2J\u009b31m',
    '\u2028\u2029\u202e',
    '\ud800 \udfff',
    'caf\u00e9 \u{1f6aa}',
    '\0\x7f',
  ]
  for (const hostile of HOSTILE)
    it(`${JSON.stringify(hostile)} comes back as plain ASCII without markup, and reads back as it was (case 32)`, () => {
      // No such host passes the parser; the answer does not rely on that.
      const target = { host: { kind: 'name', name: hostile, text: hostile }, port: 443 } as unknown as Authority
      const one = answer({ target, detail: hostile, hint: { ...SECRET_HINT, text: hostile } })
      expect(one.body).toMatch(/^[\n\x20-\x7e]*$/)
      expect(one.body).not.toMatch(/[<>]/)
      expect(body(one)).toMatchObject({ host: hostile, detail: hostile, hint: hostile })
      expect(field(one, 'Content-Length')).toBe(String(new TextEncoder().encode(one.body).length))
      const [head = ''] = formatClosingAnswer(one).split('\r\n\r\n')
      expect(head.split('\r\n')).toHaveLength(9)
    })
})
