import type { Config } from '../core/config.ts'
import { groupedBy } from '../core/grouped.ts'
import { WORKSPACE_SETTINGS } from '../core/policy/catalogue.ts'
import type { DeniedDestinations, Evidence } from '../core/policy/denied-destinations.ts'
import { reasonSpec } from '../core/policy/reasons.ts'
import type { FeatureChange, NameChange, Passed, Suggestion } from '../core/policy/suggest.ts'
import { targetOf } from '../core/policy/suggest-left.ts'
import type { RuleChange } from '../core/policy/suggest-rules.ts'
import { printable } from '../io/config/load.ts'
import { counted } from './command-io.ts'

/** What `suggest` found, and what is to be said of the logs. */
export interface Findings {
  readonly suggestion: Suggestion
  readonly config: Config
  /** Audit events read. */
  readonly events: number
  /** Denials before `--since`. */
  readonly beforeSince: number
  readonly total: Evidence
  readonly gateways: readonly string[]
  readonly withoutTarget: ReturnType<DeniedDestinations['withoutTarget']>
  readonly forgotten: DeniedDestinations['forgotten']
}

/** As many are named where a list could be long. */
const CLIENTS_SHOWN = 4
const OPENED_SHOWN = 8
const LEFT_SHOWN = 100

/** YAML that loads as it stands: the changes, and everything else as comments. */
export function suggestionYaml(findings: Findings): string {
  const { suggestion, config } = findings
  const { features, names, rules } = suggestion
  const lines = [
    ...header(findings),
    ...(features.length > 0 ? ['', 'features:', ...features.flatMap(featureLines)] : []),
    ...(names.length > 0 ? ['', 'workspace:', ...nameLines(names, config)] : []),
    ...(rules.length > 0 ? ['', 'rules:', ...rules.flatMap(ruleLines)] : []),
    ...footer(findings),
  ]
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function header({ suggestion, events, total, gateways }: Findings): string[] {
  const { features, names, rules } = suggestion
  const changes = features.length + names.length + rules.length
  const seen = total.count === 0 ? 'nothing refused' : `${number(total.count)} refused, ${period(total)}`
  const where = gateways.length > 0 ? ` on ${counted(gateways.length, 'gateway')}` : ''
  return [
    `# sallyport suggest: ${number(events)} audit events${where}, ${seen}`,
    ...(changes === 0
      ? ['# nothing to change']
      : [
          '# Each section goes into the one of the same name in gateway.yaml; lists under `workspace` are whole, `rules` are added.',
          '# What is taken is let out: read each line first, then `sallyport check`.',
        ]),
  ]
}

function featureLines({ feature, summary, opens, multiTenant, because }: FeatureChange): string[] {
  const more = opens.length > OPENED_SHOWN ? ` and ${opens.length - OPENED_SHOWN} more` : ''
  return [
    `  # ${summary}`,
    ...because.map(({ target, evidence }) => `  # ${target}: ${evidenceText(evidence)}`),
    `  # opens ${opens.slice(0, OPENED_SHOWN).join(', ')}${more}`,
    ...(multiTenant ? ['  # other customers, or anybody, can receive data behind some of these'] : []),
    `  ${text(feature)}: true`,
  ]
}

function nameLines(names: readonly NameChange[], { workspace }: Config): string[] {
  return WORKSPACE_SETTINGS.flatMap((setting) => {
    const added = names.filter((change) => change.setting === setting)
    if (added.length === 0) return []
    return [
      `  ${setting}:`,
      ...workspace[setting].map((name) => `    - ${text(name)} # already there`),
      ...added.flatMap(({ name, because }) => [
        ...because.map(({ target, evidence }) => `    # ${target}: ${evidenceText(evidence)}`),
        setting === 'regions' ? `    - ${text(name)}` : `    - ${text(name)} # only if it is yours: anybody can have one`,
      ]),
    ]
  })
}

function ruleLines(rule: RuleChange): string[] {
  const { name, action, quiet, hosts, ports, protocol, paths, methods, destinations, remarks, wider } = rule
  const list = (values: readonly string[]) => `[${values.map(text).join(', ')}]`
  return [
    ...remarks.map((remark) => `  # ${remark}`),
    `  - name: ${text(name)}`,
    '    hosts:',
    ...hosts.map(({ host, evidence }) => `      - ${text(host)} # ${evidenceText(evidence)}`),
    ...(wider === undefined
      ? []
      : [`    # or every name under it, also those nobody has asked for yet: hosts: ${list([wider])}`]),
    ...(ports === undefined ? [] : [`    ports: [${ports.join(', ')}]`]),
    ...(protocol === undefined ? [] : [`    protocol: ${protocol}`]),
    ...(paths === undefined ? [] : [`    paths: ${list(paths)}`]),
    ...(methods === undefined ? [] : [`    methods: ${list(methods)}`]),
    ...(destinations === undefined ? [] : [`    destinations: ${list(destinations)}`]),
    ...(action === 'deny' ? ['    action: deny'] : []),
    ...(quiet ? ['    quiet: true'] : []),
  ]
}

function footer(findings: Findings): string[] {
  const { suggestion, withoutTarget, forgotten, beforeSince } = findings
  const { left, allowedNow, belowMinimum, quiet } = suggestion
  const leftLines = [...groupedBy(left, (one) => one.text)].map(([why, group]) => {
    const shown = group.slice(0, CLIENTS_SHOWN).map(({ destination }) => targetOf(destination))
    const more = group.length > shown.length ? ` and ${group.length - shown.length} more` : ''
    const [{ destination }] = group
    const seen = group.length === 1 ? evidenceText(destination.evidence) : `${number(requestsOf(group))} refused`
    return `# ${shown.join(', ')}${more}: ${seen}: ${why}`
  })
  const hostless = [...withoutTarget].map(([reason, evidence]) => {
    const means = reason === 'unknown' ? 'this version does not know why' : `${reason}: ${reasonSpec(reason).means}`
    return `# ${evidenceText(evidence)}: ${means}`
  })
  const others = [...leftLines.slice(0, LEFT_SHOWN), ...hostless]
  const more =
    leftLines.length > LEFT_SHOWN ? [`# and ${leftLines.length - LEFT_SHOWN} more such lines; \`--json\` has them all`] : []
  const notes = [
    passedLine(allowedNow, 'allowed by this config by now'),
    passedLine(quiet, 'refused by quiet rules, as expected'),
    passedLine(belowMinimum, 'refused more rarely than `--min-count`'),
    beforeSince > 0 ? `# ${counted(beforeSince, 'refusal')} before \`--since\`` : undefined,
    forgotten.destinations > 0
      ? `# not counted: ${number(forgotten.requests)} refused at ${number(forgotten.destinations)} destinations, the rarest of too many`
      : undefined,
  ].filter((line) => line !== undefined)
  return [...(others.length > 0 ? ['', '# left as it is:', ...others, ...more] : []), ...(notes.length > 0 ? ['', ...notes] : [])]
}

function requestsOf(group: Suggestion['left']): number {
  return group.reduce((sum, { destination }) => sum + destination.evidence.count, 0)
}

function passedLine({ destinations, requests }: Passed, what: string): string | undefined {
  return destinations === 0 ? undefined : `# ${counted(destinations, 'destination')}, ${number(requests)} refused: ${what}`
}

/** `1,234 refused (12 of them let through in report mode), 2 clients: 10.0.0.4, 10.0.0.5; 2026-11-20T08:00Z to 2026-11-22T09:30Z`. */
function evidenceText(evidence: Evidence): string {
  const { count, wouldDeny, clients, moreClients } = evidence
  const report =
    wouldDeny === count
      ? ', let through in report mode'
      : wouldDeny > 0
        ? `, ${number(wouldDeny)} let through in report mode`
        : ''
  const shown = clients.slice(0, CLIENTS_SHOWN).join(', ')
  const who =
    clients.length === 0
      ? ''
      : `, ${clients.length}${moreClients ? '+' : ''} ${clients.length === 1 ? 'client' : 'clients'}: ${shown}${clients.length > CLIENTS_SHOWN ? ', ...' : ''}`
  return `${number(count)} refused${report}${who}; ${period(evidence)}`
}

function period({ firstSeen, lastSeen }: Evidence): string {
  const [first, last] = [minute(firstSeen), minute(lastSeen)]
  return first === last ? first : `${first} to ${last}`
}

function minute(time: string): string {
  return `${time.slice(0, 16)}Z`
}

function number(value: number): string {
  return value.toLocaleString('en')
}

/** JSON text is YAML text, and needs no thought about what YAML makes of `no`, `1.0` or a colon. */
function text(value: string): string {
  return JSON.stringify(value)
}

/** The same for programs. */
export function suggestionJson({ suggestion, config: _, withoutTarget, ...rest }: Findings): string {
  const left = suggestion.left.map(({ destination, text }) => {
    const { host, port, evidence } = destination
    return { host: host.text, port, evidence, text }
  })
  const hostless = [...withoutTarget].map(([reason, evidence]) => ({ reason, evidence }))
  return `${JSON.stringify({ ...rest, ...suggestion, left, withoutTarget: hostless }, undefined, 2)}\n`
}
