import type { Cloud, Entry } from './entry.ts'
import { WORKSPACE_FEATURES } from './hints.ts'
import { formatHostPattern } from './host-pattern.ts'

/**
 * Suffixes of the names that a workspace's private endpoint answers for, below the region. From "How to use your workspace with a
 * custom DNS server" (Azure ML documentation, 06/05/2024), section "Workspace DNS resolution path". The regional names beside them
 * (`eastus2.api.azureml.ms`) have no private address and stay with the proxy.
 */
const WORKSPACE_SUFFIXES: Readonly<Record<Cloud, (region: string) => readonly string[]>> = {
  public: (region) => [
    `.workspace.${region}.api.azureml.ms`,
    `.workspace.${region}.cert.api.azureml.ms`,
    `.${region}.instances.azureml.ms`,
    `.${region}.notebooks.azure.net`,
    `.${region}.inference.ml.azure.com`,
  ],
  government: (region) => [
    `.workspace.${region}.api.ml.azure.us`,
    `.workspace.${region}.cert.api.ml.azure.us`,
    `.${region}.instances.azureml.us`,
    `.${region}.notebooks.usgovcloudapi.net`,
    `.${region}.inference.ml.azure.us`,
  ],
  china: (region) => [
    `.workspace.${region}.api.ml.azure.cn`,
    `.workspace.${region}.cert.api.ml.azure.cn`,
    `.${region}.instances.azureml.cn`,
    `.${region}.notebooks.chinacloudapi.cn`,
    `.${region}.inference.ml.azure.cn`,
  ],
}

export interface PrivateEndpointOptions {
  readonly cloud: Cloud
  readonly regions: readonly string[]
  /** Those in force: the names of the operator's own accounts and registries are taken from them. */
  readonly entries: readonly Entry[]
}

/**
 * The names that resolve into a workspace's private endpoints, exact or as `.suffix`: clients reach those by a route of their own, so
 * they belong into NO_PROXY. A wildcard over everybody's accounts is never among them.
 */
export function privateEndpointNames({ cloud, regions, entries }: PrivateEndpointOptions): readonly string[] {
  const own = entries
    .filter(
      ({ action, tenancy, feature = '' }) => action === 'allow' && tenancy === 'yours' && WORKSPACE_FEATURES.includes(feature),
    )
    .flatMap(({ patterns }) => patterns.map(({ host }) => formatHostPattern(host)))
    .filter((host) => !host.includes('*'))
  return [...new Set([...regions.flatMap(WORKSPACE_SUFFIXES[cloud]), ...own])]
}
