import { describe, expect, it } from 'vitest'
import type { Decision } from '../../../src/core/policy/decide.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { type Circumstances, enforce, letsThrough, MODES } from '../../../src/core/policy/enforce.ts'
import { isFailure, REASONS, type Reason, type ReasonClass, reasonSpec } from '../../../src/core/policy/reasons.ts'
import { policyOf, requestTo } from '../../support/policy.ts'

/** The closed table, once more and by hand: reason, status, and whether report mode lets it through. */
const TABLE: Readonly<Record<Reason, readonly [status: number, report: boolean, kind: ReasonClass]>> = {
  host_not_listed: [403, true, 'policy'],
  port_not_listed: [403, true, 'policy'],
  path_not_listed: [403, true, 'policy'],
  method_not_listed: [403, true, 'policy'],
  inspection_unavailable: [403, true, 'policy'],
  sni_mismatch: [403, true, 'policy'],
  sni_missing: [403, true, 'policy'],
  not_tls: [403, true, 'policy'],
  ech_refused: [403, true, 'policy'],
  denied_by_rule: [403, false, 'policy'],
  denied_by_hook: [403, false, 'policy'],
  hook_failed: [403, false, 'policy'],
  address_refused: [403, false, 'vetting'],
  loop_detected: [403, false, 'vetting'],
  not_forwarded: [403, false, 'policy'],
  address_mismatch: [403, true, 'policy'],
  client_not_allowed: [403, false, 'client'],
  credentials_required: [407, false, 'client'],
  malformed_request: [400, false, 'wire'],
  path_not_canonical: [400, false, 'wire'],
  not_a_proxy_request: [400, false, 'wire'],
  scheme_not_supported: [400, false, 'wire'],
  host_mismatch: [421, false, 'wire'],
  target_too_long: [414, false, 'wire'],
  head_too_large: [431, false, 'wire'],
  body_malformed: [400, false, 'wire'],
  head_timeout: [408, false, 'wire'],
  opening_timeout: [408, false, 'wire'],
  client_limit: [429, false, 'limit'],
  gateway_full: [503, false, 'limit'],
  draining: [503, false, 'limit'],
  dns_failed: [502, false, 'origin'],
  dial_failed: [502, false, 'origin'],
  origin_certificate_invalid: [502, false, 'origin'],
  origin_protocol_error: [502, false, 'origin'],
  dial_timeout: [504, false, 'origin'],
  origin_timeout: [504, false, 'origin'],
  internal_error: [500, false, 'internal'],
}
const reasons = Object.keys(TABLE) as Reason[]

describe('the closed table of reasons', () => {
  it('has these reasons and no other', () => {
    expect(Object.keys(REASONS).sort()).toEqual([...reasons].sort())
  })

  for (const reason of reasons) {
    const [status, report, kind] = TABLE[reason]
    it(`${reason} is answered with ${status}, ${report ? 'let through' : 'refused'} in report mode, always refused in enforce mode`, () => {
      expect(reasonSpec(reason)).toMatchObject({ status, class: kind })
      expect(letsThrough(reason, 'report')).toBe(report)
      expect(letsThrough(reason, 'enforce')).toBe(false)
    })

    it(`${reason} is explained in one plain sentence`, () => {
      expect(reasonSpec(reason).means).toMatch(/^[a-z][\x20-\x7e]{10,120}[^.]$/)
    })
  }

  it('lets what the opening of a connection shows pass only for the whole gateway or group', () => {
    const byGateway = reasons.filter((reason) => reasonSpec(reason).report === 'gateway')
    expect(byGateway).toEqual(['sni_mismatch', 'sni_missing', 'not_tls', 'ech_refused', 'address_mismatch'])
    expect(reasons.filter((reason) => reasonSpec(reason).report === 'rule')).toEqual(['denied_by_rule'])
  })

  it('says when to come back exactly where a limit is the reason', () => {
    for (const reason of reasons) {
      expect(reasonSpec(reason).retryAfterSeconds !== undefined, reason).toBe(TABLE[reason][2] === 'limit')
    }
  })

  it('calls it a failure, not a refusal, where the origin or the gateway is at fault', () => {
    expect(reasons.filter(isFailure)).toEqual(reasons.filter((reason) => ['origin', 'internal'].includes(TABLE[reason][2])))
  })
})

const entry = { id: 'rule/x', origin: 'rule', action: 'allow', patterns: [] } as const
const rule = { id: 'rule/deny', origin: 'rule', action: 'deny', patterns: [] } as const
const under = (more: Partial<Circumstances>): Circumstances => ({
  mode: 'enforce',
  port: 443,
  inspectionAvailable: false,
  ...more,
})

