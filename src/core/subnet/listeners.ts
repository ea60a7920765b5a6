import type { Config } from '../config.ts'
import type { ListenAddress } from '../listen-address.ts'
import type { CidrSet } from '../names/cidr.ts'
import { type SubnetPlan, TRANSPARENT_KINDS, type TransparentKind } from './plan.ts'

type Configured = Partial<Record<TransparentKind, ListenAddress & { readonly proxyProtocol?: { readonly from: CidrSet } }>>

/** The transparent listeners of a config; none where it has none. */
export function transparentListeners({ listen }: Config): SubnetPlan['listeners'] {
  const { transparent = {} } = listen as Config['listen'] & { readonly transparent?: Configured }
  return Object.fromEntries(
    TRANSPARENT_KINDS.flatMap((kind) => {
      const at = transparent[kind]
      return at === undefined
        ? []
        : [[kind, { at: { address: at.address, port: at.port }, proxies: at.proxyProtocol?.from.cidrs ?? [] }]]
    }),
  )
}
