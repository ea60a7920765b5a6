import type { Host } from '../../core/names/authority.ts'
import type { Cidr } from '../../core/names/cidr.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords } from '../../core/names/ip.ts'
import type { NameConstraints, Subtrees } from './certificate-constraints.ts'
import {
  type Asn1,
  bitString,
  boolean,
  type Extension,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  tagged,
} from './x509.ts'

/** The extensions of the certificates that the gateway makes, RFC 5280 section 4.2. */

/** GeneralName's choices (section 4.2.1.6). */
export const GENERAL_NAME = { dns: 2, directory: 4, ip: 7 } as const

/** @param critical wherever the subject is empty (section 4.1.2.6) */
export function subjectAltName(host: Host, critical: boolean): Extension {
  return { oid: '2.5.29.17', critical, value: sequence(generalName(host)) }
}

function generalName(host: Host): Asn1 {
  return host.kind === 'name'
    ? tagged(GENERAL_NAME.dns, Buffer.from(host.name, 'ascii'))
    : tagged(GENERAL_NAME.ip, addressBytes(host.ip))
}

export function subjectKeyIdentifier(keyId: Uint8Array): Extension {
  return { oid: '2.5.29.14', critical: false, value: octetString(keyId) }
}

export function authorityKeyIdentifier(keyId: Uint8Array): Extension {
  return { oid: '2.5.29.35', critical: false, value: sequence(tagged(0, keyId)) }
}

/** For TLS servers alone. */
export function serverAuthentication(): Extension {
  return { oid: '2.5.29.37', critical: false, value: sequence(objectIdentifier('1.3.6.1.5.5.7.3.1')) }
}

/** Bit 0, and nothing else: an EC key signs handshakes and encrypts nothing. */
export function signsHandshakes(): Extension {
  return { oid: '2.5.29.15', critical: true, value: bitString(Uint8Array.of(0x80), 7) }
}

/** keyCertSign and cRLSign, bits 5 and 6. */
export function signsCertificates(): Extension {
  return { oid: '2.5.29.15', critical: true, value: bitString(Uint8Array.of(0x06), 1) }
}

export function notCa(): Extension {
  return { oid: '2.5.29.19', critical: true, value: sequence() }
}

/** A CA with no other CA under it. */
export function caOfLeaves(): Extension {
  return { oid: '2.5.29.19', critical: true, value: sequence(boolean(true), integer(Uint8Array.of(0))) }
}

/** Section 4.2.1.10. */
export function nameConstraints({ permitted, excluded }: NameConstraints): Extension {
  const list = (tag: number, subtrees: Subtrees) => {
    const members = subtreeNames(subtrees).map((name) => sequence(name))
    return members.length === 0 ? [] : [tagged(tag, members)]
  }
  return { oid: '2.5.29.30', critical: true, value: sequence(...list(0, permitted), ...list(1, excluded)) }
}

function subtreeNames({ dns, ranges }: Subtrees): Asn1[] {
  return [
    ...dns.map((name) => tagged(GENERAL_NAME.dns, Buffer.from(name, 'ascii'))),
    ...ranges.map((range) => tagged(GENERAL_NAME.ip, rangeBytes(range))),
  ]
}

/** Network and mask, each of 4 or 16 bytes. */
function rangeBytes({ network, prefixLength }: Cidr): Uint8Array {
  return Buffer.concat([addressBytes(network), addressBytes(maskOf(network, prefixLength))])
}

function maskOf({ family }: IpAddress, prefixLength: number): IpAddress {
  const word = (index: number): number => {
    const ones = Math.min(32, Math.max(0, prefixLength - 32 * index))
    return ones === 0 ? 0 : (-1 << (32 - ones)) >>> 0
  }
  return family === 4 ? ipv4FromValue(word(0)) : ipv6FromWords([word(0), word(1), word(2), word(3)])
}

function addressBytes(ip: IpAddress): Uint8Array {
  const words = ip.family === 4 ? [ip.value] : ip.words
  const bytes = Buffer.alloc(4 * words.length)
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word, 4 * index)
  return bytes
}
