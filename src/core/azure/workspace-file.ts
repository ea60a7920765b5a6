import { quote } from '../names/quote.ts'
import type { Cloud } from '../policy/entry.ts'
import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'

/** What of a workspace the config is filled from. */
export interface WorkspaceFacts {
  readonly name: string
  readonly cloud: Cloud
  readonly region: string
  readonly storageAccounts: readonly string[]
  readonly containerRegistries: readonly string[]
  readonly keyVaults: readonly string[]
  /** Whether it has a network of its own that Azure manages, and then no subnet of yours. */
  readonly managedNetwork: boolean
  readonly hasPrivateEndpoint: boolean
}

/** As `az ml workspace show -o json` prints it; the older extension writes keys in camel case. */
const workspaceSchema = z.looseObject({
  name: z.string(),
  location: z.string(),
  storage_account: z.string().nullish(),
  storageAccount: z.string().nullish(),
  container_registry: z.string().nullish(),
  containerRegistry: z.string().nullish(),
  key_vault: z.string().nullish(),
  keyVault: z.string().nullish(),
  managed_network: z.looseObject({ isolation_mode: z.string().nullish() }).nullish(),
  public_network_access: z.string().nullish(),
  publicNetworkAccess: z.string().nullish(),
})

/** Reads what `az ml workspace show -o json` printed. The error is a sentence. */
export function readWorkspace(value: unknown): Result<WorkspaceFacts, string> {
  const parsed = workspaceSchema.safeParse(value)
  if (!parsed.success)
    return err('this is not what `az ml workspace show -o json` prints: it wants one workspace with its `name` and `location`')
  const found = parsed.data
  const region = found.location.toLowerCase().replace(/\s+/g, '')
  if (!/^[a-z][a-z0-9]*$/.test(region)) return err(`${quote(found.location)} is no region`)
  const resource = (...ids: readonly (string | null | undefined)[]) =>
    ids
      .flatMap((id) => (id ? [id.split('/').at(-1)?.toLowerCase() ?? ''] : []))
      .filter((name) => name !== '')
      .slice(0, 1)
  const isolation = found.managed_network?.isolation_mode?.toLowerCase() ?? 'disabled'
  return ok({
    name: found.name,
    cloud: cloudOf(region),
    region,
    storageAccounts: resource(found.storage_account, found.storageAccount),
    containerRegistries: resource(found.container_registry, found.containerRegistry),
    keyVaults: resource(found.key_vault, found.keyVault),
    managedNetwork: isolation !== 'disabled' && isolation !== 'none',
    hasPrivateEndpoint: (found.public_network_access ?? found.publicNetworkAccess)?.toLowerCase() === 'disabled',
  })
}

function cloudOf(region: string): Cloud {
  if (/^(?:usgov|usdod)/.test(region)) return 'government'
  return region.startsWith('china') ? 'china' : 'public'
}
