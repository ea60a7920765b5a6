import { configSchema } from '../../../src/core/config.ts'
import { parseListenAddress } from '../../../src/core/listen-address.ts'
import { parseCidr } from '../../../src/core/names/cidr.ts'
import { type SubnetPlan, subnetPlan } from '../../../src/core/subnet/plan.ts'
import { unwrap } from '../../support/policy.ts'

/** Plans that several tests make rules of. */

export interface PlanInput {
  readonly subnet: object
  readonly listeners?: Readonly<Partial<Record<'tls' | 'http' | 'tcp', string>>>
  /** Of a load balancer that speaks the PROXY protocol to all of them. */
  readonly proxies?: readonly string[]
  /** The ranges of an exception's service tags, by its name. */
  readonly tagged?: Readonly<Record<string, readonly string[]>>
}

export const ALL_LISTENERS = { tls: '0.0.0.0:3443', http: '0.0.0.0:3080', tcp: '0.0.0.0:3333' } as const
export const DUAL_LISTENERS = { tls: '[::]:3443', http: '[::]:3080', tcp: '[::]:3333' } as const

export function tryPlan({ subnet, listeners = ALL_LISTENERS, proxies = [], tagged = {} }: PlanInput) {
  const config = configSchema.parse({ subnet, clients: { allow: ['0.0.0.0/0', '::/0'] } })
  const at = Object.entries(listeners).map(([kind, text]) => [
    kind,
    { at: unwrap(parseListenAddress(text)), proxies: proxies.map((range) => unwrap(parseCidr(range))) },
  ])
  const ranges = Object.entries(tagged).map(([name, texts]) => [name, texts.map((text) => unwrap(parseCidr(text)))] as const)
  return subnetPlan(config, Object.fromEntries(at), new Map(ranges))
}

export function planOf(input: PlanInput): SubnetPlan {
  return unwrap(tryPlan(input))
}
