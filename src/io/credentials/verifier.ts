import { createHmac, randomBytes } from 'node:crypto'
import type { CredentialRecord, Credentials } from '../../core/config/credential-file.ts'
import { LRUCache } from '../lru.ts'
import type { SentCredentials } from './basic.ts'
import { isRight, PASSWORD_BYTES_MAX } from './password-hash.ts'

/**
 * What became of credentials: `limited`, the client has been wrong too often and they were not looked at; `busy`, too many are being
 * looked at.
 */
export type Verification = 'right' | 'wrong' | 'limited' | 'busy'

export interface VerifierOptions {
  /** Wrong ones of one client that are looked at in a minute. */
  readonly failuresPerMinute: () => number
  readonly nowMs: () => number
  /** Looks at one; for tests. */
  readonly check?: typeof isRight
}

/** How long a verdict is believed without another look. A record that changes is another one at once. */
const RIGHT_MS = 300_000
const WRONG_MS = 60_000

const REMEMBERED = 10_000

/** Clients whose failures are remembered; the one seen longest ago starts afresh. */
const CLIENTS = 10_000

/** Each has a core and 16 MiB for a fifth of a second; libuv's other threads stay free for files. */
const AT_ONCE = 2

const WAITING_MAX = 256

interface Bucket {
  tokens: number
  atMs: number
}

/**
 * Looks at passwords, off the event loop and few at once. A verdict is remembered under a keyed hash of what was sent, with a key that
 * lives as long as this object: nothing kept here tells a password. Whoever guesses is stopped by its own failures, not by anybody
 * else's.
 */
export class CredentialVerifier {
  readonly #options: VerifierOptions
  readonly #key = randomBytes(32)
  readonly #verdicts = new LRUCache<string, { readonly right: boolean; readonly untilMs: number }>({ max: REMEMBERED })
  readonly #failures = new LRUCache<string, Bucket>({ max: CLIENTS })
  /** The same credentials on many connections at once are looked at once. */
  readonly #underWay = new Map<string, Promise<Verification>>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** @param client whose failures they count as: its address */
  verify(users: Credentials, client: string, sent: SentCredentials): Verification | Promise<Verification> {
    if (sent.password === '' || Buffer.byteLength(sent.password) > PASSWORD_BYTES_MAX) return 'wrong'
    const known = users.get(sent.user)
    const record = known ?? standIn(users)
    if (record === undefined) return 'wrong'
    const key = this.#keyOf(record.line, sent)
    const verdict = this.#verdicts.get(key)
    if (verdict !== undefined && verdict.untilMs > this.#options.nowMs()) return verdict.right ? 'right' : 'wrong'
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    if (!this.#takeTry(client)) return 'limited'
    if (this.#running >= AT_ONCE && this.#waiting.length >= WAITING_MAX) return 'busy'
    const looking = this.#look(key, client, record, sent.password, known !== undefined).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, looking)
    return looking
  }

  async #look(key: string, client: string, record: CredentialRecord, password: string, isKnown: boolean): Promise<Verification> {
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      const matches = await (this.#options.check ?? isRight)(record, password)
      const right = matches && isKnown
      if (right) this.#giveBackTry(client)
      this.#verdicts.set(key, { right, untilMs: this.#options.nowMs() + (right ? RIGHT_MS : WRONG_MS) })
      return right ? 'right' : 'wrong'
    } finally {
      // Whoever waits longest has the place.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** The user's length keeps `ab:c` and `a:bc` apart. */
  #keyOf(line: string, { user, password }: SentCredentials): string {
    return createHmac('sha256', this.#key).update(`${line}\n${user.length} ${user}${password}`).digest('base64')
  }

  #takeTry(client: string): boolean {
    const bucket = this.#refilled(client)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  #giveBackTry(client: string): void {
    const bucket = this.#refilled(client)
    bucket.tokens = Math.min(this.#options.failuresPerMinute(), bucket.tokens + 1)
  }

  #refilled(client: string): Bucket {
    const most = this.#options.failuresPerMinute()
    const nowMs = this.#options.nowMs()
    const bucket = this.#failures.get(client) ?? { tokens: most, atMs: nowMs }
    bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.atMs) / 60_000) * most)
    bucket.atMs = nowMs
    this.#failures.set(client, bucket)
    return bucket
  }
}

/** An unknown user takes as long as a known one: some record is looked at all the same. */
function standIn(users: Credentials): CredentialRecord | undefined {
  for (const record of users.values()) return record
  return undefined
}
