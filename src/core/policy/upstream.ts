import type { Authority, Host } from '../names/authority.ts'
import { type HostPattern, hostPatternMatches } from './host-pattern.ts'
import type { Policy } from './policy.ts'

/** A proxy that requests go on through, instead of being dialled here. */
export interface Parent extends Authority {
  /** As it is named everywhere: `http://parent.example:3128`. */
  readonly label: string
  /** Whether the way to the parent itself is TLS. */
  readonly scheme: 'http' | 'https'
}

/** One section of `upstream`: which hosts go through which parents. */
export interface UpstreamSection {
  /** Absent: every host. */
  readonly match?: readonly HostPattern[] | undefined
  /** Hosts that match and are dialled directly all the same. */
  readonly noProxy: readonly HostPattern[]
  /** In the order in which they are tried. */
  readonly proxy: readonly Parent[]
}

/**
 * The section whose parents a host goes through; undefined where it is dialled directly. The first section that matches decides,
 * also where its `noProxy` says that the host is dialled directly: a later one is not asked. A pinned name is always dialled directly,
 * since a pin is an address to dial and a parent would look the name up.
 */
export function chooseUpstream<Section extends UpstreamSection>(
  sections: readonly Section[],
  { pins }: Pick<Policy, 'pins'>,
  host: Host,
): Section | undefined {
  if (sections.length === 0 || (host.kind === 'name' && pins.has(host.name))) return undefined
  const covers = (patterns: readonly HostPattern[]) => patterns.some((pattern) => hostPatternMatches(pattern, host))
  const section = sections.find(({ match }) => match === undefined || covers(match))
  return section === undefined || covers(section.noProxy) ? undefined : section
}
