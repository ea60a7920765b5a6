import { z } from '../schema.ts'
import { DROPPED_PROTOCOLS } from './dropped.ts'

/**
 * What `sallyport subnet --watch`, which may read the kernel's counters, tells the gateway, which may not: a small file. Its writer is
 * another process, so it is read as anybody's.
 */

const packets = z.number().int().min(0)

export const subnetReportSchema = z.object({
  version: z.literal(1),
  /** When it was written, milliseconds since 1970. */
  timeMs: z.number().int().min(0),
  /** Whether the rules in the kernel are those of the config, as far as the watcher could see. */
  rulesInForce: z.boolean(),
  packets: z
    .array(z.object({ proto: z.enum(DROPPED_PROTOCOLS), port: z.string().regex(/^(?:\d{1,5}|other|none)$/), packets }))
    .max(64),
  flows: z
    .array(
      z.object({
        client: z.string().max(64),
        destination: z.string().max(64),
        proto: z.string().max(16),
        port: z.number().int().min(0).max(65535).optional(),
        packets,
      }),
    )
    .max(1000),
})
export type SubnetReport = z.output<typeof subnetReportSchema>

/** Flows that a report holds at most; the busiest. */
export const REPORTED_FLOWS = 1000
