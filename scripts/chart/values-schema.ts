/**
 * `helm/values.schema.json`: the chart's own values, and under `config` the gateway's whole schema, so that `helm install` refuses a
 * mistyped key before anything reaches the cluster.
 */

type Schema = { readonly [key: string]: unknown }

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const list: Schema = { type: 'array' }
const texts: Schema = { type: 'array', items: text }
const mapping: Schema = { type: 'object' }
/** Labels and annotations: Kubernetes takes nothing but strings, and tells so late. */
const named: Schema = { type: 'object', additionalProperties: text }
const whole = (minimum: number, maximum?: number): Schema => ({ type: 'integer', minimum, ...(maximum && { maximum }) })
const oneOf = (...values: string[]): Schema => ({ enum: values })
const matching = (pattern: string, description: string): Schema => ({ type: 'string', pattern, description })
const group = (properties: Record<string, Schema>): Schema => ({ type: 'object', additionalProperties: false, properties })

/** Go's way to write a duration, as cert-manager reads it. */
const duration = matching('^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$', 'a duration as in `8760h`')
const port = whole(1, 65535)
const spread = oneOf('ScheduleAnyway', 'DoNotSchedule')

/** @param config the JSON Schema of `gateway.yaml` */
export function valuesSchema(config: Schema): Schema {
  const { $schema, title: _, ...gateway } = config
  return {
    $schema,
    title: 'Values of the Sallyport chart',
    ...group({
      // Helm hands these to every chart.
      global: mapping,
      image: group({
        repository: matching('^[^\\s:@]*(:[0-9]+/[^\\s:@]+)?$', 'without tag or digest'),
        tag: text,
        digest: matching('^(sha256:[0-9a-f]{64})?$', '`sha256:` and 64 hexadecimal digits'),
        pullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
      }),
      imagePullSecrets: texts,
      fullnameOverride: matching('^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$', 'small letters, digits and hyphens'),
      replicas: whole(1),
      config: gateway,
      configReload: oneOf('restart', 'hot'),
      ca: group({
        existingSecret: text,
        certManager: group({
          enabled: flag,
          issuerRef: group({ name: text, kind: oneOf('Issuer', 'ClusterIssuer'), group: text }),
          duration,
          renewBefore: duration,
        }),
      }),
      service: group({
        port,
        staticAddress: matching('^[0-9a-f.:]*$', 'an address'),
        subnet: text,
        idleTimeoutMinutes: whole(4, 100),
        annotations: named,
      }),
      transparent: group({
        enabled: flag,
        image: matching('^\\S*$', 'an image with its tag or digest'),
        highAvailabilityPorts: flag,
        resources: mapping,
      }),
      podDisruptionBudget: group({ enabled: flag, maxUnavailable: { anyOf: [whole(0), matching('^[0-9]+%$', 'as in `50%`')] } }),
      autoscaling: group({
        enabled: flag,
        minReplicas: whole(1),
        maxReplicas: whole(1),
        targetCPUUtilization: whole(1, 100),
        scaleDownStabilizationSeconds: whole(0, 3600),
      }),
      networkPolicy: group({ enabled: flag, prometheus: list, dns: list, extraEgress: list }),
      probes: group({
        readinessPeriodSeconds: whole(1),
        readinessFailures: whole(1),
        livenessPeriodSeconds: whole(1),
        livenessFailures: whole(1),
      }),
      resources: mapping,
      runAsUser: { ...whole(1), description: 'never 0' },
      spread: group({ zones: spread, nodes: spread }),
      nodeSelector: named,
      tolerations: list,
      affinity: mapping,
      priorityClassName: text,
      podLabels: named,
      podAnnotations: named,
      extraEnv: list,
      extraVolumes: list,
      extraVolumeMounts: list,
      metrics: group({
        enabled: flag,
        monitor: group({
          enabled: flag,
          apiGroup: oneOf('monitoring.coreos.com', 'azmonitoring.coreos.com'),
          intervalSeconds: whole(5, 300),
          labels: named,
        }),
        rules: group({ enabled: flag, labels: named, runbookPrefix: text }),
        dashboards: group({ enabled: flag, labels: named, annotations: named }),
      }),
    }),
  }
}
