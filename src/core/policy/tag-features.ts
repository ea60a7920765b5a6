import type { AzureFacts } from '../azure/facts.ts'
import type { Config } from '../config.ts'
import type { Problem } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import { featureMeant } from './tag-rows.ts'

type Switches = Readonly<Record<string, boolean>>

/** What each key of a `features` means: those of service tags by their own names, however the config spells them. */
function featuresMeant(
  features: Switches,
  editions: readonly Edition[],
  facts: AzureFacts,
): readonly (readonly [string, string])[] {
  const known = editions.flatMap((edition) => Object.keys(edition.features))
  return Object.keys(features).map((key) => [key, featureMeant(key, known, facts)])
}

export function withFeaturesMeant(config: Config, editions: readonly Edition[], facts: AzureFacts): Config {
  const meant = (features: Switches) =>
    Object.fromEntries(featuresMeant(features, editions, facts).map(([key, name]) => [name, features[key] ?? false]))
  const groups = Object.entries(config.groups).map(
    ([name, group]) => [name, { ...group, features: meant(group.features) }] as const,
  )
  return { ...config, features: meant(config.features), groups: Object.fromEntries(groups) }
}

/** A problem with a feature is told at the key as it stands in the file. */
export function placedAsWritten(config: Config, editions: readonly Edition[], facts: AzureFacts): (problem: Problem) => Problem {
  const written = (features: Switches) => new Map(featuresMeant(features, editions, facts).map(([key, name]) => [name, key]))
  const top = written(config.features)
  const groups = new Map(Object.entries(config.groups).map(([name, { features }]) => [name, written(features)]))
  return (problem) => {
    const [section, name, part] = problem.path
    const at = section === 'features' ? 1 : 3
    const keys = section === 'features' ? top : section === 'groups' && part === 'features' ? groups.get(String(name)) : undefined
    const key = keys?.get(String(problem.path[at]))
    return key === undefined ? problem : { ...problem, path: problem.path.with(at, key) }
  }
}
