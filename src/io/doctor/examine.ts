import type { SecureContext } from 'node:tls'
import { allListeners } from '../../core/config/listen.ts'
import type { Config } from '../../core/config.ts'
import { formatListenAddress } from '../../core/listen-address.ts'
import { type IpAddress, unmapped } from '../../core/names/ip.ts'
import { specialBlock } from '../../core/names/special-purpose.ts'
import type { Protocol } from '../../core/policy/entry.ts'
import type { ExactTarget } from '../../core/policy/exact-targets.ts'
import { hintFor } from '../../core/policy/hints.ts'
import type { Policy } from '../../core/policy/policy.ts'
import type { Reason } from '../../core/policy/reasons.ts'
import { Caller, Dialer, type DialFailure } from '../proxy/dial.ts'
import { isListener } from '../proxy/own-listener.ts'
import { ParentDialer } from '../proxy/parent-dial.ts'
import { Parents } from '../proxy/parents.ts'
import { Resolver } from '../proxy/resolver.ts'
import { handshakeWithOrigin } from '../tls/origin-trust.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'

/** What came of one destination: how far it was reached, with times in milliseconds. */
export interface Examination {
  readonly host: string
  readonly port: number
  readonly entry: string
  readonly protocol: Protocol
  readonly ok: boolean
  /** The one that answered; where none did, the first that may be dialled. */
  readonly address?: string
  /** `public`, or what it is instead and what allows it. */
  readonly addressClass?: string
  readonly resolveMs?: number
  readonly dialMs?: number
  readonly tlsMs?: number
  readonly reason?: Reason
  readonly detail?: string
  readonly hint?: string
}

export interface ExamineOptions {
  readonly config: Config
  readonly policy: Policy
  readonly trust: SecureContext
  readonly upstream: readonly UpstreamWay[]
  /** Names with fixed addresses; `/etc/hosts`. */
  readonly hostsFile: string
  /** For one destination altogether. */
  readonly deadlineMs: number
  /** Destinations at once. */
  readonly atOnce: number
  readonly onDone: (examination: Examination) => void
}

/**
 * Goes the way that a request would go, through the same resolver, vetting and dialler, as far as a handshake: no byte of a request
 * is sent. The answers come in the order of the targets.
 */
export async function examine(targets: readonly ExactTarget[], options: ExamineOptions): Promise<readonly Examination[]> {
  const { config, hostsFile, deadlineMs, atOnce, onDone } = options
  const servers = config.dns.servers.map(formatListenAddress)
  const resolver = new Resolver({ ...config.dns, servers, hostsFile, onLookup: () => {} })
  const isOwnListener = (address: IpAddress, port: number) => isListener([...allListeners(config.listen).values()], address, port)
  const parents = new Parents({ now: () => performance.now(), onAttempt: () => {}, onState: () => {}, onForgotten: () => {} })
  parents.configure(options.upstream)
  const dialer = new Dialer({
    resolver,
    parentDialer: new ParentDialer({ resolver, parents, isOwnListener, via: 'sallyport-doctor' }),
    dialMs: () => deadlineMs,
    isOwnListener,
    onDialled: () => {},
  })
  const examinations: Examination[] = []
  let next = 0
  const work = async () => {
    for (let index = next++; index < targets.length; index = next++) {
      const target = targets[index]
      if (target === undefined) return
      const examination = await examineOne(target, dialer, options)
      examinations[index] = examination
      onDone(examination)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, targets.length) }, work))
  resolver.close()
  return examinations
}

type Failure = Pick<DialFailure, 'detail' | 'refusal' | 'parent'> & { readonly reason: Reason }

async function examineOne(target: ExactTarget, dialer: Dialer, options: ExamineOptions): Promise<Examination> {
  const { authority, entry, protocol } = target
  const { policy, trust, upstream } = options
  const { host, port } = authority
  const about = { host: host.text, port, entry: entry.id, protocol }
  const failed = ({ reason, detail, refusal, parent }: Failure) => {
    const hint = hintFor(policy, authority, { reason, entry, ...(parent && { parent }) }, refusal)?.text
    return { ok: false, reason, detail, ...(hint === undefined ? {} : { hint }) }
  }
  const clock = stopwatch()
  const deadline = dialer.deadline()
  const located = await dialer.locate({ policy, host, port, entry, upstream }, deadline)
  const resolved = { ...about, resolveMs: clock() }
  if (!located.ok) return { ...resolved, ...failed(located.error) }
  const destination = located.value
  const place = (address: IpAddress) => ({
    address: address.text,
    addressClass: 'way' in destination ? 'parent proxy' : classOf(address, target, policy),
  })

  const dialled = await dialer.connect(located.value, new Caller(), deadline)
  if (!dialled.ok) {
    const known = 'way' in destination ? {} : place(destination.addresses[0])
    return { ...resolved, ...known, ...failed(dialled.error) }
  }
  const { socket, address } = dialled.value
  const reached = { ...resolved, ...place(address), dialMs: clock() }
  if (protocol !== 'tls') {
    socket.destroy()
    return { ...reached, ok: true }
  }
  const secured = await handshakeWithOrigin(socket, host, trust, Math.max(1, deadline - performance.now()))
  if (!secured.ok) return { ...reached, ...failed(secured.error) }
  secured.value.on('error', () => {})
  secured.value.destroy()
  return { ...reached, tlsMs: clock(), ok: true }
}

/** Milliseconds since it was last asked, to a tenth. */
function stopwatch(): () => number {
  let last = performance.now()
  return () => {
    const now = performance.now()
    const elapsed = now - last
    last = now
    return Math.round(elapsed * 10) / 10
  }
}

function classOf(address: IpAddress, { authority: { host }, entry }: ExactTarget, policy: Policy): string {
  const pinned = host.kind === 'name' && policy.pins.has(host.name)
  const special = specialBlock(unmapped(address))
  const what = special === undefined ? 'public' : `${special.name}, ${special.source}`
  if (pinned) return `${what}; pinned`
  if (special === undefined) return what
  if (!entry.destinations?.contains(address)) return `${what}; in destinations.privateRanges`
  return `${what}; in ${entry.origin === 'rule' ? `destinations of ${entry.id}` : 'workspace.privateEndpoints'}`
}
