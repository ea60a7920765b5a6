import { describe, expect, it } from 'vitest'
import { decide } from '../../../src/core/policy/decide.ts'
import { explain } from '../../../src/core/policy/explain.ts'
import type { Policy } from '../../../src/core/policy/policy.ts'
import { FAILURES } from '../../catalogue/failures.ts'
import { NEAR_MISSES } from '../../catalogue/near-misses.ts'
import { WORKSPACE } from '../../catalogue/shipped-2021.ts'
import { authorityOf, policyFrom, requestTo } from '../../support/policy.ts'

const policies = new Map<string, Policy>()

/** The shipped policy for one cloud, compiled once for all cases that share it. */
function shipped(cloud: string, features: Readonly<Record<string, boolean>> = {}): Policy {
  const key = JSON.stringify([cloud, features])
  const policy = policies.get(key) ?? policyFrom({ cloud, features, workspace: WORKSPACE, editions: ['2021-07-29'] })
  policies.set(key, policy)
  return policy
}

describe('the documented allowlist, decided', () => {
  for (const { cloud, features, host, port = 443, path = '', verdict, because } of NEAR_MISSES) {
    const options = features === undefined ? '' : ` with ${JSON.stringify(features)}`
    it(`${verdict}s ${host}:${port}${path} in ${cloud}${options}: ${because}`, () => {
      expect(decide(shipped(cloud, features), requestTo(`${host}:${port}${path}`)).verdict).toBe(verdict)
    })
  }
})

describe('the twenty failures, explained', () => {
  for (const { failure, cloud, features, target, expectHint, expectRemedy } of FAILURES)
    it(`${failure}: ${target} in ${cloud} is denied with a hint that helps`, () => {
      const { verdict, hint } = explain(shipped(cloud, features), { authority: authorityOf(target) }, false)
      expect(verdict).toBe('deny')
      for (const expected of expectHint instanceof RegExp ? [expectHint] : expectHint) expect(hint?.text).toMatch(expected)
      if (expectRemedy !== undefined) expect(hint?.remedy.kind).toBe(expectRemedy)
    })
})
