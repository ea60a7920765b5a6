import type { GroupSettings } from '../config/groups.ts'
import type { Config } from '../config.ts'
import { type Cidr, CidrSet } from '../names/cidr.ts'
import { didYouMean, type Problem, problem, warning } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import { unknownFeatures } from './feature-names.ts'

/** Each has a policy, and a client walks through them one by one. */
const GROUPS_MAX = 100

/** What the schema cannot say of client groups: how they go together, and with rules, listeners and credentials. */
export function groupProblems(config: Config, editions: readonly Edition[]): Problem[] {
  const names = Object.keys(config.groups)
  if (names.length > GROUPS_MAX) return [problem(['groups'], `${names.length} groups are more than ${GROUPS_MAX}`)]
  return [
    ...checkRuleGroups(config, names),
    ...names.flatMap((name) => checkGroup(config, name, editions)),
    ...warnUnreachable(config),
  ]
}

function checkRuleGroups({ rules }: Config, names: readonly string[]): Problem[] {
  return rules.flatMap((rule, index) =>
    (rule.groups ?? []).flatMap((name, at) => {
      if (names.includes(name)) return []
      const nearest = didYouMean(name, names)
      const there = names.length === 0 ? 'there are none in `groups`' : `there is ${names.join(', ')}`
      const remedy = nearest === undefined ? there : `did you mean \`${nearest}\`?`
      return [problem(['rules', index, 'groups', at], `unknown group \`${name}\`; ${remedy}`)]
    }),
  )
}

function checkGroup(config: Config, name: string, editions: readonly Edition[]): Problem[] {
  const group = config.groups[name]
  if (group === undefined) return []
  const { sources, users, certificates } = group
  const path = ['groups', name]
  const found = unknownFeatures(group.features, editions, [...path, 'features'])
  if (sources === undefined && users === undefined && certificates === undefined) {
    const nobody = problem(path, `\`${name}\` does not say who is in it; give it \`sources\`, \`users\` or \`certificates\``)
    found.push({ ...nobody, at: 'key' })
  }
  if (users !== undefined && config.credentials.file === undefined) {
    found.push(problem([...path, 'users'], 'users are told by their passwords; name the file with them in `credentials.file`'))
  }
  if (certificates !== undefined && config.listen.proxy.tls?.clientCa === undefined) {
    found.push(
      problem(
        [...path, 'certificates'],
        'nobody is asked for a certificate; name the CA of the clients in `listen.proxy.tls.clientCa`',
      ),
    )
  }
  return found
}

/** Groups that no client can come to. */
function warnUnreachable({ groups, clients }: Config): Problem[] {
  const all = Object.entries(groups)
  return all.flatMap(([name, group], index): Problem[] => {
    const own = group.sources ?? clients.allow
    const warn = (because: string): Problem[] => {
      const found = warning(['groups', name], `nobody can be in \`${name}\`: ${because}`)
      return [{ ...found, at: 'key' }]
    }
    if (!own.cidrs.some((cidr) => meets(clients.allow, cidr))) return warn('none of its `sources` is in `clients.allow`')
    const earlier = all.slice(0, index).find(([, one]) => takesAll(one, own))
    return earlier === undefined ? [] : warn(`whoever could be is in \`${earlier[0]}\`, which stands before it`)
  })
}

/** Whether every client from these ranges is in the group, whoever it is. */
function takesAll({ sources, users, certificates }: GroupSettings, ranges: CidrSet): boolean {
  return (
    users === undefined &&
    certificates === undefined &&
    sources !== undefined &&
    ranges.cidrs.every((cidr) => covers(sources, cidr))
  )
}

function covers(set: CidrSet, cidr: Cidr): boolean {
  return set.cidrs.some((wide) => wide.prefixLength <= cidr.prefixLength && CidrSet.of([wide]).contains(cidr.network))
}

function meets(set: CidrSet, cidr: Cidr): boolean {
  return covers(set, cidr) || set.cidrs.some((narrow) => covers(CidrSet.of([cidr]), narrow))
}
