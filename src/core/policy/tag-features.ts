import type { AzureFacts } from '../azure/facts.ts'
import type { Config } from '../config.ts'
import type { Problem } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import { featureMeant } from './tag-rows.ts'

/** What each key of `features` means: those of service tags by their own names, however the config spells them. */
function featuresMeant(
  { features }: Config,
  editions: readonly Edition[],
  facts: AzureFacts,
): readonly (readonly [string, string])[] {
  const known = editions.flatMap((edition) => Object.keys(edition.features))
  return Object.keys(features).map((key) => [key, featureMeant(key, known, facts)])
}

export function withFeaturesMeant(config: Config, editions: readonly Edition[], facts: AzureFacts): Config {
  const meant = featuresMeant(config, editions, facts).map(([key, name]) => [name, config.features[key] ?? false])
  return { ...config, features: Object.fromEntries(meant) }
}

/** A problem with a feature is told at the key as it stands in the file. */
export function placedAsWritten(config: Config, editions: readonly Edition[], facts: AzureFacts): (problem: Problem) => Problem {
  const written = new Map(featuresMeant(config, editions, facts).map(([key, name]) => [name, key]))
  return (problem) => {
    const key = problem.path[0] === 'features' ? written.get(String(problem.path[1])) : undefined
    return key === undefined ? problem : { ...problem, path: ['features', key, ...problem.path.slice(2)] }
  }
}
