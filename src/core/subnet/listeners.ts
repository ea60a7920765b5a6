import type { Config } from '../config.ts'
import { type SubnetPlan, TRANSPARENT_KINDS } from './plan.ts'

/** The transparent listeners of a config; none where it has none. */
export function transparentListeners({ listen: { transparent } }: Config): SubnetPlan['listeners'] {
  return Object.fromEntries(
    TRANSPARENT_KINDS.flatMap((kind) => {
      const listener = transparent[kind]
      if (listener === undefined) return []
      const { address, port, proxyProtocol } = listener
      return [[kind, { at: { address, port }, proxies: proxyProtocol?.from.cidrs ?? [] }]]
    }),
  )
}
