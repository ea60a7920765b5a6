import type { Socket } from 'node:net'
import { type Authority, formatAuthority } from '../../core/names/authority.ts'
import type { IpAddress } from '../../core/names/ip.ts'
import type { Policy } from '../../core/policy/policy.ts'
import type { Parent } from '../../core/policy/upstream.ts'
import { type VettedAddress, vetAddress } from '../../core/policy/vet.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { ConnectAnswerReader } from '../../core/wire/connect-answer.ts'
import { handshakeWithOrigin } from '../tls/origin-trust.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'
import { beforeDeadline, type Caller, type DialFailure, type Dialled, dialFirst, interleaved } from './dial.ts'
import type { ParentOutcome, Parents } from './parents.ts'
import type { Resolver } from './resolver.ts'

/** A destination that a parent dials. A name in it has not been resolved here and is not going to be. */
export interface ParentDestination {
  readonly way: UpstreamWay
  readonly target: Authority
  readonly port: number
  /** A pin also says where a parent is. */
  readonly policy: Pick<Policy, 'pins' | 'privateRanges'>
  /** `Via` as it came with the request. */
  readonly receivedVia: string | undefined
}

export interface ParentDialerOptions {
  readonly resolver: Resolver
  readonly parents: Parents
  readonly isOwnListener: (address: IpAddress, port: number) => boolean
  /** This gateway's name in `Via`. */
  readonly via: string
}

/** What is wrong with one parent, or what it said instead of a 2xx. */
interface AttemptFailure {
  readonly outcome: Exclude<ParentOutcome, 'connected'>
  readonly detail: string
  /** Status of its answer. */
  readonly answered?: number
}

/** Has parents open tunnels. Order, failover and deadline are here; what is known of each parent is in `Parents`. */
export class ParentDialer {
  readonly #options: ParentDialerOptions

  constructor(options: ParentDialerOptions) {
    this.#options = options
  }

  /**
   * A tunnel to the target through the first parent that answers. An answer is the end of it, whatever it says: where one parent
   * refuses, asking another would go round it.
   *
   * @param deadline on the clock of `performance.now()`, for all attempts together
   */
  async dial(destination: ParentDestination, caller: Caller, deadline: number): Promise<Result<Dialled, DialFailure>> {
    const { parents } = this.#options
    const order = parents.inOrder(destination.way.proxy)
    const failures: string[] = []
    let isLate = true
    for (const [index, parent] of order.entries()) {
      if (caller.left) break
      const now = performance.now()
      // One that hangs must leave time for the next.
      const attemptBy = now + Math.max(0, deadline - now) / (order.length - index)
      const attempt = await this.#attempt(parent, destination, caller, attemptBy)
      if (attempt.ok) {
        parents.note(parent, 'connected')
        return attempt
      }
      // Nobody waits for it any more, and the parent is not to blame.
      if (caller.left) break
      const { outcome, detail, answered } = attempt.error
      parents.note(parent, outcome, detail)
      const told = `${parent.label} ${detail}`
      if (outcome === 'loop') return err({ reason: 'loop_detected', detail: told, parent: { label: parent.label } })
      if (answered !== undefined) return err({ reason: 'dial_failed', detail: told, parent: { label: parent.label, answered } })
      isLate &&= outcome === 'timeout' || outcome === 'unanswered'
      failures.push(told)
    }
    const label = order.map((parent) => parent.label).join(', ')
    return err({ reason: isLate ? 'dial_timeout' : 'dial_failed', detail: failures.join('; '), parent: { label } })
  }

