import type { Config } from '../config.ts'
import { dayNumber } from '../day.ts'
import { parseHost } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { specialBlock } from '../names/special-purpose.ts'
import { type Problem, warning } from '../problem.ts'
import type { Result } from '../result.ts'
import { type Entry, isConstrained, type Pattern } from './entry.ts'
import { formatHostPattern, type HostPattern, type NetworkPattern } from './host-pattern.ts'
import { inspectedHosts } from './inspected-hosts.ts'
import { everyPolicy, type Policy } from './policy.ts'

/** What is valid and still not what one would expect. */
export function lintEntries(policy: Policy, config: Config): Problem[] {
  const found = everyPolicy(policy).flatMap((one) => {
    const unseen = new Set<string>()
    return one.entries.flatMap((entry) => {
      const path = placeOf(entry, config)
      return [...lintProtocol(entry, path, unseen), ...lintPaths(one, entry, path), ...lintNetworks(one, entry, path)]
    })
  })
  // What holds for several groups is said once.
  return [...new Map(found.map((one) => [`${one.path.join('.')} ${one.message}`, one])).values()]
}

function placeOf(entry: Entry, config: Config): (string | number)[] {
  if (entry.origin === 'catalogue') return ['features']
  return ['rules', config.rules.findIndex(({ name }) => `rule/${name}` === entry.id)]
}

/** @param told hosts and ports that were warned of: two editions may list the same */
function lintProtocol(entry: Entry, path: (string | number)[], told: Set<string>): Problem[] {
  const key = entry.patterns.flatMap((pattern) => (pattern.protocol === 'any' ? [unseenKey(pattern)] : [])).join(' ')
  if (entry.origin === 'catalogue' && told.has(key)) return []
  told.add(key)
  const ports = new Set<string | number>(
    entry.patterns.flatMap(({ protocol, ports }): readonly (string | number)[] =>
      protocol !== 'any' ? [] : ports === 'any' ? ['*'] : ports,
    ),
  )
  if (ports.size === 0) return []
  return [
    warning(
      path,
      `\`${entry.id}\` relays ${ports.size === 1 ? 'port' : 'ports'} ${[...ports].join(', ')} unseen: such a tunnel can carry any name and any protocol`,
    ),
  ]
}

function unseenKey({ host, ports }: Pattern): string {
  return `${formatHostPattern(host)}:${ports === 'any' ? '*' : ports.toSorted((a, b) => a - b).join(',')}`
}

/** A path entry beside an allow for the whole host decides nothing. */
function lintPaths(policy: Policy, entry: Entry, path: (string | number)[]): Problem[] {
  if (entry.action === 'deny') return []
  return entry.patterns.filter(isConstrained).flatMap((pattern) => {
    if (pattern.host.kind === 'network') return []
    const host = sampleHost(pattern.host)
    const wider = policy.tree
      .find(host)
      .find((match) => match.entry.action === 'allow' && !isConstrained(match.pattern) && samePort(match.pattern, pattern))
    if (wider === undefined) return []
    const shown = formatHostPattern(pattern.host)
    return [
      warning(
        path,
        `\`${entry.id}\`: its paths and methods decide nothing, since \`${wider.entry.id}\` allows all of \`${shown}\``,
      ),
    ]
  })
}

/** So long before its day a rule is spoken of, so that somebody can ask its owner. */
const EXPIRES_SOON_DAYS = 30

/**
 * Rules that are overdue, or soon will be. They stay in force: a gateway that closes at midnight because of a date is an outage that
 * nobody chose; `check --strict` in a pipeline is what makes somebody choose.
 *
 * @param today as in `2026-11-22`
 */
export function lintExpiry(config: Config, today: string): Problem[] {
  return config.rules.flatMap(({ name, expires, owner, ticket }, index) => {
    if (expires === undefined) return []
    const days = dayNumber(expires) - dayNumber(today)
    if (days > EXPIRES_SOON_DAYS) return []
    const who = [owner && `owner ${quote(owner)}`, ticket && `ticket ${quote(ticket)}`].filter(Boolean).join(', ')
    const when =
      days < 0
        ? `expired on ${expires}`
        : days === 0
          ? 'expires today'
          : `expires in ${days} ${days === 1 ? 'day' : 'days'}, on ${expires}`
    const remedy = `it stays in force until it is taken out; take it out, or give it a new date`
    return [warning(['rules', index, 'expires'], `\`rule/${name}\` ${when}${who === '' ? '' : ` (${who})`}; ${remedy}`)]
  })
}

/** Ranges that are allowed and that vetting refuses all the same, since nothing says that they may be dialled. */
function lintNetworks(policy: Policy, entry: Entry, path: (string | number)[]): Problem[] {
  if (entry.action === 'deny') return []
  const permitted = [entry.destinations, policy.privateRanges].filter((set) => set !== undefined)
  const refused = entry.patterns.flatMap(({ host }) =>
    host.kind === 'network' && isNamedByOperator(host)
      ? host.ranges
          .cidrs()
          .filter(({ network }) => specialBlock(network) !== undefined && !permitted.some((set) => set.contains(network)))
      : [],
  )
  if (refused.length === 0) return []
  const shown = refused.map(({ text }) => text)
  return [
    warning(
      path,
      `\`${entry.id}\` lists what is not public and is refused all the same: ${shown.join(', ')}; if that is meant, add \`destinations: ["${shown.join('", "')}"]\``,
    ),
  ]
}

/** By `addresses`: what a service tag holds is not the operator's doing. */
function isNamedByOperator({ name, ranges }: NetworkPattern): boolean {
  return ranges.size === 1 && ranges.cidrs()[0]?.text === name
}

/** What a CA is good for. */
export interface InspectionMeans {
  permitsAll(pattern: HostPattern): boolean
}

/**
 * Which hosts are refused over HTTPS because nobody could look inside.
 *
 * @param means the CA, or why there is none
 */
export function lintInspection(policy: Policy, means: Result<InspectionMeans, { readonly message: string }>): Problem[] {
  const needed = inspectedHosts(policy)
  if (needed.length === 0) return []
  const path = ['inspection', 'caCertificate']
  const refused = 'over HTTPS these hosts are refused with `inspection_unavailable`'
  if (!means.ok) return [warning(path, `${means.error.message}; until then ${refused}: ${listed(needed)}`)]
  const missing = needed.filter((host) => !means.value.permitsAll(host))
  if (missing.length === 0) return []
  return [
    warning(
      path,
      `the CA's name constraints leave out what rules need: make a new one with \`sallyport ca init\`; ${refused}: ${listed(missing)}`,
    ),
  ]
}

function listed(hosts: readonly HostPattern[]): string {
  return hosts.map(formatHostPattern).join(', ')
}

function samePort(a: Pattern, b: Pattern): boolean {
  if (a.ports === 'any' || b.ports === 'any') return true
  return b.ports.every((port) => a.ports !== 'any' && a.ports.includes(port))
}

/** A host that the pattern covers. */
function sampleHost(pattern: HostPattern) {
  if (pattern.kind === 'exact') return pattern.host
  const sample = parseHost(pattern.kind === 'under' ? `any.${pattern.suffix}` : pattern.suffix)
  if (!sample.ok) throw new Error(sample.error)
  return sample.value
}
