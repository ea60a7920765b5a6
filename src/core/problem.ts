/** Something wrong with the config, with the place in the file that it concerns. */
export interface Problem {
  readonly severity: 'error' | 'warning'
  /** Keys and indexes from the top of the file, `['rules', 0, 'hosts', 1]`. */
  readonly path: readonly (string | number)[]
  /** Whether the key itself is at fault (an unknown one) or its value. */
  readonly at: 'key' | 'value'
  /** Lower case, no full stop, with the remedy. */
  readonly message: string
}

export function problem(path: readonly (string | number)[], message: string): Problem {
  return { severity: 'error', path, at: 'value', message }
}

export function warning(path: readonly (string | number)[], message: string): Problem {
  return { severity: 'warning', path, at: 'value', message }
}

/** Each once: what is wrong for several reasons is told once. */
export function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((one) => [JSON.stringify([one.path, one.message]), one])).values()]
}

/** The candidate a mistyped word most likely meant, if one is near enough. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Levenshtein's distance, with a swap of neighbours counted once. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (before[j - 2] ?? 0) + 1)
      row.push(cost)
    }
    before = previous
    previous = row
  }
  return previous[b.length] ?? 0
}
