import { parse } from 'yaml'

/**
 * The alerts once more, as Azure's managed Prometheus wants them: an ARM template of `Microsoft.AlertsManagement/prometheusRuleGroups`,
 * since that service reads no PrometheusRule resource.
 */

interface PrometheusRules {
  readonly groups: readonly {
    readonly name: string
    readonly rules: readonly {
      readonly alert: string
      readonly expr: string
      readonly for?: string
      readonly labels: { readonly severity: string }
      readonly annotations: Readonly<Record<string, string>>
    }[]
  }[]
}

/** Azure Monitor's: 0 critical, 1 error, 2 warning, 3 informational. */
const AZURE_SEVERITY: Readonly<Record<string, number>> = { critical: 0, warning: 2, info: 3 }

/** @param rules the text of `helm/alerts/sallyport.yaml` */
export function azureRuleGroups(rules: string): object {
  const { groups } = parse(rules) as PrometheusRules
  return {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
    contentVersion: '1.0.0.0',
    metadata: { description: 'Alerts of the Sallyport gateway, made from helm/alerts/sallyport.yaml by `npm run generate`' },
    parameters: {
      location: { type: 'string', defaultValue: '[resourceGroup().location]' },
      azureMonitorWorkspaceId: { type: 'string', metadata: { description: 'resource id of the Azure Monitor workspace' } },
      actionGroupIds: {
        type: 'array',
        defaultValue: [],
        metadata: { description: 'resource ids of the action groups to notify' },
      },
      clusterName: { type: 'string', defaultValue: '', metadata: { description: 'only this cluster; empty is every one' } },
      runbookPrefix: { type: 'string', defaultValue: '', metadata: { description: 'what the runbook links begin with' } },
    },
    variables: {
      copy: [
        {
          name: 'actions',
          count: "[length(parameters('actionGroupIds'))]",
          input: { actionGroupId: "[parameters('actionGroupIds')[copyIndex('actions')]]" },
        },
      ],
    },
    resources: groups.map((group) => ({
      type: 'Microsoft.AlertsManagement/prometheusRuleGroups',
      apiVersion: '2023-03-01',
      name: group.name,
      location: "[parameters('location')]",
      properties: {
        enabled: true,
        scopes: ["[parameters('azureMonitorWorkspaceId')]"],
        clusterName: "[if(empty(parameters('clusterName')), null(), parameters('clusterName'))]",
        interval: 'PT1M',
        rules: group.rules.map((rule) => ({
          alert: rule.alert,
          enabled: true,
          expression: literal(rule.expr),
          for: isoDuration(rule.for ?? '0m'),
          severity: AZURE_SEVERITY[rule.labels.severity],
          labels: rule.labels,
          annotations: {
            ...Object.fromEntries(Object.entries(rule.annotations).map(([name, value]) => [name, literal(value)])),
            runbook_url: `[concat(parameters('runbookPrefix'), '${rule.annotations['runbook_url']}')]`,
          },
          actions: "[variables('actions')]",
          resolveConfiguration: { autoResolved: true, timeToResolve: 'PT10M' },
        })),
      },
    })),
  }
}

/** Prometheus' `5m` as ISO 8601. */
function isoDuration(text: string): string {
  const match = /^(\d+)(m|h)$/.exec(text)
  if (match === null) throw new Error(`cannot say \`for: ${text}\` in ISO 8601`)
  return `PT${match[1]}${match[2]?.toUpperCase()}`
}

/** In a template, text that begins with a bracket is an expression; two brackets are one. */
function literal(value: string): string {
  return value.startsWith('[') ? `[${value}` : value
}
