import { addressHost, type Host, parseHost } from '../names/authority.ts'
import { decide } from './decide.ts'
import { describeEntry } from './describe.ts'
import type { Entry } from './entry.ts'
import { formatHostPattern, type TargetPattern } from './host-pattern.ts'
import type { Policy } from './policy.ts'

/** What becomes of the requests for one destination that either policy names. */
export interface VerdictChange {
  /** `pypi.org:443`, or `*.example.com:443` for every host that the pattern covers and no other entry names. */
  readonly target: string
  readonly before: string
  readonly after: string
  /** The entry, or rule, that decides now; absent where nothing matches. */
  readonly entry?: string
}

export interface PolicyDiff {
  /** `cloud`, `mode` and the like, as they were and as they are. */
  readonly settings: readonly { readonly name: string; readonly before: string; readonly after: string }[]
  readonly removed: readonly Entry[]
  readonly added: readonly Entry[]
  readonly changed: readonly { readonly before: Entry; readonly after: Entry }[]
  readonly verdicts: readonly VerdictChange[]
}

/** What putting the second policy in the first one's place would change. Pure; asks no DNS. */
export function diffPolicies(before: Policy, after: Policy): PolicyDiff {
  const old = new Map(before.entries.map((entry) => [entry.id, entry]))
  const current = new Map(after.entries.map((entry) => [entry.id, entry]))
  return {
    settings: settingsOf(before).flatMap(([name, value], index) => {
      const now = settingsOf(after)[index]?.[1] ?? ''
      return value === now ? [] : [{ name, before: value, after: now }]
    }),
    removed: before.entries.filter(({ id }) => !current.has(id)),
    added: after.entries.filter(({ id }) => !old.has(id)),
    changed: after.entries.flatMap((entry) => {
      const was = old.get(entry.id)
      return was === undefined || sameEntry(was, entry) ? [] : [{ before: was, after: entry }]
    }),
    verdicts: verdictChanges(before, after),
  }
}

export function isEmptyDiff({ settings, removed, added, changed, verdicts }: PolicyDiff): boolean {
  return [settings, removed, added, changed, verdicts].every(({ length }) => length === 0)
}

function settingsOf({ cloud, editions, mode, pins, privateRanges }: Policy): readonly (readonly [string, string])[] {
  return [
    ['cloud', cloud],
    ['editions', editions.join(', ')],
    ['mode', mode],
    [
      'destinations.pin',
      [...pins]
        .map(([host, { address, port }]) => `${host} ${address.text}${port === undefined ? '' : `:${port}`}`)
        .toSorted()
        .join(', '),
    ],
    ['destinations.privateRanges', privateRanges.cidrs.map(({ text }) => text).join(', ')],
  ]
}

function sameEntry(a: Entry, b: Entry): boolean {
  return JSON.stringify(describeEntry(a)) === JSON.stringify(describeEntry(b))
}

/** Of every destination that a pattern of either policy names; the host stands for all that the pattern covers. */
function verdictChanges(before: Policy, after: Policy): VerdictChange[] {
  const changes = new Map<string, VerdictChange>()
  for (const { patterns } of [...before.entries, ...after.entries]) {
    for (const { host, ports } of patterns) {
      const sample = sampleHost(host)
      if (sample === undefined) continue
      for (const port of ports === 'any' ? [443] : ports) {
        const target = `${formatHostPattern(host)}:${port}`
        const [was, now] = [decide(before, { host: sample, port }), decide(after, { host: sample, port })]
        const [from, to] = [outcome(was), outcome(now)]
        if (from !== to) changes.set(target, { target, before: from, after: to, ...(now.entry && { entry: now.entry.id }) })
      }
    }
  }
  return [...changes.values()]
}

/** `allow`, `allow any`, `inspect` or `deny`: what a tunnel may carry is part of what is let out. */
function outcome(decision: ReturnType<typeof decide>): string {
  if (decision.verdict === 'deny') return 'deny'
  return decision.protocol === 'any' ? `${decision.verdict} any` : decision.verdict
}

/** What the pattern covers and nobody names in full: a name under the suffix, the first address of the ranges. */
function sampleHost(pattern: TargetPattern): Host | undefined {
  if (pattern.kind === 'exact') return pattern.host
  if (pattern.kind === 'network') {
    const [first] = pattern.ranges.cidrs()
    return first && addressHost(first.network)
  }
  const sample = parseHost(`sallyport-sample.${pattern.suffix}`)
  if (!sample.ok) throw new Error(sample.error)
  return sample.value
}
