import type { Config, Rule } from '../config.ts'
import { didYouMean, type Problem, problem, warning } from '../problem.ts'
import { ANY_NAME, type Edition } from './catalogue.ts'
import { unknownFeatures } from './feature-names.ts'
import { groupProblems } from './group-problems.ts'

/** What the schema cannot say: how the parts of the config go together, and with the catalogue. */
export function configProblems(config: Config, known: readonly Edition[], inForce: readonly Edition[]): Problem[] {
  return [
    ...checkEditions(config, known),
    ...checkFeatures(config, inForce),
    ...checkWorkspace(config),
    ...checkRules(config.rules),
    ...groupProblems(config, inForce),
  ]
}

function checkEditions(config: Config, editions: readonly Edition[]): Problem[] {
  const ids = editions.map(({ id }) => id)
  return config.editions.flatMap((id, index) => {
    if (ids.includes(id)) return []
    const nearest = didYouMean(id, ids)
    return [
      problem(
        ['editions', index],
        `unknown edition \`${id}\`; ${nearest === undefined ? `there is ${ids.join(', ')}` : `did you mean \`${nearest}\`?`}`,
      ),
    ]
  })
}

function checkFeatures(config: Config, editions: readonly Edition[]): Problem[] {
  return unknownFeatures(config.features, editions, ['features'])
}

function checkWorkspace({ workspace }: Config): Problem[] {
  return (['storageAccounts', 'containerRegistries'] as const).flatMap((setting) => {
    const index = workspace[setting].indexOf(ANY_NAME)
    if (index < 0) return []
    if (!workspace.acknowledgeMultiTenant) {
      return [
        problem(
          ['workspace', setting, index],
          "`*` lets data out to anybody's account; name yours, or say `acknowledgeMultiTenant: true`",
        ),
      ]
    }
    return [warning(['workspace', setting, index], "`*` lets data out to anybody's account")]
  })
}

function checkRules(rules: readonly Rule[]): Problem[] {
  const seen = new Map<string, number>()
  return rules.flatMap((rule, index) => {
    const found: Problem[] = []
    const first = seen.get(rule.name)
    if (first === undefined) seen.set(rule.name, index)
    else
      found.push(problem(['rules', index, 'name'], `rule name \`${rule.name}\` is taken by rule ${first + 1}; names are unique`))
    for (const key of ['paths', 'methods', 'inspect'] as const) {
      if ((rule.addresses ?? rule.serviceTags) === undefined || rule[key] === undefined) continue
      const by = rule.addresses === undefined ? 'serviceTags' : 'addresses'
      found.push(
        problem(
          ['rules', index, key],
          `an address has no name to end TLS for, so \`${key}\` does not go with \`${by}\`; give the \`hosts\` a rule of their own`,
        ),
      )
    }
    if (rule.protocol === 'any' && (rule.paths ?? rule.methods) !== undefined) {
      found.push(
        problem(
          ['rules', index, 'protocol'],
          '`any` is not looked into, so `paths` and `methods` could not be judged; use `tls` or `http`',
        ),
      )
    }
    if (rule.inspect === 'always' && rule.protocol !== undefined && rule.protocol !== 'tls') {
      found.push(
        problem(
          ['rules', index, 'inspect'],
          `\`inspect: always\` ends TLS, and \`protocol: ${rule.protocol}\` carries none that is judged; leave one of them out`,
        ),
      )
    }
    if (rule.action === 'deny' && rule.inspect !== undefined) {
      found.push(problem(['rules', index, 'inspect'], 'a deny rule lets nothing through to be inspected; leave `inspect` out'))
    }
    if (rule.mode === 'report' && rule.action !== 'deny') {
      found.push(
        problem(
          ['rules', index, 'mode'],
          'only a deny rule has a mode of its own; for the whole gateway write `mode: report` at the top',
        ),
      )
    }
    if (rule.quiet === true && rule.action !== 'deny') {
      found.push(problem(['rules', index, 'quiet'], 'only a deny rule can be quiet; leave `quiet` out, or say `action: deny`'))
    }
    if (rule.action === 'deny' && rule.destinations !== undefined) {
      found.push(
        problem(['rules', index, 'destinations'], 'a deny rule dials nothing, so `destinations` has no meaning; leave it out'),
      )
    }
    if (rule.action === 'deny' && rule.protocol !== undefined) {
      found.push(problem(['rules', index, 'protocol'], 'a deny rule carries nothing, so `protocol` has no meaning; leave it out'))
    }
    return found
  })
}
