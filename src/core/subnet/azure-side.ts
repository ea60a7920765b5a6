import type { Config } from '../config.ts'
import { bicep } from './azure-bicep.ts'
import { azureCli } from './azure-cli.ts'
import type { SubnetPlan } from './plan.ts'

export const AZURE_FORMS = ['bicep', 'cli'] as const
export type AzureForm = (typeof AZURE_FORMS)[number]

/** What the network around the gateway has to be like. The config knows some of it; the rest are parameters. */
export interface AzureFacts {
  /** Of the clients' subnet, IPv4: a route table's routes are of one family. */
  readonly clientRanges: readonly string[]
  readonly region: string | undefined
  /** Where `/readyz` is asked. */
  readonly probePort: number
  readonly names: AzureNames
}

/** What the resources are called. */
export interface AzureNames {
  readonly routeTable: string
  readonly loadBalancer: string
  readonly natGateway: string
  readonly gatewaySubnet: string
  readonly scaleSet: string
  readonly endpointPolicy: string
}

export const AZURE_NAMES: AzureNames = {
  routeTable: 'rt-egress',
  loadBalancer: 'lb-egress',
  natGateway: 'nat-egress',
  gatewaySubnet: 'snet-egress',
  scaleSet: 'vmss-egress',
  endpointPolicy: 'sep-azureml',
}

/** Azure's side, as text to deploy or to run. */
export function azureSide(form: AzureForm, { ranges }: SubnetPlan, { workspace, listen }: Config): string {
  const facts: AzureFacts = {
    clientRanges: ranges.filter(({ network }) => network.family === 4).map(({ text }) => text),
    region: workspace.regions[0],
    probePort: listen.metrics.port,
    names: AZURE_NAMES,
  }
  return form === 'bicep' ? bicep(facts) : azureCli(facts)
}
