import { type Config, configSchema } from './config.ts'
import type { Edition } from './policy/catalogue.ts'
import { compilePolicy } from './policy/compile.ts'
import type { KnownDestination } from './policy/hints.ts'
import type { Policy } from './policy/policy.ts'
import { type Problem, problem } from './problem.ts'
import { err, ok, type Result } from './result.ts'
import type { z } from './schema.ts'

/**
 * `sallyport/core`: decisions without a gateway. Nothing here reads a file, a clock or the environment, so it runs in a browser as it does
 * in Node: the same policy and the same request give the same decision.
 *
 * @example
 * const defined = definePolicy({ rules: [{ name: 'git', hosts: ['git.example.com'] }] })
 * const asked = parseAuthority('git.example.com:443')
 * if (defined.ok && asked.ok) decide(defined.value.policy, asked.value) // { verdict: 'allow', entry, protocol: 'tls' }
 *
 * @module sallyport/core
 */

/** The config as it is written: text where the gateway has names and addresses, and nothing that has a default. */
export type ConfigInput = z.input<typeof configSchema>

/** The documented hosts as data, from `readCatalogue` of `sallyport`: plain JSON, which can be sent to a browser. */
export interface CatalogueData {
  readonly editions: readonly Edition[]
  readonly known?: readonly KnownDestination[]
}

export interface DefinedPolicy {
  readonly policy: Policy
  readonly config: Config
  readonly warnings: readonly Problem[]
}

/**
 * Compiles a policy from a config, or says everything that is wrong with it, each problem with the path of its key.
 *
 * @param catalogue the documented hosts. Without it the config names no edition, and `rules` are all there is
 * @param digest makes `policy.hash`. The gateway uses the first 12 hexadecimal digits of SHA-256; the default is no cryptography
 */
export function definePolicy(
  input: ConfigInput,
  catalogue?: CatalogueData,
  digest: (text: string) => string = shortDigest,
): Result<DefinedPolicy, readonly Problem[]> {
  const parsed = configSchema.safeParse(input)
  if (!parsed.success)
    return err(
      parsed.error.issues.map(({ path, message }) =>
        problem(
          path.map((key) => (typeof key === 'symbol' ? '' : key)),
          message,
        ),
      ),
    )
  const { editions, known = [] } = catalogue ?? { editions: [NO_EDITION] }
  const config = catalogue === undefined ? { ...parsed.data, editions: [NO_EDITION.id] } : parsed.data
  const compiled = compilePolicy({ config, editions, known, digest })
  return compiled.ok ? ok({ ...compiled.value, config }) : compiled
}

/** An edition without a row: the policy is the rules. */
const NO_EDITION: Edition = { id: 'none', title: 'no documented hosts', document: '', date: '', features: {}, hosts: [] }

/** FNV-1a over UTF-16 units, 32 bits from either end of the text: tells versions apart, and proves nothing. */
function shortDigest(text: string): string {
  let forwards = 0x811c9dc5
  let backwards = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    forwards = Math.imul(forwards ^ text.charCodeAt(i), 0x01000193)
    backwards = Math.imul(backwards ^ text.charCodeAt(text.length - 1 - i), 0x01000193)
  }
  return [forwards, backwards].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
}

export type { AuditEvent } from './audit-event.ts'
export type { Config } from './config.ts'
export { type Authority, formatAuthority, type Host, parseAuthority, parseHost } from './names/authority.ts'
export { type Hostname, parseHostname } from './names/hostname.ts'
export { type IpAddress, parseIp } from './names/ip.ts'
export type { Edition } from './policy/catalogue.ts'
export { type Decision, decide, type EgressRequest } from './policy/decide.ts'
export { describeEntry, describeExplanation } from './policy/describe.ts'
export { type Circumstances, type Denial, enforce, type Mode, type Ruling } from './policy/enforce.ts'
export type { Cloud, Entry, Pattern, Protocol, Tenancy } from './policy/entry.ts'
export { type ExplainTarget, type Explanation, explain } from './policy/explain.ts'
export { parseExplainTarget } from './policy/explain-target.ts'
export type { KnownDestination } from './policy/hints.ts'
export { type Hint, hintFor } from './policy/hints.ts'
export type { Policy } from './policy/policy.ts'
export { REASONS, type Reason, type ReasonSpec } from './policy/reasons.ts'
export type { Problem } from './problem.ts'
export type { Result } from './result.ts'
