import type { InboundRule, Route, RoutePlan } from './routes.ts'

export const ROUTE_FORMATS = ['cli', 'bicep', 'terraform', 'json'] as const
export type RouteFormat = (typeof ROUTE_FORMATS)[number]

/** The resources that routes and rules are added to. */
export interface RouteTargets {
  readonly resourceGroup: string
  readonly routeTable: string
  readonly securityGroup: string
}

/** The plan as something one runs or commits. Notes are comments in it; ends with a line feed. */
export function routesText(plan: RoutePlan, format: RouteFormat, targets: RouteTargets): string {
  switch (format) {
    case 'cli':
      return lines([
        ...comments(plan, '#'),
        ...plan.routes.map((one) => cliRoute(one, targets)),
        ...plan.inboundRules.map((one) => cliRule(one, targets)),
      ])
    case 'bicep':
      return lines([...comments(plan, '//'), ...bicep(plan, targets)])
    case 'terraform':
      return lines([...comments(plan, '#'), ...terraform(plan, targets)])
    case 'json': {
      const routes = plan.routes.map((route) => ({ ...route, nextHopType: 'Internet' }))
      const inboundRules = plan.inboundRules.map((rule) => ({ ...rule, protocol: 'Tcp', destination: 'VirtualNetwork' }))
      return `${JSON.stringify({ cloud: plan.cloud, regions: plan.regions, routes, inboundRules, notes: plan.notes }, undefined, 2)}\n`
    }
  }
}

function lines(list: readonly string[]): string {
  return list.map((line) => `${line}\n`).join('')
}

function comments({ notes }: RoutePlan, mark: string): string[] {
  return notes.map((note) => `${mark} ${note}`)
}

function cliRoute({ name, addressPrefix }: Route, { resourceGroup, routeTable }: RouteTargets): string {
  return `az network route-table route create -g ${shellWord(resourceGroup)} --route-table-name ${shellWord(routeTable)} -n ${name} --address-prefix ${addressPrefix} --next-hop-type Internet`
}

function cliRule({ name, priority, source, ports }: InboundRule, { resourceGroup, securityGroup }: RouteTargets): string {
  return `az network nsg rule create -g ${shellWord(resourceGroup)} --nsg-name ${shellWord(securityGroup)} -n ${name} --priority ${priority} --direction Inbound --access Allow --protocol Tcp --source-address-prefixes ${source} --source-port-ranges '*' --destination-address-prefixes VirtualNetwork --destination-port-ranges ${ports}`
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9._-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** One after the other (`batchSize`): a route table takes one change at a time. */
function bicep({ routes, inboundRules }: RoutePlan, { routeTable, securityGroup }: RouteTargets): string[] {
  const table = [
    '',
    `param routeTableName string = '${bicepText(routeTable)}'`,
    '',
    'var inboundRoutes = [',
    ...routes.map(({ name, addressPrefix }) => `  { name: '${name}', addressPrefix: '${addressPrefix}' }`),
    ']',
    '',
    "resource routeTable 'Microsoft.Network/routeTables@2024-03-01' existing = {",
    '  name: routeTableName',
    '}',
    '',
    '@batchSize(1)',
    "resource routes 'Microsoft.Network/routeTables/routes@2024-03-01' = [for route in inboundRoutes: {",
    '  parent: routeTable',
    '  name: route.name',
    '  properties: {',
    '    addressPrefix: route.addressPrefix',
    "    nextHopType: 'Internet'",
    '  }',
    '}]',
  ]
  const group = [
    '',
    `param securityGroupName string = '${bicepText(securityGroup)}'`,
    '',
    'var inboundRules = [',
    ...inboundRules.map(
      ({ name, priority, source, ports }) =>
        `  { name: '${name}', priority: ${priority}, source: '${source}', ports: '${ports}' }`,
    ),
    ']',
    '',
    "resource securityGroup 'Microsoft.Network/networkSecurityGroups@2024-03-01' existing = {",
    '  name: securityGroupName',
    '}',
    '',
    '@batchSize(1)',
    "resource rules 'Microsoft.Network/networkSecurityGroups/securityRules@2024-03-01' = [for rule in inboundRules: {",
    '  parent: securityGroup',
    '  name: rule.name',
    '  properties: {',
    '    priority: rule.priority',
    "    direction: 'Inbound'",
    "    access: 'Allow'",
    "    protocol: 'Tcp'",
    '    sourceAddressPrefix: rule.source',
    "    sourcePortRange: '*'",
    "    destinationAddressPrefix: 'VirtualNetwork'",
    '    destinationPortRange: rule.ports',
    '  }',
    '}]',
  ]
  return [...(routes.length > 0 ? table : []), ...(inboundRules.length > 0 ? group : [])]
}

function bicepText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('${', '\\${')
}

function terraform({ routes, inboundRules }: RoutePlan, { resourceGroup, routeTable, securityGroup }: RouteTargets): string[] {
  const table = [
    '',
    'resource "azurerm_route" "sallyport" {',
    '  for_each = {',
    ...aligned(routes.map(({ name, addressPrefix }) => [`"${name}"`, `"${addressPrefix}"`])),
    '  }',
    '',
    '  name                = each.key',
    `  resource_group_name = "${terraformText(resourceGroup)}"`,
    `  route_table_name    = "${terraformText(routeTable)}"`,
    '  address_prefix      = each.value',
    '  next_hop_type       = "Internet"',
    '}',
  ]
  const rules = inboundRules.flatMap(({ name, priority, source, ports }) => [
    '',
    `resource "azurerm_network_security_rule" "${name.toLowerCase().replaceAll('-', '_')}" {`,
    `  name                        = "${name}"`,
    `  resource_group_name         = "${terraformText(resourceGroup)}"`,
    `  network_security_group_name = "${terraformText(securityGroup)}"`,
    `  priority                    = ${priority}`,
    '  direction                   = "Inbound"',
    '  access                      = "Allow"',
    '  protocol                    = "Tcp"',
    `  source_address_prefix       = "${source}"`,
    '  source_port_range           = "*"',
    '  destination_address_prefix  = "VirtualNetwork"',
    `  destination_port_range      = "${ports}"`,
    '}',
  ])
  return [...(routes.length > 0 ? table : []), ...rules]
}

function aligned(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...pairs.map(([key]) => key.length))
  return pairs.map(([key, value]) => `    ${key.padEnd(width)} = ${value}`)
}

function terraformText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('${', '$${').replaceAll('%{', '%%{')
}
