import type { Host } from '../names/authority.ts'
import type { EgressRequest } from './decide.ts'
import { portMatches } from './entry.ts'
import type { Hint, Unlisted } from './hints.ts'
import { formatHostPattern } from './host-pattern.ts'
import type { Policy } from './policy.ts'

/**
 * The smallest change first: what the edition has on and the config has off, a name, another edition. A feature that is off by
 * default opens more than one host, so that what is known of the host comes before it. Another cloud is no change one makes, but
 * says why.
 *
 * @param known what is said of the destination whatever the catalogue lists
 * @returns undefined where only a rule helps
 */
export function unlistedHint(policy: Policy, { host, port }: EgressRequest, known: Hint | undefined): Hint | undefined {
  const candidates = policy.unlisted.find(host).filter(({ pattern }) => portMatches(pattern, port))
  const first = (kind: Unlisted['remedy']['kind'], wanted: (candidate: Unlisted) => boolean = () => true) => {
    for (const candidate of candidates) {
      const { remedy } = candidate
      const hint = remedy.kind === kind && wanted(candidate) ? remedyHint(candidate, policy, host) : undefined
      if (hint !== undefined) return hint
    }
    return undefined
  }
  // A known destination that should not be opened is not offered with another cloud's or edition's list either.
  const barred = known?.remedy.kind === 'none'
  const inEdition = (wanted: (candidate: Unlisted) => boolean) =>
    barred ? undefined : first('edition', (candidate) => needsNoFeature(candidate) && wanted(candidate))
  const small =
    first('feature', isStandard) ??
    // A registry that an edition names in full is not to be taken for the operator's own.
    inEdition(({ pattern }) => pattern.host.kind === 'exact') ??
    first('workspace') ??
    inEdition(() => true)
  if (small !== undefined) return withKnown(small, known)
  if (known !== undefined && barred) return known
  const scenario = first('feature') ?? first('edition')
  if (scenario !== undefined) {
    if (known === undefined) return scenario
    return { text: `${known.text}; ${scenario.text}`, remedy: known.remedy }
  }
  const elsewhere = first('cloud')
  if (elsewhere !== undefined) return withKnown(elsewhere, known)
  return known
}

function isStandard({ remedy }: Unlisted): boolean {
  return remedy.kind === 'feature' && remedy.standard
}

function needsNoFeature({ remedy }: Unlisted): boolean {
  return remedy.kind === 'edition' && remedy.feature === undefined
}

/** A setting as it stands in the config for the clients that the policy is for. */
export function inGroup({ group }: Policy, setting: string): string {
  return group === undefined ? setting : `groups: { ${group}: { ${setting} } }`
}

function remedyHint({ entry, pattern, remedy }: Unlisted, policy: Policy, host: Host): Hint | undefined {
  switch (remedy.kind) {
    case 'feature': {
      const { kind, feature, standard } = remedy
      const change = `\`${inGroup(policy, `features: { ${feature}: true }`)}\``
      if (standard) {
        return { text: `feature \`${feature}\` is off; switch it on with ${change}`, remedy: { kind, name: feature } }
      }
      const opens = pattern.host.kind === 'exact' ? '' : `, which lists all of \`${formatHostPattern(pattern.host)}\``
      const paths = pattern.paths === undefined ? '' : `, for ${pattern.paths.map(({ text }) => `\`${text}\``).join(', ')} alone`
      return {
        text: `feature \`${feature}\` is off${opens}${paths}; switch it on with ${change}`,
        remedy: { kind, name: feature },
      }
    }
    case 'workspace': {
      const labels = host.text.split('.')
      const suffix = pattern.host.kind === 'under' ? pattern.host.suffix.split('.').length : labels.length
      const start = labels.length - suffix - remedy.parameters.length
      const at = remedy.parameters.findIndex(({ named }, index) => !named.includes(labels[start + index] ?? ''))
      const missing = remedy.parameters[at]
      const label = labels[start + at]
      if (missing === undefined || label === undefined) return undefined
      const { setting } = missing
      const change = setting === 'id' ? `set \`workspace.id\` to \`${label}\`` : `add \`${label}\` to \`workspace.${setting}\``
      return {
        text: `if it is yours, ${change}`,
        remedy: { kind: remedy.kind, name: setting },
      }
    }
    case 'edition': {
      const { kind, edition, feature } = remedy
      const more = feature === undefined ? '' : ` with \`features: { ${feature}: true }\``
      const where = entry.feature === undefined || feature === undefined ? '' : ` in feature \`${feature}\`, which is off`
      return { text: `edition ${edition} lists it${where}; add it to \`editions\`${more}`, remedy: { kind, name: edition } }
    }
    case 'cloud':
      return {
        text: `listed for \`cloud: ${remedy.cloud}\`, and this gateway serves \`cloud: ${policy.cloud}\``,
        remedy: { kind: remedy.kind, name: remedy.cloud },
      }
  }
}

function withKnown(hint: Hint, known: Hint | undefined): Hint {
  return known === undefined ? hint : { ...hint, text: `${hint.text}; ${known.text}` }
}
