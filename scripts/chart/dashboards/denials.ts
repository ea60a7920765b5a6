import { type Dashboard, DatasourceVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as LogsBuilder } from '@grafana/grafana-foundation-sdk/logs'
import { DataqueryBuilder as LokiQueryBuilder } from '@grafana/grafana-foundation-sdk/loki'
import { PanelBuilder as TextBuilder, TextMode } from '@grafana/grafana-foundation-sdk/text'
import type { ReasonSpec } from '../../../src/core/policy/reasons.ts'
import { CHOSEN, countWithin, dashboard, figure, graph, numbered, perSecond, row, table } from './panels.ts'

const DENIED = `verdict="deny",${CHOSEN}`
const WOULD = `verdict="would_deny",${CHOSEN}`

/** *Denials*: what is refused, why, since when, and what one change would allow it. */
export function denialsDashboard(reasons: Readonly<Record<string, ReasonSpec>>): Dashboard {
  const board = dashboard(
    'sallyport-denials',
    'Egress denials',
    'What the Sallyport gateways refuse, why, and what would allow it.',
  ).withVariable(
    new DatasourceVariableBuilder('loki')
      .label('Loki (optional)')
      .description('Only for the last row; Prometheus knows everything else')
      .type('loki'),
  )
  for (const panel of [...counts(), ...rates(), passwords(), ...hosts()]) board.withPanel(panel)
  board.withRow(row('What each reason means')).withPanel(meanings(reasons))
  board.withRow(row('Denial lines from the audit log (needs Loki)').collapsed(true).withPanel(lines()))
  board.withRow(row('Packets that no listener carries (subnet mode)'))
  for (const panel of packets()) board.withPanel(panel)
  return numbered(board.build())
}

function counts() {
  return [
    figure({
      title: 'Refused',
      description: 'Requests refused within the range shown.',
      unit: 'short',
      width: 5,
      queries: [{ expr: `sum(${countWithin('sallyport_denials_total', DENIED)}) or vector(0)` }],
    }),
    figure({
      title: 'Would be refused',
      description: 'Requests let out in report mode that enforcing would refuse. At 0 for long enough: time to enforce.',
      unit: 'short',
      width: 5,
      queries: [{ expr: `sum(${countWithin('sallyport_denials_total', WOULD)}) or vector(0)` }],
    }),
    figure({
      title: 'Hosts first refused',
      description: 'Hosts refused within the range that were not before. A gateway that restarts starts this afresh.',
      unit: 'short',
      width: 5,
      queries: [{ expr: `sum(increase(sallyport_denied_hosts_first_seen_total{${CHOSEN}}[$__range]))` }],
    }),
    figure({
      title: 'Mode',
      description: 'In `report` mode most policy refusals are only logged and counted.',
      unit: 'none',
      width: 4,
      named: true,
      queries: [{ expr: `max by (mode) (sallyport_policy_info{${CHOSEN}})`, legend: '{{mode}}' }],
    }),
    figure({
      title: 'Report mode for',
      description: 'Since when a gateway has been in report mode, as far as it remembers. No data: none is.',
      unit: 's',
      width: 5,
      queries: [{ expr: `time() - min(sallyport_report_mode_since_timestamp_seconds{${CHOSEN}} > 0)` }],
    }),
  ]
}

function rates() {
  return [
    graph({
      title: 'Refusals by reason',
      description: 'Refusals a second. The meaning of each reason is at the foot of this dashboard.',
      unit: 'reqps',
      width: 12,
      stacked: true,
      queries: [{ expr: `sum by (reason) (${perSecond('sallyport_denials_total', DENIED)})`, legend: '{{reason}}' }],
    }),
    graph({
      title: 'Refusals by listener',
      description:
        'By the way they came: the explicit proxy, or a transparent listener. `quiet` are those of deny rules that say `quiet: true`; no other panel and no alert counts them.',
      unit: 'reqps',
      width: 6,
      stacked: true,
      queries: [
        { expr: `sum by (listener) (${perSecond('sallyport_denials_total', DENIED)})`, legend: '{{listener}}' },
        { expr: `sum by (listener) (${perSecond('sallyport_denials_quiet_total')})`, legend: '{{listener}}, quiet' },
      ],
    }),
    graph({
      title: 'Would be refused, by reason',
      description: 'What report mode lets out and enforcing would not, a second.',
      unit: 'reqps',
      width: 6,
      stacked: true,
      queries: [{ expr: `sum by (reason) (${perSecond('sallyport_denials_total', WOULD)})`, legend: '{{reason}}' }],
    }),
  ]
}

function passwords() {
  return graph({
    title: 'Proxy credentials',
    description:
      'Credentials asked for (`missing`) or looked at, by outcome. Many clients ask without first; `wrong` and `limited` that go on are somebody guessing, or a password that was changed.',
    unit: 'reqps',
    width: 24,
    queries: [{ expr: `sum by (outcome) (${perSecond('sallyport_credential_checks_total')})`, legend: '{{outcome}}' }],
  })
}

