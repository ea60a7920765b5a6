import { applyHooks, hasSayIn } from '../../core/hooks/apply-hooks.ts'
import type { HookVerdict } from '../../core/hooks/hook-answer.ts'
import { decide, type EgressRequest } from '../../core/policy/decide.ts'
import { enforce, type Ruling } from '../../core/policy/enforce.ts'
import type { Policy } from '../../core/policy/policy.ts'
import { chooseUpstream } from '../../core/policy/upstream.ts'
import { vetAddress } from '../../core/policy/vet.ts'
import { pathOf } from '../../core/wire/request-head.ts'
import type { Exchange } from './exchange.ts'
import type { Generation } from './generation.ts'
import { identifyAgain } from './identify.ts'
import { questionOf } from './judge.ts'
import type { OpenTunnel } from './tunnels.ts'

/** Tunnels judged before others get their turn on the event loop. */
const SLICE = 200

/**
 * Judges open tunnels again by the policy now in force, and closes those that it would not open: in slices, so that ten
 * thousand tunnels do not hold up the one that is being opened. Resolves to the number closed.
 *
 * @param isCurrent false once a newer generation has come: its own recheck takes over
 */
export async function recheckTunnels(
  open: readonly OpenTunnel[],
  generation: Generation,
  isCurrent: () => boolean,
): Promise<number> {
  let closed = 0
  for (let from = 0; from < open.length && isCurrent(); from += SLICE) {
    const slice = open.slice(from, from + SLICE)
    const still = slice.map((tunnel) => isStillAllowed(tunnel, generation))
    const settled = generation.hooks === undefined ? still : await Promise.all(still)
    for (const [index, tunnel] of slice.entries()) {
      if (settled[index] !== false) continue
      tunnel.end('policy_changed')
      closed++
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  return closed
}

/** A promise only where a hook has to be asked. */
function isStillAllowed(tunnel: OpenTunnel, generation: Generation): boolean | Promise<boolean> {
  const { exchange } = tunnel
  const { config, inspection, hooks } = generation
  const { target, connection } = exchange
  if (target === undefined || !config.clients.allow.contains(connection.client)) return false
  const identity = identifyAgain(connection, exchange.proved, generation)
  if (!identity.ok) return false
  const { match } = identity.value
  const group = match.kind === 'group' ? match.group : undefined
  const policy = group?.policy ?? generation.policy
  const request = requestOf(exchange)
  const decision = decide(policy, request)
  const inspectionAvailable = !group?.neverInspected && (inspection?.permits(target.host) ?? false)
  const circumstances = { mode: policy.mode, port: target.port, inspectionAvailable }
  const ruling = enforce(decision, circumstances)
  if (!hooks?.asks || !hasSayIn(decision, circumstances, config.hooks)) return isWithin(tunnel, policy, ruling)
  const judge = (answer: HookVerdict) => {
    // A hook that fails now does not close what it let through before, unless nobody else would have.
    if (answer.verdict === 'failed' && ruling.verdict === 'allow') return isWithin(tunnel, policy, ruling)
    return isWithin(tunnel, policy, applyHooks(decision, answer, request, circumstances, config.hooks))
  }
  const answer = hooks.ask(questionOf(exchange, request, decision, group))
  return answer instanceof Promise ? answer.then(judge) : judge(answer)
}

/** Whether a tunnel as it stands is what the ruling would open. */
function isWithin({ exchange, isInspected }: OpenTunnel, policy: Policy, ruling: Ruling): boolean {
  const { target, address, parentProxy } = exchange
  if (target === undefined || ruling.verdict === 'deny') return false
  // A tunnel that was relayed unseen cannot be looked into from now on.
  if (ruling.inspect && !isInspected) return false
  if (address === undefined) return true
  const way = chooseUpstream(policy.upstream, policy, target.host)
  const isSameWay = way === undefined ? parentProxy === undefined : way.proxy.some(({ label }) => label === parentProxy)
  if (!isSameWay) return false
  // Of a name the parent vets what it leads to; the address here is the parent's own.
  if (way !== undefined && target.host.kind === 'name') return true
  const dialled = target.host.kind === 'address' ? target.host.ip : address.ip
  const pin = target.host.kind === 'name' ? policy.pins.get(target.host.name) : undefined
  if (pin !== undefined && pin.address.text !== address.ip.text) return false
  const permission = { pinned: pin !== undefined, destinations: ruling.entry?.destinations, privateRanges: policy.privateRanges }
  return vetAddress(dialled, permission).ok
}

/** A WebSocket over plain HTTP was opened by a request that is known whole. */
function requestOf({ target, kind, method, pathAndQuery }: Exchange): EgressRequest {
  if (target === undefined) throw new Error('a tunnel without a target')
  if (kind !== 'websocket' || method === undefined || pathAndQuery === undefined) return target
  return { ...target, http: { method, path: pathOf(pathAndQuery) } }
}
