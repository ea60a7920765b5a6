import type { GroupSettings } from '../config/groups.ts'
import type { Config } from '../config.ts'
import type { Edition } from './catalogue.ts'
import { wantsForStorage } from './managed-storage.ts'

/** The config as it is for a group, as far as features go. */
export function withGroupFeatures(config: Config, { features }: Pick<GroupSettings, 'features'>): Config {
  return { ...config, features: { ...config.features, ...features } }
}

/** Whether a feature of an edition is on. */
export type FeatureSwitch = (edition: string, feature: string) => boolean

/**
 * What `features` says; else on where a setting of `workspace` asks for it (`keyVaults` names a vault, `managedStorage: names`);
 * else as the edition has it.
 */
export function featureSwitch(config: Config, editions: readonly Edition[]): FeatureSwitch {
  const byId = new Map(editions.map((edition) => [edition.id, edition]))
  return (edition, feature) => {
    const found = byId.get(edition)?.features[feature]
    if (found === undefined) return false
    const named = found.namedBy !== undefined && config.workspace[found.namedBy].length > 0
    return config.features[feature] ?? (named || wantsForStorage(config, feature) || found.default)
  }
}
