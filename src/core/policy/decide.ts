import { addressHost, type Host } from '../names/authority.ts'
import { embeddedIpv4 } from '../names/ip.ts'
import { defaultProtocol, type Entry, isConstrained, type Pattern, type Protocol, portMatches } from './entry.ts'
import { pathAmbiguity } from './path-pattern.ts'
import type { Match, Policy } from './policy.ts'
import type { PolicyReason } from './reasons.ts'

/** What a client asks for, as far as it is known: a CONNECT shows host and port, an HTTP request shows the rest too. */
export interface EgressRequest {
  readonly host: Host
  readonly port: number
  /** Known together, or not at all. */
  readonly http?: { readonly method: string /** As forwarded, without the query. */; readonly path: string }
}

/** A deny rule in report mode that would have refused the request. */
interface Reportable {
  readonly reported?: Entry
}

/** An allow for everything at host and port. */
interface WholeAllow {
  readonly entry: Entry
  readonly protocol: Protocol
  /**
   * An entry lists the address and not a name: whatever name the opening gives is right. Who reaches a range this way reaches
   * everybody behind it, as with a network rule of Azure Firewall.
   */
  readonly byAddress?: true
}

export type Decision = Reportable &
  (
    | ({ readonly verdict: 'allow' } & WholeAllow)
    | {
        /** Host and port are right; method and path have to be seen. */
        readonly verdict: 'inspect'
        readonly entry: Entry
        /** Never `any`: what is not looked into cannot be judged. */
        readonly protocol: Exclude<Protocol, 'any'>
        /** The deny rule that waits for them, where `entry` itself allows the whole host. */
        readonly awaiting?: Entry
      }
    | {
        readonly verdict: 'deny'
        readonly reason: PolicyReason
        /** The deny rule, or the entry that came nearest. */
        readonly entry?: Entry
        /** Why a path is not canonical. */
        readonly detail?: string
      }
  )

/**
 * Pure and total: never throws, never waits, and with nothing matching the answer is deny. Precedence: a matching deny rule,
 * then an allow for the whole host, then one for certain paths or methods. How specific an entry is only chooses which one is
 * named; it never turns an allow into a denial.
 *
 * Costs one map access per label of the host, plus the entries that name that very host or a suffix of it; for an address literal a
 * binary search in all ranges listed.
 */
export function decide(policy: Policy, request: EgressRequest): Decision {
  const matches = policy.tree.find(request.host)
  const denied = judgeDenyRules(withEmbedded(policy, request.host, matches), request)
  if (denied.verdict === 'deny') return denied
  const allowed = judgeAllows(matches, request)
  const { awaiting, reported } = denied
  const decision: Decision =
    awaiting !== undefined && allowed.verdict === 'allow'
      ? { verdict: 'inspect', entry: allowed.entry, protocol: seenProtocol(allowed.protocol, request.port), awaiting }
      : allowed
  return reported === undefined ? decision : { ...decision, reported }
}

/** A translator or a tunnel may deliver to an IPv4 address inside an IPv6 one: its deny rules hold too. */
function withEmbedded(policy: Policy, host: Host, matches: readonly Match[]): readonly Match[] {
  if (host.kind === 'name' || host.ip.family === 4) return matches
  const inside = embeddedIpv4(host.ip)
  return inside.length === 0 ? matches : [...matches, ...inside.flatMap((ip) => policy.tree.find(addressHost(ip)))]
}

type DenyFinding =
  | Extract<Decision, { verdict: 'deny' }>
  | { readonly verdict: 'pass' /** A deny rule waits for the path. */; readonly awaiting?: Entry; readonly reported?: Entry }

