import { describe, expect, it } from 'vitest'
import { AZURE_NAMES, azureSide } from '../../../src/core/subnet/azure-side.ts'
import { configFrom } from '../../support/policy.ts'
import { run } from '../../support/run.ts'
import { planOf } from './plans.ts'

/** Neither form was run: that takes a subscription. What can be known without one is that everything needed is in them. */

const subnet = { ranges: ['10.7.1.0/24', 'fd00:1::/64'] }
const config = configFrom({ subnet, workspace: { regions: ['eastus2'] }, listen: { metrics: '0.0.0.0:9999' } })
const bicep = azureSide('bicep', planOf({ subnet }), config)
const cli = azureSide('cli', planOf({ subnet }), config)

/** One resource of the template, with its braces. */
function resource(symbol: string): string {
  const start = bicep.indexOf(`resource ${symbol} `)
  const end = bicep.indexOf('\n}\n', start)
  if (start < 0 || end < 0) throw new Error(`no resource ${symbol}`)
  return bicep.slice(start, end)
}

describe("Azure's side as Bicep", () => {
  it('has a route for everything to the load balancer, and none on the gateways themselves', () => {
    expect(resource('routes')).toContain(
      "addressPrefix: '0.0.0.0/0', nextHopType: 'VirtualAppliance', nextHopIpAddress: gatewayAddress",
    )
    expect(resource('clientSubnet')).toContain('routeTable: { id: routes.id }')
    expect(resource('gatewaySubnet')).not.toContain('routeTable')
    expect(resource('gatewaySubnet')).toContain('natGateway: { id: nat.id }')
  })

  it('has HA ports and a probe that asks /readyz where the config has it', () => {
    const balancer = resource('balancer')
    for (const line of [
      "protocol: 'All'",
      'frontendPort: 0',
      'backendPort: 0',
      "protocol: 'Http', port: 9999, requestPath: '/readyz'",
    ])
      expect(balancer).toContain(line)
    expect(balancer).not.toContain('publicIPAddress')
  })

  it('lets the interfaces forward, and makes two gateways', () => {
    expect(resource('gateways')).toContain('enableIPForwarding: true')
    expect(resource('gateways')).toContain('capacity: 2')
    expect(resource('gateways')).not.toContain('publicIPAddressConfiguration')
  })

  it("has the service endpoint with the policy for Batch's own storage", () => {
    expect(resource('endpointPolicy')).toContain("service: 'Global', serviceResources: ['/services/Azure/MachineLearning']")
    expect(resource('endpointPolicy')).toContain("service: 'Microsoft.Storage', serviceResources: storageAccountIds")
    expect(resource('clientSubnet')).toContain("serviceEndpoints: [{ service: 'Microsoft.Storage' }]")
    expect(resource('clientSubnet')).toContain('serviceEndpointPolicies: [{ id: endpointPolicy.id }]')
  })

  it('takes what the config knows: region, probe, the IPv4 range of the clients', () => {
    expect(bicep).toContain("param location string = 'eastus2'")
    expect(bicep).toContain("param clientSubnetPrefix string = '10.7.1.0/24'")
    expect(azureSide('bicep', planOf({ subnet }), configFrom({ subnet }))).toContain(
      'param location string = resourceGroup().location',
    )
  })

  it('refers to nothing that it does not declare, and closes what it opens', () => {
    const text = bicep.replace(/^\s*\/\/.*$/gm, '').replace(/'[^']*'/g, "''")
    for (const [open, close] of ['{}', '[]', '()'])
      expect(text.split(open ?? '').length, open).toBe(text.split(close ?? '').length)
    const declared = new Set([...bicep.matchAll(/^(?:resource|param) (\w+)/gm)].map(([, name]) => name))
    const used = [...text.matchAll(/\b(\w+)\.id\b/g)].map(([, name]) => name)
    expect(used.length).toBeGreaterThan(5)
    expect(used.filter((name) => !declared.has(name))).toEqual([])
    const parameters = [...bicep.matchAll(/^param (\w+)/gm)].map(([, name = '']) => name)
    for (const name of parameters) expect(bicep.split(new RegExp(`\\b${name}\\b`)).length, name).toBeGreaterThan(2)
  })
})

describe("Azure's side as commands", () => {
  it('are a script that a shell takes', async () => {
    const { code, stderr } = await run('sh', ['-n'], { input: cli })
    expect(code, stderr).toBe(0)
  })

  it('run as a shell runs them, each with what it needs', async () => {
    const { code, stdout, stderr } = await run('sh', ['-s'], { input: `az() { echo "az $*"; }\n${cli}` })
    expect(code, stderr).toBe(0)
    const lines = stdout.trimEnd().split('\n')
    expect(lines.every((line) => line.startsWith('az ') && line.includes('--resource-group RESOURCE_GROUP'))).toBe(true)
    const said = (start: string) => lines.filter((line) => line.startsWith(`az ${start} `))
    expect(said('network lb rule create')[0]).toContain('--protocol All --frontend-port 0 --backend-port 0')
    expect(said('network lb probe create')[0]).toContain('--port 9999 --path /readyz')
    expect(said('network route-table route create')[0]).toContain(
      '--address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address 10.0.9.4',
    )
    expect(said('vmss update')[0]).toContain('networkInterfaceConfigurations[0].enableIPForwarding=true')
    // The route is what takes the subnet's traffic away from where it was: last, when there is a gateway.
    expect(lines.at(-1)).toContain(`--route-table ${AZURE_NAMES.routeTable}`)
  })

  it('say what the CLI cannot do', () => {
    expect(cli).toMatch(/\/services\/Azure\/MachineLearning, which the CLI cannot add/)
    expect(cli).not.toContain('service-endpoint-policy')
  })
})
