import { ECH_SETTINGS } from '../policy/judge-opening.ts'
import { z } from '../schema.ts'
import { count } from './fields.ts'

export const inspection = z
  .strictObject({
    caCertificate: z
      .string()
      .min(1)
      .default('state/ca.pem')
      .describe('certificate of the inspection CA, PEM; `sallyport ca init` makes one'),
    caKey: z.string().min(1).default('state/ca.key').describe('its private key, PEM, readable by its owner alone'),
    upstreamCa: z
      .array(z.string().min(1))
      .default([])
      .describe("PEM files of CAs that origins may be signed by, beside the system's"),
    ech: z.enum(ECH_SETTINGS).default('pass').describe('`refuse` closes every tunnel whose ClientHello has the ECH extension'),
    certificates: count(1_000, 'certificates kept for hosts'),
  })
  .prefault({})
  .describe('TLS ended at the gateway, only where a path or method rule needs it')
