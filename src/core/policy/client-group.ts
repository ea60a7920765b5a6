import type { Limits } from '../config.ts'
import type { CidrSet } from '../names/cidr.ts'
import type { IpAddress } from '../names/ip.ts'
import { type CertificateNames, type CertificatePattern, matchingName } from './certificate-pattern.ts'
import type { EchSetting } from './judge-opening.ts'
import type { Policy } from './policy.ts'

/** A named set of clients with a policy of its own, compiled. */
export interface ClientGroup {
  readonly name: string
  /** Absent: wherever they come from. */
  readonly sources?: CidrSet
  /** Absent together with `certificates`: whoever comes from `sources`. */
  readonly users?: readonly string[]
  readonly certificates?: readonly CertificatePattern[]
  readonly policy: Policy
  /** The top-level ones, with its own in their place. */
  readonly limits: Limits
  /** It has a rate or a bound on tunnels of its own, so its clients are counted apart. */
  readonly isCountedApart: boolean
  readonly ech: EchSetting
  /** TLS is never ended for its clients. */
  readonly neverInspected: boolean
}

/** What is known of whoever asks. */
export interface ClientFacts {
  readonly address: IpAddress
  /** Names of a certificate that was verified; absent without one. */
  readonly certificate?: CertificateNames | undefined
  /** A user whose password was right; `unread` while nobody has looked, undefined where there is none. */
  readonly user: string | 'unread' | undefined
}

export type GroupMatch =
  | {
      readonly kind: 'group'
      readonly group: ClientGroup
      /** What proved it, for the audit log; absent where the address did. */
      readonly as?: string
    }
  | { readonly kind: 'none' }
  /** It hangs on the credentials, and nobody has looked at them. */
  | { readonly kind: 'ask' }

/** Of `users`: everybody whose password is right. */
export const ANY_USER = '*'

/**
 * The first group that the client belongs to. It belongs where its address is in `sources`, if the group says any, **and** where it has
 * shown one of the group's users or certificates, if the group says any.
 */
export function groupOf(groups: readonly ClientGroup[], { address, certificate, user }: ClientFacts): GroupMatch {
  for (const group of groups) {
    if (group.sources !== undefined && !group.sources.contains(address)) continue
    const { users, certificates } = group
    if (users === undefined && certificates === undefined) return { kind: 'group', group }
    const name = certificate && certificates && nameAmong(certificates, certificate)
    if (name !== undefined) return { kind: 'group', group, as: name }
    if (users === undefined) continue
    if (user === 'unread') return { kind: 'ask' }
    if (user !== undefined && (users.includes(user) || users.includes(ANY_USER))) return { kind: 'group', group, as: user }
  }
  return { kind: 'none' }
}

function nameAmong(patterns: readonly CertificatePattern[], names: CertificateNames): string | undefined {
  for (const pattern of patterns) {
    const name = matchingName(pattern, names)
    if (name !== undefined) return name
  }
  return undefined
}

/** What a client's tunnels and requests are counted under: its address, within its group where that has limits of its own. */
export function countedAs(group: ClientGroup | undefined, address: IpAddress): string {
  return group?.isCountedApart ? `${group.name} ${address.text}` : address.text
}
