import { z } from '../schema.ts'

export const MISMATCH_SETTINGS = ['dial', 'refuse'] as const

export const transparent = z
  .strictObject({
    mismatch: z
      .enum(MISMATCH_SETTINGS)
      .default('dial')
      .describe(
        "a client was connecting to an address that is none of its host's, as the gateway resolves it: `dial` one that is, or `refuse`; both are counted",
      ),
  })
  .prefault({})
  .describe('connections that were redirected to `listen.transparent`')
