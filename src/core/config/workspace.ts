import { REGION_NAME } from '../policy/catalogue.ts'
import { z } from '../schema.ts'
import { cidrSet } from './fields.ts'

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

export const workspace = z
  .strictObject({
    regions: z
      .array(z.string().regex(REGION_NAME, 'a region is written as in `eastus2`'))
      .default([])
      .describe('regions of the workspace'),
    storageAccounts: azureName('storage accounts of the workspace; `"*"` is every account there is'),
    containerRegistries: azureName('container registries of the workspace; `"*"` is every registry there is'),
    acknowledgeMultiTenant: z.boolean().default(false).describe('needed for `"*"`: data can leave to anybody\'s account'),
    privateEndpoints: cidrSet("ranges that the workspace's own names (studio, compute, storage, registry) may resolve into"),
  })
  .prefault({})
  .describe('what the documented hosts with a blank in them are filled from')
