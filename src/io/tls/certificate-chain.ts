import type { X509Certificate } from 'node:crypto'
import type { NameConstraints } from './certificate-constraints.ts'
import type { CertificateFields } from './certificate-reader.ts'

/** A certificate of the CA file, with what `X509Certificate` does not tell of it. */
export interface CaCertificate extends CertificateFields {
  readonly x509: X509Certificate
  readonly constraints: NameConstraints | undefined
  readonly notBefore: Date
  /** The last second that counts. */
  readonly notAfter: Date
}

/** The signer first, then who issued it and so on, as far as the file goes. */
export function chainOf(signer: CaCertificate, certificates: readonly CaCertificate[]): readonly CaCertificate[] {
  const chain = [signer]
  for (let top: CaCertificate | undefined = signer; top !== undefined && !isSelfSigned(top); ) {
    top = issuersOf(top, certificates).find((issuer) => !chain.includes(issuer))
    if (top !== undefined) chain.push(top)
  }
  return chain
}

/** What clients install: every CA of the file that no other one in it has issued. Next and current root alike. */
export function trustAnchors(certificates: readonly CaCertificate[]): readonly CaCertificate[] {
  const anchors = certificates.filter(
    (certificate) => certificate.x509.ca && (isSelfSigned(certificate) || issuersOf(certificate, certificates).length === 0),
  )
  return [...new Map(anchors.map((anchor) => [anchor.x509.fingerprint256, anchor])).values()]
}

export function isSelfSigned({ x509 }: CaCertificate): boolean {
  return x509.checkIssued(x509) && x509.verify(x509.publicKey)
}

function issuersOf({ x509 }: CaCertificate, certificates: readonly CaCertificate[]): readonly CaCertificate[] {
  return certificates.filter(
    (other) =>
      other.x509.fingerprint256 !== x509.fingerprint256 &&
      other.x509.ca &&
      x509.checkIssued(other.x509) &&
      x509.verify(other.x509.publicKey),
  )
}
