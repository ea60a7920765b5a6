import type { EgressRequest } from '../../src/core/policy/decide.ts'
import { isConstrained, type Pattern, portMatches } from '../../src/core/policy/entry.ts'
import { hostPatternMatches } from '../../src/core/policy/host-pattern.ts'
import type { Match, Policy } from '../../src/core/policy/policy.ts'

/** The four sentences on precedence, read plainly and without a tree: every pattern of every entry is asked. */
export function plainVerdict({ entries }: Policy, { host, port, http }: EgressRequest): 'allow' | 'inspect' | 'deny' {
  const matches = entries.flatMap((entry) => entry.patterns.map((pattern): Match => ({ entry, pattern })))
  const here = matches.filter(({ pattern }) => hostPatternMatches(pattern.host, host) && portMatches(pattern, port))
  const seen = ({ paths, methods }: Pattern): boolean =>
    http !== undefined && (methods?.includes(http.method) ?? true) && (paths?.some((path) => path.matches(http.path)) ?? true)
  const denies = here.filter(({ entry }) => entry.action === 'deny' && entry.mode !== 'report')
  const allows = here.filter(({ entry }) => entry.action === 'allow')
  if (denies.some(({ pattern }) => !isConstrained(pattern) || seen(pattern))) return 'deny'
  if (allows.length === 0) return 'deny'
  const whole = allows.some(({ pattern }) => !isConstrained(pattern))
  if (http !== undefined) return whole || allows.some(({ pattern }) => seen(pattern)) ? 'allow' : 'deny'
  return whole && !denies.some(({ pattern }) => isConstrained(pattern)) ? 'allow' : 'inspect'
}
