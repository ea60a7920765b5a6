import type { Host } from '../../core/names/authority.ts'
import { type Cidr, cidrContains, parseCidr } from '../../core/names/cidr.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords } from '../../core/names/ip.ts'
import type { HostPattern } from '../../core/policy/host-pattern.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { derSequence, derValues, TAG } from './certificate-reader.ts'

/** The kinds of names among a constraint's subtrees that say anything about a TLS server. */
export interface Subtrees {
  /** Lower case. A name covers itself and every depth under it, the empty one everything; with a leading dot, only what is under it. */
  readonly dns: readonly string[]
  readonly ranges: readonly Cidr[]
  /** Whether there are directory names: they would judge the certificate's subject. */
  readonly directory: boolean
}

/**
 * RFC 5280 section 4.2.1.10: which names a CA may issue for. A name must be in no excluded subtree, and in a permitted one where
 * any is of its kind. A client that reads them refuses a certificate for any other name, whoever has the key.
 */
export interface NameConstraints {
  readonly permitted: Subtrees
  readonly excluded: Subtrees
}

const NOTHING: Subtrees = { dns: [], ranges: [], directory: false }

const EVERY_NAME = ''
const EVERY_ADDRESS = ['0.0.0.0/0', '::/0'].map(range)

/**
 * Constraints for exactly these hosts. A DNS constraint cannot stop at a name: one for `a.example` covers everything under it too,
 * and one for `*.a.example` covers `a.example`. Addresses are exact; a family of which none is named is excluded whole, because
 * clients differ on whether a permitted IPv4 range says anything about IPv6.
 */
export function constraintsFor(patterns: readonly HostPattern[]): NameConstraints {
  const names = new Set(patterns.flatMap((pattern) => coveredName(pattern) ?? []))
  const dns = [...names].filter((name) => ![...names].some((wider) => name !== wider && dnsCovers(wider, name)))
  const ranges = patterns.flatMap((pattern) =>
    pattern.kind === 'exact' && pattern.host.kind === 'address' ? [range(pattern.host.text)] : [],
  )
  const named = new Set(ranges.map(({ network }) => network.family))
  return {
    permitted: { dns, ranges, directory: false },
    excluded: {
      dns: dns.length === 0 ? [EVERY_NAME] : [],
      ranges: EVERY_ADDRESS.filter(({ network }) => !named.has(network.family)),
      directory: false,
    },
  }
}

function coveredName(pattern: HostPattern): string | undefined {
  if (pattern.kind !== 'exact') return pattern.suffix
  return pattern.host.kind === 'name' ? pattern.host.name : undefined
}

export function constraintsPermit({ permitted, excluded }: NameConstraints, host: Host): boolean {
  if (host.kind === 'address') {
    const inside = ({ ranges }: Subtrees) => ranges.some((cidr) => cidrContains(cidr, host.ip))
    return !inside(excluded) && (permitted.ranges.length === 0 || inside(permitted))
  }
  const covers = ({ dns }: Subtrees) => dns.some((base) => dnsCovers(base, host.name))
  return !covers(excluded) && (permitted.dns.length === 0 || covers(permitted))
}

/** Whether every host that the pattern covers may have a certificate. */
export function constraintsPermitAll(constraints: NameConstraints, pattern: HostPattern): boolean {
  if (pattern.kind === 'exact') return constraintsPermit(constraints, pattern.host)
  const { permitted, excluded } = constraints
  const { suffix, kind } = pattern
  // `*.a.example` has no use for `a.example` itself, so a base of `.a.example` covers it.
  const coveredBy = (base: string) => dnsCovers(base, suffix) || (kind === 'under' && base === `.${suffix}`)
  const touches = (base: string) => coveredBy(base) || dnsCovers(suffix, base.replace(/^\./, ''))
  return !excluded.dns.some(touches) && (permitted.dns.length === 0 || permitted.dns.some(coveredBy))
}

/** The RFC knows no leading dot here; OpenSSL and others read it as "only what is under it". */
function dnsCovers(base: string, name: string): boolean {
  if (base === EVERY_NAME || name === base) return true
  return name.endsWith(base.startsWith('.') ? base : `.${base}`)
}

/** For people: one line a constraint. */
export function describeConstraints({ permitted, excluded }: NameConstraints): string[] {
  const dnsText = (base: string) =>
    base === EVERY_NAME ? 'every name' : base.startsWith('.') ? `names under ${base.slice(1)}` : `${base} and names under it`
  const lines = ({ dns, ranges, directory }: Subtrees) => [
    ...dns.map(dnsText),
    ...ranges.map(({ text, prefixLength }) => (prefixLength === 0 ? `every address in ${text}` : text)),
    ...(directory ? ['certain directory names'] : []),
  ]
  return [...lines(permitted).map((line) => `good for ${line}`), ...lines(excluded).map((line) => `never for ${line}`)]
}

/** @param der the extension's value. The error is one sentence. */
export function readNameConstraints(der: Uint8Array): Result<NameConstraints, string> {
  try {
    let permitted = NOTHING
    let excluded = NOTHING
    for (const { tag, content } of derSequence(der)) {
      if (tag === 0xa0) permitted = readSubtrees(content)
      else if (tag === 0xa1) excluded = readSubtrees(content)
      else throw new RangeError('an unknown member')
    }
    return ok({ permitted, excluded })
  } catch (error) {
    if (error instanceof RangeError) return err(`its name constraints cannot be read: ${error.message}`)
    throw error
  }
}

function readSubtrees(bytes: Uint8Array): Subtrees {
  const dns: string[] = []
  const ranges: Cidr[] = []
  let directory = false
  for (const { tag, content } of derValues(bytes)) {
    const [base, ...bounds] = derValues(content)
    // RFC 5280: minimum is 0 and maximum absent; both are then left out in DER.
    if (tag !== TAG.sequence || base === undefined || bounds.length > 0) throw new RangeError('a subtree of another shape')
    if (base.tag === 0x82) dns.push(Buffer.from(base.content).toString('latin1').toLowerCase())
    else if (base.tag === 0x87) ranges.push(readRange(base.content))
    else if (base.tag === 0xa4) directory = true
  }
  return { dns, ranges, directory }
}

function readRange(bytes: Uint8Array): Cidr {
  if (bytes.length !== 8 && bytes.length !== 32) throw new RangeError('an address range of another length')
  const half = bytes.length / 2
  const mask = [...bytes.subarray(half)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  if (/01/.test(mask)) throw new RangeError('an address range whose mask has holes')
  const network = addressFrom(bytes.subarray(0, half).map((byte, index) => byte & (bytes[half + index] ?? 0)))
  return range(`${network.text}/${mask.lastIndexOf('1') + 1}`)
}

function addressFrom(bytes: Uint8Array): IpAddress {
  const view = Buffer.from(bytes)
  if (bytes.length === 4) return ipv4FromValue(view.readUInt32BE(0))
  return ipv6FromWords([view.readUInt32BE(0), view.readUInt32BE(4), view.readUInt32BE(8), view.readUInt32BE(12)])
}

/** Of text that is known to be a range. */
function range(text: string): Cidr {
  const cidr = parseCidr(text)
  if (!cidr.ok) throw new Error(cidr.error)
  return cidr.value
}
