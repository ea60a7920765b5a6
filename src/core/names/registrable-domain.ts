import { parse } from 'tldts'
import { type Hostname, parseHostname } from './hostname.ts'
import type { SharedService } from './shared-service.ts'

/** Whose a name is, as far as its spelling tells. */
export type Ownership =
  | {
      /** One registrant's: everything under the domain is theirs to give. */
      readonly kind: 'domain'
      readonly domain: Hostname
      /** Whose customers have names somewhere under it: then not everything is. */
      readonly above?: string
    }
  | {
      /** Under a suffix where everybody can have a name, or that suffix itself. */
      readonly kind: 'shared'
      readonly suffix: string
      readonly service: string
      readonly itself: boolean
    }
  /** A name of one label, or a suffix like `co.uk` under which registrars sell names. */
  | { readonly kind: 'unknown'; readonly isPublicSuffix?: true }

/** What the Public Suffix List's private section says of a suffix. */
const LISTED_BY_PSL = 'a provider on the Public Suffix List'

/** Names come in canonical form, so nothing has to be found in a URL or checked again. */
const PARSING = { allowPrivateDomains: true, extractHostname: false, validateHostname: false, detectIp: false } as const

/**
 * Tells a registrant's domain from a suffix that many share: by the Public Suffix List, and by a list of our own of what cloud
 * providers hand out without being on it. Data, not policy: no decision of the gateway depends on it.
 */
export class SharedSuffixes {
  /** What everybody can have a name under, and whose it is. */
  readonly #suffixes = new Map<string, string>()
  /** The same, and what stands above such names. */
  readonly #names = new Map<string, string>()

  constructor(services: readonly SharedService[]) {
    for (const { service, suffixes, parents } of services) {
      for (const suffix of suffixes) this.#suffixes.set(suffix, service)
      for (const name of [...suffixes, ...parents]) this.#names.set(name, service)
    }
  }

  ownershipOf(host: Hostname): Ownership {
    const listed = this.#sharedSuffixOf(host)
    if (listed !== undefined) return { kind: 'shared', ...listed, itself: listed.suffix === host }
    const { domain, publicSuffix, isPrivate, isIcann } = parse(host, PARSING)
    if (isPrivate && publicSuffix !== null)
      return { kind: 'shared', suffix: publicSuffix, service: LISTED_BY_PSL, itself: publicSuffix === host }
    const name = domain === null ? undefined : parseHostname(domain)
    if (!name?.ok) return { kind: 'unknown', ...(isIcann ? { isPublicSuffix: true } : {}) }
    const above = this.#serviceAtOrUnder(name.value)
    return { kind: 'domain', domain: name.value, ...(above === undefined ? {} : { above }) }
  }

  /** The longest listed suffix that the host is or stands under. */
  #sharedSuffixOf(host: Hostname): { readonly suffix: string; readonly service: string } | undefined {
    for (let suffix: string = host; ; suffix = suffix.slice(suffix.indexOf('.') + 1)) {
      const service = this.#suffixes.get(suffix)
      if (service !== undefined) return { suffix, service }
      if (!suffix.includes('.')) return undefined
    }
  }

  #serviceAtOrUnder(domain: Hostname): string | undefined {
    for (const [name, service] of this.#names) if (name === domain || name.endsWith(`.${domain}`)) return service
    return undefined
  }
}
