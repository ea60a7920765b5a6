import { formatAuthority, type Host } from '../core/names/authority.ts'
import type { Entry, Protocol, Tenancy } from '../core/policy/entry.ts'
import type { ExplainTarget, Explanation } from '../core/policy/explain.ts'
import { formatPattern } from '../core/policy/hints.ts'
import { hostPatternMatches } from '../core/policy/host-pattern.ts'
import { reasonSpec } from '../core/policy/reasons.ts'
import { type LoadedConfig, printable } from '../io/config/load.ts'
import { entrySource, formatEntrySource } from './entry-source.ts'

/** What a line is about, and what it says; without a text there is no line. */
type Fact = readonly [label: string, text: string | undefined]

const LABEL_CHARACTERS = 11

/** The verdict first, then why, then what would change it: the order in which one asks at 3 a.m. */
export function explanationText(explanation: Explanation, target: ExplainTarget, loaded: LoadedConfig): string {
  const { verdict, entry } = explanation
  const facts: readonly Fact[] = [
    ...verdictFacts(explanation),
    ['group', explanation.group],
    ...(entry === undefined ? [] : entryFacts(entry, target.authority.host, loaded)),
    ['hooks', verdict === 'deny' ? undefined : hooksLine(loaded)],
    ['policy', policyLine(loaded, explanation)],
  ]
  const lines = facts.flatMap(([label, text]) => (text === undefined ? [] : [`  ${label.padEnd(LABEL_CHARACTERS)}${text}`]))
  return [`${verdict} ${formatTarget(target)}`, ...lines].map((line) => `${printable(line)}\n`).join('')
}

/** A hook is the operator's code, and is run for requests alone. */
function hooksLine({ hooks }: LoadedConfig): string | undefined {
  if (hooks.length === 0) return undefined
  return `not asked here: ${hooks.map(({ name }) => `\`${name}\``).join(', ')} may still refuse or narrow it`
}

function formatTarget({ authority, url }: ExplainTarget): string {
  const shown = formatAuthority(authority)
  return url === undefined ? shown : `${url.method} ${url.scheme}://${shown}${url.path}`
}

const PROTOCOLS: { readonly [P in Protocol]: string } = {
  tls: 'tls: what the tunnel carries must be TLS for this host',
  http: 'http: plain HTTP, judged request by request',
  any: 'any: nothing in the tunnel is judged',
}

const TLS_BY_ADDRESS = 'tls: what the tunnel carries must be TLS, for any name: the address is listed'

function verdictFacts({
  verdict,
  reason,
  hint,
  protocol,
  byAddress,
  wouldDeny,
  reportedBy,
  parents,
  path,
}: Explanation): readonly Fact[] {
  return [
    ['reason', reason && `${reason}: ${reasonSpec(reason).means}`],
    ['hint', hint?.text],
    ['mode', wouldDeny ? 'report: it is let through all the same, and logged and counted as `would_deny`' : undefined],
    ['reported', reportedBy && `\`${reportedBy}\` would refuse it if it were not \`mode: report\``],
    ['protocol', protocol && (byAddress && protocol === 'tls' ? TLS_BY_ADDRESS : PROTOCOLS[protocol])],
    ['parent', parents && `${parents.join(', then ')}: it resolves the name and connects; see \`upstream\``],
    [
      'inspect',
      verdict === 'inspect'
        ? path === undefined
          ? 'path and method of each request are judged; ask with a URL to have one judged'
          : 'TLS ends here, and this path and method are allowed; each request is judged by itself'
        : undefined,
    ],
  ]
}

const TENANCIES: { readonly [T in Tenancy]: string } = {
  microsoft: 'microsoft: only Microsoft is behind these hosts',
  yours: 'yours: a resource that the config names',
  any: 'any: every customer of that service is behind these hosts',
}

function entryFacts(entry: Entry, host: Host, loaded: LoadedConfig): readonly Fact[] {
  const covering = entry.patterns.filter((pattern) => hostPatternMatches(pattern.host, host))
  const patterns = (covering.length > 0 ? covering : entry.patterns).map(formatPattern)
  return [
    ['entry', entry.action === 'deny' ? `${entry.id}, a ${entry.quiet ? 'quiet ' : ''}deny rule` : entry.id],
    ['patterns', patterns.join(', ')],
    ['purpose', entry.purpose],
    ['condition', entry.condition],
    ['owner', entry.owner],
    ['ticket', entry.ticket],
    ['expires', entry.expires],
    ['tenancy', entry.tenancy && TENANCIES[entry.tenancy]],
    ['source', sourceLine(entry, loaded)],
  ]
}

function sourceLine(entry: Entry, loaded: LoadedConfig): string | undefined {
  const source = entrySource(entry, loaded)
  if (source === undefined) return undefined
  return 'file' in source ? formatEntrySource(source) : `edition ${source.edition}, ${formatEntrySource(source)}`
}

function policyLine({ file, compiled: { policy } }: LoadedConfig, { mode }: Explanation): string {
  return `${file}: cloud ${policy.cloud}, ${policy.editions.join(' and ')}, mode ${mode}, hash ${policy.hash}`
}
