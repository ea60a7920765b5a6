import type { AzureFirewallRules, RuleCollection } from './azure-firewall.ts'
import type { Caveat, Exported } from './export-rule.ts'

/** The rule collections in the four ways in which they are deployed. Each takes the name of a firewall policy that is there already. */

const API_VERSION = '2024-03-01'
const GROUP = 'sallyport'

export function armTemplate({ priority, collections, caveats }: AzureFirewallRules): Exported {
  const template = {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
    contentVersion: '1.0.0.0',
    parameters: { firewallPolicyName: { type: 'string', metadata: { description: 'A firewall policy in this resource group' } } },
    resources: [
      {
        type: 'Microsoft.Network/firewallPolicies/ruleCollectionGroups',
        apiVersion: API_VERSION,
        name: `[concat(parameters('firewallPolicyName'), '/${GROUP}')]`,
        properties: { priority, ruleCollections: collections },
      },
    ],
  }
  // A text that begins with `[` is an expression to ARM.
  const json = JSON.stringify(
    template,
    (key, value) => (typeof value === 'string' && key !== 'name' && value.startsWith('[') ? `[${value}` : value),
    2,
  )
  return { text: `${json}\n`, caveats }
}

export function bicep({ priority, collections, caveats }: AzureFirewallRules): Exported {
  const text = `${comments('//', caveats)}@description('A firewall policy in this resource group')
param firewallPolicyName string

resource firewallPolicy 'Microsoft.Network/firewallPolicies@${API_VERSION}' existing = {
  name: firewallPolicyName
}

resource sallyport 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@${API_VERSION}' = {
  parent: firewallPolicy
  name: '${GROUP}'
  properties: ${bicepValue({ priority, ruleCollections: collections }, '  ')}
}
`
  return { text, caveats }
}

function bicepValue(value: unknown, indent: string): string {
  const inner = `${indent}  `
  if (typeof value === 'string') return `'${value.replace(/[\\']/g, '\\$&').replaceAll('${', '\\${').replaceAll('\n', '\\n')}'`
  if (Array.isArray(value)) return `[\n${value.map((item) => `${inner}${bicepValue(item, inner)}\n`).join('')}${indent}]`
  if (typeof value !== 'object' || value === null) return String(value)
  const lines = Object.entries(value).map(([key, item]) => `${inner}${key}: ${bicepValue(item, inner)}\n`)
  return `{\n${lines.join('')}${indent}}`
}

export function terraform({ priority, collections, caveats }: AzureFirewallRules): Exported {
  const text = `${comments('#', caveats)}variable "firewall_policy_id" {
  type        = string
  description = "Id of a firewall policy"
}

resource "azurerm_firewall_policy_rule_collection_group" "sallyport" {
  name               = "${GROUP}"
  firewall_policy_id = var.firewall_policy_id
  priority           = ${priority}
${collections.map(terraformCollection).join('')}}
`
  return { text, caveats }
}

function terraformCollection({ name, priority, action, rules }: RuleCollection): string {
  const [first] = rules
  const block = first?.ruleType === 'NetworkRule' ? 'network_rule_collection' : 'application_rule_collection'
  const body = rules.map((rule) => {
    const facts =
      rule.ruleType === 'NetworkRule'
        ? [
            hcl('protocols', rule.ipProtocols),
            hcl('source_addresses', rule.sourceAddresses),
            hcl('destination_addresses', rule.destinationAddresses),
            hcl('destination_fqdns', rule.destinationFqdns),
            hcl('destination_ports', rule.destinationPorts),
          ]
        : [
            hcl('source_addresses', rule.sourceAddresses),
            hcl('destination_fqdns', rule.targetFqdns),
            hcl('destination_urls', rule.targetUrls),
            rule.terminateTLS ? '      terminate_tls = true\n' : '',
            ...rule.protocols.map(
              ({ protocolType, port }) =>
                `      protocols {\n        type = "${protocolType}"\n        port = ${port}\n      }\n`,
            ),
          ]
    const description = rule.description === undefined ? '' : hcl('description', rule.description)
    return `    rule {\n${hcl('name', rule.name)}${description}${facts.join('')}    }\n`
  })
  return `
  ${block} {
    name     = "${name}"
    priority = ${priority}
    action   = "${action.type}"
${body.join('')}  }
`
}

function hcl(key: string, value: string | readonly string[] | undefined): string {
  if (value === undefined) return ''
  const text = typeof value === 'string' ? hclText(value) : `[${value.map(hclText).join(', ')}]`
  return `      ${key} = ${text}\n`
}

function hclText(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('${', '$${').replaceAll('%{', '%%{')}"`
}

/** A shell script for the `azure-firewall` extension of the Azure CLI. */
export function azCli({ priority, collections, caveats }: AzureFirewallRules): Exported {
  const of = `--rule-collection-group-name ${GROUP}`
  const commands = collections.flatMap((collection) =>
    collection.rules.map((rule, index) =>
      index === 0
        ? `group collection add-filter-collection ${of} --name ${collection.name} --collection-priority ${collection.priority} --action ${collection.action.type} --rule-name ${shell(rule.name)} ${ruleArguments(rule)}`
        : `group collection rule add ${of} --collection-name ${collection.name} --name ${shell(rule.name)} ${ruleArguments(rule)}`,
    ),
  )
  const text = `#!/bin/sh
${comments('#', caveats)}set -eu
: "\${RESOURCE_GROUP:?set it to the resource group of the firewall policy}" "\${FIREWALL_POLICY:?set it to the name of the firewall policy}"

group() {
  az network firewall policy rule-collection-group "$@" --policy-name "$FIREWALL_POLICY" --resource-group "$RESOURCE_GROUP"
}

group create --name ${GROUP} --priority ${priority}
${commands.join('\n')}
`
  return { text, caveats }
}

function ruleArguments(rule: RuleCollection['rules'][number]): string {
  const list = (option: string, values: readonly string[] | undefined) =>
    values === undefined ? [] : [`--${option} ${values.map(shell).join(' ')}`]
  const description = rule.description === undefined ? [] : [`--description ${shell(rule.description)}`]
  const own =
    rule.ruleType === 'NetworkRule'
      ? [
          ...list('ip-protocols', rule.ipProtocols),
          ...list('source-addresses', rule.sourceAddresses),
          ...list('destination-addresses', rule.destinationAddresses),
          ...list('destination-fqdns', rule.destinationFqdns),
          ...list('destination-ports', rule.destinationPorts),
        ]
      : [
          ...list('source-addresses', rule.sourceAddresses),
          ...list(
            'protocols',
            rule.protocols.map(({ protocolType, port }) => `${protocolType}=${port}`),
          ),
          ...list('target-fqdns', rule.targetFqdns),
          ...list('target-urls', rule.targetUrls),
          ...(rule.terminateTLS ? ['--enable-tls-inspection true'] : []),
        ]
  return [`--rule-type ${rule.ruleType}`, ...own, ...description].join(' ')
}

/** In quotes where the shell would take it for something else. */
function shell(text: string): string {
  return /^[A-Za-z0-9._:/=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** What differs from the gateway, for whoever reads the file. */
export function comments(sign: string, caveats: readonly Caveat[]): string {
  const lines = caveats.map(({ entry, text }) => `${sign}   ${entry} ${text}\n`)
  return `${sign} Made by \`sallyport export\`.${lines.length === 0 ? '' : ' It differs from the gateway:'}\n${lines.join('')}`
}
