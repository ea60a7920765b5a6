import { z } from '../schema.ts'
import type { Explanation } from './explain.ts'
import { REASONS, type Reason } from './reasons.ts'

/** A policy as code wants tests: what a request is, and what is expected to become of it. */

const REASON_CODES = Object.keys(REASONS) as [Reason, ...Reason[]]

export const policyCaseSchema = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  host: z.string().min(1),
  port: z.int().min(1).max(65535).default(443),
  /** With one, a whole request is asked about, and not a CONNECT alone. */
  path: z.string().startsWith('/').optional(),
  method: z
    .string()
    .regex(/^[A-Z][A-Z-]*$/, 'a method is written in capitals')
    .optional(),
  client: z.string().optional(),
  expect: z.enum(['allow', 'inspect', 'deny']),
  entry: z.string().optional(),
  reason: z.enum(REASON_CODES).optional(),
})
export type PolicyCase = z.output<typeof policyCaseSchema>

export const policyCasesSchema = z.strictObject({ cases: z.array(policyCaseSchema).min(1) })

/** What differs from what was expected, in words; empty where nothing does. */
export function disagreements(expected: PolicyCase, { verdict, entry, reason }: Explanation): readonly string[] {
  // With the path known, inspected means looked into and let through.
  const isExpected =
    verdict === expected.expect || (expected.expect === 'allow' && verdict === 'inspect' && expected.path !== undefined)
  const found = `${verdict}${reason === undefined ? '' : ` (${reason})`}${entry === undefined ? '' : ` by \`${entry.id}\``}`
  return [
    ...(isExpected ? [] : [`expected ${expected.expect}, found ${found}`]),
    ...(isExpected && expected.entry !== undefined && entry?.id !== expected.entry
      ? [`expected \`${expected.entry}\` to be named, found ${entry === undefined ? 'no entry' : `\`${entry.id}\``}`]
      : []),
    ...(isExpected && expected.reason !== undefined && reason !== expected.reason
      ? [`expected ${expected.reason}, found ${reason ?? 'no reason'}`]
      : []),
  ]
}
