import type { Config } from '../config.ts'
import { type Problem, warning } from '../problem.ts'

/**
 * Compute nodes need storage accounts that Microsoft owns and that nobody can name beforehand. Three ways there:
 *
 * - `service-endpoint`: a service endpoint for Microsoft.Storage with a service endpoint policy that has the alias
 *   `/services/Azure/MachineLearning`; that traffic never reaches the gateway
 * - `tag`: the service tag `Storage.<region>`, port 443: every account in the region
 * - `names`: `*.blob`, `*.table` and `*.queue`: every account there is
 */
export const MANAGED_STORAGE = ['service-endpoint', 'tag', 'names'] as const
export type ManagedStorage = (typeof MANAGED_STORAGE)[number]

/** The feature whose rows are the wide names. */
export const MANAGED_STORAGE_FEATURE = 'managed-storage'

/** The feature whose row is the network rule for the service tag `Storage.<region>`. */
export const STORAGE_TAG_FEATURE = 'network-Storage'

/** Whether `managedStorage` asks for a feature without naming it. */
export function wantsForStorage({ workspace }: Config, feature: string): boolean {
  if (feature === MANAGED_STORAGE_FEATURE) return workspace.managedStorage === 'names'
  return feature === STORAGE_TAG_FEATURE && workspace.managedStorage === 'tag'
}

/** What is said of the nodes' storage. */
export function managedStorageProblems(config: Config, isOn: (feature: string) => boolean): Problem[] {
  const { managedStorage } = config.workspace
  const path = ['workspace', 'managedStorage']
  const wide = isOn(MANAGED_STORAGE_FEATURE)
  if (managedStorage === undefined) {
    if (!isOn('compute') || wide) return []
    return [
      warning(
        path,
        "compute nodes need storage that Microsoft owns, whose names nobody can list: say `service-endpoint` once the compute subnet has a service endpoint for Microsoft.Storage with a policy for `/services/Azure/MachineLearning`, or `tag`, or `names`, which lets data out to every customer's account",
      ),
    ]
  }
  if (managedStorage === 'names' && !wide) {
    return [
      warning(
        path,
        `\`names\` opens nothing while \`features: { ${MANAGED_STORAGE_FEATURE}: false }\` holds, or without an edition that has the feature`,
      ),
    ]
  }
  if (managedStorage === 'tag' && !isOn(STORAGE_TAG_FEATURE)) {
    return [
      warning(
        path,
        `\`tag\` opens nothing while feature \`${STORAGE_TAG_FEATURE}\` is off, or without an edition that has it; it lets out the service tag \`Storage.<region>\` by address`,
      ),
    ]
  }
  if (managedStorage !== 'names' && wide) {
    return [
      warning(
        path,
        `\`${managedStorage}\` needs no wide names, and \`features: { ${MANAGED_STORAGE_FEATURE}: true }\` opens them all the same; leave one of them out`,
      ),
    ]
  }
  return []
}
