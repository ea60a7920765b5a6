import { type KeyObject, sign } from 'node:crypto'
import { createRequire } from 'node:module'
import type forge from 'node-forge'

/**
 * X.509 certificates, assembled with node-forge's ASN.1 and signed by `node:crypto`. Nothing here reads bytes that a client or an
 * origin sent. Only the ASN.1 module is loaded: the whole of node-forge costs 75 ms more at start, for ciphers that are not used.
 */
const asn1: typeof forge.asn1 = createRequire(import.meta.url)('node-forge/lib/asn1.js')

export type Asn1 = forge.asn1.Asn1

const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class
const { SEQUENCE, SET, OID, INTEGER, BOOLEAN, OCTETSTRING, BITSTRING, NULL, UTF8, UTCTIME, GENERALIZEDTIME } = asn1.Type

/** node-forge keeps bytes as characters 0 to 255. */
function characters(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

export function sequence(...members: readonly Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, SEQUENCE, true, [...members])
}

export function set(...members: readonly Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, SET, true, [...members])
}

/** @param dotted as in `2.5.29.17` */
export function objectIdentifier(dotted: string): Asn1 {
  return asn1.create(UNIVERSAL, OID, false, asn1.oidToDer(dotted).getBytes())
}

/** @param bytes two's complement, most significant first */
export function integer(bytes: Uint8Array): Asn1 {
  return asn1.create(UNIVERSAL, INTEGER, false, characters(bytes))
}

export function boolean(value: boolean): Asn1 {
  return asn1.create(UNIVERSAL, BOOLEAN, false, value ? '\xff' : '\0')
}

export function octetString(bytes: Uint8Array): Asn1 {
  return asn1.create(UNIVERSAL, OCTETSTRING, false, characters(bytes))
}

/** @param unusedBits at the end of the last byte, 0 to 7 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1 {
  return asn1.create(UNIVERSAL, BITSTRING, false, String.fromCharCode(unusedBits) + characters(bytes))
}

export function utf8String(text: string): Asn1 {
  return asn1.create(UNIVERSAL, UTF8, false, characters(Buffer.from(text, 'utf8')))
}

/** `[tag] IMPLICIT` bytes, or `[tag]` round its members. */
export function tagged(tag: number, content: Uint8Array | readonly Asn1[]): Asn1 {
  return content instanceof Uint8Array
    ? asn1.create(CONTEXT_SPECIFIC, tag, false, characters(content))
    : asn1.create(CONTEXT_SPECIFIC, tag, true, [...content])
}

/** RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on; both in whole seconds of UTC. */
function time(date: Date): Asn1 {
  const year = date.getUTCFullYear()
  return year >= 1950 && year < 2050
    ? asn1.create(UNIVERSAL, UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(UNIVERSAL, GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date))
}

/**
 * An encoded value as it stands, byte for byte: taken apart and put together again, a name might come out in another string type,
 * and then nobody would find its issuer.
 * @param der one whole value with a one-byte tag, its length in the shortest form
 */
export function encoded(der: Uint8Array): Asn1 {
  const [tag = 0, length = 0] = der
  const header = length < 0x80 ? 2 : 2 + (length & 0x7f)
  return asn1.create(UNIVERSAL, tag, false, characters(der.subarray(header)))
}

export function toDer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1')
}

/** A name of one common name, or of nothing. */
export function distinguishedName(commonName: string | undefined): Buffer {
  if (commonName === undefined) return toDer(sequence())
  return toDer(sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String(commonName)))))
}

export interface Extension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Asn1
}

export interface CertificateParts {
  /** Most significant byte first, positive. */
  readonly serial: Uint8Array
  /** DER, put in as it stands. */
  readonly issuer: Uint8Array
  /** DER, put in as it stands. */
  readonly subject: Uint8Array
  readonly notBefore: Date
  /** The last second that counts (RFC 5280 section 4.1.2.5). */
  readonly notAfter: Date
  readonly publicKey: KeyObject
  readonly extensions: readonly Extension[]
  /** Private: RSA, P-256 or P-384. */
  readonly signer: KeyObject
}

/** A signed version 3 certificate, in DER. */
export function assembleCertificate(parts: CertificateParts): Buffer {
  const algorithm = signatureAlgorithm(parts.signer)
  const toBeSigned = toDer(
    sequence(
      tagged(0, [integer(Uint8Array.of(2))]),
      integer(parts.serial),
      algorithm.identifier,
      encoded(parts.issuer),
      sequence(time(parts.notBefore), time(parts.notAfter)),
      encoded(parts.subject),
      encoded(parts.publicKey.export({ type: 'spki', format: 'der' })),
      tagged(3, [sequence(...parts.extensions.map(extension))]),
    ),
  )
  const signature = sign(algorithm.digest, toBeSigned, parts.signer)
  return toDer(sequence(encoded(toBeSigned), algorithm.identifier, bitString(signature)))
}

function extension({ oid, critical, value }: Extension): Asn1 {
  // DER leaves out what is the default, and `critical` is FALSE by default.
  const flag = critical ? [boolean(true)] : []
  return sequence(objectIdentifier(oid), ...flag, octetString(toDer(value)))
}

interface SignatureAlgorithm {
  readonly digest: 'sha256' | 'sha384'
  readonly identifier: Asn1
}

/** RFC 4055 section 5 wants NULL parameters for RSA, RFC 5758 section 3.2 none for ECDSA. */
function signatureAlgorithm({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): SignatureAlgorithm {
  const kind = asymmetricKeyType === 'ec' ? asymmetricKeyDetails?.namedCurve : asymmetricKeyType
  switch (kind) {
    case 'rsa':
      return {
        digest: 'sha256',
        identifier: sequence(objectIdentifier('1.2.840.113549.1.1.11'), asn1.create(UNIVERSAL, NULL, false, '')),
      }
    case 'prime256v1':
      return { digest: 'sha256', identifier: sequence(objectIdentifier('1.2.840.10045.4.3.2')) }
    case 'secp384r1':
      return { digest: 'sha384', identifier: sequence(objectIdentifier('1.2.840.10045.4.3.3')) }
    default:
      throw new Error(`no signature algorithm for a \`${kind}\` key; the CA is loaded with RSA, P-256 and P-384 keys alone`)
  }
}
