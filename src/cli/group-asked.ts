import type { IpAddress } from '../core/names/ip.ts'
import { quote } from '../core/names/quote.ts'
import { type ClientGroup, groupOf } from '../core/policy/client-group.ts'
import { didYouMean } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { LoadedConfig } from '../io/config/load.ts'

/** Whose policy is asked about: a group's, the one at the top, or nobody's, since the client would be asked for credentials. */
export type GroupAsked = ClientGroup | undefined | 'unknown_client'

export interface GroupOptions {
  readonly group?: string | undefined
  readonly user?: string | undefined
}

/** The group that is named, or that a client of this address and user is in. Without any of them it is the policy at the top. */
export function groupAsked(
  { group, user }: GroupOptions,
  client: IpAddress | undefined,
  { compiled, access, config }: LoadedConfig,
): Result<GroupAsked, string> {
  const { groups } = compiled.policy
  const { credentials } = access
  if (user !== undefined && credentials?.has(user) !== true) return err(`there is no user ${quote(user)} in \`credentials.file\``)
  if (group !== undefined) {
    if (user !== undefined) return err('ask with `--group` or with `--user`: a user decides what group it is')
    const found = groups.find(({ name }) => name === group)
    if (found !== undefined) return ok(found)
    const names = groups.map(({ name }) => name)
    const nearest = didYouMean(group, names)
    const there = names.length === 0 ? 'the config has none' : `there is ${names.join(', ')}`
    return err(`unknown group ${quote(group)}; ${nearest === undefined ? there : `did you mean \`${nearest}\`?`}`)
  }
  if (client === undefined && user === undefined) return ok(undefined)
  if (client === undefined) return err('a user comes from somewhere: say `--client IP` too')
  const match = groupOf(groups, { address: client, user })
  if (match.kind === 'group') return ok(match.group)
  return ok(credentials !== undefined && user === undefined && config.credentials.required ? 'unknown_client' : undefined)
}
