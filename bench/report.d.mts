/** A run as `run.mjs` gathers it; what its parts are stands there. */
export interface Report {
  readonly facts: Readonly<Record<string, unknown>>
  readonly proxies: readonly object[]
  /** Rounds by case and by proxy. */
  readonly results: ReadonlyMap<string, ReadonlyMap<string, readonly { readonly value: number; readonly rate?: number }[]>>
  readonly latency: ReadonlyMap<string, readonly object[]>
  readonly memory: ReadonlyMap<string, object>
  readonly workers: readonly { readonly one: number; readonly two: number; readonly shares: readonly number[] }[]
  readonly decisions: string
  readonly left: readonly string[]
  readonly notes?: string
}

export function writeReport(report: Report): { readonly markdown: string; readonly svg: string; readonly summary: string }
