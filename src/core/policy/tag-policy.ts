import { type AzureFacts, tagMeant } from '../azure/facts.ts'
import type { ServiceTag, ServiceTags } from '../azure/tag-file.ts'
import type { Config, Rule } from '../config.ts'
import type { Cidr } from '../names/cidr.ts'
import { distinct, type Problem, problem, warning } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import type { Entry } from './entry.ts'
import { type FeatureSwitch, featureSwitch, withGroupFeatures } from './features.ts'
import { withFeaturesMeant } from './tag-features.ts'
import { type ResolvedTagRow, resolveTagRows, type TaggedEdition, tagEntry, widthOf } from './tag-rows.ts'

/** Facts for whoever compiles a policy without any: nothing is known then, and names are taken as they are. */
export const NO_FACTS: AzureFacts = {
  regions: [],
  tags: {
    clouds: {
      public: { named: 'Public', title: 'Azure public', page: '' },
      government: { named: 'AzureGovernment', title: 'Azure Government', page: '' },
      china: { named: 'China', title: 'Azure China 21Vianet', page: '' },
    },
    wrongNames: {},
    tenancy: {},
  },
}

/** Every tag that a config could ask for, by name in lower case: those that are on, those of rules, and those that hints are about. */
export function tagsNeeded(config: Config, editions: readonly TaggedEdition[], facts: AzureFacts): ReadonlySet<string> {
  const documented = editions.flatMap((edition) => resolveTagRows(edition, config, facts).flatMap(({ tags }) => tags))
  return new Set([...documented.map(({ name }) => name), ...tagsWritten(config, facts)].map((name) => name.toLowerCase()))
}

/** The tags of rules and of exceptions from subnet mode, as they are meant. */
function tagsWritten({ rules, subnet, cloud }: Config, facts: AzureFacts): readonly string[] {
  return [...rules, ...subnet.forward].flatMap(({ serviceTags = [] }) => serviceTags.map((tag) => tagMeant(facts, cloud, tag)))
}

/** The tags of the features that are on, for any client, of rules and of exceptions, as they are meant. */
export function tagsInUse(config: Config, editions: readonly Edition[], facts: AzureFacts): readonly string[] {
  const meant = withFeaturesMeant(config, editions, facts)
  const inForce = editions.filter(({ id }) => config.editions.includes(id))
  const all = [meant, ...Object.values(meant.groups).map((group) => withGroupFeatures(meant, group))]
  const switches = all.map((own) => featureSwitch(own, inForce))
  const isOn: FeatureSwitch = (edition, feature) => switches.some((one) => one(edition, feature))
  const documented = inForce.flatMap((edition) =>
    resolveTagRows(edition, meant, facts).flatMap(({ feature, tags }) =>
      isOn(edition.id, feature) ? tags.map(({ name }) => name) : [],
    ),
  )
  return [...new Set([...documented, ...tagsWritten(config, facts)])]
}

/** The service tags of one config: what they amount to, and everything that is wrong with them. */
export class TagPolicy {
  readonly #config: Config
  readonly #facts: AzureFacts
  readonly #tags: ServiceTags | undefined
  readonly #rows: readonly ResolvedTagRow[]
  readonly #isOn: FeatureSwitch

  /** @param tags absent without a file, and where the file has not been read because something else is wrong already */
  constructor(
    config: Config,
    editions: readonly TaggedEdition[],
    isOn: FeatureSwitch,
    facts: AzureFacts,
    tags: ServiceTags | undefined,
  ) {
    this.#config = config
    this.#facts = facts
    this.#tags = tags
    this.#isOn = isOn
    this.#rows = editions.flatMap((edition) => resolveTagRows(edition, config, facts))
  }

  /** The documented rows that are on. */
  entries(): Entry[] {
    return this.#on().flatMap((row) => this.#entryOf(row))
  }

  /** The documented rows that are off, for hints. */
  unlisted(): Entry[] {
    return this.#rows.filter(({ edition, feature }) => !this.#isOn(edition, feature)).flatMap((row) => this.#entryOf(row))
  }

  /** The tags of a rule. */
  ofRule({ serviceTags = [] }: Rule): ServiceTag[] {
    return serviceTags.flatMap((text) => this.#find(tagMeant(this.#facts, this.#config.cloud, text)))
  }

  /** The ranges of exceptions from subnet mode that have tags, by their name. */
  ofForwards(): ReadonlyMap<string, readonly Cidr[]> {
    return new Map(
      this.#config.subnet.forward.flatMap(({ name, serviceTags = [] }) => {
        if (serviceTags.length === 0) return []
        const tags = serviceTags.flatMap((text) => this.#find(tagMeant(this.#facts, this.#config.cloud, text)))
        return [[name, tags.flatMap(({ ranges }) => ranges.cidrs())] as const]
      }),
    )
  }

