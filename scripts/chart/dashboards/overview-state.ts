import { CHOSEN, figure, graph, perSecond, table } from './panels.ts'

/** The half of the overview that shows the gateways themselves, not what goes through them. */

/** *How full*: what runs out first. */
export function saturation() {
  return [
    graph({
      title: 'Tunnels in use',
      description: 'Open tunnels as a share of `limits.tunnels`. SallyportTunnelsNearLimit fires at 80 %.',
      unit: 'percentunit',
      width: 6,
      max: 1,
      queries: [
        {
          expr: `max by (pod, instance) (sallyport_tunnels_open{${CHOSEN}} / sallyport_tunnels_limit{${CHOSEN}})`,
          legend: '{{pod}} {{instance}}',
        },
      ],
    }),
    graph({
      title: 'CPU',
      description: 'Cores in use by each gateway.',
      unit: 'short',
      width: 6,
      queries: [
        {
          expr: `sum by (pod, instance) (${perSecond('process_cpu_seconds_total', `job="sallyport",${CHOSEN}`)})`,
          legend: '{{pod}} {{instance}}',
        },
      ],
    }),
    graph({
      title: 'Memory',
      description: 'Resident memory of each gateway; the pod is killed at its memory limit.',
      unit: 'bytes',
      width: 6,
      queries: [
        {
          expr: `sum by (pod, instance) (process_resident_memory_bytes{job="sallyport",${CHOSEN}})`,
          legend: '{{pod}} {{instance}}',
        },
      ],
    }),
    graph({
      title: 'File descriptors',
      description: 'Open descriptors as a share of what the process may have. A tunnel takes two.',
      unit: 'percentunit',
      width: 6,
      max: 1,
      queries: [
        {
          expr: `max by (pod, instance) (process_open_fds{job="sallyport",${CHOSEN}} / process_max_fds{job="sallyport",${CHOSEN}})`,
          legend: '{{pod}} {{instance}}',
        },
      ],
    }),
    graph({
      title: 'Idle origin connections',
      description: 'Connections to origins that are kept for the next request, up to `limits.originIdleConnections`.',
      unit: 'short',
      width: 24,
      queries: [
        {
          expr: `sum by (pod, instance) (sallyport_origin_connections_idle{${CHOSEN}})`,
          legend: '{{pod}} {{instance}}',
        },
      ],
    }),
    graph({
      title: 'Limits hit',
      description:
        'Limits and deadlines that came to bear. At `connections`, `tunnels`, `tunnels_per_client`, `inspected_tunnels`, `requests_per_second_per_client` and `audit_buffer` new work is refused; the others end or forget something.',
      unit: 'ops',
      width: 12,
      queries: [{ expr: `sum by (limit) (${perSecond('sallyport_limit_hits_total')}) > 0`, legend: '{{limit}}' }],
    }),
    graph({
      title: 'Losses',
      description:
        'Audit lines that could not be written, lines of the process log that nobody took, workers and hook processes replaced, events that hooks were not told of, and pauses of the whole process. All belong at 0.',
      unit: 'short',
      width: 12,
      queries: [
        { expr: `sum(increase(sallyport_audit_dropped_total{${CHOSEN}}[$__rate_interval]))`, legend: 'audit lines dropped' },
        { expr: `sum(increase(sallyport_worker_restarts_total{${CHOSEN}}[$__rate_interval]))`, legend: 'worker restarts' },
        { expr: `sum(increase(sallyport_log_dropped_total{${CHOSEN}}[$__rate_interval]))`, legend: 'log lines dropped' },
        { expr: `sum(increase(sallyport_event_loop_stalls_total{${CHOSEN}}[$__rate_interval]))`, legend: 'event loop stalls' },
        { expr: `sum(1 - sallyport_audit_writable{${CHOSEN}})`, legend: 'audit logs stuck' },
        {
          // Without a restart there is no series to add up, and a panel without one looks broken.
          expr: `sum(increase(sallyport_hook_restarts_total{${CHOSEN}}[$__rate_interval])) or vector(0)`,
          legend: 'hook restarts',
        },
        {
          expr: `sum(increase(sallyport_hook_notices_dropped_total{${CHOSEN}}[$__rate_interval]))`,
          legend: 'hook notices dropped',
        },
      ],
    }),
    graph({
      title: 'Hook answers',
      description: 'What hooks said to requests. `failed` is refused with `hook_failed`; `cache` costs next to nothing.',
      unit: 'ops',
      width: 12,
      queries: [
        { expr: `sum by (verdict, from) (${perSecond('sallyport_hook_answers_total')})`, legend: '{{verdict}} ({{from}})' },
        { expr: `sum by (failure) (${perSecond('sallyport_hook_failures_total')})`, legend: 'failed: {{failure}}' },
      ],
    }),
    graph({
      title: 'Hook time',
      description:
        'How long hooks take over an answer, 95th percentile, and the processes that answer. Past `hooks.timeoutMs` a request is refused.',
      unit: 's',
      width: 12,
      queries: [
        {
          expr: `histogram_quantile(0.95, sum by (le) (${perSecond('sallyport_hook_duration_seconds_bucket')}))`,
          legend: '95 %',
        },
        { expr: `sum(sallyport_hook_processes{${CHOSEN}})`, legend: 'processes' },
      ],
    }),
  ]
}