describe('what becomes of a decision', () => {
  for (const mode of MODES)
    it(`an allow stays an allow in ${mode} mode`, () => {
      expect(enforce({ verdict: 'allow', entry, protocol: 'any' }, under({ mode }))).toEqual({
        verdict: 'allow',
        entry,
        protocol: 'any',
        inspect: false,
      })
    })

  const POLICY_REASONS = [
    'host_not_listed',
    'port_not_listed',
    'path_not_listed',
    'method_not_listed',
    'denied_by_rule',
    'path_not_canonical',
  ] as const
  for (const reason of POLICY_REASONS)
    for (const mode of MODES) {
      const passes = mode === 'report' && TABLE[reason][1]
      it(`${reason} is ${passes ? 'let through as a would-be denial' : 'refused'} in ${mode} mode`, () => {
        const decision: Decision = { verdict: 'deny', reason, entry, detail: 'why' }
        const denial = { reason, entry, detail: 'why' }
        expect(enforce(decision, under({ mode, port: 80 }))).toEqual(
          passes ? { verdict: 'allow', protocol: 'http', inspect: false, wouldDeny: denial } : { verdict: 'deny', ...denial },
        )
      })
    }

  it('what report mode lets through is still judged by its port: http on 80, tls elsewhere', () => {
    const decision: Decision = { verdict: 'deny', reason: 'host_not_listed' }
    expect(enforce(decision, under({ mode: 'report', port: 22 }))).toMatchObject({ protocol: 'tls' })
    expect(enforce(decision, under({ mode: 'report', port: 80 }))).toMatchObject({ protocol: 'http' })
  })

  it('a deny rule that is only reported marks the allow in enforce mode too', () => {
    const allowed: Decision = { verdict: 'allow', entry, protocol: 'tls', reported: rule }
    const marked = { verdict: 'allow', entry, wouldDeny: { reason: 'denied_by_rule', entry: rule } }
    for (const mode of MODES) expect(enforce(allowed, under({ mode }))).toMatchObject(marked)
    const inspected: Decision = { verdict: 'inspect', entry, protocol: 'http', reported: rule }
    expect(enforce(inspected, under({}))).toMatchObject({ ...marked, inspect: true })
  })

  it('a refusal does not show what else was only reported', () => {
    const decision: Decision = { verdict: 'deny', reason: 'host_not_listed', reported: rule }
    expect(enforce(decision, under({}))).toEqual({ verdict: 'deny', reason: 'host_not_listed' })
  })
})

describe('inspection', () => {
  const tls: Decision = { verdict: 'inspect', entry, protocol: 'tls' }

  it('is no question where the request is in sight', () => {
    expect(enforce({ ...tls, protocol: 'http' }, under({ port: 8080 }))).toEqual({
      verdict: 'allow',
      entry,
      protocol: 'http',
      inspect: true,
    })
  })

  it('that is not available refuses the whole host', () => {
    expect(enforce(tls, under({}))).toEqual({ verdict: 'deny', reason: 'inspection_unavailable', entry })
  })

  it('that is not available is no obstacle in report mode: relayed uninspected, and said so', () => {
    expect(enforce(tls, under({ mode: 'report' }))).toEqual({
      verdict: 'allow',
      entry,
      protocol: 'tls',
      inspect: false,
      wouldDeny: { reason: 'inspection_unavailable', entry },
    })
  })

  it('that is available lets the tunnel stand and every request be judged, in either mode', () => {
    for (const mode of MODES)
      expect(enforce(tls, under({ mode, inspectionAvailable: true }))).toEqual({
        verdict: 'allow',
        entry,
        protocol: 'tls',
        inspect: true,
      })
  })

  it('names the deny rule that needs it, where the allow does not', () => {
    expect(enforce({ ...tls, awaiting: rule }, under({}))).toEqual({
      verdict: 'deny',
      reason: 'inspection_unavailable',
      entry: rule,
    })
  })
})

describe('a deny rule in a gateway that only reports', () => {
  const rules = [
    { name: 'no', hosts: ['no.example'], action: 'deny' },
    { name: 'trial', hosts: ['trial.example'], action: 'deny', mode: 'report' },
  ]
  const ruled = (target: string) =>
    enforce(decide(policyOf(rules, { mode: 'report' }), requestTo(target)), under({ mode: 'report' }))

  it('is enforced unless it says `mode: report` itself', () => {
    expect(ruled('no.example:443')).toMatchObject({ verdict: 'deny', reason: 'denied_by_rule' })
    expect(ruled('trial.example:443')).toMatchObject({ verdict: 'allow', wouldDeny: { reason: 'host_not_listed' } })
  })
})
