import { type Authority, formatAuthority, parseAuthority } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { isUnspecified, platformAddress } from '../names/special-purpose.ts'
import { type HostPattern, parseHostPattern } from '../policy/host-pattern.ts'
import type { Parent } from '../policy/upstream.ts'
import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'
import { parsed } from './fields.ts'

/** Failover walks through them within one dial deadline: more than a handful would each get no time. */
const PARENTS_MAX = 8

/** `http://parent:3128` or `https://[2001:db8::1]:3129`: a scheme, a host and a port, and nothing else. */
export function parseParent(text: string): Result<Parent, string> {
  const scheme = (['http', 'https'] as const).find((one) => text.startsWith(`${one}://`))
  if (scheme === undefined) return err(`${quote(text)} is no proxy; write \`http://parent.example:3128\`, or \`https://\``)
  const rest = text.slice(scheme.length + 3).replace(/\/$/, '')
  // What is before the `@` is a secret: it is not repeated.
  if (rest.includes('@')) return err('a proxy is written without user and password; put them into `passwordFile`')
  if (/[/?#]/.test(rest)) return err(`${quote(text)} has a path; a proxy is a scheme, a host and a port`)
  const authority = parseAuthority(rest)
  if (!authority.ok) return err(`${authority.error}; a proxy is written as in \`${scheme}://parent.example:3128\``)
  const problem = addressProblem(authority.value)
  return problem === undefined
    ? ok({ label: `${scheme}://${formatAuthority(authority.value)}`, scheme, ...authority.value })
    : err(problem)
}

function addressProblem({ host }: Authority): string | undefined {
  if (host.kind === 'name') return undefined
  const platform = platformAddress(host.ip)
  if (platform !== undefined) return `${quote(host.text)} is the ${platform} and no proxy`
  return isUnspecified(host.ip) ? `${quote(host.text)} is every address of this host and no proxy` : undefined
}

/** As in a rule; that a lone `*` would allow everything is no concern here. */
function parseMatch(text: string): Result<HostPattern, string> {
  return text === '*' ? err('`*` is what no `match` means; leave `match` out for every host') : parseHostPattern(text)
}

const HOST_PATTERN = 'a host, `*.suffix` or `*suffix`'
const parent = parsed(parseParent, 'a proxy, as in `http://parent.example:3128`')

const section = z
  .strictObject({
    match: z
      .array(parsed(parseMatch, HOST_PATTERN))
      .min(1)
      .optional()
      .describe('hosts that go this way; every host where there is none'),
    proxy: z
      .union([parent, z.array(parent).min(1).max(PARENTS_MAX)])
      .transform((proxy): readonly Parent[] => (Array.isArray(proxy) ? proxy : [proxy]))
      .describe('the parent proxy, or several in the order in which they are tried'),
    passwordFile: z
      .string()
      .min(1)
      .optional()
      .describe('file with `user:password` for the parents, sent to them as Basic credentials and to nobody else'),
    noProxy: z
      .array(parsed(parseHostPattern, HOST_PATTERN))
      .prefault([])
      .describe('hosts that match and are dialled directly all the same'),
    ca: z
      .string()
      .min(1)
      .optional()
      .describe(
        "file with the CA certificates that `https://` parents are believed by, instead of the system's; always verified",
      ),
  })
  .superRefine(({ proxy, ca }, context) => {
    const labels = proxy.map(({ label }) => label)
    const twice = labels.find((label, index) => labels.indexOf(label) !== index)
    if (twice !== undefined)
      context.addIssue({ code: 'custom', path: ['proxy'], message: `\`${twice}\` stands here twice; write each parent once` })
    if (ca !== undefined && !proxy.some(({ scheme }) => scheme === 'https'))
      context.addIssue({ code: 'custom', path: ['ca'], message: 'no parent here is `https://`, so nothing is verified by it' })
  })

export const upstream = z
  .array(section)
  .prefault([])
  .describe(
    'parent proxies that allowed requests go through; the first that matches counts, and without one the gateway dials itself',
  )
