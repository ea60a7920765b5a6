import { z } from '../schema.ts'

/** One item of `config/shared-suffixes.yaml`. */
const sharedServiceSchema = z.strictObject({
  service: z.string().min(1),
  suffixes: z.array(z.string()).default([]),
  parents: z.array(z.string()).default([]),
})
export const sharedServicesSchema = z.array(sharedServiceSchema)
export type SharedService = z.output<typeof sharedServiceSchema>
