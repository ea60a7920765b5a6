import { generateKeyPairSync, type KeyObject } from 'node:crypto'

/** The key of minted certificates. It is of this process alone and never written anywhere. */
export interface LeafKey {
  readonly publicKey: KeyObject
  /** PKCS #8. */
  readonly privatePem: string
}

/** How long one key is used for new certificates: a day of traffic is what a leaked one could impersonate. */
const KEY_LIFETIME_MS = 86_400_000

/**
 * One P-256 key at a time for all minted certificates: they are all made by the same process anyway, and a key for each would
 * only cost time (0.07 ms; an RSA one, 232 ms).
 */
export class LeafKeys {
  readonly #now: () => Date
  #key: LeafKey | undefined
  #madeAtMs = 0

  constructor(now: () => Date) {
    this.#now = now
  }

  /** The key for a certificate made now; another one when a day has gone by, or the clock was set back. */
  current(): LeafKey {
    const ageMs = this.#now().getTime() - this.#madeAtMs
    if (this.#key === undefined || ageMs < 0 || ageMs >= KEY_LIFETIME_MS) {
      this.#key = generateLeafKey()
      this.#madeAtMs = this.#now().getTime()
    }
    return this.#key
  }
}

export function generateLeafKey(): LeafKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return { publicKey, privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}
