import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { policy, saturation } from './overview-state.ts'
import { CHOSEN, countWithin, dashboard, figure, graph, numbered, perSecond, row, table } from './panels.ts'

/** *Egress overview*: is it up, what goes through, how fast, how full, and by which policy. */
export function overviewDashboard(): Dashboard {
  const board = dashboard(
    'sallyport-overview',
    'Egress overview',
    'What leaves the subnet through the Sallyport gateways, how fast, how full they are, and by which policy.',
  )
  const sections = {
    '': glance(),
    Traffic: traffic(),
    'How fast': speed(),
    'How full': saturation(),
    'Policy and inspection': policy(),
  }
  for (const [title, panels] of Object.entries(sections)) {
    if (title !== '') board.withRow(row(title))
    for (const panel of panels) board.withPanel(panel)
  }
  return numbered(board.build())
}

function glance() {
  return [
    figure({
      title: 'Gateways up',
      description: 'Gateways that answer Prometheus. At 0 nothing leaves the subnet: see the runbook of SallyportGatewayDown.',
      unit: 'none',
      width: 3,
      queries: [{ expr: `sum(up{job="sallyport",${CHOSEN}})` }],
      steps: [
        [null, 'red'],
        [1, 'orange'],
        [2, 'green'],
      ],
    }),
    figure({
      title: 'Mode',
      description:
        'In `enforce` what is not listed is refused; in `report` it is let out and only logged. Two modes at once: a rollout is under way, or stuck.',
      unit: 'none',
      width: 3,
      named: true,
      queries: [{ expr: `max by (mode) (sallyport_policy_info{${CHOSEN}})`, legend: '{{mode}}' }],
    }),
    figure({
      title: 'Policy',
      description:
        '`current`: every gateway runs what is in its files. `last good`: a changed config has a mistake, and at least one goes on with the one before.',
      unit: 'none',
      width: 3,
      words: { '0': 'last good', '1': 'current' },
      steps: [
        [null, 'red'],
        [1, 'green'],
      ],
      queries: [{ expr: `min(sallyport_policy_current{${CHOSEN}})` }],
    }),
    figure({
      title: 'Requests',
      description: 'Tunnels and forwarded requests a second, whatever became of them.',
      unit: 'reqps',
      width: 3,
      queries: [{ expr: `sum(${perSecond('sallyport_requests_total')})` }],
    }),
    figure({
      title: 'Refused',
      description: 'Share of the requests that were refused. What and why: the dashboard Denials.',
      unit: 'percentunit',
      width: 3,
      steps: [
        [null, 'green'],
        [0.05, 'orange'],
        [0.25, 'red'],
      ],
      queries: [
        {
          expr: `(sum(${perSecond('sallyport_requests_total', `verdict="deny",${CHOSEN}`)}) or vector(0)) / sum(${perSecond('sallyport_requests_total')})`,
        },
      ],
    }),
    figure({
      title: 'Tunnels open',
      description: 'Tunnels open now, in all gateways.',
      unit: 'short',
      width: 3,
      queries: [{ expr: `sum(sallyport_tunnels_open{${CHOSEN}})` }],
    }),
    figure({
      title: 'CA valid for',
      description: 'Until the inspection CA expires; negative after that. No data: no CA, hence no inspection.',
      unit: 's',
      width: 3,
      steps: [
        [null, 'red'],
        [7 * 86_400, 'orange'],
        [30 * 86_400, 'green'],
      ],
      queries: [{ expr: `min(sallyport_ca_expiry_timestamp_seconds{${CHOSEN}} > 0) - time()` }],
    }),
    figure({
      title: 'Service tags, age',
      description:
        'Since the file of service tags was published. Microsoft publishes one a week, and new addresses are not used for a week. No data: no file.',
      unit: 's',
      width: 3,
      steps: [
        [null, 'green'],
        [14 * 86_400, 'orange'],
        [30 * 86_400, 'red'],
      ],
      queries: [{ expr: `time() - min(sallyport_service_tags_timestamp_seconds{${CHOSEN}} > 0)` }],
    }),
  ]
}

