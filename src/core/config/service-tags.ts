import { z } from '../schema.ts'

export const serviceTags = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .optional()
      .describe(
        'a downloaded `ServiceTags_*.json`, or the output of `az network list-service-tags -o json`; by itself it allows nothing',
      ),
  })
  .prefault({})
  .describe("where the addresses of Azure's service tags are listed")
