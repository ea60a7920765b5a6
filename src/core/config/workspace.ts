import { parseHostname } from '../names/hostname.ts'
import { REGION_NAME, RESOURCE_NAME, WORKSPACE_ID } from '../policy/catalogue.ts'
import { MANAGED_STORAGE } from '../policy/managed-storage.ts'
import { z } from '../schema.ts'
import { cidrSet, parsed } from './fields.ts'

const azureName = (doc: string) =>
  z
    .array(
      z
        .string()
        .regex(
          /^(?:\*|[A-Za-z0-9](?:[A-Za-z0-9-]{1,61}[A-Za-z0-9]))$/,
          'an account or registry name is 3 to 63 letters, digits and inner hyphens',
        ),
    )
    .default([])
    .transform((names) => names.map((text) => text.toLowerCase()))
    .describe(doc)

const ownNames = (pattern: RegExp, what: string, doc: string) =>
  z
    .array(z.string().regex(pattern, what))
    .default([])
    .transform((names) => names.map((text) => text.toLowerCase()))
    .describe(doc)

/** The workspace's one id, as a list of one: every parameter is a list. */
const workspaceId = z
  .string()
  .regex(
    new RegExp(WORKSPACE_ID.source, 'i'),
    'a workspace id is a GUID, the `workspaceId` of `az resource show`; not the name of the workspace',
  )
  .optional()
  .transform((id): readonly string[] => (id === undefined ? [] : [id.toLowerCase()]))
  .describe("the workspace's id, a GUID; narrows the wide names of the workspace API to yours, with `regions`")

export const workspace = z
  .strictObject({
    id: workspaceId,
    regions: z
      .array(z.string().regex(REGION_NAME, 'a region is written as in `eastus2`'))
      .default([])
      .describe('regions of the workspace'),
    storageAccounts: azureName('storage accounts of the workspace; `"*"` is every account there is'),
    containerRegistries: azureName('container registries of the workspace; `"*"` is every registry there is'),
    keyVaults: ownNames(
      new RegExp(RESOURCE_NAME.source, 'i'),
      'a vault name is 3 to 24 letters, digits and inner hyphens',
      'key vaults of the workspace; naming one switches `key-vault` on, for exactly these',
    ),
    aksClusters: ownNames(
      /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
      "a cluster is named by the first label of its API server's host, letters, digits and inner hyphens",
      "AKS clusters, by the first label of the API server's host; narrows `aks` to them, with `regions`",
    ),
    federationHosts: z
      .array(parsed(parseHostname, 'a host'))
      .default([])
      .describe('AD FS hosts that sign-in sends users to; naming one switches `federation` on'),
    managedStorage: z
      .enum(MANAGED_STORAGE)
      .optional()
      .describe(
        "how compute nodes reach the storage that Azure Batch keeps for them: a service endpoint with a policy (nothing passes the gateway), the service tag, or wide names (every customer's accounts)",
      ),
    acknowledgeMultiTenant: z.boolean().default(false).describe('needed for `"*"`: data can leave to anybody\'s account'),
    privateEndpoints: cidrSet("ranges that the workspace's own names (studio, compute, storage, registry) may resolve into"),
  })
  .prefault({})
  .describe('what the documented hosts with a blank in them are filled from')
