import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

/** Where a system program is, or undefined where it is not installed. */
export function program(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/**
 * A suite that needs system programs. Where one is missing the suite is skipped and says which; with `CI=true` it fails instead, so
 * that a test can't be lost silently where all of them are meant to run.
 *
 * @param names all of them are needed; the suite carries the name of the first
 */
export function describeWith(names: string | readonly string[], suite: () => void): void {
  const [first, ...others] = typeof names === 'string' ? [names] : names
  const missing = [first, ...others].filter((name) => name !== undefined && program(name) === undefined)
  if (missing.length === 0) return void describe(`${first}`, suite)
  const why = `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not installed`
  if (process.env['CI'] === 'true') {
    it(`${first}`, () => {
      throw new Error(`${why}, and with CI=true nothing is skipped`)
    })
  } else describe.skip(`${first} (skipped: ${why})`, suite)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
