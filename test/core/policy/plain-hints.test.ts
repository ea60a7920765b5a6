import { describe, expect, it } from 'vitest'
import { hintFor, plainHint } from '../../../src/core/policy/hints.ts'
import { policyOf, requestTo } from '../../support/policy.ts'

const POLICY = policyOf('[{ name: git, hosts: [git.example.com] }]')

/** What an operator can do about it, and the setting that must be named. */
const CASES = [
  ['sni_mismatch', 'host of the CONNECT', 'what the client has to change'],
  ['sni_missing', '`protocol: any`', 'an old client without SNI'],
  ['not_tls', '`protocol: any`', 'SSH and the like'],
  ['ech_refused', '`inspection.ech: pass`', 'the setting that refused it'],
  ['opening_timeout', '`protocol: any`', 'a server that speaks first'],
  ['target_too_long', '`limits.targetBytes`', 'the limit'],
  ['head_too_large', '`limits.headBytes`', 'the limit'],
  ['origin_timeout', '`limits.originSeconds`', 'the limit'],
] as const

describe('the hint for a refusal that is no matter of rules', () => {
  for (const [reason, named, because] of CASES)
    it(`names ${named} for ${reason}: ${because}`, () => {
      expect(hintFor(POLICY, requestTo('git.example.com:443'), { reason })?.text).toContain(named)
    })

  for (const reason of ['client_not_allowed', 'client_limit', 'internal_error', 'malformed_request'] as const)
    it(`is absent for ${reason}: nothing in the config would change it, or nobody is to be told`, () => {
      expect(plainHint({ reason })).toBeUndefined()
    })
})