/** Of subnet mode: what came to the gateway and is no connection that a listener takes. */
function packets() {
  return [
    graph({
      title: 'Packets dropped',
      description:
        'Packets of the subnet that no listener carries and no exception of `subnet.forward` lets through, a second. `udp 443` is QUIC, refused at once: clients go on over TCP. The audit lines of kind `packet` name the clients.',
      unit: 'pps',
      width: 12,
      stacked: true,
      queries: [
        { expr: `sum by (proto, port) (${perSecond('sallyport_subnet_dropped_packets_total')})`, legend: '{{proto}} {{port}}' },
      ],
    }),
    table({
      title: 'Packets dropped within the range',
      description: 'The same, counted. What needs to pass is named in `subnet.forward`; `docs/subnet.md` says how.',
      unit: 'short',
      width: 7,
      columns: { proto: 'Protocol', port: 'Port' },
      value: 'Packets',
      queries: [
        { expr: `sort_desc(sum by (proto, port) (increase(sallyport_subnet_dropped_packets_total{${CHOSEN}}[$__range])) > 0)` },
      ],
    }),
    figure({
      title: 'Rules of the hosts',
      description: 'Whether the rules that lead the subnet here are in force on every host, as `sallyport subnet --watch` says.',
      unit: 'short',
      width: 5,
      words: { 0: 'not in force', 1: 'in force' },
      steps: [
        [null, 'red'],
        [1, 'green'],
      ],
      queries: [{ expr: `min(sallyport_subnet_rules_in_force{${CHOSEN}} and sallyport_subnet_ranges{${CHOSEN}} > 0)` }],
    }),
  ]
}

function hosts() {
  return [
    table({
      title: 'Top refused hosts',
      description:
        'Within the range shown. `other` holds the hosts beyond `metrics.deniedHosts`, and those of a client that asked for very many; the audit log names them all.',
      unit: 'short',
      width: 12,
      columns: { host: 'Host', reason: 'Reason' },
      value: 'Refusals',
      queries: [{ expr: `sort_desc(topk(50, sum by (host, reason) (${countWithin('sallyport_denials_total', DENIED)}) > 0))` }],
    }),
    table({
      title: 'What one change would allow',
      description:
        'Refusals by their remedy: a feature to switch on, an account to name, a rule to write. Counted whether refused or only reported. `none`: better left refused.',
      unit: 'short',
      width: 12,
      columns: { remedy: 'Remedy', name: 'Name' },
      value: 'Refusals',
      queries: [{ expr: `sort_desc(topk(50, sum by (remedy, name) (${countWithin('sallyport_denial_remedies_total')}) > 0))` }],
    }),
    table({
      title: 'Hosts first refused within the range',
      description:
        "Hosts that were not refused at the range's beginning, in either mode: what a change of a job, or of the rules, brought.",
      unit: 'short',
      width: 12,
      columns: { host: 'Host', reason: 'Reason' },
      value: 'Refusals',
      queries: [
        {
          expr: `sum by (host, reason) (sallyport_denials_total{${CHOSEN},host!=""}) unless sum by (host, reason) (sallyport_denials_total{${CHOSEN}} offset $__range)`,
        },
      ],
    }),
    table({
      title: 'Hosts that would be refused',
      description:
        'In report mode: what to write rules for, or to accept losing, before enforcing. `sallyport explain HOST:PORT` says more of each.',
      unit: 'short',
      width: 12,
      columns: { host: 'Host', reason: 'Reason' },
      value: 'Requests',
      queries: [{ expr: `sort_desc(topk(50, sum by (host, reason) (${countWithin('sallyport_denials_total', WOULD)}) > 0))` }],
    }),
  ]
}

function meanings(reasons: Readonly<Record<string, ReasonSpec>>) {
  const rows = Object.entries(reasons).map(([reason, { means, status, report }]) => {
    const reported =
      report === 'through' || report === 'gateway' ? 'yes' : report === 'rule' ? "if that rule's mode is report" : 'no'
    return `| \`${reason}\` | ${means} | ${status} | ${reported} |`
  })
  return new TextBuilder()
    .title('Reasons')
    .description('The closed table of reasons, as in the answers, the audit log and the metrics.')
    .mode(TextMode.Markdown)
    .content(['| reason | meaning | answer | let through in report mode? |', '|---|---|---|---|', ...rows].join('\n'))
    .span(24)
    .height(22)
}

function lines() {
  const loki = { type: 'loki', uid: '$loki' }
  return new LogsBuilder()
    .title('Denial lines')
    .description('The audit lines of refused and would-be refused requests, with client, request id and hint.')
    .datasource(loki)
    .span(24)
    .height(12)
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .withTarget(
      new LokiQueryBuilder()
        .refId('A')
        .datasource(loki)
        .expr('{namespace=~"$namespace", pod=~"$pod", container="gateway"} | json | event=~"deny|would_deny"'),
    )
}
