import { Resolver as CaresResolver, type RecordWithTtl } from 'node:dns'
import type { Hostname } from '../../core/names/hostname.ts'
import { type IpAddress, parseIp } from '../../core/names/ip.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { LRUCache } from '../lru.ts'
import { HostsFile } from './hosts-file.ts'

export interface ResolverOptions {
  /** `address:port`; empty for the system's. */
  readonly servers: readonly string[]
  /** One try of one server. */
  readonly timeoutMs: number
  readonly cacheEntries: number
  readonly minTtlSeconds: number
  readonly maxTtlSeconds: number
  /** Names with fixed addresses; `/etc/hosts`. */
  readonly hostsFile: string
  readonly onLookup: (outcome: LookupOutcome) => void
  /** Called when a name makes way for another before its time. */
  readonly onEvict?: () => void
}

export type LookupOutcome = 'cached' | 'hosts_file' | 'answered' | 'not_found' | 'timeout' | 'failed'

export interface LookupFailure {
  readonly outcome: 'not_found' | 'timeout' | 'failed'
  /** For the log and the answer: what the name servers said. */
  readonly detail: string
}

type Lookup = Result<readonly IpAddress[], LookupFailure>

/** Tries per server before the look-up has failed. */
const TRIES = 2

/** Once one family has answered, how long the other may still take (RFC 8305 section 3 asks for at least 50 ms). */
const OTHER_FAMILY_MS = 250

/** Records of one name that are used; a hostile zone could answer with thousands. */
const MAX_ADDRESSES = 32

/**
 * Names to addresses, both families, cached by their time to live within bounds. Uses c-ares, which asks the servers itself:
 * no thread of libuv's pool is held, and no search domain is appended to what the client asked for.
 */
export class Resolver {
  #options: ResolverOptions
  #cares: CaresResolver
  readonly #hosts: HostsFile
  #cache: LRUCache<Hostname, Lookup>
  /** Look-ups under way, so that a thousand tunnels to one name ask once. */
  readonly #pending = new Map<Hostname, Promise<Lookup>>()

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#cares = caresResolver(options)
    this.#hosts = new HostsFile(options.hostsFile)
    this.#cache = cacheOf(options)
  }

  /** Resolves without a promise where the answer is at hand. */
  resolve(name: Hostname): Lookup | Promise<Lookup> {
    const fixed = this.#hosts.find(name)
    if (fixed !== undefined) return this.#count('hosts_file', ok(fixed))
    const cached = this.#cache.get(name)
    if (cached !== undefined) return this.#count('cached', cached)
    const pending = this.#pending.get(name)
    if (pending !== undefined) return pending
    const lookup = this.#ask(name).finally(() => this.#pending.delete(name))
    this.#pending.set(name, lookup)
    return lookup
  }

  /** Takes other servers and bounds from now on; what was learnt from the old ones is forgotten. */
  reconfigure(options: ResolverOptions): void {
    this.#options = options
    this.#cares = caresResolver(options)
    this.#cache = cacheOf(options)
  }

  /** Gives up look-ups under way. */
  close(): void {
    this.#cares.cancel()
    this.#cache.clear()
  }

  #count(outcome: LookupOutcome, lookup: Lookup): Lookup {
    this.#options.onLookup(outcome)
    return lookup
  }

  async #ask(name: Hostname): Promise<Lookup> {
    const [four, six] = await this.#bothFamilies(name)
    const records = [...(four.ok ? four.value : []), ...(six.ok ? six.value : [])]
    if (records.length > 0) {
      const ttl = Math.min(...records.map((record) => record.ttl))
      const addresses = records.flatMap((record) => parseIp(record.address) ?? []).slice(0, MAX_ADDRESSES)
      return this.#keep(name, ok(addresses), ttl, 'answered')
    }
    const failure = pickFailure(four, six)
    if (failure.outcome === 'not_found') return this.#keep(name, err(failure), 0, failure.outcome)
    return this.#count(failure.outcome, err(failure))
  }

  #keep(name: Hostname, lookup: Lookup, ttlSeconds: number, outcome: LookupOutcome): Lookup {
    const { minTtlSeconds, maxTtlSeconds } = this.#options
    const ttl = Math.max(minTtlSeconds, Math.min(ttlSeconds, maxTtlSeconds)) * 1000
    if (ttl > 0) this.#cache.set(name, lookup, { ttl })
    return this.#count(outcome, lookup)
  }

  /** Both families at once; when one has addresses, the other is not waited for long. */
  #bothFamilies(name: Hostname): Promise<[Family, Family]> {
    return new Promise((resolve) => {
      const waiting: Family = err({ outcome: 'timeout', detail: 'the other address family did not answer' })
      const families: [Family, Family] = [waiting, waiting]
      let left = 2
      let timer: NodeJS.Timeout | undefined
      const settle = (index: 0 | 1, family: Family) => {
        families[index] = family
        left--
        if (left === 0) {
          clearTimeout(timer)
          resolve(families)
        } else if (family.ok && family.value.length > 0) timer = setTimeout(() => resolve(families), OTHER_FAMILY_MS)
      }
      const ask = (index: 0 | 1) => (error: NodeJS.ErrnoException | null, records: RecordWithTtl[]) =>
        settle(index, error ? err(failureOf(error)) : ok(records))
      this.#cares.resolve4(name, { ttl: true }, ask(0))
      this.#cares.resolve6(name, { ttl: true }, ask(1))
    })
  }
}

function cacheOf({ cacheEntries, onEvict }: ResolverOptions): LRUCache<Hostname, Lookup> {
  return new LRUCache({ max: cacheEntries, dispose: (_lookup, _name, because) => because === 'evict' && onEvict?.() })
}

function caresResolver({ servers, timeoutMs }: ResolverOptions): CaresResolver {
  const cares = new CaresResolver({ timeout: timeoutMs, tries: TRIES })
  if (servers.length > 0) cares.setServers(servers)
  return cares
}

type Family = Result<readonly RecordWithTtl[], LookupFailure>

function failureOf(error: NodeJS.ErrnoException): LookupFailure {
  switch (error.code) {
    case 'ENOTFOUND':
      return { outcome: 'not_found', detail: 'the name does not exist (NXDOMAIN)' }
    case 'ENODATA':
      return { outcome: 'not_found', detail: 'the name has no address' }
    case 'ETIMEOUT':
      return { outcome: 'timeout', detail: 'no name server answered in time' }
    case 'ECONNREFUSED':
      return { outcome: 'failed', detail: 'no name server could be reached' }
    default:
      return { outcome: 'failed', detail: `the name servers answered ${error.code ?? 'with an error'}` }
  }
}

/** What to say when neither family has an address: a server's failure explains more than a missing record. */
function pickFailure(four: Family, six: Family): LookupFailure {
  const failures = [four, six].flatMap((family) => (family.ok ? [] : [family.error]))
  const worst = failures.find(({ outcome }) => outcome !== 'not_found') ?? failures[0]
  return worst ?? { outcome: 'not_found', detail: 'the name has no address' }
}