  async #attempt(
    parent: Parent,
    destination: ParentDestination,
    caller: Caller,
    attemptBy: number,
  ): Promise<Result<Dialled, AttemptFailure>> {
    const located = await this.#locate(parent, destination, attemptBy)
    if (!located.ok) return located
    const [first, ...others] = located.value
    const connected = await new Promise<Result<Dialled, DialFailure>>((resolve) =>
      dialFirst({ addresses: [first, ...others], port: parent.port }, caller, attemptBy, resolve),
    )
    if (!connected.ok) {
      const { reason, detail } = connected.error
      return err({ outcome: reason === 'dial_timeout' ? 'timeout' : 'failed', detail: `takes no connection (${detail})` })
    }
    const { address, port } = connected.value
    const secured = await secure(parent, destination.way, connected.value.socket, caller, attemptBy)
    if (!secured.ok) return secured
    const asked = await askForTunnel(secured.value, this.#requestFor(destination), caller, attemptBy)
    if (!asked.ok) return asked
    if (asked.value >= 200 && asked.value < 300) return ok({ socket: secured.value, address, port, parent: parent.label })
    secured.value.destroy()
    return err(refusalOf(asked.value, destination.way))
  }

  /** Naming a parent permits its addresses, wherever they are: all but the platform's and our own. */
  async #locate(
    { host, port }: Parent,
    { policy }: ParentDestination,
    attemptBy: number,
  ): Promise<Result<readonly [VettedAddress, ...VettedAddress[]], AttemptFailure>> {
    const pin = host.kind === 'name' ? policy.pins.get(host.name) : undefined
    const found = await beforeDeadline(this.#addressesOf(host, pin?.address), attemptBy)
    if (!found.ok) {
      const { reason, detail } = found.error
      return err({ outcome: reason === 'dial_timeout' ? 'timeout' : 'failed', detail: `is not found (${detail})` })
    }
    const vetted: VettedAddress[] = []
    let refused: string | undefined
    for (const candidate of found.value) {
      const result = vetAddress(candidate, { pinned: true, privateRanges: policy.privateRanges })
      if (!result.ok) refused ??= `is at ${result.error.address.text} (${result.error.block})`
      else if (this.#options.isOwnListener(result.value, port))
        return err({ outcome: 'loop', detail: `is this gateway itself, at ${result.value.text}` })
      else vetted.push(result.value)
    }
    const [first, ...others] = interleaved(vetted)
    if (first !== undefined) return ok([first, ...others])
    return err({ outcome: 'failed', detail: refused ?? 'has no address' })
  }

  async #addressesOf(host: Authority['host'], pinned: IpAddress | undefined): Promise<Result<readonly IpAddress[], DialFailure>> {
    if (pinned !== undefined) return ok([pinned])
    if (host.kind === 'address') return ok([host.ip])
    const found = await this.#options.resolver.resolve(host.name)
    return found.ok ? found : err({ reason: 'dns_failed', detail: found.error.detail })
  }

  /** The hops so far go along: of several gateways in a circle, each has to recognise what comes back to it. */
  #requestFor({ target, way, receivedVia }: ParentDestination): string {
    const authority = formatAuthority(target)
    const via = [...(receivedVia === undefined ? [] : [receivedVia]), `1.1 ${this.#options.via}`].join(', ')
    const credentials = way.authorization === undefined ? '' : `Proxy-Authorization: ${way.authorization}\r\n`
    return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nVia: ${via}\r\n${credentials}\r\n`
  }
}

/** RFC 9110 section 15.5.8. The client has no part in it: it is never asked for credentials of ours. */
const CREDENTIALS_WANTED = 407

function refusalOf(status: number, way: UpstreamWay): AttemptFailure {
  const detail = `answered ${status} to CONNECT`
  if (status !== CREDENTIALS_WANTED) return { outcome: 'refused', detail, answered: status }
  const why =
    way.authorization === undefined
      ? 'it wants credentials, and `upstream` has no `passwordFile` for it'
      : 'it does not take the credentials of the `passwordFile`'
  return { outcome: 'credentials', detail: `${detail}: ${why}`, answered: status }
}

/** TLS to the parent, verified, where its URL says so. Owns the socket: a failure ends it. */
async function secure(
  { scheme, host }: Parent,
  { trust }: UpstreamWay,
  socket: Socket,
  caller: Caller,
  attemptBy: number,
): Promise<Result<Socket, AttemptFailure>> {
  if (scheme === 'http') return ok(socket)
  if (trust === undefined) {
    socket.destroy()
    return err({ outcome: 'failed', detail: 'is in TLS, and there is nothing to verify it by' })
  }
  caller.onLeave(() => socket.destroy())
  const secured = await handshakeWithOrigin(socket, host, trust, Math.max(0, attemptBy - performance.now()))
  caller.onLeave(undefined)
  if (secured.ok) return secured
  const { reason, detail } = secured.error
  return err({ outcome: reason === 'dial_timeout' ? 'timeout' : 'failed', detail: `has no TLS to rely on (${detail})` })
}

/**
 * Sends the CONNECT and gives the status of the answer. What came behind the head is the tunnel's, and is put back into the socket, which
 * is then as one that has just been connected. Owns the socket: a failure ends it.
 */
function askForTunnel(
  socket: Socket,
  request: string,
  caller: Caller,
  attemptBy: number,
): Promise<Result<number, AttemptFailure>> {
  return new Promise((resolve) => {
    const reader = new ConnectAnswerReader()
    const settle = (result: Result<number, AttemptFailure>) => {
      clearTimeout(timer)
      caller.onLeave(undefined)
      socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onError)
      if (!result.ok) socket.on('error', () => {}).destroy()
      resolve(result)
    }
    const fail = (outcome: AttemptFailure['outcome'], detail: string) => settle(err({ outcome, detail }))
    const onReadable = () => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        const answer = reader.push(chunk)
        if (answer.kind === 'incomplete') continue
        if (answer.kind === 'malformed') return fail('failed', `is no proxy: ${answer.why}`)
        if (answer.rest.length > 0) socket.unshift(answer.rest)
        return settle(ok(answer.status))
      }
    }
    const onEnd = () => fail('failed', 'closed the connection instead of answering CONNECT')
    const onError = (error: NodeJS.ErrnoException) => fail('failed', `broke off instead of answering CONNECT (${error.code})`)
    const timer = setTimeout(
      () => fail('unanswered', 'did not answer CONNECT in time'),
      Math.max(0, attemptBy - performance.now()),
    )
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', onError)
    if (caller.left || socket.destroyed) return onEnd()
    caller.onLeave(onEnd)
    socket.write(request, 'latin1')
  })
}
