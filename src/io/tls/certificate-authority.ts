import { type KeyObject, randomBytes } from 'node:crypto'
import type { Host } from '../../core/names/authority.ts'
import type { HostPattern } from '../../core/policy/host-pattern.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { type CaCertificate, chainOf, isSelfSigned, trustAnchors } from './certificate-chain.ts'
import { constraintsPermit, constraintsPermitAll, type NameConstraints } from './certificate-constraints.ts'
import {
  authorityKeyIdentifier,
  notCa,
  serverAuthentication,
  signsHandshakes,
  subjectAltName,
  subjectKeyIdentifier,
} from './certificate-extensions.ts'
import { type CaFiles, type CaProblem, readCaCertificates, readCaKey } from './certificate-files.ts'
import { keyIdentifier } from './certificate-reader.ts'
import type { LeafKey } from './leaf-key.ts'
import { assembleCertificate, distinguishedName } from './x509.ts'

export type { CaFiles, CaProblem } from './certificate-files.ts'

export interface MintedCertificate {
  /** The certificate, then the intermediates that lead to what clients trust. */
  readonly certPem: string
  readonly notBefore: Date
  readonly notAfter: Date
}

const DAY_MS = 86_400_000

/** Leaves live at most so long. Nobody hands them round, so nothing is gained by more, and the strictest clients take 398 days. */
const LEAF_LIFETIME_MS = 90 * DAY_MS

/** A client's clock may be behind by this much. */
export const BACKDATE_MS = DAY_MS

/** RFC 5280 Appendix A: `ub-common-name`. A longer name stands in the alternative name alone. */
const COMMON_NAME_MAX = 64

/**
 * Reads the CA: the key, and from the certificates the one that the key belongs to. The file may hold, in any order, that
 * certificate, the chain above it, and other CAs that clients are to trust besides (the next root, before its key is put in place;
 * the last one, until its leaves have gone).
 */
export async function loadCertificateAuthority(
  files: CaFiles,
  now: Date,
  reads: FileReads = readNow,
): Promise<Result<CertificateAuthority, CaProblem>> {
  const certificates = await readCaCertificates(files.caCertificate, reads)
  if (!certificates.ok) return certificates
  const key = await readCaKey(files, reads)
  if (!key.ok) return key
  const signer = signerFor(certificates.value, key.value, files, now)
  if (!signer.ok) return signer
  const authority = new CertificateAuthority(signer.value, certificates.value, key.value, files)
  const problem = authority.problemAt(now)
  return problem === undefined ? ok(authority) : err(problem)
}

function signerFor(
  certificates: readonly CaCertificate[],
  key: KeyObject,
  { caCertificate, caKey }: CaFiles,
  now: Date,
): Result<CaCertificate, CaProblem> {
  const own = certificates.filter(({ x509 }) => x509.checkPrivateKey(key))
  const [first] = own
  if (first === undefined) {
    return err({
      code: 'key_mismatch',
      message:
        `the key in \`${caKey}\` belongs to no certificate in \`${caCertificate}\`; ` +
        'restore the file that matches, or move both away and make a new CA with `sallyport ca init`',
    })
  }
  // A renewed CA certificate has the key of the old one: the one that is good now and for longest signs.
  const rank = (certificate: CaCertificate) => (isValidAt(certificate, now) ? 1 : 0)
  const [best] = own
    .filter(({ x509 }) => x509.ca)
    .toSorted((a, b) => rank(b) - rank(a) || b.notAfter.getTime() - a.notAfter.getTime())
  if (best !== undefined) return ok(best)
  return err({
    code: 'not_a_ca',
    message:
      `\`${describe(first)}\` in \`${caCertificate}\` may not issue certificates ` +
      '(no `CA:TRUE`, or a key usage without certificate signing); use a CA certificate, or make one with `sallyport ca init`',
  })
}

/** Signs certificates for hosts with a CA that clients trust. */
export class CertificateAuthority {
  /** When the first certificate of the chain expires. */
  readonly notAfter: Date
  /** What clients install, roots and nothing secret, in PEM. */
  readonly trustPem: string
  /** What is sent after the leaf: the chain without its root, in PEM; empty when a root signs. */
  readonly chainPem: string
  /** Of the signing certificate, SHA-256, as in `AB:CD`. */
  readonly fingerprint256: string
  /** Of the signing certificate, on one line. */
  readonly subject: string
  /** Whether the root above the signer is in the file. */
  readonly hasRoot: boolean
  /** Of every certificate in the chain; a name must pass them all. */
  readonly constraints: readonly NameConstraints[]
  readonly notBefore: Date
  readonly #signer: CaCertificate
  readonly #chain: readonly CaCertificate[]
  readonly #key: KeyObject
  readonly #keyId: Uint8Array
  readonly #files: CaFiles

