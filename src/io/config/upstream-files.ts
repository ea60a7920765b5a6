import { createSecureContext, type SecureContext } from 'node:tls'
import type { Config } from '../../core/config.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import type { UpstreamWay } from '../proxy/parents.ts'
import { originTrust } from '../tls/origin-trust.ts'
import { readText } from './read-file.ts'
import { readCredentials } from './secret-file.ts'

interface ReadUpstream {
  readonly ways: readonly UpstreamWay[]
  readonly warnings: readonly Problem[]
}

/** Reads what parents are given and believed by, or tells everything that is wrong with those files. */
export async function readUpstream(
  sections: Config['upstream'],
  reads: FileReads,
): Promise<Result<ReadUpstream, readonly Problem[]>> {
  const ways: UpstreamWay[] = []
  const warnings: Problem[] = []
  const problems: Problem[] = []
  for (const [index, section] of sections.entries()) {
    const { passwordFile, ca } = section
    const credentials = passwordFile === undefined ? ok(undefined) : await readCredentials(passwordFile, reads)
    const trust = await readTrust(section, ca, reads)
    if (!credentials.ok) problems.push(problem(['upstream', index, 'passwordFile'], credentials.error))
    if (!trust.ok) problems.push(problem(['upstream', index, 'ca'], trust.error))
    if (!credentials.ok || !trust.ok) continue
    const secret = credentials.value
    if (secret?.exposure !== undefined) warnings.push(warning(['upstream', index, 'passwordFile'], secret.exposure))
    ways.push({
      ...section,
      authorization: secret && `Basic ${Buffer.from(secret.secret, 'utf8').toString('base64')}`,
      trust: trust.value,
    })
  }
  return problems.length > 0 ? err(problems) : ok({ ways, warnings })
}

/** Undefined where no parent is spoken to in TLS. */
async function readTrust(
  { proxy }: Config['upstream'][number],
  ca: string | undefined,
  reads: FileReads,
): Promise<Result<SecureContext | undefined, string>> {
  if (!proxy.some(({ scheme }) => scheme === 'https')) return ok(undefined)
  if (ca === undefined) return ok(originTrust([]))
  const read = await reads(ca, () => readText(ca))
  if (!read.ok) return err(`\`${ca}\`: ${read.error.message}`)
  const notPem = err(`\`${ca}\` is not a file of PEM certificates`)
  // Node takes a text without any certificate for an empty list.
  if (!read.value.text.includes('-----BEGIN CERTIFICATE-----')) return notPem
  try {
    return ok(createSecureContext({ ca: read.value.text, minVersion: 'TLSv1.2' }))
  } catch {
    return notPem
  }
}
