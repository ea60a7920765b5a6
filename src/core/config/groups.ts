import { type Cidr, CidrSet } from '../names/cidr.ts'
import { parseCertificatePattern } from '../policy/certificate-pattern.ts'
import { MODES } from '../policy/enforce.ts'
import { ECH_SETTINGS } from '../policy/judge-opening.ts'
import { z } from '../schema.ts'
import { cidr, parsed } from './fields.ts'

/** When TLS is ended for a group: where rules need it, for every host that is allowed, or not at all. */
export const GROUP_INSPECTION = ['as_needed', 'always', 'never'] as const

/** A name that begins with a letter: a mapping's keys that are numbers would not stay in the order of the file. */
export const groupName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "a group's name begins with a letter and is made of letters, digits, `.`, `_` and `-`")

/** As a file of credentials and `users` spell it. A colon ends it in Basic credentials, so it has none. */
export const USER_NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/

const userName = z
  .string()
  .regex(
    /^(?:\*|[A-Za-z0-9][A-Za-z0-9._@+-]{0,63})$/,
    'a user is made of letters, digits and `._@+-`; `*` is everybody in the file',
  )

const optionalSeconds = (doc: string) => z.number().min(0).max(31_536_000).optional().describe(`${doc} (seconds)`)
const optionalCount = (doc: string) => z.int().min(1).optional().describe(doc)

const groupLimits = z
  .strictObject({
    openingSeconds: z.number().positive().max(31_536_000).optional().describe('as `limits.openingSeconds` (seconds)'),
    originSeconds: z.number().positive().max(31_536_000).optional().describe('as `limits.originSeconds` (seconds)'),
    tunnelIdleSeconds: optionalSeconds('as `limits.tunnelIdleSeconds`'),
    tunnelLifetimeSeconds: optionalSeconds('as `limits.tunnelLifetimeSeconds`'),
    tunnels: optionalCount('tunnels of this group at once, out of `limits.tunnels`'),
    tunnelsPerClient: optionalCount('tunnels of one client address in this group'),
    requestsPerSecondPerClient: optionalCount('requests of one client address in this group, with a burst of twice as many'),
  })
  .prefault({})
  .describe('limits of this group instead of the top-level ones')

const group = z.strictObject({
  sources: z
    .array(cidr)
    .min(1)
    .transform((cidrs: readonly Cidr[]) => CidrSet.of(cidrs))
    .optional()
    .describe('address ranges its clients come from'),
  users: z.array(userName).min(1).optional().describe('names in `credentials.file`; `*` is all of them'),
  certificates: z
    .array(parsed(parseCertificatePattern, 'a name in a certificate'))
    .min(1)
    .optional()
    .describe(
      'names in client certificates: `dns:*.jobs.example.com`, `uri:spiffe://example.com/jobs/*`, `email:...` or `cn:...`',
    ),
  features: z.record(z.string(), z.boolean()).default({}).describe('over the top-level `features`'),
  mode: z.enum(MODES).optional().describe('instead of the top-level `mode`'),
  limits: groupLimits,
  inspection: z
    .strictObject({
      tls: z
        .enum(GROUP_INSPECTION)
        .default('as_needed')
        .describe('whose TLS is ended: where rules need it, every allowed host, or none (what needs it is then refused)'),
      ech: z.enum(ECH_SETTINGS).optional().describe('instead of `inspection.ech`'),
    })
    .prefault({})
    .describe('inspection for this group'),
})
export type GroupSettings = z.output<typeof group>

export const groups = z
  .record(groupName, group)
  .prefault({})
  .describe('sets of clients with a policy of their own; the first one that a client belongs to counts')

export const credentials = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .optional()
      .describe('users and their hashed passwords, one a line; `sallyport credentials add` writes it'),
    required: z
      .boolean()
      .default(true)
      .describe('whether a client that is in no group by its address or certificate has to show credentials'),
    failuresPerMinutePerClient: z
      .int()
      .min(1)
      .max(6000)
      .default(10)
      .describe(
        'wrong passwords of one client address that are looked at (a minute); past that its credentials are refused unread',
      ),
  })
  .prefault({})
  .describe('proxy credentials (Basic), over TLS or loopback only')
