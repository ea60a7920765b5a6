import type { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Host } from '../../core/names/authority.ts'
import { type IpAddress, unmapped } from '../../core/names/ip.ts'
import type { Entry } from '../../core/policy/entry.ts'
import type { Policy } from '../../core/policy/policy.ts'
import type { Reason } from '../../core/policy/reasons.ts'
import { chooseUpstream } from '../../core/policy/upstream.ts'
import { type AddressRefusal, type VettedAddress, vetAddress } from '../../core/policy/vet.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type RaceFailure, race } from '../relay/race.ts'
import type { RawConnection } from '../relay/raw-connection.ts'
import type { RawDial } from '../relay/relay.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'
import type { ParentDestination, ParentDialer } from './parent-dial.ts'
import type { LookupFailure, Resolver } from './resolver.ts'

export interface DialRequest {
  readonly policy: Policy
  readonly host: Host
  readonly port: number
  /** The entry that allowed it; its `destinations` count. Absent in report mode. */
  readonly entry: Entry | undefined
  /** Where a transparent client was going: for a name, to be found among its addresses. */
  readonly claim?: Claim | undefined
  /** Ways through parents, the first that matches; without one the gateway dials itself. */
  readonly upstream?: readonly UpstreamWay[] | undefined
  /** `Via` as it came with the request. */
  readonly receivedVia?: string | undefined
}

/** The address that a client holds to be its host's. It is never dialled for that. */
export interface Claim {
  readonly address: IpAddress
  /** Called where it is none of the host's; gives the detail of the refusal, if that is to be one. */
  readonly onMismatch: () => string | undefined
}

export interface DialFailure {
  readonly reason: Extract<
    Reason,
    'address_refused' | 'address_mismatch' | 'loop_detected' | 'dns_failed' | 'dial_failed' | 'dial_timeout'
  >
  readonly detail: string
  readonly refusal?: AddressRefusal
  /** The parent, or parents, that it failed with, and the status that one answered. */
  readonly parent?: { readonly label: string; readonly answered?: number }
}

export type Destination = DirectDestination | ParentDestination

/** Where a request may be dialled: vetted addresses, in the order to try them, and the port. */
export interface DirectDestination {
  readonly addresses: readonly [VettedAddress, ...VettedAddress[]]
  readonly port: number
}

export interface Dialled<Connection = Socket> {
  readonly socket: Connection
  readonly address: VettedAddress
  readonly port: number
  /** The parent whose address that is, where the connection goes through one. */
  readonly parent?: string
}

export interface DialerOptions {
  readonly resolver: Resolver
  readonly dialMs: () => number
  /** Connects without a socket of Node's; absent where there is only Node. */
  readonly rawDial?: RawDial | undefined
  readonly parentDialer: ParentDialer
  /** Whether a destination is one of the gateway's own listeners. */
  readonly isOwnListener: (address: IpAddress, port: number) => boolean
  readonly onDialled: (outcome: DialOutcome, seconds: number) => void
}

export type DialOutcome = 'connected' | DialFailure['reason'] | 'aborted'

/** A connection attempt gets this head start before the next address is tried beside it (RFC 8305 section 5). */
export const NEXT_ADDRESS_MS = 250

/** Resolves, vets and dials. No other code in the gateway opens a connection to an origin. */
export class Dialer {
  readonly #options: DialerOptions
  /** Through which parent a connection goes that is kept for more than one request. */
  readonly parentOf = new WeakMap<Socket, string>()

  constructor(options: DialerOptions) {
    this.#options = options
  }

  /** By when, on the clock of `performance.now()`, a request that begins now must have its connection. */
  deadline(): number {
    return performance.now() + this.#options.dialMs()
  }

  /** Every address is vetted; those that pass may be dialled, and where none does the request is refused. */
  async locate(request: DialRequest, deadline: number): Promise<Result<Destination, DialFailure>> {
    const located = this.#locate(request)
    // The wait for name servers is bounded by the resolver, but not by this request's deadline.
    return located instanceof Promise ? beforeDeadline(located, deadline) : located
  }