  problems(): Problem[] {
    const found = [...this.#ruleProblems(), ...this.#forwardProblems(), ...this.#on().flatMap((row) => this.#rowProblems(row))]
    // Two editions have the same tag, and a setting is wrong once.
    return distinct(found)
  }

  #on(): readonly ResolvedTagRow[] {
    return this.#rows.filter(({ edition, feature }) => this.#isOn(edition, feature))
  }

  #entryOf(row: ResolvedTagRow): Entry[] {
    const tags = row.tags.flatMap(({ name }) => this.#find(name))
    return tags.length === 0 ? [] : [tagEntry(row, tags)]
  }

  #find(name: string): ServiceTag[] {
    const found = this.#tags?.find(name)
    return found?.ok ? [found.value] : []
  }

  #ruleProblems(): Problem[] {
    return this.#config.rules.flatMap(({ name, serviceTags, action }, index) =>
      this.#writtenProblems(`rule/${name}`, serviceTags, ['rules', index, 'serviceTags'], action === 'allow'),
    )
  }

  #forwardProblems(): Problem[] {
    return this.#config.subnet.forward.flatMap(({ name, serviceTags }, index) =>
      this.#writtenProblems(name, serviceTags, ['subnet', 'forward', index, 'serviceTags'], true),
    )
  }

  /** @param allows whether the tags let something out, so that their width matters */
  #writtenProblems(
    what: string,
    serviceTags: readonly string[] = [],
    path: readonly (string | number)[],
    allows: boolean,
  ): Problem[] {
    if (serviceTags.length > 0 && this.#config.serviceTags.file === undefined)
      return [
        problem(
          path,
          `service tags are names without addresses: give \`serviceTags.file\` a file that has them, ${this.#source()}`,
        ),
      ]
    return serviceTags.flatMap((text, at) => {
      const meant = tagMeant(this.#facts, this.#config.cloud, text)
      const missing = this.#missing(meant, [...path, at])
      return missing.length > 0 || !allows ? missing : this.#width(what, [meant], [...path, at])
    })
  }

  #rowProblems({ row, id, feature, tags, waiting, blank }: ResolvedTagRow): Problem[] {
    const path = ['features', feature]
    if (blank)
      return [warning(path, `\`${id}\` allows nothing in \`cloud: ${this.#config.cloud}\`: the document does not have it there`)]
    if (row.unproxied !== undefined) {
      const { protocol = '', ports = [] } = row
      const where = [protocol, ...(ports === 'any' ? [] : [ports.join(', ')])].filter((part) => part !== '').join(' ')
      return [warning(path, `\`${id}\`${where === '' ? '' : ` (${where})`} is not carried by the gateway: ${row.unproxied}`)]
    }
    if (this.#config.serviceTags.file === undefined)
      return [
        warning(
          path,
          `\`${feature}\` allows nothing until \`serviceTags.file\` names a file with its addresses, ${this.#source()}`,
        ),
      ]
    if (waiting)
      return [warning(['workspace', 'regions'], `not allowed until \`workspace.regions\` names one: service tag ${row.tag}`)]
    const missing = tags.flatMap(({ name, path }) => this.#missing(name, path))
    return missing.length > 0
      ? missing
      : this.#width(
          feature,
          tags.map(({ name }) => name),
          path,
        )
  }

  #missing(name: string, path: readonly (string | number)[]): Problem[] {
    const found = this.#tags?.find(name)
    if (this.#tags === undefined || found === undefined || found.ok) return []
    const { change } = this.#tags.file
    const { file } = this.#config.serviceTags
    return [
      problem(
        path,
        `${found.error} in \`${file}\` (cloud ${this.#config.cloud}, change ${change}); newer files are at ${this.#page()}`,
      ),
    ]
  }

  #width(what: string, tags: readonly string[], path: readonly (string | number)[]): Problem[] {
    return tags.flatMap((tag) => {
      const why = widthOf(this.#facts, this.#config.cloud, tag)
      const found = this.#find(tag)[0]
      if (why === undefined || found === undefined) return []
      return [
        warning(
          path,
          `\`${what}\` is as wide as a network rule of Azure Firewall: all ${found.ranges.size} ranges of tag \`${found.name}\`, under any name (${why})`,
        ),
      ]
    })
  }

  #source(): string {
    return `from ${this.#page()} (cloud ${this.#config.cloud}) or \`az network list-service-tags -l REGION -o json\``
  }

  #page(): string {
    return this.#facts.tags.clouds[this.#config.cloud].page
  }
}
