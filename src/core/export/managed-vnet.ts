import type { Policy } from '../policy/policy.ts'
import { comments } from './azure-firewall-text.ts'
import {
  type Caveat,
  type Exported,
  type ExportRule,
  overlap,
  plainName,
  portsOverlap,
  reportModeCaveats,
  rulesOf,
  uniqueNames,
  usualHosts,
} from './export-rule.ts'

/** Names of outbound rules end here. */
const NAME_CHARACTERS_MAX = 80

/** The ports that an FQDN rule of a managed network opens; always both. */
const FQDN_PORTS: readonly number[] = [80, 443]

/**
 * Outbound rules of a workspace with a managed virtual network, as YAML for `az ml workspace update --file`. There are only allows there, and
 * a name is always open on 80 and 443: where the gateway allows one of the two, that is told.
 */
export function managedVnetRules(policy: Policy): Exported {
  const caveats: Caveat[] = reportModeCaveats(policy)
  const complain = (entry: string, text: string) => {
    if (!caveats.some((known) => known.entry === entry && known.text === text)) caveats.push({ entry, text })
  }
  const denies = rulesOf(policy, 'deny')
  for (const { entry } of denies) complain(entry.id, 'is not carried over: there is no deny here; what it touches is left out')
  const rules = rulesOf(policy, 'allow').flatMap((rule) => {
    const refusal = whyNot(rule, denies)
    if (refusal === undefined) {
      const { entry, pattern } = rule
      const missing = FQDN_PORTS.filter((port) => pattern.ports !== 'any' && !pattern.ports.includes(port))
      if (pattern.host.kind !== 'network' && missing.length > 0)
        complain(entry.id, `is open on port ${missing.join(', ')} too, which the gateway refuses`)
      return outboundRules(rule)
    }
    complain(rule.entry.id, `is left out${refusal}`)
    return []
  })
  const distinct = [...new Map(rules.map((rule) => [rule.lines.join('\n'), rule])).values()]
  const body = uniqueNames(distinct).map(({ name, lines }) =>
    [`    - name: ${name}`, ...lines.map((line) => `      ${line}`)].join('\n'),
  )
  const text = `${comments('#', caveats)}managed_network:
  isolation_mode: allow_only_approved_outbound
  outbound_rules:${body.length === 0 ? ' []' : `\n${body.join('\n')}`}
`
  return { text, caveats }
}

interface OutboundRule {
  readonly name: string
  readonly lines: readonly string[]
}

function whyNot(rule: ExportRule, denies: readonly ExportRule[]): string | undefined {
  const { pattern, ports, protocol } = rule
  const denied = denies.find((deny) => overlap(deny.pattern.host, pattern.host) && portsOverlap(deny.ports, ports))
  if (denied !== undefined) return `: \`${denied.entry.id}\` refuses a part of it`
  if (pattern.paths !== undefined || pattern.methods !== undefined) return ': a rule here is for whole hosts'
  if (pattern.host.kind === 'network')
    return pattern.host.name.startsWith('tag:') ? undefined : ': a rule here is for names and service tags'
  if (pattern.host.kind === 'exact' && pattern.host.host.kind === 'address') return ': a rule here is for names and service tags'
  if (protocol === 'any' || ports === 'any' || ports.some((port) => !FQDN_PORTS.includes(port)))
    return ` on ${ports === 'any' ? 'every port' : ports.join(', ')}: a name is open here on 80 and 443 and nowhere else`
  return undefined
}

function outboundRules({ entry, pattern: { host }, ports }: ExportRule): OutboundRule[] {
  const name = plainName(entry.id).replaceAll('.', '-').slice(0, NAME_CHARACTERS_MAX)
  if (host.kind === 'network') {
    const tag = host.name.slice('tag:'.length)
    const ranges = ports === 'any' ? '*' : ports.join(',')
    return [
      {
        name,
        lines: ['type: service_tag', 'destination:', `  service_tag: ${tag}`, '  protocol: TCP', `  port_ranges: "${ranges}"`],
      },
    ]
  }
  return usualHosts(host).map((text) => ({ name, lines: ['type: fqdn', `destination: ${JSON.stringify(text)}`] }))
}
