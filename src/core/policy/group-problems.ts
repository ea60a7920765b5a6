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
    found.push(problem(path, `\`${name}\` does not say who is in it; give it \`sources\`, \`users\` or \`certificates\``))
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
    const path = ['groups', name, ...(group.sources === undefined ? [] : ['sources'])]
    const own = group.sources ?? clients.allow
    if (!own.cidrs.some((cidr) => meets(clients.allow, cidr)))
      return [warning(path, `nobody can be in \`${name}\`: none of its \`sources\` is in \`clients.allow\``)]
    const earlier = all
      .slice(0, index)
      .find(
        ([, one]) =>
          one.users === undefined && one.certificates === undefined && own.cidrs.every((cidr) => covers(one.sources, cidr)),
      )
    if (earlier === undefined) return []
    return [
      warning(path, `nobody can be in \`${name}\`: whoever is has been in \`${earlier[0]}\` already, which stands before it`),
    ]
  })
}

function covers(set: CidrSet | undefined, cidr: Cidr): boolean {
  if (set === undefined) return true
  return set.cidrs.some((wide) => wide.prefixLength <= cidr.prefixLength && CidrSet.of([wide]).contains(cidr.network))
}

function meets(set: CidrSet, cidr: Cidr): boolean {
  return covers(set, cidr) || set.cidrs.some((narrow) => covers(CidrSet.of([cidr]), narrow))
}
