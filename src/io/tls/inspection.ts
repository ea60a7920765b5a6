import { readFile } from 'node:fs/promises'
import type { SecureContext } from 'node:tls'
import type { Config } from '../../core/config.ts'
import type { Host } from '../../core/names/authority.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { type CaProblem, type CertificateAuthority, loadCertificateAuthority } from './certificate-authority.ts'
import { ContextCache, type ContextCacheOptions } from './context-cache.ts'
import { originTrust } from './origin-trust.ts'

/** What is read from files: the CA that clients are to believe, and the roots that origins are believed by. */
export interface InspectionMaterial {
  readonly authority: CertificateAuthority
  readonly originTrust: SecureContext
}

/** What it takes to look inside TLS. */
export class Inspection {
  readonly authority: CertificateAuthority
  readonly originTrust: SecureContext
  readonly contexts: ContextCache

  constructor({ authority, originTrust }: InspectionMaterial, cache: Omit<ContextCacheOptions, 'authority'>) {
    this.authority = authority
    this.originTrust = originTrust
    this.contexts = new ContextCache({ ...cache, authority })
  }

  /** Whether clients that trust the CA would believe a certificate for the host, now. */
  permits(host: Host): boolean {
    return this.authority.permits(host) && this.authority.problemAt(new Date()) === undefined
  }
}

/** Reads the CA and the roots, or says why there is no inspection. */
export async function loadInspection(
  { caCertificate, caKey, upstreamCa }: Config['inspection'],
  reads: FileReads = readNow,
): Promise<Result<InspectionMaterial, CaProblem>> {
  const authority = await loadCertificateAuthority({ caCertificate, caKey }, new Date(), reads)
  if (!authority.ok) return authority
  const trust = await loadOriginTrust(upstreamCa, reads)
  return trust.ok ? ok({ authority: authority.value, originTrust: trust.value }) : trust
}

/** Reads the roots that origins are believed by: the system's, and the files of `inspection.upstreamCa`. */
export async function loadOriginTrust(
  upstreamCa: readonly string[],
  reads: FileReads = readNow,
): Promise<Result<SecureContext, CaProblem>> {
  const extra: string[] = []
  for (const file of upstreamCa) {
    const pem = await reads(file, () => readUpstreamCa(file))
    if (!pem.ok) return pem
    extra.push(pem.value)
  }
  try {
    return ok(originTrust(extra))
  } catch {
    return err({ code: 'unreadable', message: '`inspection.upstreamCa` names a file that is not a PEM certificate' })
  }
}

async function readUpstreamCa(file: string): Promise<Result<string, CaProblem>> {
  try {
    return ok(await readFile(file, 'utf8'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return err({ code: 'unreadable', message: `cannot read \`${file}\` of \`inspection.upstreamCa\` (${code})` })
  }
}
