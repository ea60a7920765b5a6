import { parseHost } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { err, ok, type Result } from '../result.ts'
import { type HostPattern, hostPatternMatches, parseHostPattern } from './host-pattern.ts'

/** The names that a client certificate proves, as they stand in it. */
export interface CertificateNames {
  /** dNSName entries of the subject's alternative names. */
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly email: readonly string[]
  /** The common name; absent where there is none, or more than one. */
  readonly cn?: string
}

/**
 * Which certificates belong to a group. The kind is always said: a CA that vouches for DNS names may let its clients choose their common
 * name.
 */
export type CertificatePattern =
  | { readonly kind: 'dns'; readonly host: HostPattern; readonly text: string }
  | {
      readonly kind: 'uri' | 'email' | 'cn'
      readonly value: string
      /** Whether more may follow: the pattern ended in `*`. */
      readonly isPrefix: boolean
      readonly text: string
    }

const FORM = 'write `dns:*.jobs.example.com`, `uri:spiffe://example.com/jobs/*`, `email:NAME@example.com` or `cn:NAME`'

export function parseCertificatePattern(text: string): Result<CertificatePattern, string> {
  const [, kind, value] = /^(dns|uri|email|cn):(.+)$/s.exec(text) ?? []
  if (kind === undefined || value === undefined) return err(`${quote(text)} does not say which name of the certificate; ${FORM}`)
  if (kind === 'dns') {
    const host = parseHostPattern(value)
    if (!host.ok) return host
    if (host.value.kind === 'exact' && host.value.host.kind === 'address')
      return err(`${quote(text)}: a client's address is no name of its certificate; use \`sources\``)
    return ok({ kind, host: host.value, text })
  }
  const star = value.indexOf('*')
  if (star >= 0 && star < value.length - 1) return err(`${quote(text)}: a \`*\` stands at the end, for whatever follows`)
  if (value === '*') return err(`${quote(text)} is everybody's certificate; write what the names begin with`)
  return ok({ kind: kind as 'uri' | 'email' | 'cn', value: star < 0 ? value : value.slice(0, -1), isPrefix: star >= 0, text })
}

/** The name that matches, as the audit log shows it: `dns:worker-1.jobs.example.com`. Only `dns` ignores case. */
export function matchingName(pattern: CertificatePattern, names: CertificateNames): string | undefined {
  if (pattern.kind === 'dns') {
    const found = names.dns.find((name) => {
      const host = parseHost(name)
      return host.ok && host.value.kind === 'name' && hostPatternMatches(pattern.host, host.value)
    })
    return found === undefined ? undefined : `dns:${found.toLowerCase()}`
  }
  const own = pattern.kind === 'cn' ? (names.cn === undefined ? [] : [names.cn]) : names[pattern.kind]
  const found = own.find((name) => (pattern.isPrefix ? name.startsWith(pattern.value) : name === pattern.value))
  return found === undefined ? undefined : `${pattern.kind}:${found}`
}
