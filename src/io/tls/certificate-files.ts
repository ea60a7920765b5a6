import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import type { CaCertificate } from './certificate-chain.ts'
import { readNameConstraints } from './certificate-constraints.ts'
import { readCertificateFields } from './certificate-reader.ts'

/** Where the CA is, as absolute paths. */
export interface CaFiles {
  /** PEM, one or several: see `loadCertificateAuthority`. */
  readonly caCertificate: string
  /** PEM, without a passphrase. */
  readonly caKey: string
}

/** Why there is no CA to work with. */
export interface CaProblem {
  readonly code:
    | 'absent'
    | 'unreadable'
    | 'key_exposed'
    | 'certificate_exposed'
    | 'key_encrypted'
    | 'unsupported_key'
    | 'unsupported_certificate'
    | 'key_mismatch'
    | 'not_a_ca'
    | 'not_yet_valid'
    | 'expired'
  /** One sentence that names the file and the command that mends it. */
  readonly message: string
}

/** A PEM of every root there is has a quarter of this. */
const PEM_BYTES_MAX = 1_048_576

/** Certificates in the CA file: a chain or two, and the next root. */
const CERTIFICATES_MAX = 16

/** RSA keys that are signed with; shorter ones clients refuse, a longer one holds the event loop for too long at each mint. */
const RSA_BITS = { min: 2048, max: 8192 } as const

/** Every certificate in the file that is a CA's or the key's own, in the file's order. */
export async function readCaCertificates(
  file: string,
  reads: FileReads = readNow,
): Promise<Result<readonly CaCertificate[], CaProblem>> {
  const pem = await reads(file, () => readPem(file, checkCertificateFile, `make a CA with \`sallyport ca init\``))
  if (!pem.ok) return pem
  const blocks = pem.value.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0)
    return fail('unreadable', `\`${file}\` holds no certificate in PEM; make a CA with \`sallyport ca init\``)
  if (blocks.length > CERTIFICATES_MAX)
    return fail('unreadable', `\`${file}\` holds ${blocks.length} certificates; leave at most ${CERTIFICATES_MAX} in it`)
  const certificates: CaCertificate[] = []
  for (const [index, block] of blocks.entries()) {
    const certificate = parseCertificate(block)
    if (!certificate.ok)
      return fail('unsupported_certificate', `certificate ${index + 1} in \`${file}\`: ${certificate.error}; take it out`)
    certificates.push(certificate.value)
  }
  return ok(certificates)
}

/** A file of certificates or revocation lists that nobody but its owner can change, as it stands. */
export function readCertificatePem(file: string, remedy: string, reads: FileReads = readNow): Promise<Result<string, CaProblem>> {
  return reads(file, () => readPem(file, checkCertificateFile, remedy))
}

/** A private key that nobody but its owner can read, as it stands. */
export function readKeyPem(file: string, remedy: string, reads: FileReads = readNow): Promise<Result<string, CaProblem>> {
  return reads(file, () => readPem(file, checkKeyFile, remedy))
}

/** The signing key: RSA of 2048 to 8192 bits, P-256 or P-384, readable by this user alone. */
export async function readCaKey(
  { caCertificate, caKey }: CaFiles,
  reads: FileReads = readNow,
): Promise<Result<KeyObject, CaProblem>> {
  const remedy = `restore the key of \`${caCertificate}\`, or move that file away and make a new CA with \`sallyport ca init\``
  const pem = await reads(caKey, () => readPem(caKey, checkKeyFile, remedy))
  if (!pem.ok) return pem
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type:.*ENCRYPTED/m.test(pem.value)) {
    return fail(
      'key_encrypted',
      `the key in \`${caKey}\` is encrypted, and there is nobody to ask for its passphrase at start; ` +
        `decrypt it with \`openssl pkey -in ${caKey} -out ${caKey}.new\` under \`umask 077\` and put that in its place`,
    )
  }
  let key: KeyObject
  try {
    key = createPrivateKey(pem.value)
  } catch {
    return fail('unreadable', `\`${caKey}\` holds no private key in PEM; ${remedy}`)
  }
  const shortfall = keyShortfall(key)
  if (shortfall === undefined) return ok(key)
  return fail(
    'unsupported_key',
    `the key in \`${caKey}\` is ${shortfall}; use P-256, P-384 or RSA of ${RSA_BITS.min} to ${RSA_BITS.max} bits, ` +
      'as `sallyport ca init` makes them',
  )
}

