import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../../src/io/config/load.ts'
import { CHART, type Helm, itWithHelm, type Manifest, only, ROOT } from '../support/helm.ts'
import { schemaProblems } from '../support/kubernetes-schemas.ts'
import { BAD_VALUE_SETS, MINIMAL, VALUE_SETS } from './value-sets.ts'

/** Rendered by the real Helm and judged by Kubernetes' schemas. Nothing here was installed: that takes a cluster. */

function rendered(helm: Helm, values: object): readonly Manifest[] {
  const result = helm.render(values)
  if (!result.ok) throw new Error(result.error)
  return result.manifests
}

function named(name: string): Record<string, unknown> {
  const set = VALUE_SETS.find((candidate) => candidate.name === name)
  if (set === undefined) throw new Error(`no value set \`${name}\``)
  return set.values
}

const gatewayConfig = (manifests: readonly Manifest[]) =>
  only(
    manifests.filter(({ data }) => data?.['gateway.yaml']),
    'ConfigMap',
  ).data['gateway.yaml']
const podOf = (manifests: readonly Manifest[]) => only(manifests, 'Deployment').spec.template.spec
const kinds = (manifests: readonly Manifest[]) => manifests.map(({ kind }) => kind)

describe('every set of values', () => {
  for (const { name, values } of VALUE_SETS) {
    itWithHelm(`${name}: passes lint, the schemas of Kubernetes and the gateway's own check`, async (helm) => {
      const lint = helm.lint(values)
      expect(lint.status, lint.stdout + lint.stderr).toBe(0)

      const manifests = rendered(helm, values)
      expect(manifests.flatMap((manifest) => schemaProblems(manifest).map((problem) => `${manifest.kind}: ${problem}`))).toEqual(
        [],
      )
      expect(manifests.filter(({ metadata }) => metadata['namespace'] !== 'egress')).toEqual([])

      const folder = mkdtempSync(join(tmpdir(), 'sallyport-chart-'))
      const file = join(folder, 'gateway.yaml')
      writeFileSync(file, gatewayConfig(manifests))
      const loaded = await loadConfig(file)
      rmSync(folder, { recursive: true })
      expect(loaded.ok ? [] : loaded.error).toEqual([])
    })

    itWithHelm(`${name}: is hardened, drains within its grace period, and lets in exactly who may ask`, (helm) => {
      const manifests = rendered(helm, values)
      const pod = podOf(manifests)
      const [gateway] = pod.containers
      const config = parse(gatewayConfig(manifests))

      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
      expect(gateway.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        privileged: false,
        capabilities: { drop: ['ALL'] },
      })
      expect(pod.automountServiceAccountToken).toBe(false)
      expect(only(manifests, 'ServiceAccount').automountServiceAccountToken).toBe(false)
      expect(gateway.resources.limits).toEqual({ memory: expect.any(String) })
      expect(gateway.lifecycle, 'a preStop hook would need a shell').toBeUndefined()
      expect(gateway.volumeMounts.filter((mount: object) => 'subPath' in mount)).toEqual([])

      const { drainDelaySeconds, drainSeconds } = config.limits
      expect(pod.terminationGracePeriodSeconds).toBe(drainDelaySeconds + drainSeconds + 30)
      const { periodSeconds, failureThreshold } = gateway.readinessProbe
      expect(drainDelaySeconds).toBeGreaterThan(periodSeconds * failureThreshold)

      const service = only(
        manifests,
        'Service',
        name === 'a pinned image, other ports, another drain, and everything of the pod' ? 'way-out' : 'sallyport',
      )
      expect(service.spec).toMatchObject({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' })
      expect(service.metadata['annotations']).toMatchObject({ 'service.beta.kubernetes.io/azure-load-balancer-internal': 'true' })
      expect(service.spec.loadBalancerSourceRanges.map((range: string) => range.replace(/\/(32|128)$/, ''))).toEqual(
        config.clients.allow.map((range: string) => range.replace(/\/(32|128)$/, '')),
      )
      expect(kinds(manifests)).not.toContain('Secret')
      const exposed = manifests.filter(({ kind }) => kind === 'Service').flatMap(({ spec }) => spec.ports)
      expect(
        exposed.filter(({ targetPort }: { targetPort: string }) => targetPort !== 'proxy' && targetPort !== 'metrics'),
      ).toEqual([])
    })
  }
})

describe('values that cannot work', () => {
  for (const { name, values, says } of BAD_VALUE_SETS) {
    itWithHelm(`${name}: fails and says what to do`, (helm) => {
      const result = helm.render(values)
      expect(result.ok ? 'rendered' : result.error).toMatch(says)
    })
  }
})

describe('what each set is for', () => {
  itWithHelm('two gateways, spread over zones and nodes, of which one may be away', (helm) => {
    const manifests = rendered(helm, MINIMAL.values)
    const { spec } = only(manifests, 'Deployment')
    expect(spec.replicas).toBe(2)
    expect(spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(
      podOf(manifests)
        .topologySpreadConstraints.map(({ topologyKey }: { topologyKey: string }) => topologyKey)
        .toSorted(),
    ).toEqual(['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
    expect(only(manifests, 'PodDisruptionBudget').spec).toMatchObject({
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    })
    expect(kinds(manifests)).not.toContain('HorizontalPodAutoscaler')
    expect(kinds(manifests)).not.toContain('ServiceMonitor')
  })

  itWithHelm('gateways that are a next hop are in the network of their nodes, with the rules beside them', (helm) => {
    const manifests = rendered(helm, named('subnet mode on a node pool'))
    const pod = podOf(manifests)
    expect(pod).toMatchObject({ hostNetwork: true, dnsPolicy: 'Default', nodeSelector: { agentpool: 'egress' } })
    expect(only(manifests, 'Deployment').spec.strategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 })
    const [gateway, rules] = pod.containers
    const [first] = pod.initContainers
    const ports = gateway.ports.map(({ name, containerPort }: { name: string; containerPort: number }) => [name, containerPort])
    expect(ports).toEqual([
      ['proxy', 3128],
      ['metrics', 9464],
      ['http', 3080],
      ['tcp', 3333],
      ['tls', 3443],
    ])
    expect(first.args).toEqual(['subnet', '--config', '/etc/sallyport/gateway.yaml', '--apply', '--no-resolve'])
    expect(rules.args).toEqual(['subnet', '--config', '/etc/sallyport/gateway.yaml', '--apply', '--watch'])
    for (const one of [first, rules]) {
      expect(one.image).toBe('registry.example/sallyport-rules:1')
      expect(one.securityContext).toEqual({
        runAsUser: 0,
        runAsNonRoot: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        privileged: false,
        capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
      })
      // The report goes where the gateway reads it.
      const state = (container: { volumeMounts: { name: string }[] }) =>
        container.volumeMounts.find(({ name }) => name === 'state')
      expect(state(one)).toEqual(state(gateway))
    }
    expect(only(manifests, 'Service', 'sallyport').metadata['annotations']).toMatchObject({
      'service.beta.kubernetes.io/azure-load-balancer-enable-high-availability-ports': 'true',
    })
  })

  itWithHelm('a NetworkPolicy that would not apply is not made, and the notes say so', (helm) => {
    expect(kinds(rendered(helm, named('subnet mode on a node pool')))).not.toContain('NetworkPolicy')
    expect(kinds(rendered(helm, MINIMAL.values))).toContain('NetworkPolicy')
    expect(helm.notes(named('subnet mode on a node pool'))).toMatch(/A NetworkPolicy does not apply there and none was made/)
    expect(helm.notes(MINIMAL.values)).not.toContain('NetworkPolicy does not apply')
  })

  itWithHelm('every cloud gets its own list', (helm) => {
    for (const cloud of ['public', 'government', 'china']) {
      expect(parse(gatewayConfig(rendered(helm, named(`the ${cloud} cloud`)))).cloud).toBe(cloud)
    }
  })

  itWithHelm('report mode is in the config, and the notes remind of it', (helm) => {
    expect(helm.notes(named('report mode'))).toContain('NOTE: report mode is on')
    expect(parse(gatewayConfig(rendered(helm, named('report mode')))).mode).toBe('report')
  })

  itWithHelm('a CA from a Secret is mounted for the group alone, and the config points at it', (helm) => {
    const manifests = rendered(helm, named('a CA from a Secret'))
    const pod = podOf(manifests)
    expect(pod.volumes).toContainEqual({ name: 'ca', secret: { secretName: 'egress-ca', defaultMode: 0o440 } })
    expect(pod.securityContext.fsGroup).toBe(pod.securityContext.runAsUser)
    expect(parse(gatewayConfig(manifests)).inspection).toEqual({
      caCertificate: '/etc/sallyport-ca/tls.crt',
      caKey: '/etc/sallyport-ca/tls.key',
    })
    expect(kinds(manifests)).not.toContain('Certificate')
  })

  itWithHelm('cert-manager is asked for a CA, and its Secret is the one mounted', (helm) => {
    const manifests = rendered(helm, named('a CA from cert-manager'))
    const { spec } = only(manifests, 'Certificate')
    expect(spec).toMatchObject({
      isCA: true,
      issuerRef: { kind: 'ClusterIssuer', name: 'corp-root' },
      privateKey: { algorithm: 'ECDSA' },
    })
    expect(podOf(manifests).volumes).toContainEqual({ name: 'ca', secret: { secretName: spec.secretName, defaultMode: 0o440 } })
  })

  itWithHelm('an autoscaler owns the number of replicas', (helm) => {
    const manifests = rendered(helm, named('autoscaling'))
    expect(only(manifests, 'Deployment').spec).not.toHaveProperty('replicas')
    expect(only(manifests, 'HorizontalPodAutoscaler').spec).toMatchObject({
      minReplicas: 2,
      maxReplicas: 10,
      scaleTargetRef: { name: 'egress-sallyport' },
    })
  })

  itWithHelm('the Prometheus operator gets a monitor, the alerts with their runbooks, and Grafana the dashboards', (helm) => {
    const manifests = rendered(helm, named('the Prometheus operator with rules and dashboards'))
    const monitor = only(manifests, 'ServiceMonitor')
    expect(monitor.apiVersion).toBe('monitoring.coreos.com/v1')
    expect(only(manifests, 'Service', '-metrics').metadata['labels']).toMatchObject(monitor.spec.selector.matchLabels)
    expect(monitor.spec.endpoints[0].relabelings).toEqual([{ targetLabel: 'job', replacement: 'sallyport' }])

    const rules = only(manifests, 'PrometheusRule')
    const plain = parse(readFileSync(join(CHART, 'alerts', 'sallyport.yaml'), 'utf8'))
    const withoutRunbooks = (groups: unknown) => JSON.stringify(groups).replaceAll('https://git.example.com/sallyport/', '')
    expect(withoutRunbooks(rules.spec.groups)).toBe(withoutRunbooks(plain.groups.map(sorted)))
    expect(JSON.stringify(rules.spec.groups)).toContain(
      'https://git.example.com/sallyport/docs/operations.md#sallyportgatewaydown',
    )

    const dashboards = only(manifests, 'ConfigMap', '-dashboards')
    expect(dashboards.metadata['labels']).toMatchObject({ grafana_dashboard: '1' })
    for (const name of ['overview', 'denials']) {
      expect(JSON.parse(dashboards.data[`sallyport-${name}.json`])).toEqual(
        JSON.parse(readFileSync(join(CHART, 'dashboards', `${name}.json`), 'utf8')),
      )
    }
  })

  itWithHelm("Azure's managed Prometheus gets the same monitor under its own API group", (helm) => {
    const monitor = only(rendered(helm, named("Azure's managed Prometheus")), 'ServiceMonitor')
    expect(monitor.apiVersion).toBe('azmonitoring.coreos.com/v1')
  })

  itWithHelm('without a metrics Service only the proxy is exposed, and the probes go on', (helm) => {
    const manifests = rendered(helm, named('no metrics Service'))
    expect(manifests.filter(({ kind }) => kind === 'Service')).toHaveLength(1)
    expect(podOf(manifests).containers[0].readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'metrics' })
  })

  itWithHelm('a fixed address, subnet and idle timeout are what the load balancer is told', (helm) => {
    const manifests = rendered(helm, named('a fixed address in a subnet of its own'))
    const service = only(manifests, 'Service', 'sallyport')
    expect(service.metadata['annotations']).toEqual({
      'service.beta.kubernetes.io/azure-load-balancer-internal': 'true',
      'service.beta.kubernetes.io/azure-load-balancer-internal-subnet': 'egress',
      'service.beta.kubernetes.io/azure-load-balancer-ipv4': '10.0.9.4',
      'service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout': '60',
    })
    expect(service.spec.ports).toEqual([{ name: 'proxy', port: 8080, targetPort: 'proxy', protocol: 'TCP' }])
    expect(helm.notes(named('a fixed address in a subnet of its own'))).toContain('PROXY=http://10.0.9.4:8080')
  })

  itWithHelm('the pod may go where the config names private places, and nowhere else that is private', (helm) => {
    const { spec } = only(rendered(helm, named('private places named in the config')), 'NetworkPolicy')
    const open = spec.egress.flatMap(({ to, ports }: { to: { ipBlock?: { cidr: string } }[]; ports: { port?: number }[] }) =>
      to.flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : ports.map(({ port }) => `${ipBlock.cidr} ${port ?? 'any'}`))),
    )
    expect(open).toEqual([
      '169.254.20.10/32 53',
      '169.254.20.10/32 53',
      '10.0.0.4/32 53',
      '10.0.0.4/32 53',
      '10.0.0.5/32 5353',
      '10.0.0.5/32 5353',
      '0.0.0.0/0 any',
      '::/0 any',
      '10.20.0.0/24 any',
      '10.30.0.0/16 any',
      '2001:db8::7/128 443',
      '10.40.0.7/32 8443',
      '10.50.0.0/16 80',
      '10.50.0.0/16 443',
      '10.60.0.9/32 8443',
    ])
    const internet = spec.egress.flatMap(({ to }: { to: { ipBlock?: { except?: string[] } }[] }) =>
      to.flatMap(({ ipBlock }) => ipBlock?.except ?? []),
    )
    expect(internet).toEqual(
      expect.arrayContaining(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '168.63.129.16/32']),
    )
    expect(spec.ingress[0].from.map(({ ipBlock }: { ipBlock: { cidr: string } }) => ipBlock.cidr)).toEqual([
      '10.0.0.0/24',
      '10.0.1.7/32',
      '2001:db8:1::/64',
    ])
  })

  itWithHelm('ports, probes and Services follow the listeners of the config, and large numbers stay numbers', (helm) => {
    const manifests = rendered(helm, named('a pinned image, other ports, another drain, and everything of the pod'))
    const [gateway] = podOf(manifests).containers
    expect(gateway.image).toBe(`registry.example/sallyport@sha256:${'0'.repeat(64)}`)
    expect(gateway.ports).toEqual([
      { name: 'proxy', containerPort: 8080, protocol: 'TCP' },
      { name: 'metrics', containerPort: 9000, protocol: 'TCP' },
    ])
    expect(only(manifests, 'Service', '-metrics').spec.ports[0].port).toBe(9000)
    expect(gatewayConfig(manifests)).toContain('headBytes: 33554432')
    expect(podOf(manifests).terminationGracePeriodSeconds).toBe(960)
  })

  itWithHelm(
    'in restart mode any change of the config rolls the pods; in hot mode only one that cannot be taken over',
    (helm) => {
      const annotations = (configReload: string, config: object) =>
        JSON.stringify(
          only(
            rendered(helm, { ...MINIMAL.values, configReload, config: { ...MINIMAL.values['config'], ...config } }),
            'Deployment',
          ).spec.template.metadata.annotations,
        )
      expect(annotations('restart', { mode: 'report' })).not.toBe(annotations('restart', {}))
      expect(annotations('hot', { mode: 'report' })).toBe(annotations('hot', {}))
      expect(parse(gatewayConfig(rendered(helm, named('rolled pods instead of hot reload')))).reload).toEqual({ watch: false })
      expect(annotations('hot', { listen: { proxy: '0.0.0.0:8080' } })).not.toBe(annotations('hot', {}))
    },
  )
})

it('the chart says the version of the program', () => {
  const { version, appVersion } = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8'))
  const program = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version
  expect({ version, appVersion }).toEqual({ version: program, appVersion: program })
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
