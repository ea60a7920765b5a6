import type { ComputeKind } from '../core/azure/routes.ts'

/** The words that options take, for the help: here, so that `--help` needs nothing of what the commands are made of. */

/** What `export --to` takes. */
export const EXPORT_NAMES = [
  'azure-firewall-arm',
  'azure-firewall-bicep',
  'azure-firewall-terraform',
  'azure-firewall-cli',
  'managed-vnet',
  'squid',
  'csv',
  'markdown',
] as const
export type ExportName = (typeof EXPORT_NAMES)[number]

/** What `env --for` takes. */
export const PLACE_NAMES = ['compute-instance', 'aks', 'docker', 'job', 'shell'] as const
export type PlaceName = (typeof PLACE_NAMES)[number]

/** What `import --from` takes. */
export const IMPORT_NAMES = ['squid', 'azure-firewall', 'smokescreen'] as const
export type ImportName = (typeof IMPORT_NAMES)[number]

/** What `routes --compute` takes. */
export const COMPUTE_KINDS = ['public-ip', 'no-public-ip'] as const satisfies readonly ComputeKind[]

export function isOneOf<T extends string>(words: readonly T[], word: string): word is T {
  return words.some((one) => one === word)
}
