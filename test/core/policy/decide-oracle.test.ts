import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decide } from '../../../src/core/policy/decide.ts'
import { plainVerdict } from '../../support/plain-verdict.ts'
import { policyOfRulesAlone, requestTo } from '../../support/policy.ts'

const optional = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.oneof(
    fc.constant({}),
    value.map((one) => ({ [key]: one })),
  )
const suffix = fc.constantFrom('example', 'a.example', 'b.a.example', 'evila.example', 'test')
const rule = fc
  .tuple(
    fc.tuple(fc.constantFrom('', '*.', '*'), suffix).map((parts) => ({ hosts: [parts.join('')] })),
    fc.constantFrom({ action: 'allow' }, { action: 'allow' }, { action: 'deny' }, { action: 'deny', mode: 'report' }),
    optional('ports', fc.uniqueArray(fc.constantFrom(80, 443, 8080), { minLength: 1 })),
    optional('paths', fc.uniqueArray(fc.constantFrom('/x', '/x/*', '/*/y', '/x/*.z'), { minLength: 1 })),
    optional('methods', fc.uniqueArray(fc.constantFrom('GET', 'PUT'), { minLength: 1 })),
  )
  .map((parts) => Object.assign({}, ...parts) as Record<string, unknown>)
const target = fc.tuple(
  fc.constantFrom('', 'x.', 'x.y.'),
  suffix,
  fc.constantFrom(80, 443, 8080, 22),
  fc.constantFrom('', '/', '/x', '/x/', '/x/y', '/X', '/x/a.z', '/q/y'),
)

it('decides as the sentences on precedence say, for any rules and requests (seeded)', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), target, fc.constantFrom('GET', 'PUT', 'POST'), (rules, parts, method) => {
      const policy = policyOfRulesAlone(rules.map((one, at) => ({ name: `r${at}`, ...one })))
      const [prefix, host, port, path] = parts
      const request = requestTo(`${prefix}${host}:${port}${path}`, method)
      const decision = decide(policy, request)
      expect(decision.verdict).toBe(plainVerdict(policy, request))
      if (decision.verdict !== 'deny') expect(decision.entry.action).toBe('allow')
    }),
    { seed: 4, numRuns: 3_000 },
  )
})

it('is not moved by the order of the rules: that only chooses who is named (seeded)', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 5 }), target, (rules, [prefix, host, port, path]) => {
      const named = rules.map((one, at) => ({ name: `r${at}`, ...one }))
      const request = requestTo(`${prefix}${host}:${port}${path}`)
      const verdict = decide(policyOfRulesAlone(named), request).verdict
      expect(decide(policyOfRulesAlone(named.toReversed()), request).verdict).toBe(verdict)
    }),
    { seed: 5, numRuns: 500 },
  )
})
