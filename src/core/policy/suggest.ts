import type { Config } from '../config.ts'
import { formatAuthority } from '../names/authority.ts'
import type { SharedSuffixes } from '../names/registrable-domain.ts'
import type { WorkspaceSetting } from './catalogue.ts'
import { compilePolicy, type PolicySources } from './compile.ts'
import { decide } from './decide.ts'
import type { DeniedDestination, Evidence } from './denied-destinations.ts'
import type { Entry } from './entry.ts'
import { formatPattern } from './hints.ts'
import type { Policy } from './policy.ts'
import { type Left, whyLeft } from './suggest-left.ts'
import { type RuleChange, ruleChanges } from './suggest-rules.ts'
import { neededSwitches, type Switch } from './suggest-switches.ts'

/** What a change is for. */
export interface Reached {
  /** `host:port`. */
  readonly target: string
  readonly evidence: Evidence
}

export interface FeatureChange {
  readonly feature: string
  readonly summary: string
  /** Everything that the feature opens, as `host:ports`. */
  readonly opens: readonly string[]
  /** Some of it serves every customer of that service, not only Microsoft or the operator. */
  readonly multiTenant: boolean
  readonly because: readonly Reached[]
}

export interface NameChange {
  readonly setting: WorkspaceSetting
  readonly name: string
  readonly because: readonly Reached[]
}

/** Destinations and requests of which nothing more is to be said. */
export interface Passed {
  readonly destinations: number
  readonly requests: number
}

/** The smallest set of changes under which everything in the log that may be let out is let out. */
export interface Suggestion {
  readonly features: readonly FeatureChange[]
  readonly names: readonly NameChange[]
  readonly rules: readonly RuleChange[]
  /** What stays refused, and why or what to do instead. */
  readonly left: readonly Left[]
  /** The config allows these by now. */
  readonly allowedNow: Passed
  /** Asked for more rarely than wanted. */
  readonly belowMinimum: Passed
  /** Refused by quiet deny rules: expected. */
  readonly quiet: Passed
}

export interface SuggestOptions {
  readonly sources: PolicySources
  readonly shared: SharedSuffixes
  /** Destinations that were refused fewer times are left out. */
  readonly minCount: number
}

/** A storage account may need its feature first and its name then; more steps there are not. */
const ROUNDS_MAX = 4

/**
 * Pure: from what was refused to what would let it out. Each destination is judged anew by the config as it is now, so that what
 * was allowed meanwhile is not suggested again, and each step by the config that the step before has made. Features and names come
 * first, since one of them reaches many destinations and is documented; rules are for what is left, for exactly the hosts and ports
 * asked for.
 */
export function suggest(found: readonly DeniedDestination[], { sources, shared, minCount }: SuggestOptions): Suggestion {
  const wanted = found.filter(({ evidence }) => evidence.count >= minCount)
  const before = compiled(sources)
  const open = wanted.filter((one) => isRefused(before, one))
  const steps = new Steps(sources)
  for (let round = 0; round < ROUNDS_MAX && steps.take(open); round++);
  const { policy } = steps
  const rest = open.filter((one) => isRefused(policy, one))
  const { rules, unsuited } = ruleChanges(policy, rest, shared)
  const standing = [...wanted.filter((one) => !open.includes(one)), ...unsuited]
  const left = standing.flatMap((one) => whyLeft(policy, one) ?? [])
  const told = new Set(left.map(({ destination }) => destination))
  const quiet = standing.filter((one) => quietRule(policy, one) !== undefined)
  return {
    ...steps.changes(),
    rules,
    left,
    allowedNow: passed(standing.filter((one) => !told.has(one) && !quiet.includes(one))),
    belowMinimum: passed(found.filter(({ evidence }) => evidence.count < minCount)),
    quiet: passed(quiet),
  }
}

/** Switches and names, taken one round after another. */
class Steps {
  readonly #sources: PolicySources
  #config: Config
  policy: Policy
  readonly #taken: { readonly change: Switch; readonly because: Reached[] }[] = []

  constructor(sources: PolicySources) {
    this.#sources = sources
    this.#config = sources.config
    this.policy = compiled(sources)
  }

  /** Whether there was a step to take. */
  take(open: readonly DeniedDestination[]): boolean {
    const still = open.filter((one) => isRefused(this.policy, one))
    const needed = neededSwitches(this.policy, still)
    for (const { change, destinations } of needed) {
      this.#config = applied(this.#config, change)
      const because = destinations.map(({ host, port, evidence }) => ({ target: formatAuthority({ host, port }), evidence }))
      this.#taken.push({ change, because })
    }
    if (needed.length > 0) this.policy = compiled({ ...this.#sources, config: this.#config })
    return needed.length > 0
  }

  changes(): Pick<Suggestion, 'features' | 'names'> {
    const features: FeatureChange[] = []
    const names: NameChange[] = []
    for (const { change, because } of this.#taken) {
      if (change.kind === 'name') names.push({ setting: change.setting, name: change.name, because })
      else features.push(this.#feature(change.feature, because))
    }
    return { features, names }
  }

  #feature(feature: string, because: readonly Reached[]): FeatureChange {
    const entries = this.policy.entries.filter((entry) => entry.feature === feature)
    const { editions, config } = this.#sources
    const edition = editions.find(({ id, features }) => config.editions.includes(id) && feature in features)
    return {
      feature,
      summary: edition?.features[feature]?.summary ?? '',
      opens: [...new Set(entries.flatMap(({ patterns }) => patterns.map(formatPattern)))],
      multiTenant: entries.some(({ tenancy }) => tenancy === 'any'),
      because,
    }
  }
}

function applied(config: Config, change: Switch): Config {
  if (change.kind === 'feature') return { ...config, features: { ...config.features, [change.feature]: true } }
  const { workspace } = config
  return { ...config, workspace: { ...workspace, [change.setting]: [...workspace[change.setting], change.name] } }
}

function compiled(sources: PolicySources): Policy {
  const result = compilePolicy(sources)
  if (result.ok) return result.value.policy
  throw new Error(`a suggested change does not compile: ${result.error.map(({ message }) => message).join('; ')}`)
}

/** Refused for what the config does not list. A destination with path rules counts where one of its requests is refused. */
function isRefused(policy: Policy, { host, port, requests }: DeniedDestination): boolean {
  const decision = decide(policy, { host, port })
  if (decision.verdict === 'deny') return decision.reason !== 'denied_by_rule'
  if (decision.verdict === 'allow') return false
  return requests.some((http) => decide(policy, { host, port, http }).verdict === 'deny')
}

function quietRule(policy: Policy, { host, port }: DeniedDestination): Entry | undefined {
  const decision = decide(policy, { host, port })
  return decision.verdict === 'deny' && decision.entry?.quiet ? decision.entry : undefined
}

function passed(destinations: readonly DeniedDestination[]): Passed {
  return {
    destinations: destinations.length,
    requests: destinations.reduce((sum, { evidence }) => sum + evidence.count, 0),
  }
}
