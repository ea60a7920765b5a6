/** What one might install the chart with, and what each set is for. */

export interface ValueSet {
  readonly name: string
  // biome-ignore lint/suspicious/noExplicitAny: values are whatever an operator writes
  readonly values: Record<string, any>
}

const image = { repository: 'registry.example/sallyport' }
const clients = { allow: ['10.0.0.0/24'] }
const transparent = { tls: '0.0.0.0:3443' }
const subnet = { ranges: ['10.0.0.0/24'], others: 'leave' }

export const MINIMAL: ValueSet = { name: 'the two required values', values: { image, config: { clients } } }

export const VALUE_SETS: readonly ValueSet[] = [
  MINIMAL,
  ...['public', 'government', 'china'].map((cloud) => ({
    name: `the ${cloud} cloud`,
    values: { image, config: { clients, cloud, workspace: { regions: ['eastus2'], storageAccounts: ['mystorage'] } } },
  })),
  { name: 'report mode', values: { image, config: { clients, mode: 'report' } } },
  {
    name: 'a CA from a Secret',
    values: {
      image,
      config: { clients, rules: [{ name: 'models', hosts: ['raw.example.com'], paths: ['/team/*'] }] },
      ca: { existingSecret: 'egress-ca' },
    },
  },
  {
    name: 'a CA from cert-manager',
    values: {
      image,
      config: { clients },
      ca: { certManager: { enabled: true, issuerRef: { kind: 'ClusterIssuer', name: 'corp-root' } } },
    },
  },
  { name: 'autoscaling', values: { image, config: { clients }, autoscaling: { enabled: true, maxReplicas: 10 } } },
  {
    name: 'the Prometheus operator with rules and dashboards',
    values: {
      image,
      config: { clients },
      metrics: {
        monitor: { enabled: true, labels: { release: 'prometheus' } },
        rules: { enabled: true, labels: { release: 'prometheus' }, runbookPrefix: 'https://git.example.com/sallyport/' },
        dashboards: { enabled: true, annotations: { grafana_folder: 'Egress' } },
      },
    },
  },
  {
    name: "Azure's managed Prometheus",
    values: { image, config: { clients }, metrics: { monitor: { enabled: true, apiGroup: 'azmonitoring.coreos.com' } } },
  },
  { name: 'no metrics Service', values: { image, config: { clients }, metrics: { enabled: false } } },
  { name: 'no NetworkPolicy', values: { image, config: { clients }, networkPolicy: { enabled: false } } },
  {
    name: 'a fixed address in a subnet of its own',
    values: {
      image,
      config: { clients },
      service: { staticAddress: '10.0.9.4', subnet: 'egress', port: 8080, idleTimeoutMinutes: 60 },
    },
  },
  {
    name: 'private places named in the config',
    values: {
      image,
      config: {
        clients: { allow: ['10.0.0.0/24', '10.0.1.7', '2001:db8:1::/64'] },
        workspace: { privateEndpoints: ['10.20.0.0/24'] },
        destinations: {
          privateRanges: ['10.30.0.0/16'],
          pin: { 'git.example.com': '10.40.0.7:8443', 'a.example.com': '[2001:db8::7]:443' },
        },
        dns: { servers: ['10.0.0.4', '10.0.0.5:5353'] },
        rules: [
          { name: 'lab', hosts: ['*.lab.example.com'], destinations: ['10.50.0.0/16'] },
          { name: 'build', hosts: ['10.60.0.9'], ports: [8443] },
          { name: 'no-gists', hosts: ['10.70.0.9'], action: 'deny' },
        ],
      },
    },
  },
  {
    name: 'a pinned image, other ports, another drain, and everything of the pod',
    values: {
      image: { ...image, digest: `sha256:${'0'.repeat(64)}` },
      imagePullSecrets: ['pull'],
      fullnameOverride: 'way-out',
      replicas: 3,
      config: {
        clients,
        listen: { proxy: '0.0.0.0:8080', metrics: { address: '[::]:9000' }, admin: '127.0.0.1:9001' },
        limits: { drainDelaySeconds: 30, drainSeconds: 900, headBytes: 33_554_432 },
      },
      spread: { zones: 'DoNotSchedule' },
      nodeSelector: { agentpool: 'egress' },
      tolerations: [{ key: 'egress', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'high',
      podLabels: { team: 'network' },
      podAnnotations: { note: 'x' },
      extraEnv: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=700' }],
      extraVolumes: [{ name: 'roots', configMap: { name: 'corp-roots' } }],
      extraVolumeMounts: [{ name: 'roots', mountPath: '/etc/roots' }],
    },
  },
  {
    name: 'subnet mode on a node pool',
    values: {
      image,
      config: {
        clients,
        listen: { transparent: { tls: '0.0.0.0:3443', http: '0.0.0.0:3080', tcp: { address: '0.0.0.0:3333' } } },
        subnet: {
          ranges: ['10.0.0.0/24'],
          others: 'leave',
          forward: [{ name: 'instances', proto: 'udp', ports: [5831], addresses: ['13.66.0.0/17'] }],
        },
      },
      transparent: { enabled: true, image: 'registry.example/sallyport-rules:1' },
      service: { staticAddress: '10.0.9.4' },
      nodeSelector: { agentpool: 'egress' },
    },
  },
  { name: 'rolled pods instead of hot reload', values: { image, config: { clients }, configReload: 'restart' } },
]

/** What must fail, and what it must say. */
export const BAD_VALUE_SETS: readonly (ValueSet & { readonly says: RegExp })[] = [
  { name: 'nothing at all', values: {}, says: /image\.repository is required|config\.clients\.allow is required/ },
  { name: 'no image', values: { config: { clients } }, says: /az acr build --registry REGISTRY --image sallyport:\S+ \./ },
  { name: 'no clients', values: { image }, says: /config\.clients\.allow is required: the ranges/ },
  { name: 'a mistyped key of the chart', values: { image, config: { clients }, replica: 3 }, says: /'replica' not allowed/ },
  {
    name: 'a mistyped key of the config',
    values: { image, config: { clients, modee: 'report' } },
    says: /at '\/config'.*'modee' not allowed/,
  },
  {
    name: 'a mode there is not',
    values: { image, config: { clients, mode: 'audit' } },
    says: /\/config\/mode.*'enforce', 'report'/,
  },
  {
    name: 'no drain delay',
    values: { image, config: { clients, limits: { drainDelaySeconds: 0 } } },
    says: /drainDelaySeconds is 0.*set it to 15/,
  },
  {
    name: 'a proxy on loopback',
    values: { image, config: { clients, listen: { proxy: '127.0.0.1:3128' } } },
    says: /config\.listen\.proxy is `127\.0\.0\.1:3128`.*0\.0\.0\.0:PORT/,
  },
  {
    name: 'an admin API for everybody',
    values: { image, config: { clients, listen: { admin: '0.0.0.0:9465' } } },
    says: /config\.listen\.admin is `0\.0\.0\.0:9465`; it stays on loopback/,
  },
  { name: 'any free port', values: { image, config: { clients, listen: { metrics: '0.0.0.0:0' } } }, says: /has port 0/ },
  {
    name: 'two sources of the CA',
    values: {
      image,
      config: { clients },
      ca: { existingSecret: 'x', certManager: { enabled: true, issuerRef: { name: 'corp-root' } } },
    },
    says: /the CA comes from one of them/,
  },
  {
    name: 'cert-manager without an issuer',
    values: { image, config: { clients }, ca: { certManager: { enabled: true } } },
    says: /issuerRef is required/,
  },
  {
    name: 'a monitor without its Service',
    values: { image, config: { clients }, metrics: { enabled: false, monitor: { enabled: true } } },
    says: /metrics\.monitor\.enabled needs metrics\.enabled/,
  },
  {
    name: "rules for Azure's managed Prometheus",
    values: {
      image,
      config: { clients },
      metrics: { monitor: { apiGroup: 'azmonitoring.coreos.com' }, rules: { enabled: true } },
    },
    says: /prometheus-rule-groups\.json instead/,
  },
  { name: 'root', values: { image, config: { clients }, runAsUser: 0 }, says: /\/runAsUser/ },
  {
    name: 'a subnet whose packets never get to a pod',
    values: { image, config: { clients, subnet: { ranges: ['10.0.0.0/24'] } } },
    says: /config\.subnet\.ranges does nothing.*Set transparent\.enabled/,
  },
  ...(
    [
      [{ transparent: { enabled: true } }, /transparent\.image is required/],
      [{ config: { clients, subnet } }, /config\.listen\.transparent is required/],
      [{ config: { clients, listen: { transparent } } }, /config\.subnet\.ranges is required/],
      [{ config: { clients, listen: { transparent }, subnet: { ranges: ['10.0.0.0/24'] } } }, /others has to be `leave`/],
      [{ nodeSelector: {} }, /nodeSelector is required with transparent\.enabled/],
    ] as const
  ).map(([change, says]) => ({
    name: `subnet mode without what it needs: ${says.source}`,
    values: {
      image,
      config: { clients, listen: { transparent }, subnet },
      transparent: { enabled: true, image: 'registry.example/sallyport-rules:1' },
      nodeSelector: { agentpool: 'egress' },
      ...change,
    },
    says,
  })),
]
