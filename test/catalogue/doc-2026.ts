import type { Cloud } from './doc-2021.ts'
import { AKS_2026 } from './doc-2026-aks.ts'
import { FIREWALL_2026 } from './doc-2026-firewall.ts'
import { MONITOR_2026 } from './doc-2026-monitor.ts'

/**
 * What the pages behind edition 2026-03-19 state, row by row: the yardstick for `config/catalogue/2026-03-19`. Kept apart from the
 * catalogue so that a row lost there is missed here.
 */

/** A section of a page: the page as edition.yaml names it, the heading, and lines of `cloud | host | protocol | ports`. */
export type StatedBlock = readonly [page: string, section: string, rows: string]

export interface Statement {
  readonly page: string
  readonly section: string
  /** `all` where the page does not split the row per cloud. */
  readonly cloud: Cloud | 'all'
  /** As the page spells it. */
  readonly host: string
  readonly protocol: string
  readonly ports: string
}

export const DOC_2026: readonly Statement[] = [...FIREWALL_2026, ...AKS_2026, ...MONITOR_2026].flatMap(([page, section, rows]) =>
  rows
    .trim()
    .split('\n')
    .map((line) => {
      const [cloud = '', host = '', protocol = '', ports = ''] = line.split('|').map((cell) => cell.trim())
      return { page, section, cloud: cloud as Statement['cloud'], host, protocol, ports }
    }),
)
