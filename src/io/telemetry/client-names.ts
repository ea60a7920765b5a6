import { createHmac, randomBytes } from 'node:crypto'
import type { AuditEvent } from '../../core/audit-event.ts'
import { LRUCache } from '../lru.ts'

export interface ClientPrivacy {
  /** What the audit log shows of a client's address: all of it, a pseudonym, or nothing. */
  readonly shown: 'keep' | 'hash' | 'drop'
  /** Key of the pseudonyms, so that several gateways and their later starts agree; without one each start has its own. */
  readonly key: string | undefined
}

/** 64 bits: no two clients of a network meet, and a line stays short. */
const PSEUDONYM_HEX_DIGITS = 16

const OWN_KEY_BYTES = 32

/** A hash costs a few microseconds; the clients of a busy hour are kept. */
const REMEMBERED = 10_000

/**
 * What the audit log says of a client. A pseudonym is a keyed hash (HMAC-SHA256): the whole IPv4 space is hashed in minutes, so
 * that without a key it would only be another spelling of the address.
 */
export class ClientNames {
  readonly #ownKey = randomBytes(OWN_KEY_BYTES)
  readonly #pseudonyms = new LRUCache<string, string>({ max: REMEMBERED })
  #privacy: ClientPrivacy

  constructor(privacy: ClientPrivacy) {
    this.#privacy = privacy
  }

  /** Takes another setting from now on. */
  configure(privacy: ClientPrivacy): void {
    if (privacy.key !== this.#privacy.key) this.#pseudonyms.clear()
    this.#privacy = privacy
  }

  /** The event as it is logged. A port goes with the address: with it a log of another machine would name the client again. */
  applied(event: AuditEvent): AuditEvent {
    if (this.#privacy.shown === 'keep') return event
    const { client, clientPort: _, user, ...rest } = event
    if (this.#privacy.shown === 'drop') return rest
    return {
      ...rest,
      ...(client === undefined ? {} : { client: this.#pseudonym(client) }),
      ...(user === undefined ? {} : { user: this.#pseudonym(user) }),
    }
  }

  #pseudonym(client: string): string {
    const known = this.#pseudonyms.get(client)
    if (known !== undefined) return known
    const hash = createHmac('sha256', this.#privacy.key ?? this.#ownKey)
      .update(client)
      .digest('hex')
    const pseudonym = `hmac:${hash.slice(0, PSEUDONYM_HEX_DIGITS)}`
    this.#pseudonyms.set(client, pseudonym)
    return pseudonym
  }
}
