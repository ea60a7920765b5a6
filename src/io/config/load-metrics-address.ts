import { listen } from '../../core/config/listen.ts'
import type { ListenAddress } from '../../core/listen-address.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { z } from '../../core/schema.ts'
import { readNow } from '../file-reads.ts'
import type { LocatedProblem } from './located-problem.ts'
import { readSource } from './read-source.ts'

// A section alone, in a file of its own: a health check runs every few seconds, and the whole schema takes longer to make than
// the answer to come.
const schema = z.strictObject({ listen })

/**
 * The metrics listener alone, whatever else is wrong with the file: a gateway keeps running on its last good policy while the
 * file on disk is broken, and must not be called unhealthy for that.
 */
export async function loadMetricsAddress(file: string): Promise<Result<ListenAddress, readonly LocatedProblem[]>> {
  const read = await readSource(file, readNow)
  if (!read.ok) return read
  const { source } = read.value
  const metrics = child(child(source.value, 'listen'), 'metrics')
  const parsed = schema.safeParse({ listen: metrics === undefined ? {} : { metrics } }, { reportInput: true })
  if (parsed.success) return ok(parsed.data.listen.metrics)
  const { schemaProblems } = await import('./schema-problems.ts')
  const problems = schemaProblems(parsed.error.issues, source.written)
  return err(problems.map(({ severity, path, at, message }) => ({ file, place: source.locate(path, at), severity, message })))
}

function child(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined
}
