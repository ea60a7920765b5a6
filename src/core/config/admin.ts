import { parseHostname } from '../names/hostname.ts'
import { z } from '../schema.ts'
import { parsed } from './fields.ts'

export const admin = z
  .strictObject({
    tokenFile: z
      .string()
      .min(1)
      .optional()
      .describe('file with the bearer token for changing calls, and for every call that does not come over loopback'),
    hosts: z
      .array(parsed(parseHostname, 'a host'))
      .default([])
      .describe('names the admin API is asked under, besides addresses and `localhost`'),
  })
  .prefault({})
  .describe('the admin API')
