import type { Config } from '../config.ts'
import type { Edition } from './catalogue.ts'

/** Whether a feature of an edition is on. */
export type FeatureSwitch = (edition: string, feature: string) => boolean

export function featureSwitch(config: Config, editions: readonly Edition[]): FeatureSwitch {
  const byId = new Map(editions.map((edition) => [edition.id, edition]))
  return (edition, feature) => {
    const standard = byId.get(edition)?.features[feature]?.default
    return standard !== undefined && (config.features[feature] ?? standard)
  }
}
