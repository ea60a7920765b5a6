import type { DenialRecord } from '../audit-record.ts'
import { formatAuthority, type Host } from '../names/authority.ts'
import type { Reason } from './reasons.ts'

/** How often something was refused, to whom and when. */
export interface Evidence {
  readonly count: number
  /** As many of them as report mode let through. */
  readonly wouldDeny: number
  /** Addresses or pseudonyms, in order of appearance; the first few of them where there are `moreClients`. */
  readonly clients: readonly string[]
  readonly moreClients: boolean
  /** ISO 8601 in UTC. */
  readonly firstSeen: string
  readonly lastSeen: string
}

/** Method and path of refused requests, where a rule judges them. */
export interface RefusedRequest {
  readonly method: string
  readonly path: string
  readonly count: number
}

export interface DeniedDestination {
  readonly host: Host
  readonly port: number
  readonly evidence: Evidence
  readonly reasons: ReadonlyMap<Reason, number>
  readonly requests: readonly RefusedRequest[]
  /** Requests of whose path nothing was kept. */
  readonly moreRequests: number
  /** Of an address that was refused: what and why, as the gateway said it first. */
  readonly refusedAddress?: string
}

export interface DigestLimits {
  /** Destinations kept; at twice as many the rarest half is forgotten. */
  readonly destinations: number
  /** Clients kept for each. */
  readonly clients: number
  /** Requests with their paths, for each destination and altogether. */
  readonly requestsEach: number
  readonly requests: number
  readonly gateways: number
}

/** A few ten MB at the very worst. */
const LIMITS: DigestLimits = { destinations: 5_000, clients: 64, requestsEach: 50, requests: 20_000, gateways: 100 }

/** Longer paths are no paths one writes into a rule. */
const PATH_CHARACTERS_MAX = 512

const PATH_REASONS: ReadonlySet<Reason | undefined> = new Set<Reason>(['path_not_listed', 'method_not_listed'])

class Tally {
  readonly #clientsMax: number
  readonly #clients = new Set<string>()
  #moreClients = false
  #firstSeen = ''
  #lastSeen = ''
  #wouldDeny = 0
  count = 0

  constructor(clientsMax: number) {
    this.#clientsMax = clientsMax
  }

  add({ time, verdict, client }: DenialRecord): void {
    this.count++
    if (verdict === 'would_deny') this.#wouldDeny++
    if (this.#firstSeen === '' || time < this.#firstSeen) this.#firstSeen = time
    if (time > this.#lastSeen) this.#lastSeen = time
    if (client === undefined || this.#clients.has(client)) return
    if (this.#clients.size < this.#clientsMax) this.#clients.add(client)
    else this.#moreClients = true
  }

  evidence(): Evidence {
    return {
      count: this.count,
      wouldDeny: this.#wouldDeny,
      clients: [...this.#clients],
      moreClients: this.#moreClients,
      firstSeen: this.#firstSeen,
      lastSeen: this.#lastSeen,
    }
  }
}

interface Row {
  readonly host: Host
  readonly port: number
  readonly tally: Tally
  readonly reasons: Map<Reason, number>
  readonly requests: Map<string, { readonly method: string; readonly path: string; count: number }>
  moreRequests: number
  refusedAddress?: string
}

/**
 * What a log of any length amounts to, in memory that does not grow with it. Names are the client's to choose, so a flood of new
 * ones must not push out what is asked for all the time: when there are too many, the rarest go, and how many is told.
 */
export class DeniedDestinations {
  readonly #limits: DigestLimits
  readonly #rows = new Map<string, Row>()
  readonly #withoutTarget = new Map<Reason | 'unknown', Tally>()
  readonly #gateways = new Set<string>()
  readonly #all: Tally
  #requests = 0
  #forgottenDestinations = 0
  #forgottenRequests = 0

  constructor(limits: Partial<DigestLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits }
    this.#all = new Tally(this.#limits.clients)
  }

  add(denial: DenialRecord): void {
    const { reason, target, gateway } = denial
    this.#all.add(denial)
    if (this.#gateways.size < this.#limits.gateways) this.#gateways.add(gateway)
    if (target === undefined || reason === undefined) {
      const key = reason ?? 'unknown'
      const tally = this.#withoutTarget.get(key) ?? new Tally(this.#limits.clients)
      this.#withoutTarget.set(key, tally)
      tally.add(denial)
      return
    }
    const row = this.#rowOf(target)
    row.tally.add(denial)
    row.reasons.set(reason, (row.reasons.get(reason) ?? 0) + 1)
    if (PATH_REASONS.has(reason)) this.#addRequest(row, denial)
    if (reason === 'address_refused' && denial.detail !== undefined) row.refusedAddress ??= denial.detail
    if (this.#rows.size >= this.#limits.destinations * 2) this.#forgetRarest()
  }

  /** The most frequent first; among equals by name. */
  list(): DeniedDestination[] {
    return [...this.#rows.entries()]
      .toSorted(([a, one], [b, other]) => other.tally.count - one.tally.count || (a < b ? -1 : 1))
      .map(([, { host, port, tally, reasons, requests, moreRequests, refusedAddress }]) => ({
        host,
        port,
        evidence: tally.evidence(),
        reasons,
        requests: [...requests.values()].toSorted((a, b) => b.count - a.count),
        moreRequests,
        ...(refusedAddress === undefined ? {} : { refusedAddress }),
      }))
  }

  /** What was refused before it was known where it should go, by reason. */
  withoutTarget(): ReadonlyMap<Reason | 'unknown', Evidence> {
    return new Map([...this.#withoutTarget].map(([reason, tally]) => [reason, tally.evidence()]))
  }

  get total(): Evidence {
    return this.#all.evidence()
  }

  /** Names of the gateways, the first hundred of them. */
  get gateways(): readonly string[] {
    return [...this.#gateways]
  }

  /** What was given up so that memory stays flat. */
  get forgotten(): { readonly destinations: number; readonly requests: number } {
    return { destinations: this.#forgottenDestinations, requests: this.#forgottenRequests }
  }

  #rowOf({ host, port }: NonNullable<DenialRecord['target']>): Row {
    const key = formatAuthority({ host, port })
    const known = this.#rows.get(key)
    if (known !== undefined) return known
    const row: Row = {
      host,
      port,
      tally: new Tally(this.#limits.clients),
      reasons: new Map(),
      requests: new Map(),
      moreRequests: 0,
    }
    this.#rows.set(key, row)
    return row
  }

  #addRequest(row: Row, { http }: DenialRecord): void {
    const key = http === undefined ? '' : `${http.method} ${http.path}`
    const known = row.requests.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    const full = row.requests.size >= this.#limits.requestsEach || this.#requests >= this.#limits.requests
    if (http === undefined || full || http.path.length > PATH_CHARACTERS_MAX) row.moreRequests++
    else {
      row.requests.set(key, { ...http, count: 1 })
      this.#requests++
    }
  }

  /** At twice the limit, so that sorting is paid for once in as many new names. */
  #forgetRarest(): void {
    const byCount = [...this.#rows].toSorted(([, a], [, b]) => b.tally.count - a.tally.count)
    for (const [key, row] of byCount.slice(this.#limits.destinations)) {
      this.#rows.delete(key)
      this.#requests -= row.requests.size
      this.#forgottenDestinations++
      this.#forgottenRequests += row.tally.count
    }
  }
}