  /**
   * Locates and connects, within one deadline, to the first address that answers: without a socket of Node's where that can be had.
   * When the caller leaves, whatever is under way is closed.
   */
  dial(request: DialRequest, caller: Caller): Promise<Result<Dialled<Socket | RawConnection>, DialFailure>> {
    const started = performance.now()
    const deadline = started + this.#options.dialMs()
    return new Promise((resolve, reject) => {
      const settle = (result: Result<Dialled<Socket | RawConnection>, DialFailure>) => {
        this.#measure(started, caller, result)
        resolve(result)
      }
      const connectTo = (located: Result<Destination, DialFailure>) => {
        if (!located.ok) settle(located)
        else if ('way' in located.value) this.#options.parentDialer.dial(located.value, caller, deadline).then(settle, reject)
        else if (!this.#raceRaw(located.value, caller, deadline, settle)) dialFirst(located.value, caller, deadline, settle)
      }
      const located = this.#locate(request)
      if (located instanceof Promise) beforeDeadline(located, deadline).then(connectTo).catch(reject)
      else connectTo(located)
    })
  }

  /** The same as `locate`, at once where nobody has to be asked; for whoever connects without this. */
  locateNow(
    request: DialRequest,
    deadline: number,
  ): Result<Destination, DialFailure> | Promise<Result<Destination, DialFailure>> {
    const located = this.#locate(request)
    return located instanceof Promise ? beforeDeadline(located, deadline) : located
  }

  /** Notes how a dial ended that was made without this. */
  measured(outcome: DialOutcome, seconds: number): void {
    this.#options.onDialled(outcome, seconds)
  }

  /** False where nothing has been begun. */
  #raceRaw(
    { addresses, port }: DirectDestination,
    caller: Caller,
    deadline: number,
    settle: (result: Result<Dialled<RawConnection>, DialFailure>) => void,
  ): boolean {
    const { rawDial } = this.#options
    const dialMs = Math.ceil(deadline - performance.now())
    if (rawDial === undefined || dialMs <= 0 || caller.left) return false
    const texts = addresses.map(({ text }) => text)
    const giveUp = rawDial(texts, port, dialMs, NEXT_ADDRESS_MS, (outcome) => {
      caller.onLeave(undefined)
      if (outcome.kind === 'given_up') return settle(err(TIMED_OUT))
      if (outcome.kind === 'failed') return settle(err(failureOf(texts, outcome.errno)))
      // One that came up just when it was given up is closed by whoever gave it up, as any other.
      const address = addresses[outcome.index] ?? addresses[0]
      settle(ok({ socket: outcome.connection, address, port }))
    })
    if (giveUp === undefined) return false
    caller.onLeave(giveUp)
    return true
  }

  /** Connects to a destination that was located before, within the rest of the same deadline. */
  connect(destination: Destination, caller: Caller, deadline: number): Promise<Result<Dialled, DialFailure>> {
    const started = performance.now()
    return new Promise((resolve, reject) => {
      const settle = (result: Result<Dialled, DialFailure>) => {
        this.#measure(started, caller, result)
        resolve(result)
      }
      if ('way' in destination) this.#options.parentDialer.dial(destination, caller, deadline).then(settle, reject)
      else dialFirst(destination, caller, deadline, settle)
    })
  }

  #measure(started: number, caller: Caller, result: Result<unknown, DialFailure>): void {
    const outcome = result.ok ? 'connected' : caller.left ? 'aborted' : result.error.reason
    this.#options.onDialled(outcome, (performance.now() - started) / 1000)
  }

  #locate(request: DialRequest): Result<Destination, DialFailure> | Promise<Result<Destination, DialFailure>> {
    const { policy, host } = request
    const way = chooseUpstream(request.upstream ?? [], policy, host)
    if (way !== undefined) return this.#throughParent(request, way)
    const pin = host.kind === 'name' ? policy.pins.get(host.name) : undefined
    const port = pin?.port ?? request.port
    const vet = (found: Result<readonly IpAddress[], DialFailure>) =>
      found.ok ? this.#vet(request, found.value, pin !== undefined, port) : found
    if (pin !== undefined) return vet(ok([pin.address]))
    if (host.kind === 'address') return vet(ok([host.ip]))
    const found = this.#options.resolver.resolve(host.name)
    return found instanceof Promise ? found.then((late) => vet(asDialFailure(late))) : vet(asDialFailure(found))
  }

  /** A name is the parent's to resolve, and so to vet; an address is known here, and vetted here. */
  #throughParent(request: DialRequest, way: UpstreamWay): Result<ParentDestination, DialFailure> {
    const { policy, host, port, receivedVia } = request
    if (host.kind === 'address') {
      const vetted = this.#vet(request, [host.ip], false, port)
      if (!vetted.ok) return vetted
    }
    return ok({ way, target: { host, port }, port, policy, receivedVia })
  }

  #vet(
    { policy, host, entry, claim }: DialRequest,
    candidates: readonly IpAddress[],
    pinned: boolean,
    port: number,
  ): Result<DirectDestination, DialFailure> {
    // A pin is the operator's word against DNS, and so against what clients find there.
    if (claim !== undefined && host.kind === 'name' && !pinned && candidates.length > 0 && !isAmong(claim.address, candidates)) {
      const detail = claim.onMismatch()
      if (detail !== undefined) return err({ reason: 'address_mismatch', detail })
    }
    const permission = { pinned, destinations: entry?.destinations, privateRanges: policy.privateRanges }
    const vetted: VettedAddress[] = []
    let refusal: AddressRefusal | undefined
    for (const candidate of candidates) {
      const result = vetAddress(candidate, permission)
      if (!result.ok) refusal ??= result.error
      else if (this.#options.isOwnListener(result.value, port))
        return err({ reason: 'loop_detected', detail: `${result.value.text} is this gateway` })
      else vetted.push(result.value)
    }
    const [first, ...others] = interleaved(vetted)
    if (first !== undefined) return ok({ addresses: [first, ...others], port })
    if (refusal === undefined) return err({ reason: 'dns_failed', detail: 'the name has no address' })
    return err({ reason: 'address_refused', detail: `${refusal.address.text} (${refusal.block})`, refusal })
  }
}