function judgeDenyRules(matches: readonly Match[], { port, http }: EgressRequest): DenyFinding {
  let awaiting: Entry | undefined
  let reported: Entry | undefined
  let unclear: DenyFinding | undefined
  for (const { entry, pattern } of matches) {
    if (entry.action !== 'deny' || !portMatches(pattern, port)) continue
    if (isConstrained(pattern)) {
      if (http === undefined) {
        // A rule that is only reported is no reason to end a client's TLS.
        if (entry.mode !== 'report') awaiting ??= entry
        continue
      }
      if (!methodMatches(pattern, http.method)) continue
      // A path that reads in two ways could slip past the rule in one of them.
      const ambiguity = pattern.paths === undefined ? undefined : pathAmbiguity(http.path)
      if (ambiguity !== undefined && entry.mode !== 'report') {
        unclear ??= { verdict: 'deny', reason: 'path_not_canonical', entry, detail: ambiguity }
        continue
      }
      if (!pathMatches(pattern, http.path)) continue
    }
    if (entry.mode !== 'report') return { verdict: 'deny', reason: 'denied_by_rule', entry }
    reported ??= entry
  }
  if (unclear !== undefined) return unclear
  return { verdict: 'pass', ...(awaiting && { awaiting }), ...(reported && { reported }) }
}

/** What a tunnel must carry for its requests to be seen. */
function seenProtocol(protocol: Protocol, port: number): Exclude<Protocol, 'any'> {
  return protocol === 'any' ? defaultProtocol(port) : protocol
}

function judgeAllows(matches: readonly Match[], request: EgressRequest): Decision {
  const { port, http } = request
  let whole: WholeAllow | undefined
  let inspectedBy: Entry | undefined
  let partial: { readonly entry: Entry; readonly protocol: Exclude<Protocol, 'any'> } | undefined
  let otherPort: Entry | undefined
  for (const { entry, pattern } of matches) {
    if (entry.action !== 'allow') continue
    if (!portMatches(pattern, port)) {
      otherPort ??= entry
      continue
    }
    const carried = pattern.protocol ?? defaultProtocol(port)
    if (pattern.inspect === 'always' && !isConstrained(pattern)) inspectedBy ??= entry
    if (isConstrained(pattern)) partial ??= { entry, protocol: seenProtocol(carried, port) }
    else {
      // The named entry's protocol, but `any` from any allow counts, and so does one by address: another entry must not turn an
      // allow into a denial.
      const protocol = whole === undefined || carried === 'any' ? carried : whole.protocol
      const byAddress = whole?.byAddress ?? (pattern.host.kind === 'network' ? true : undefined)
      whole = { entry: whole?.entry ?? entry, protocol, ...(byAddress && { byAddress }) }
    }
  }
  if (whole !== undefined && inspectedBy !== undefined && http === undefined) {
    return { verdict: 'inspect', entry: inspectedBy, protocol: seenProtocol(whole.protocol, port) }
  }
  if (whole !== undefined) return { verdict: 'allow', ...whole }
  if (partial !== undefined) {
    return http === undefined ? { verdict: 'inspect', ...partial } : judgePaths(matches, port, http, partial.protocol)
  }
  if (otherPort !== undefined) return { verdict: 'deny', reason: 'port_not_listed', entry: otherPort }
  return { verdict: 'deny', reason: 'host_not_listed' }
}

function judgePaths(
  matches: readonly Match[],
  port: number,
  { method, path }: NonNullable<EgressRequest['http']>,
  protocol: Protocol,
): Decision {
  const ambiguity = pathAmbiguity(path)
  let nearest: Entry | undefined
  let rightPath: Entry | undefined
  let unclear: Entry | undefined
  for (const { entry, pattern } of matches) {
    if (entry.action !== 'allow' || !portMatches(pattern, port)) continue
    nearest ??= entry
    if (pattern.paths !== undefined && ambiguity !== undefined) {
      unclear ??= entry
      continue
    }
    if (!pathMatches(pattern, path)) continue
    if (methodMatches(pattern, method)) return { verdict: 'allow', entry, protocol }
    rightPath ??= entry
  }
  // Before the rest, which report mode would let through.
  if (unclear !== undefined && ambiguity !== undefined)
    return { verdict: 'deny', reason: 'path_not_canonical', entry: unclear, detail: ambiguity }
  if (rightPath !== undefined) return { verdict: 'deny', reason: 'method_not_listed', entry: rightPath }
  return { verdict: 'deny', reason: 'path_not_listed', ...(nearest && { entry: nearest }) }
}

function methodMatches(pattern: Pattern, method: string): boolean {
  return pattern.methods === undefined || pattern.methods.includes(method)
}

function pathMatches(pattern: Pattern, path: string): boolean {
  return pattern.paths === undefined || pattern.paths.some((candidate) => candidate.matches(path))
}
