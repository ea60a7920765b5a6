import type { Decision } from './decide.ts'
import { defaultProtocol, type Entry, type Protocol } from './entry.ts'
import { type Reason, reasonSpec } from './reasons.ts'

export const MODES = ['enforce', 'report'] as const
export type Mode = (typeof MODES)[number]

export interface Denial {
  readonly reason: Reason
  /** The entry that refuses or that came nearest. */
  readonly entry?: Entry
  /** What exactly was wrong, for the log and the operator. */
  readonly detail?: string
  /** The parent proxy, or proxies, that it failed with, and the status that one answered. */
  readonly parent?: { readonly label: string; readonly answered?: number }
  /** Name of the hook that refuses it, or failed. */
  readonly hook?: string
  /** That hook's own words, unbounded and unescaped. */
  readonly message?: string
}

/** What happens to the request: a decision after the mode, and after what this gateway is able to do. */
export type Ruling =
  | {
      readonly verdict: 'allow'
      readonly entry?: Entry
      readonly protocol: Protocol
      /** The opening is not judged by name: an entry lists the address itself. */
      readonly byAddress?: true
      /** Requests inside have to be judged one by one. */
      readonly inspect: boolean
      /** Report mode let it through; in enforce mode this would have refused it. */
      readonly wouldDeny?: Denial
    }
  | ({ readonly verdict: 'deny' } & Denial)

export interface Circumstances {
  readonly mode: Mode
  readonly port: number
  /** Whether TLS can be ended for the host here. Plain HTTP is always in sight. */
  readonly inspectionAvailable: boolean
}

/** Whether report mode lets a request pass in spite of the reason. */
export function letsThrough(reason: Reason, mode: Mode): boolean {
  const { report } = reasonSpec(reason)
  return mode === 'report' && (report === 'through' || report === 'gateway')
}

/** Pure and total, by the reasons' own table and nothing else. */
export function enforce(decision: Decision, { mode, port, inspectionAvailable }: Circumstances): Ruling {
  switch (decision.verdict) {
    case 'allow': {
      const { entry, protocol, byAddress } = decision
      return { verdict: 'allow', entry, protocol, ...(byAddress && { byAddress }), inspect: false, ...reportedAs(decision) }
    }
    case 'inspect': {
      const { entry, protocol } = decision
      if (protocol === 'http' || inspectionAvailable)
        return { verdict: 'allow', entry, protocol, inspect: true, ...reportedAs(decision) }
      const denial: Denial = { reason: 'inspection_unavailable', entry: decision.awaiting ?? entry }
      if (letsThrough(denial.reason, mode)) return { verdict: 'allow', entry, protocol, inspect: false, wouldDeny: denial }
      return { verdict: 'deny', ...denial }
    }
    case 'deny': {
      const { verdict: _, reported: __, ...denial } = decision
      if (letsThrough(denial.reason, mode)) {
        return { verdict: 'allow', protocol: defaultProtocol(port), inspect: false, wouldDeny: denial }
      }
      return { verdict: 'deny', ...denial }
    }
  }
}

function reportedAs({ reported }: Decision): { wouldDeny?: Denial } {
  return reported === undefined ? {} : { wouldDeny: { reason: 'denied_by_rule', entry: reported } }
}