function isAmong(address: IpAddress, candidates: readonly IpAddress[]): boolean {
  return candidates.some((candidate) => unmapped(candidate).text === address.text)
}

function asDialFailure(found: Result<readonly IpAddress[], LookupFailure>): Result<readonly IpAddress[], DialFailure> {
  return found.ok ? found : err({ reason: 'dns_failed', detail: found.error.detail })
}

/** Whoever asked for a connection, and may leave before it is there. */
export class Caller {
  #left = false
  #onLeave: (() => void) | undefined

  get left(): boolean {
    return this.#left
  }

  /** Calls back at once when it leaves; nobody is called back who asked before. */
  onLeave(callback: (() => void) | undefined): void {
    this.#onLeave = callback
  }

  leave(): void {
    this.#left = true
    this.#onLeave?.()
  }
}

const TIMED_OUT: DialFailure = { reason: 'dial_timeout', detail: 'no address accepted a connection in time' }
const NOT_LOCATED: DialFailure = { reason: 'dial_timeout', detail: 'no name server answered in time' }

export function beforeDeadline<T>(attempt: Promise<Result<T, DialFailure>>, deadline: number): Promise<Result<T, DialFailure>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(err(NOT_LOCATED)), Math.max(0, deadline - performance.now()))
    attempt.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Connects to the first address that answers. */
export function dialFirst(
  { addresses, port }: DirectDestination,
  caller: Caller,
  deadline: number,
  onSettled: (result: Result<Dialled, DialFailure>) => void,
): void {
  if (caller.left) return onSettled(err(TIMED_OUT))
  const texts = addresses.map(({ text }) => text)
  const dialMs = deadline - performance.now()
  const giveUp = race(texts, { port, dialMs, staggerMs: NEXT_ADDRESS_MS, isProbed: true }, (outcome) => {
    caller.onLeave(undefined)
    if (outcome.kind === 'timeout') return onSettled(err(TIMED_OUT))
    if (outcome.kind === 'failed') return onSettled(err(failureOfAll(outcome.failures)))
    const { socket, index } = outcome
    onSettled(ok({ socket, address: addresses[index] ?? addresses[0], port }))
  })
  caller.onLeave(() => {
    caller.onLeave(undefined)
    giveUp()
    onSettled(err(TIMED_OUT))
  })
}

/** The kernel's own connect timeout is a timeout, however it came about. */
function failureOfAll(failures: readonly RaceFailure[]): DialFailure {
  const reason = failures.every(({ error }) => error.code === 'ETIMEDOUT') ? 'dial_timeout' : 'dial_failed'
  return { reason, detail: failures.map(({ address, error }) => `${address}: ${error.code ?? 'failed'}`).join(', ') }
}

/** The kernel's own connect timeout is a timeout, however it came about. */
export function failureOf(addresses: readonly string[], errno: number): DialFailure {
  const name = getSystemErrorName(-errno)
  if (name === 'ETIMEDOUT') return TIMED_OUT
  return { reason: 'dial_failed', detail: `${addresses.join(', ')}: ${name}` }
}

/** IPv6 and IPv4 in turn, IPv6 first (RFC 8305 section 4). */
export function interleaved(addresses: readonly VettedAddress[]): readonly VettedAddress[] {
  if (addresses.every(({ family }) => family === addresses[0]?.family)) return addresses
  const six = addresses.filter(({ family }) => family === 6)
  const four = addresses.filter(({ family }) => family === 4)
  return Array.from({ length: Math.max(six.length, four.length) }, (_, i) => [six[i], four[i]])
    .flat()
    .filter((address) => address !== undefined)
}
