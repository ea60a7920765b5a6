import { PROTOCOLS } from '../policy/entry.ts'
import { parseHostPattern } from '../policy/host-pattern.ts'
import { parsePathPattern } from '../policy/path-pattern.ts'
import { z } from '../schema.ts'
import { cidr, name, parsed, port, serviceTag } from './fields.ts'
import { groupName } from './groups.ts'

/** What people read, and nothing else does. */
const note = z.string().min(1).max(200)

const fields = z.strictObject({
  name: name.describe('unique; the entry id becomes `rule/NAME`'),
  hosts: z
    .array(parsed(parseHostPattern, 'a host, `*.suffix` or `*suffix`'))
    .min(1)
    .optional()
    .describe('`pypi.org`, `*.example.com` (any depth under it), `*example.com` (that and any depth under it), or an IP literal'),
  addresses: z
    .array(cidr)
    .min(1)
    .optional()
    .describe(
      'ranges that are matched by address: a client that asks for an IP literal in one, or connects there itself; never a name, wherever it resolves to',
    ),
  serviceTags: z
    .array(serviceTag)
    .min(1)
    .optional()
    .describe(
      "Azure's names for the addresses of a service, as in `Storage.EastUS2`, from `serviceTags.file`; matched as `addresses` are",
    ),
  ports: z.array(port).min(1).optional().describe('an allow rule without ports means 80 and 443, a deny rule every port'),
  protocol: z
    .enum(PROTOCOLS)
    .optional()
    .describe('what a tunnel may carry: `http` (default on port 80), `tls` (default elsewhere) or `any`'),
  paths: z
    .array(parsed(parsePathPattern, 'a path'))
    .min(1)
    .optional()
    .describe('`/a/b/*` is everything under it, `*` elsewhere stands within one segment'),
  methods: z
    .array(z.string().regex(/^[A-Z][A-Z-]*$/, 'a method is written in capitals'))
    .min(1)
    .optional()
    .describe('only these HTTP methods'),
  inspect: z
    .literal('always')
    .optional()
    .describe('end TLS here although no path or method needs it, so that the Host inside is checked too'),
  groups: z.array(groupName).min(1).optional().describe('only for clients of these groups; without it for everybody'),
  action: z.enum(['allow', 'deny']).default('allow').describe('a matching deny rule beats every allow'),
  mode: z.literal('report').optional().describe('of a deny rule: only report what it would refuse'),
  quiet: z
    .boolean()
    .optional()
    .describe('of a deny rule: what it refuses is expected, so it is logged as ever and counted apart, where no alert looks'),
  expires: z.iso
    .date('a date is written as in `2027-03-31`')
    .optional()
    .describe('the day after which the rule is overdue: `check` warns, a metric tells; the rule itself stays in force'),
  owner: note.optional().describe('who answers for the rule'),
  ticket: note.optional().describe('where it was asked for'),
  destinations: z.array(cidr).min(1).optional().describe('ranges outside the public internet that these hosts may resolve into'),
})
/** What of a rule says where to: one of these at least. */
const TARGETS = ['hosts', 'addresses', 'serviceTags'] as const

export const ruleSchema = fields.superRefine((rule, context) => {
  if (TARGETS.some((key) => rule[key] !== undefined)) return
  const choices = TARGETS.map((key) => `\`${key}\``)
    .join(', ')
    .replace(/, (?=[^,]*$)/, ' or ')
  context.addIssue({
    code: 'custom',
    message: `rule \`${rule.name}\` covers nothing; give it ${choices}`,
    params: { missing: TARGETS },
  })
})
export type Rule = z.output<typeof ruleSchema>