function keyShortfall({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  if (asymmetricKeyType === 'rsa') {
    const bits = asymmetricKeyDetails?.modulusLength ?? 0
    return bits >= RSA_BITS.min && bits <= RSA_BITS.max ? undefined : `RSA of ${bits} bits`
  }
  if (asymmetricKeyType !== 'ec') return `of type \`${asymmetricKeyType}\``
  const curve = asymmetricKeyDetails?.namedCurve
  return curve === 'prime256v1' || curve === 'secp384r1' ? undefined : `on the curve \`${curve}\``
}

function parseCertificate(pem: string): Result<CaCertificate, string> {
  let x509: X509Certificate
  try {
    x509 = new X509Certificate(pem)
  } catch {
    return err('it cannot be read')
  }
  const fields = readCertificateFields(x509.raw)
  if (!fields.ok) return fields
  const constraints = fields.value.nameConstraints && readNameConstraints(fields.value.nameConstraints)
  if (constraints && !constraints.ok) return constraints
  const notBefore = new Date(x509.validFrom)
  const notAfter = new Date(x509.validTo)
  if (Number.isNaN(notBefore.getTime()) || Number.isNaN(notAfter.getTime())) return err('its validity cannot be read')
  return ok({ x509, ...fields.value, constraints: constraints?.value, notBefore, notAfter })
}

type FileCheck = (file: string, stats: Stats) => CaProblem | undefined

/**
 * As ssh and PostgreSQL judge a key: nobody but its owner may read it. One that belongs to root may be shown to a group, since that
 * is how Kubernetes hands a secret to a process that is not root.
 */
function checkKeyFile(file: string, stats: Stats): CaProblem | undefined {
  const message = exposureOf(file, stats)
  return message === undefined ? undefined : { code: 'key_exposed', message }
}

/** Who else can read the file, with what mends it. */
export function exposureOf(file: string, { uid, mode }: Pick<Stats, 'uid' | 'mode'>): string | undefined {
  const own = process.geteuid?.() ?? uid
  if (uid !== own && uid !== 0) {
    return `\`${file}\` belongs to another user (uid ${uid}), who can read the key; \`chown ${own} ${file}\``
  }
  const open = uid === own ? 0o077 : 0o037
  if ((mode & open) === 0) return undefined
  return `\`${file}\` is open to others (mode ${octal(mode)}); \`chmod 600 ${file}\``
}

/** Whoever can write it decides what clients are told to trust. */
function checkCertificateFile(file: string, { mode }: Stats): CaProblem | undefined {
  if ((mode & 0o022) === 0) return undefined
  return {
    code: 'certificate_exposed',
    message: `\`${file}\` can be changed by others (mode ${octal(mode)}); \`chmod go-w ${file}\``,
  }
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8).padStart(3, '0')}`
}

async function readPem(file: string, check: FileCheck, remedy: string): Promise<Result<string, CaProblem>> {
  let handle: FileHandle | undefined
  try {
    // Without NONBLOCK, opening a pipe that nobody writes to would never return.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) return fail('unreadable', `\`${file}\` is not a file; ${remedy}`)
    if (stats.size > PEM_BYTES_MAX) return fail('unreadable', `\`${file}\` is larger than ${PEM_BYTES_MAX} bytes; ${remedy}`)
    const problem = check(file, stats)
    return problem === undefined ? ok(await handle.readFile('latin1')) : err(problem)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    if (code === 'ENOENT' || code === 'ENOTDIR') return fail('absent', `there is no \`${file}\`; ${remedy}`)
    return fail('unreadable', `\`${file}\` cannot be read (${code}); give this user the right to read it`)
  } finally {
    await handle?.close()
  }
}

function fail(code: CaProblem['code'], message: string): { readonly ok: false; readonly error: CaProblem } {
  return err({ code, message })
}
