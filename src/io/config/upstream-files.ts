import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Config } from '../../core/config.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import { originTrust } from '../tls/origin-trust.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'
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
  // The same as `inspection.upstreamCa` has it recorded: one file may be both.
  const read = await reads(ca, () => readPem(ca))
  if (!read.ok) return err(read.error.message)
  const notPem = err(`\`${ca}\` is not a file of PEM certificates`)
  const certificates = read.value.match(PEM_CERTIFICATE) ?? []
  // Node takes a text without any certificate, or with broken ones, for an empty list.
  if (certificates.length === 0) return notPem
  try {
    for (const certificate of certificates) new X509Certificate(certificate)
    return ok(createSecureContext({ ca: certificates, minVersion: 'TLSv1.2' }))
  } catch {
    return notPem
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

async function readPem(file: string): Promise<Result<string, { readonly code: 'unreadable'; readonly message: string }>> {
  try {
    return ok(await readFile(file, 'utf8'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return err({ code: 'unreadable', message: `cannot read \`${file}\` (${code})` })
  }
}
