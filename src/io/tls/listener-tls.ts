import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ListenerTlsSettings } from '../../core/config/listen.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { FileReads } from '../file-reads.ts'
import { readCertificatePem, readKeyPem } from './certificate-files.ts'
import { readRevocationLists } from './client-certificate.ts'

/** What a listener that speaks TLS has of its files. */
export interface ListenerTls {
  readonly context: SecureContextOptions
  /** Clients are asked for a certificate. */
  readonly asksForCertificates: boolean
  /** And refused without one. */
  readonly requiresCertificates: boolean
  /** Certificates that are revoked, by issuer and serial number. */
  readonly revoked: ReadonlySet<string>
  /** PEM: a certificate that was verified by other CAs than these proves nothing. */
  readonly clientCa: string | undefined
}

const PATH = ['listen', 'proxy', 'tls']

/** Reads the files and sees whether they go together. Errors are problems of the config, each at its key. */
export async function loadListenerTls(
  settings: ListenerTlsSettings,
  now: Date,
  reads: FileReads,
): Promise<Result<{ readonly tls: ListenerTls; readonly warnings: readonly Problem[] }, readonly Problem[]>> {
  const { certificate, key, clientCa, crl, clientCertificates } = settings
  const remedy = 'name a PEM file'
  const [cert, privateKey, ca, lists] = await Promise.all([
    readCertificatePem(certificate, remedy, reads),
    readKeyPem(key, remedy, reads),
    clientCa === undefined ? ok(undefined) : readCertificatePem(clientCa, remedy, reads),
    crl === undefined ? ok(undefined) : readCertificatePem(crl, remedy, reads),
  ])
  const named = [
    ['certificate', cert],
    ['key', privateKey],
    ['clientCa', ca],
    ['crl', lists],
  ] as const
  const unread = named.flatMap(([name, read]) => (read.ok ? [] : [problem([...PATH, name], read.error.message)]))
  if (!cert.ok || !privateKey.ok || !ca.ok || !lists.ok) return err(unread)
  const context: SecureContextOptions = {
    cert: cert.value,
    key: privateKey.value,
    minVersion: 'TLSv1.2',
    ...(ca.value === undefined ? {} : { ca: ca.value }),
    ...(lists.value === undefined ? {} : { crl: lists.value }),
  }
  const faults = faultsOf(settings, context)
  const revocations = lists.value === undefined ? ok([]) : readRevocationLists(lists.value)
  if (!revocations.ok) faults.push(problem([...PATH, 'crl'], `\`${crl}\`: ${revocations.error}`))
  if (faults.length > 0 || !revocations.ok) return err(faults)
  const outdated = revocations.value.filter(({ nextUpdate }) => nextUpdate !== undefined && nextUpdate < now)
  const { validTo } = new X509Certificate(cert.value)
  return ok({
    tls: {
      context,
      asksForCertificates: ca.value !== undefined,
      requiresCertificates: ca.value !== undefined && clientCertificates === 'required',
      revoked: new Set(revocations.value.flatMap(({ revoked }) => revoked)),
      clientCa: ca.value,
    },
    warnings: [
      ...(new Date(validTo) < now
        ? [warning([...PATH, 'certificate'], `\`${certificate}\` expired on ${validTo}: clients refuse it`)]
        : []),
      ...outdated.map(({ nextUpdate }) =>
        warning(
          [...PATH, 'crl'],
          `a list in \`${crl}\` was due for renewal on ${nextUpdate?.toISOString()}: every certificate of its CA is refused`,
        ),
      ),
    ],
  })
}

function faultsOf({ certificate, key, clientCa, crl }: ListenerTlsSettings, { ca, ...own }: SecureContextOptions): Problem[] {
  if (crl !== undefined && clientCa === undefined)
    return [problem([...PATH, 'crl'], 'revocation lists are for client certificates; name their CA in `clientCa`')]
  const pair = mistakeIn({ cert: own.cert, key: own.key })
  if (pair !== undefined) return [problem([...PATH, 'certificate'], `\`${certificate}\` and \`${key}\` make no pair: ${pair}`)]
  if (clientCa !== undefined && !/-----BEGIN (?:TRUSTED )?CERTIFICATE-----/.test(String(ca)))
    return [problem([...PATH, 'clientCa'], `\`${clientCa}\` holds no certificate in PEM`)]
  const whole = mistakeIn({ ...own, ca })
  return whole === undefined ? [] : [problem([...PATH, 'clientCa'], `the files of \`tls\` do not go together: ${whole}`)]
}

/** OpenSSL's own words, without its numbers. */
function mistakeIn(options: SecureContextOptions): string | undefined {
  try {
    createSecureContext(options)
    return undefined
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return message.replace(/^error:[0-9A-F]+:/, '').replaceAll('::', ' ')
  }
}