/** *Policy and inspection*: what is in force, and whether all gateways agree. */
export function policy() {
  return [
    table({
      title: 'Policies in force',
      description:
        'Gateways by the policy they run. More than one hash for longer than a rollout takes: a gateway has not taken over the config.',
      unit: 'short',
      width: 10,
      columns: { hash: 'Hash', mode: 'Mode', cloud: 'Cloud' },
      value: 'Gateways',
      queries: [{ expr: `count by (hash, mode, cloud) (sallyport_policy_info{${CHOSEN}} == 1)` }],
    }),
    table({
      title: 'Versions',
      description:
        'Gateways by version, Node.js and relay. `portable` copies bytes in the process; the native relay leaves that to the kernel.',
      unit: 'short',
      width: 8,
      columns: { version: 'Version', node: 'Node.js', relay: 'Relay' },
      value: 'Gateways',
      queries: [{ expr: `count by (version, node, relay) (sallyport_build_info{${CHOSEN}})` }],
    }),
    figure({
      title: 'Policy loaded',
      description: 'How long ago the newest policy was loaded.',
      unit: 's',
      width: 6,
      queries: [{ expr: `time() - max(sallyport_policy_loaded_timestamp_seconds{${CHOSEN}})` }],
    }),
    graph({
      title: 'Entries in force',
      description: "Entries of the policy by feature; `rules` are the operator's own. A step is a change of config.",
      unit: 'short',
      width: 8,
      stacked: true,
      queries: [{ expr: `max by (feature) (sallyport_policy_entries{${CHOSEN}})`, legend: '{{feature}}' }],
    }),
    graph({
      title: 'Reloads',
      description: 'Attempts to load a changed policy, by outcome.',
      unit: 'short',
      width: 8,
      queries: [
        {
          expr: `sum by (outcome) (increase(sallyport_policy_reloads_total{${CHOSEN}}[$__rate_interval]))`,
          legend: '{{outcome}}',
        },
      ],
    }),
    graph({
      title: 'Inspection',
      description:
        'Certificates minted and found at hand, and TLS handshakes that failed by cause: clients that do not trust the CA show here.',
      unit: 'ops',
      width: 8,
      queries: [
        { expr: `sum(${perSecond('sallyport_certificates_minted_total')})`, legend: 'minted' },
        { expr: `sum(${perSecond('sallyport_certificate_cache_hits_total')})`, legend: 'at hand' },
        { expr: `sum by (cause) (${perSecond('sallyport_tls_handshake_failures_total')})`, legend: 'failed: {{cause}}' },
      ],
    }),
  ]
}
