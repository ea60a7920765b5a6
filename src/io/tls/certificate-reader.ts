import { createHash } from 'node:crypto'
import { err, ok, type Result } from '../../core/result.ts'

/**
 * What `X509Certificate` does not tell of a certificate. Reads the operator's own files, and client certificates after OpenSSL has
 * verified them by the operator's CA; nothing else that a
 * client or an origin sends never comes here.
 */

/** One DER value. */
export interface DerValue {
  /** The identifier byte: class, constructed bit and number. */
  readonly tag: number
  readonly content: Uint8Array
  /** With its header. */
  readonly bytes: Uint8Array
}

export const TAG = { boolean: 0x01, octetString: 0x04, objectIdentifier: 0x06, sequence: 0x30 } as const

/** The values that stand one behind the other. Throws a RangeError where the bytes are not DER. */
export function derValues(bytes: Uint8Array): readonly DerValue[] {
  const values: DerValue[] = []
  for (let start = 0; start < bytes.length; ) {
    const { contentStart, end } = derHeader(bytes, start)
    values.push({
      tag: byteAt(bytes, start),
      content: bytes.subarray(contentStart, end),
      bytes: bytes.subarray(start, end),
    })
    start = end
  }
  return values
}

function derHeader(bytes: Uint8Array, start: number): { readonly contentStart: number; readonly end: number } {
  if ((byteAt(bytes, start) & 0x1f) === 0x1f) throw new RangeError('a tag of several bytes')
  const first = byteAt(bytes, start + 1)
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  // 0x80 is BER's indefinite length; more than three bytes would be a certificate of 16 MB.
  if (first === 0x80 || lengthBytes > 3) throw new RangeError('a length that no certificate has')
  let length = lengthBytes === 0 ? first : 0
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + byteAt(bytes, start + 2 + i)
  const contentStart = start + 2 + lengthBytes
  if (contentStart + length > bytes.length) throw new RangeError('a value longer than what is there')
  return { contentStart, end: contentStart + length }
}

function byteAt(bytes: Uint8Array, index: number): number {
  const byte = bytes[index]
  if (byte === undefined) throw new RangeError('the value ends too early')
  return byte
}

function only(values: readonly DerValue[], tag: number): DerValue {
  const [value] = values
  if (value === undefined || values.length > 1 || value.tag !== tag) throw new RangeError('another value than expected')
  return value
}

/** The members of a SEQUENCE that is the whole of the bytes. */
export function derSequence(bytes: Uint8Array): readonly DerValue[] {
  return derValues(only(derValues(bytes), TAG.sequence).content)
}

export interface CertificateFields {
  /** DER of the name, for issued certificates to carry byte for byte. */
  readonly subject: Uint8Array
  /** The subject key identifier, if the certificate has one. */
  readonly keyId: Uint8Array | undefined
  /** DER of the NameConstraints extension's value, if there is one. */
  readonly nameConstraints: Uint8Array | undefined
}

/** RFC 5280 section 4.1. The error is one sentence. */
export function readCertificateFields(der: Uint8Array): Result<CertificateFields, string> {
  try {
    const [toBeSigned] = derSequence(der)
    // An explicit version comes first wherever there are extensions; then serial, algorithm, issuer, validity and subject.
    const fields = derValues(toBeSigned?.content ?? new Uint8Array())
    const offset = fields[0]?.tag === 0xa0 ? 1 : 0
    const subject = fields[offset + 4]
    if (subject?.tag !== TAG.sequence) throw new RangeError('no subject')
    const extensions = extensionValues(fields.find(({ tag }) => tag === 0xa3)?.content)
    const keyId = extensions.get(OID_SUBJECT_KEY_ID)
    return ok({
      subject: subject.bytes,
      keyId: keyId && only(derValues(keyId), TAG.octetString).content,
      nameConstraints: extensions.get(OID_NAME_CONSTRAINTS),
    })
  } catch (error) {
    if (error instanceof RangeError) return err(`the certificate is not in DER: ${error.message}`)
    throw error
  }
}

/** 2.5.29.14 and 2.5.29.30, as their content bytes in hexadecimal. */
const OID_SUBJECT_KEY_ID = '551d0e'
const OID_NAME_CONSTRAINTS = '551d1e'

export function extensionValues(explicit: Uint8Array | undefined): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>()
  if (explicit === undefined) return values
  for (const extension of derSequence(explicit)) {
    const members = derValues(extension.content)
    const oid = members[0]
    const value = members.at(-1)
    if (oid?.tag !== TAG.objectIdentifier || value?.tag !== TAG.octetString) throw new RangeError('an extension of another shape')
    values.set(Buffer.from(oid.content).toString('hex'), value.content)
  }
  return values
}

/** 160 bits of the SHA-256 of the key's bits (RFC 7093 section 2, method 1). @param spki SubjectPublicKeyInfo in DER */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  const bits = derSequence(spki)[1]
  if (bits === undefined) throw new RangeError('no key in SubjectPublicKeyInfo')
  // The first byte of a BIT STRING counts unused bits and is not part of the key.
  return createHash('sha256').update(bits.content.subarray(1)).digest().subarray(0, 20)
}