  /** Use `loadCertificateAuthority`: here nothing is checked. */
  constructor(signer: CaCertificate, certificates: readonly CaCertificate[], key: KeyObject, files: CaFiles) {
    const chain = chainOf(signer, certificates)
    this.#signer = signer
    this.#chain = chain
    this.#key = key
    this.#keyId = signer.keyId ?? keyIdentifier(signer.x509.publicKey.export({ type: 'spki', format: 'der' }))
    this.#files = files
    this.notBefore = new Date(Math.max(...chain.map(({ notBefore }) => notBefore.getTime())))
    this.notAfter = new Date(Math.min(...chain.map(({ notAfter }) => notAfter.getTime())))
    this.constraints = chain.flatMap(({ constraints }) => constraints ?? [])
    this.trustPem = pemOf(trustAnchors(certificates))
    this.chainPem = pemOf(chain.filter((certificate) => !isSelfSigned(certificate)))
    this.hasRoot = chain.some(isSelfSigned)
    this.fingerprint256 = signer.x509.fingerprint256
    this.subject = describe(signer)
  }

  /** Whether clients would believe a certificate for this host: its name constraints, DNS and IP, permitted and excluded. */
  permits(host: Host): boolean {
    return this.constraints.every((constraints) => constraintsPermit(constraints, host))
  }

  /** Whether that holds for every host that the pattern covers. */
  permitsAll(pattern: HostPattern): boolean {
    return this.constraints.every((constraints) => constraintsPermitAll(constraints, pattern))
  }

  /** Why the CA is of no use at this time: a gateway may well outlive it. */
  problemAt(now: Date): CaProblem | undefined {
    const wrong = this.#chain.find((certificate) => !isValidAt(certificate, now))
    if (wrong === undefined) return undefined
    const named = `the certificate \`${describe(wrong)}\` in \`${this.#files.caCertificate}\``
    if (now < wrong.notBefore) {
      return {
        code: 'not_yet_valid',
        message: `${named} is not valid before ${wrong.notBefore.toISOString()}; set this machine's clock, or wait`,
      }
    }
    return {
      code: 'expired',
      message:
        `${named} expired at ${wrong.notAfter.toISOString()}; ` +
        'renew it, or move certificate and key away, make a new CA with `sallyport ca init` and hand it to the clients',
    }
  }

  /**
   * A certificate for one host, valid from a day ago for at most 90 days, and never before or beyond the CA itself. Costs one
   * signature and some ASN.1: about 0.3 ms with an EC key, 0.5 ms with RSA of 2048 bits, 3 ms with 3072.
   *
   * Throws where `permits` or `problemAt` would have said no: nobody would believe the certificate.
   */
  mint(host: Host, leafKey: LeafKey, now: Date): MintedCertificate {
    const problem = this.problemAt(now)
    if (problem !== undefined) throw new Error(problem.message)
    if (!this.permits(host)) throw new Error(`the CA's name constraints do not permit \`${host.text}\``)
    const { notBefore, notAfter } = this.#validity(now)
    const commonName = this.#commonName(host)
    const der = assembleCertificate({
      serial: randomSerial(),
      issuer: this.#signer.subject,
      subject: distinguishedName(commonName),
      notBefore,
      notAfter,
      publicKey: leafKey.publicKey,
      extensions: [
        subjectAltName(host, commonName === undefined),
        notCa(),
        signsHandshakes(),
        serverAuthentication(),
        subjectKeyIdentifier(keyIdentifier(leafKey.publicKey.export({ type: 'spki', format: 'der' }))),
        authorityKeyIdentifier(this.#keyId),
      ],
      signer: this.#key,
    })
    return { certPem: toPem(der) + this.chainPem, notBefore, notAfter }
  }

  #validity(now: Date): { readonly notBefore: Date; readonly notAfter: Date } {
    const start = Math.floor((now.getTime() - BACKDATE_MS) / 1000) * 1000
    const notBefore = Math.max(start, this.notBefore.getTime())
    // Both ends count, so the last second is one less.
    const notAfter = Math.min(notBefore + LEAF_LIFETIME_MS - 1000, this.notAfter.getTime())
    return { notBefore: new Date(notBefore), notAfter: new Date(notAfter) }
  }

  /**
   * None for an address (OpenSSL and GnuTLS hold a common name that looks like a DNS name against DNS constraints), and none under
   * a CA that constrains directory names, which would judge the subject.
   */
  #commonName(host: Host): string | undefined {
    if (host.kind === 'address' || host.name.length > COMMON_NAME_MAX) return undefined
    const judged = this.constraints.some(({ permitted, excluded }) => permitted.directory || excluded.directory)
    return judged ? undefined : host.name
  }
}

function isValidAt({ notBefore, notAfter }: CaCertificate, now: Date): boolean {
  return notBefore <= now && now <= notAfter
}

/** The subject on one line, as X509Certificate gives it. */
function describe({ x509 }: CaCertificate): string {
  return x509.subject === undefined || x509.subject === '' ? 'no subject' : x509.subject.replaceAll('\n', ', ')
}

/** RFC 5280 section 4.1.2.2: positive, at most 20 bytes; the second bit keeps it at 16 bytes and from being zero. */
export function randomSerial(): Uint8Array {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  return serial
}

function pemOf(certificates: readonly CaCertificate[]): string {
  return certificates.map(({ x509 }) => toPem(x509.raw)).join('')
}

/** RFC 7468: lines of 64 characters. */
export function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
