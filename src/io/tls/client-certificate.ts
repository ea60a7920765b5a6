import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { CertificateNames } from '../../core/policy/certificate-pattern.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type DerValue, derSequence, derValues, extensionValues, TAG } from './certificate-reader.ts'

/** A client's certificate, after OpenSSL has verified it by the CAs and revocation lists of the listener. */
export interface ClientCertificate {
  readonly names: CertificateNames
  /** Issuer and serial number, as revocation lists name it. */
  readonly id: string
  readonly notAfterMs: number
}

/** Longer names are nobody's, and would fill a log. */
const NAME_CHARACTERS_MAX = 256
const NAMES_MAX = 100

/** What the client of a connection has proved: nothing where it sent no certificate, an error where it sent one that does not hold. */
export function clientCertificateOf(socket: TLSSocket): Result<ClientCertificate | undefined, string> {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return ok(undefined)
  if (!socket.authorized) {
    const { authorizationError: why } = socket as { authorizationError?: unknown }
    return err(`the client certificate does not hold: ${why instanceof Error ? why.message : String(why)}`)
  }
  try {
    return ok(readClientCertificate(certificate))
  } catch (error) {
    if (error instanceof RangeError) return err(`the client certificate cannot be read: ${error.message}`)
    throw error
  }
}

/** Throws a RangeError where the certificate has another shape than RFC 5280 section 4.1 says. */
export function readClientCertificate(certificate: X509Certificate): ClientCertificate {
  const [toBeSigned] = derSequence(certificate.raw)
  const fields = derValues(toBeSigned?.content ?? new Uint8Array())
  const offset = fields[0]?.tag === 0xa0 ? 1 : 0
  const [serial, , issuer, , subject] = fields.slice(offset)
  if (serial === undefined || issuer === undefined || subject === undefined) throw new RangeError('it ends too early')
  const extensions = extensionValues(fields.find(({ tag }) => tag === 0xa3)?.content)
  const alternatives = extensions.get(OID_SUBJECT_ALT_NAME)
  const general = alternatives === undefined ? [] : derSequence(alternatives)
  const notAfterMs = new Date(certificate.validTo).getTime()
  if (Number.isNaN(notAfterMs)) throw new RangeError('its validity cannot be read')
  const cn = commonName(subject)
  return {
    names: {
      email: namesOf(general, 0x81),
      dns: namesOf(general, 0x82),
      uri: namesOf(general, 0x86),
      ...(cn === undefined ? {} : { cn }),
    },
    id: certificateId(issuer, serial),
    notAfterMs,
  }
}

/** 2.5.29.17 and 2.5.4.3, as their content bytes in hexadecimal. */
const OID_SUBJECT_ALT_NAME = '551d11'
const OID_COMMON_NAME = '550403'

/** GeneralName's IA5Strings (RFC 5280 section 4.2.1.6), which are ASCII; what is not is left out. */
function namesOf(general: readonly DerValue[], tag: number): string[] {
  return general
    .filter((name) => name.tag === tag)
    .map(({ content }) => Buffer.from(content).toString('latin1'))
    .filter((name) => name.length <= NAME_CHARACTERS_MAX && /^[\x21-\x7e]+$/.test(name))
    .slice(0, NAMES_MAX)
}

/** UTF8String, PrintableString and IA5String. */
const TEXT_TAGS: ReadonlySet<number> = new Set([0x0c, 0x13, 0x16])

/** With two common names it could pass for either; it has none then. */
function commonName(subject: DerValue): string | undefined {
  const attributes = derValues(subject.content).flatMap(({ content }) =>
    derValues(content).map((attribute) => derValues(attribute.content)),
  )
  const found = attributes.filter(([oid]) => oid?.tag === TAG.objectIdentifier && hex(oid) === OID_COMMON_NAME)
  const value = found.length === 1 ? found[0]?.[1] : undefined
  if (value === undefined || !TEXT_TAGS.has(value.tag)) return undefined
  const text = Buffer.from(value.content).toString('utf8')
  return text.length <= NAME_CHARACTERS_MAX && !/[\x00-\x1f\x7f-\x9f\ufffd]/.test(text) ? text : undefined
}

function certificateId(issuer: DerValue, serial: DerValue): string {
  return `${Buffer.from(issuer.bytes).toString('base64')} ${hex(serial)}`
}

function hex({ content }: DerValue): string {
  return Buffer.from(content).toString('hex')
}

export interface RevocationList {
  /** Issuer and serial number of every certificate that is revoked. */
  readonly revoked: readonly string[]
  /** Past this OpenSSL refuses every certificate of the issuer; absent where the list does not say. */
  readonly nextUpdate?: Date
}

/**
 * Reads the lists of a PEM file (RFC 5280 section 5.1). OpenSSL judges new connections by them, signature and all; this is for those
 * that stand already when a list changes.
 */
export function readRevocationLists(pem: string): Result<readonly RevocationList[], string> {
  const blocks = pem.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? []
  if (blocks.length === 0) return err('it holds no revocation list in PEM (`BEGIN X509 CRL`)')
  try {
    return ok(blocks.map((block) => readList(Buffer.from(block.replace(/-----[^-]*-----/g, ''), 'base64'))))
  } catch (error) {
    if (error instanceof RangeError) return err(`a revocation list cannot be read: ${error.message}`)
    throw error
  }
}

const TAG_INTEGER = 0x02
const TIME_TAGS: ReadonlySet<number> = new Set([0x17, 0x18])

function readList(der: Uint8Array): RevocationList {
  const [toBeSigned] = derSequence(der)
  const fields = derValues(toBeSigned?.content ?? new Uint8Array())
  const offset = fields[0]?.tag === TAG_INTEGER ? 1 : 0
  const issuer = fields[offset + 1]
  if (issuer?.tag !== TAG.sequence) throw new RangeError('no issuer')
  const times = fields.filter(({ tag }) => TIME_TAGS.has(tag))
  const entries = fields.slice(offset + 2).find(({ tag }) => tag === TAG.sequence)
  const nextUpdate = times[1] && readTime(times[1])
  return {
    revoked: derValues(entries?.content ?? new Uint8Array()).map(({ content }) => {
      const [serial] = derValues(content)
      if (serial?.tag !== TAG_INTEGER) throw new RangeError('an entry without a serial number')
      return certificateId(issuer, serial)
    }),
    ...(nextUpdate === undefined ? {} : { nextUpdate }),
  }
}

/** UTCTime is of 1950 to 2049, GeneralizedTime has all four digits (RFC 5280 section 4.1.2.5). */
function readTime({ tag, content }: DerValue): Date | undefined {
  const text = Buffer.from(content).toString('latin1')
  const full = tag === 0x18 ? text : `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? []
  return year === undefined ? undefined : new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
