import type { CidrSet } from '../names/cidr.ts'
import type { TargetPattern } from './host-pattern.ts'
import type { PathPattern } from './path-pattern.ts'

export const CLOUDS = ['public', 'government', 'china'] as const
export type Cloud = (typeof CLOUDS)[number]

/** Who can be reached through an entry: Microsoft alone, a resource the operator named, or every customer of that service. */
export const TENANCIES = ['microsoft', 'yours', 'any'] as const
export type Tenancy = (typeof TENANCIES)[number]

/** What a tunnel may carry: TLS for the host asked for, plain HTTP judged request by request, or anything at all. */
export const PROTOCOLS = ['tls', 'http', 'any'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** The document's "http, https". */
export const DEFAULT_PORTS: readonly number[] = [80, 443]

export interface Pattern {
  readonly host: TargetPattern
  readonly ports: readonly number[] | 'any'
  /** Absent: `http` on port 80, `tls` on every other. */
  readonly protocol?: Protocol
  /** Absent: every path. */
  readonly paths?: readonly PathPattern[]
  /** Absent: every method. */
  readonly methods?: readonly string[]
  /** TLS is ended at the gateway although nothing in the pattern needs it, so that Host is checked too. */
  readonly inspect?: 'always'
}

/** One catalogue row or one operator rule, parameters filled in. */
export interface Entry {
  /** `2021-07-29/python/pypi.org` or `rule/corp-git`. */
  readonly id: string
  readonly origin: 'catalogue' | 'rule'
  readonly action: 'allow' | 'deny'
  readonly patterns: readonly Pattern[]
  /** Catalogue rows have one. */
  readonly feature?: string
  readonly tenancy?: Tenancy
  readonly purpose?: string
  readonly condition?: string
  /** As the document states them: `http, https` or `TCP`. */
  readonly documentedProtocol?: string
  /** The document's own spelling where it differs from the patterns. */
  readonly documented?: string
  /** Our own remark on a catalogue row. */
  readonly note?: string
  /** Where the row stands: lines of the edition's document, or names of its pages; for a rule, nothing. */
  readonly source?: { readonly edition: string; readonly lines: readonly number[]; readonly documents?: readonly string[] }
  /** Ranges outside the public internet that its hosts may resolve into. */
  readonly destinations?: CidrSet
  /** Of a deny rule: it is only reported, not enforced. */
  readonly mode?: 'report'
  /** Of a deny rule: what it refuses is expected, and counted where no alert looks. */
  readonly quiet?: true
  /** Of a rule: the day, as in `2027-03-31`, after which it is overdue. It stays in force. */
  readonly expires?: string
  /** Of a rule: who answers for it, and where it was asked for. */
  readonly owner?: string
  readonly ticket?: string
}

export function defaultProtocol(port: number): Exclude<Protocol, 'any'> {
  return port === 80 ? 'http' : 'tls'
}

export function portMatches(pattern: Pattern, port: number): boolean {
  return pattern.ports === 'any' || pattern.ports.includes(port)
}

/** Whether TLS has to be ended for the pattern to be judged. */
export function needsSight(pattern: Pattern): boolean {
  return isConstrained(pattern) || pattern.inspect === 'always'
}

/** Whether a request's method or path must be seen before the pattern can be judged. */
export function isConstrained(pattern: Pattern): boolean {
  return pattern.paths !== undefined || pattern.methods !== undefined
}
