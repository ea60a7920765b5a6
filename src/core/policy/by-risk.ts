import type { Entry } from './entry.ts'

/**
 * The riskiest first: what anybody can receive data behind, names that nobody can list before exact ones; then operator rules, which
 * nobody has judged; then the operator's own resources, Microsoft's, and what is refused. Among equals the order stays.
 */
export function byRisk(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((a, b) => rank(a) - rank(b))
}

function rank({ action, tenancy, patterns }: Entry): number {
  if (action === 'deny') return 6
  const wide = patterns.some(({ host }) => host.kind !== 'exact')
  if (tenancy === undefined) return wide ? 2 : 3
  if (tenancy === 'any') return wide ? 0 : 1
  return tenancy === 'yours' ? 4 : 5
}
