import { constants, createHash, randomBytes } from 'node:crypto'
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls'
import type { Host } from '../../core/names/authority.ts'
import { LRUCache } from '../lru.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import { type LeafKey, LeafKeys } from './leaf-key.ts'

export interface ContextCacheOptions {
  readonly authority: CertificateAuthority
  /** Hosts whose context is kept, about 30 KB each; the one used longest ago makes way. */
  readonly maxEntries: number
  readonly now: () => Date
  readonly onMint?: () => void
  readonly onHit?: () => void
  /** Called when a host's context makes way for another's. */
  readonly onEvict?: () => void
}

interface Entry {
  readonly context: SecureContext
  readonly leafKey: LeafKey
  readonly notBeforeMs: number
  readonly renewAtMs: number
}

/** A certificate is replaced when less than this part of its life is left. */
const RENEWAL_SHARE = 1 / 3

/**
 * TLS contexts of inspected hosts, each with a certificate of its own.
 *
 * Ask for one only once the policy has let the client through: a mint costs a signature. It is synchronous, so however many
 * clients ask for a new name at once, the first one mints and the others find it.
 */
export class ContextCache {
  readonly #options: ContextCacheOptions
  readonly #leafKeys: LeafKeys
  readonly #entries: LRUCache<string, Entry>

  constructor(options: ContextCacheOptions) {
    this.#options = options
    this.#leafKeys = new LeafKeys(options.now)
    this.#entries = new LRUCache({
      max: options.maxEntries,
      dispose: (_entry, _host, because) => because === 'evict' && options.onEvict?.(),
    })
  }

  get size(): number {
    return this.#entries.size
  }

  /** Throws as `CertificateAuthority.mint` does: ask `permits` and `problemAt` first. */
  contextFor(host: Host): SecureContext {
    const nowMs = this.#options.now().getTime()
    const leafKey = this.#leafKeys.current()
    // Not `hostKey`: an address and its IPv4-mapped form are one host to the policy and two to a client that compares certificates.
    const key = host.text
    const known = this.#entries.get(key)
    if (known !== undefined && known.leafKey === leafKey && nowMs >= known.notBeforeMs && nowMs < known.renewAtMs) {
      this.#options.onHit?.()
      return known.context
    }
    const entry = this.#mint(host, leafKey, new Date(nowMs))
    this.#entries.set(key, entry)
    this.#options.onMint?.()
    return entry.context
  }

  #mint(host: Host, leafKey: LeafKey, now: Date): Entry {
    const { certPem, notBefore, notAfter } = this.#options.authority.mint(host, leafKey, now)
    const lifeMs = notAfter.getTime() - notBefore.getTime()
    // Near the end of the CA a new certificate would live no longer than this one, and every request would ask for another.
    const endsWithCa = notAfter >= this.#options.authority.notAfter
    return {
      context: contextOf(host, certPem, leafKey),
      leafKey,
      notBeforeMs: notBefore.getTime(),
      renewAtMs: notAfter.getTime() - (endsWithCa ? 0 : lifeMs * RENEWAL_SHARE),
    }
  }
}

/**
 * Node's own, but with AES-128 first: no weaker against anybody who listens in the subnet, and its SHA-256 is what processors have
 * instructions for, where the key schedule of most of the others is SHA-384.
 */
const CIPHERS = `TLS_AES_128_GCM_SHA256:${DEFAULT_CIPHERS.replace('TLS_AES_128_GCM_SHA256:', '')}`

/**
 * Ticket keys and session id context are the host's own, so a ticket from one host's session opens no other host's. That holds
 * where the context is given to the TLSSocket itself; one handed over in an SNI callback comes too late for OpenSSL's tickets.
 */
function contextOf(host: Host, certPem: string, { privatePem }: LeafKey): SecureContext {
  return createSecureContext({
    cert: certPem,
    key: privatePem,
    // No client certificate is ever asked for, so the roots that Node would load by itself are of no use.
    ca: [],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    ticketKeys: randomBytes(48),
    sessionIdContext: createHash('sha256').update(host.text).digest('hex').slice(0, 32),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  })
}
