import { decide, type EgressRequest } from '../../core/policy/decide.ts'
import { enforce } from '../../core/policy/enforce.ts'
import { vetAddress } from '../../core/policy/vet.ts'
import { pathOf } from '../../core/wire/request-head.ts'
import type { Exchange } from './exchange.ts'
import type { Generation } from './generation.ts'
import { identifyAgain } from './identify.ts'
import type { OpenTunnel, Tunnels } from './tunnels.ts'

/** Tunnels judged before others get their turn on the event loop. */
const SLICE = 200

/**
 * Judges every open tunnel again by the policy now in force, and closes those that it would not open: in slices, so that ten
 * thousand tunnels do not hold up the one that is being opened. Resolves to the number closed.
 *
 * @param isCurrent false once a newer generation has come: its own recheck takes over
 */
export async function recheckTunnels(tunnels: Tunnels, generation: Generation, isCurrent: () => boolean): Promise<number> {
  const open = tunnels.list()
  let closed = 0
  for (let from = 0; from < open.length && isCurrent(); from += SLICE) {
    for (const tunnel of open.slice(from, from + SLICE)) {
      if (isStillAllowed(tunnel, generation)) continue
      tunnel.end('policy_changed')
      closed++
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  return closed
}

function isStillAllowed({ exchange, isInspected }: OpenTunnel, generation: Generation): boolean {
  const { config, inspection } = generation
  const { target, connection, address } = exchange
  if (target === undefined || !config.clients.allow.contains(connection.client)) return false
  const identity = identifyAgain(connection, exchange.proved, generation)
  if (!identity.ok) return false
  const { match } = identity.value
  const group = match.kind === 'group' ? match.group : undefined
  const policy = group?.policy ?? generation.policy
  const inspectionAvailable = !group?.neverInspected && (inspection?.permits(target.host) ?? false)
  const ruling = enforce(decide(policy, requestOf(exchange)), { mode: policy.mode, port: target.port, inspectionAvailable })
  if (ruling.verdict === 'deny') return false
  // A tunnel that was relayed unseen cannot be looked into from now on.
  if (ruling.inspect && !isInspected) return false
  if (address === undefined) return true
  const pin = target.host.kind === 'name' ? policy.pins.get(target.host.name) : undefined
  if (pin !== undefined && pin.address.text !== address.ip.text) return false
  const permission = { pinned: pin !== undefined, destinations: ruling.entry?.destinations, privateRanges: policy.privateRanges }
  return vetAddress(address.ip, permission).ok
}

/** A WebSocket over plain HTTP was opened by a request that is known whole. */
function requestOf({ target, kind, method, pathAndQuery }: Exchange): EgressRequest {
  if (target === undefined) throw new Error('a tunnel without a target')
  if (kind !== 'websocket' || method === undefined || pathAndQuery === undefined) return target
  return { ...target, http: { method, path: pathOf(pathAndQuery) } }
}
