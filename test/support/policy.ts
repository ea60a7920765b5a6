import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { type AzureFacts, regionsSchema, tagFactsSchema } from '../../src/core/azure/facts.ts'
import { type Config, configSchema } from '../../src/core/config.ts'
import { type Authority, parseAuthority } from '../../src/core/names/authority.ts'
import { type Edition, readEdition } from '../../src/core/policy/catalogue.ts'
import { compilePolicy, type PolicySources } from '../../src/core/policy/compile.ts'
import type { EgressRequest } from '../../src/core/policy/decide.ts'
import { type KnownDestination, knownDestinationsSchema } from '../../src/core/policy/hints.ts'
import type { Policy } from '../../src/core/policy/policy.ts'
import type { Problem } from '../../src/core/problem.ts'
import type { Result } from '../../src/core/result.ts'
import { isHostFile } from '../../src/io/config/catalogue-files.ts'
import { digest } from '../../src/io/config/digest.ts'

/** A policy from the text of a config file or the object in it, with the shipped catalogue. Throws what is wrong with either. */
export function policyFrom(config: unknown): Policy {
  const { policy } = unwrap(compile(config))
  return policy
}

/** What compiling says beyond the policy: errors alone, or warnings alone. */
export function problemsOf(config: unknown): readonly Problem[] {
  const compiled = compile(config)
  return compiled.ok ? compiled.value.warnings : compiled.error
}

/** A policy of these rules and nothing else: no documented host is on. */
export function policyOf(rules: string | readonly unknown[], more: Readonly<Record<string, unknown>> = {}): Policy {
  const list: unknown = typeof rules === 'string' ? parse(rules) : rules
  return policyFrom({ features: ALL_OFF, ...more, rules: list })
}

/** The same without a catalogue behind it, and so without hints about one: cheap enough to make thousands. */
export function policyOfRulesAlone(rules: readonly unknown[]): Policy {
  const editions = EDITIONS.map((edition) => ({ ...edition, features: {}, hosts: [], tags: [] }))
  return unwrap(compilePolicy({ config: configFrom({ rules }), editions, known: [], digest })).policy
}

/** What `decide` is asked for `CONNECT host:port`, or for `GET http://host:port/path`. */
export function requestTo(target: string, method = 'GET'): EgressRequest {
  const slash = target.indexOf('/')
  const { host, port } = authorityOf(slash < 0 ? target : target.slice(0, slash))
  return slash < 0 ? { host, port } : { host, port, http: { method, path: target.slice(slash) } }
}

/** `host` or `host:port`; 443 where the port is left out. */
export function authorityOf(text: string): Authority {
  return unwrap(parseAuthority(text, 443))
}

/** The value, or a failure of the test with the reason. */
export function unwrap<T>(result: Result<T, unknown>): T {
  if (result.ok) return result.value
  throw new Error(typeof result.error === 'string' ? result.error : JSON.stringify(result.error, undefined, 2))
}

export function configFrom(config: unknown): Config {
  return configSchema.parse(typeof config === 'string' ? (parse(config) ?? {}) : config)
}

/** What a policy is compiled from, with the shipped catalogue. */
export function sourcesFrom(config: unknown): PolicySources {
  return { config: configFrom(config), editions: EDITIONS, known: KNOWN, azure: AZURE, digest }
}

function compile(config: unknown) {
  return compilePolicy(sourcesFrom(config))
}

const CONFIG = new URL('../../config/', import.meta.url)

function shipped(path: string): unknown {
  return parse(readFileSync(new URL(path, CONFIG), 'utf8'))
}

function shippedEdition(id: string): Edition {
  const names = readdirSync(new URL(`catalogue/${id}/`, CONFIG))
    .filter(isHostFile)
    .sort()
  const hosts = names.flatMap((name) => shipped(`catalogue/${id}/${name}`))
  return unwrap(readEdition(shipped(`catalogue/${id}/edition.yaml`), hosts, shipped(`catalogue/${id}/service-tags.yaml`)))
}

/** Every edition that is shipped, oldest first. */
export const EDITIONS: readonly Edition[] = readdirSync(new URL('catalogue/', CONFIG)).sort().map(shippedEdition)
const KNOWN: readonly KnownDestination[] = knownDestinationsSchema.parse(shipped('hints.yaml'))
/** Azure's regions, and what is known of its service tags. */
export const AZURE: AzureFacts = {
  regions: regionsSchema.parse(shipped('azure/regions.yaml')),
  tags: tagFactsSchema.parse(shipped('azure/service-tags.yaml')),
}
const ALL_OFF = Object.fromEntries(EDITIONS.flatMap(({ features }) => Object.keys(features)).map((name) => [name, false]))
