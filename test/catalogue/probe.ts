/** A short notation for tables of near misses. */

import type { Cloud } from './doc-2021.ts'
import type { NearMiss } from './near-misses.ts'

type Probe = Omit<NearMiss, 'cloud' | 'pattern'>

const probe =
  (verdict: NearMiss['verdict']) =>
  (target: string, because: string, more: Pick<NearMiss, 'path' | 'features'> = {}): Probe => {
    const [host = '', port] = target.split(':')
    return { host, ...(port === undefined ? {} : { port: Number(port) }), verdict, because, ...more }
  }

/** `allow('host[:port]', because)`: goes through. */
export const allow = probe('allow')
/** `inspect('host[:port]', because)`: only a path can tell. */
export const inspect = probe('inspect')
/** `deny('host[:port]', because)`: refused. */
export const deny = probe('deny')

/** Names the pattern that the probes are about. */
export function about(cloud: Cloud, pattern: string, ...probes: readonly Probe[]): readonly NearMiss[] {
  return probes.map((one) => ({ cloud, pattern, ...one }))
}