function traffic() {
  return [
    graph({
      title: 'Verdicts',
      description:
        'Requests a second by verdict. `would_deny` is let out in report mode only; `error` is a failure of the origin, its DNS or the gateway.',
      unit: 'reqps',
      width: 12,
      stacked: true,
      queries: [{ expr: `sum by (verdict) (${perSecond('sallyport_requests_total')})`, legend: '{{verdict}}' }],
    }),
    graph({
      title: 'Tunnels against the limit',
      description:
        'Open tunnels by gateway, and `limits.tunnels` of one. At the limit new ones are refused with 503 `gateway_full`.',
      unit: 'short',
      width: 12,
      queries: [
        { expr: `sum by (pod, instance) (sallyport_tunnels_open{${CHOSEN}})`, legend: '{{pod}} {{instance}}' },
        { expr: `min(sallyport_tunnels_limit{${CHOSEN}})`, legend: 'limit' },
      ],
    }),
    graph({
      title: 'Throughput',
      description:
        'Bytes a second through tunnels: `up` is from the subnet to the internet, and what an exfiltration would show in.',
      unit: 'Bps',
      width: 12,
      queries: [{ expr: `sum by (direction) (${perSecond('sallyport_tunnel_bytes_total')})`, legend: '{{direction}}' }],
    }),
    graph({
      title: 'Throughput by entry',
      description:
        'The ten entries of the allowlist with the most traffic, both ways. Counted when a tunnel ends, so a long download shows at its end.',
      unit: 'Bps',
      width: 12,
      stacked: true,
      queries: [{ expr: `topk(10, sum by (entry) (${perSecond('sallyport_entry_bytes_total')}))`, legend: '{{entry}}' }],
    }),
    table({
      title: 'Entries in use',
      description:
        'Allowed requests by the entry that allowed them. What never shows here over months is a candidate for removal.',
      unit: 'short',
      width: 12,
      columns: { entry: 'Entry', feature: 'Feature' },
      value: 'Requests',
      queries: [{ expr: `topk(25, sum by (entry, feature) (${countWithin('sallyport_entry_hits_total')}))` }],
    }),
    graph({
      title: 'Client groups',
      description:
        'Requests a second by the client group whose policy judged them; without a name is the policy at the top. Empty where the config has no groups.',
      unit: 'reqps',
      width: 12,
      stacked: true,
      queries: [{ expr: `sum by (group) (${perSecond('sallyport_group_requests_total')})`, legend: '{{group}}' }],
    }),
    graph({
      title: 'Failures',
      description:
        'Requests that were allowed and failed, by reason. `dns_failed` and `dial_*` in numbers: look at the way from the gateway to the internet.',
      unit: 'reqps',
      width: 12,
      queries: [
        { expr: `sum by (reason) (${perSecond('sallyport_requests_total', `verdict="error",${CHOSEN}`)})`, legend: '{{reason}}' },
      ],
    }),
  ]
}

function speed() {
  const quantile = (q: number, metric: string, by = 'le') =>
    `histogram_quantile(${q}, sum by (${by}) (${perSecond(`${metric}_bucket`)}))`
  return [
    graph({
      title: 'Tunnel set-up',
      description:
        'From the head of a CONNECT to its 200: policy, DNS and connection. The dial below is the part that is not ours.',
      unit: 's',
      width: 8,
      queries: [0.5, 0.95, 0.99].map((q) => ({
        expr: quantile(q, 'sallyport_setup_duration_seconds'),
        legend: `p${q * 100}`,
      })),
    }),
    graph({
      title: 'Dial, 95th percentile',
      description: 'Resolving and connecting, by outcome. `dial_timeout` sits at `limits.dialSeconds` by nature.',
      unit: 's',
      width: 8,
      queries: [{ expr: quantile(0.95, 'sallyport_dial_duration_seconds', 'le, outcome'), legend: '{{outcome}}' }],
    }),
    graph({
      title: 'Dials by outcome',
      description: '`address_refused` is vetting at work: a listed name led to an address that may not be dialled.',
      unit: 'ops',
      width: 8,
      queries: [{ expr: `sum by (outcome) (${perSecond('sallyport_dial_duration_seconds_count')})`, legend: '{{outcome}}' }],
    }),
    graph({
      title: 'DNS look-ups',
      description:
        'By outcome. Denied names are never looked up. `timeout` and `failed`: the name servers; `not_found`: the name.',
      unit: 'ops',
      width: 12,
      queries: [{ expr: `sum by (outcome) (${perSecond('sallyport_dns_lookups_total')})`, legend: '{{outcome}}' }],
    }),
    graph({
      title: 'Parent proxies',
      description:
        'Attempts to have a parent of `upstream` open a tunnel, by what came of them, and the parents that are up. `refused` is its own answer; `credentials` wants another `passwordFile`.',
      unit: 'ops',
      width: 12,
      queries: [
        { expr: `sum by (proxy, outcome) (${perSecond('sallyport_parent_dials_total')})`, legend: '{{proxy}}: {{outcome}}' },
        { expr: `min by (proxy) (sallyport_parent_up{${CHOSEN}})`, legend: '{{proxy}} up' },
      ],
    }),
    graph({
      title: 'Redirected requests with another address',
      description:
        "Clients of the transparent listeners that were connecting to none of their host's addresses: another DNS, an old answer, or a forged name. `transparent.mismatch` decides between `dialled` and `refused`.",
      unit: 'ops',
      width: 12,
      queries: [{ expr: `sum by (outcome) (${perSecond('sallyport_transparent_mismatches_total')})`, legend: '{{outcome}}' }],
    }),
    graph({
      title: 'Event loop lag, 99th percentile',
      description:
        'How late the gateway gets to its work. Past some tens of milliseconds it is out of CPU: more replicas, or more CPU for each.',
      unit: 's',
      width: 12,
      queries: [{ expr: `max by (pod, instance) (nodejs_eventloop_lag_p99_seconds{${CHOSEN}})`, legend: '{{pod}} {{instance}}' }],
    }),
  ]
}
