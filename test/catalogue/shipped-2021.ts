/**
 * The shipped YAML of edition 2021-07-29, read directly: these tests hold the data itself, not the code that compiles it.
 */

import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Cloud } from './doc-2021.ts'
import type { NearMiss } from './near-misses.ts'

/** One item of hosts.yaml; its first lines explain the fields. */
export interface Row {
  readonly id: string
  readonly feature: string
  readonly purpose: string
  readonly hosts: Readonly<Record<Cloud, readonly string[]>>
  readonly documented?: Readonly<Record<Cloud, string>>
  readonly ports?: readonly number[]
  readonly protocol?: string
  readonly paths?: readonly string[]
  readonly condition?: string
  readonly tenancy: string
  readonly note?: string
  readonly lines: readonly number[]
}

export interface Edition {
  readonly id: string
  readonly title: string
  readonly document: string
  readonly date: string
  readonly features: Readonly<Record<string, { readonly default: boolean; readonly summary: string }>>
}

/** One item of hints.yaml; its first lines explain the fields. */
export interface Hint {
  readonly id: string
  readonly hosts: readonly string[]
  readonly ports?: readonly number[]
  readonly say: string
  readonly remedy: { readonly kind: string; readonly name: string }
}

const config = (path: string): unknown => parse(readFileSync(new URL(`../../config/${path}`, import.meta.url), 'utf8'))

export const edition = config('catalogue/2021-07-29/edition.yaml') as Edition
export const rows = config('catalogue/2021-07-29/hosts.yaml') as readonly Row[]
export const hints = config('hints.yaml') as readonly Hint[]

/** The workspace that the near misses assume, in every cloud. */
export const WORKSPACE = {
  regions: ['eastus2'],
  storageAccounts: ['examplestore'],
  containerRegistries: ['exampleregistry'],
} as const

/** A row's pattern with the parameters of `WORKSPACE` filled in. */
export function filledIn(pattern: string): string {
  return pattern
    .replace('<storageAccount>', WORKSPACE.storageAccounts[0])
    .replace('<containerRegistry>', WORKSPACE.containerRegistries[0])
    .replace('<region>', WORKSPACE.regions[0])
}

/** The matching table of the design, read as plainly as possible; `host` is in normal form. */
export function covers(pattern: string, host: string): boolean {
  if (pattern.startsWith('*.')) return host.endsWith(pattern.slice(1)) && host.length >= pattern.length
  if (pattern.startsWith('*')) return host === pattern.slice(1) || host.endsWith(`.${pattern.slice(1)}`)
  return host === pattern
}

/** What `readPlainly` judges; port 443 where absent, features as the edition has them. */
type Request = Pick<NearMiss, 'cloud' | 'host' | 'port' | 'path' | 'features'>
type Verdict = NearMiss['verdict']

/** Rows that are on, and whose host and port cover the case. */
function rowsFor(one: Request): readonly Row[] {
  return rows.filter(
    ({ feature, hosts, ports }) =>
      (one.features?.[feature] ?? edition.features[feature]?.default) === true &&
      (ports ?? [80, 443]).includes(one.port ?? 443) &&
      hosts[one.cloud].some((pattern) => covers(filledIn(pattern), one.host)),
  )
}

/**
 * The verdict of the rows alone, with `WORKSPACE` filled in and no rules: a row without paths allows, a row with paths
 * asks for the path, and nothing matching is a denial.
 */
export function readPlainly(one: Request): Verdict {
  const found = rowsFor(one)
  if (found.some((row) => row.paths === undefined)) return 'allow'
  const paths = found.flatMap((row) => row.paths ?? [])
  if (paths.length === 0) return 'deny'
  const { path } = one
  if (path === undefined) return 'inspect'
  return paths.some((pattern) => path.startsWith(pattern.slice(0, -1))) ? 'allow' : 'deny'
}
