import type { IncomingMessage } from 'node:http'
import { decide, type EgressRequest } from '../../core/policy/decide.ts'
import { enforce, type Ruling } from '../../core/policy/enforce.ts'
import { err, ok, type Result } from '../../core/result.ts'
import {
  type BodyFraming,
  checkHead,
  type RequestHead,
  type RequestTarget,
  readTarget,
  type WireProblem,
} from '../../core/wire/request-head.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { identify, recogniseUnasked } from './identify.ts'
import type { ProxyContext } from './proxy-context.ts'

export type Allowed = Extract<Ruling, { verdict: 'allow' }>

/** A head that means one thing only. */
export interface JudgedHead {
  readonly framing: BodyFraming
  readonly target: RequestTarget
}

/** The head of a request as Node's HTTP/1.1 parser gives it. */
export function headOf({ method = '', url = '', httpVersion, rawHeaders }: IncomingMessage): RequestHead {
  return { method, target: url, httpVersion, rawHeaders }
}

/**
 * The steps before anything of the request is looked at, in the order that says least to whom it does not concern: the client, the
 * gateway's state, who the client is, its rate. Gives the refusal, or nothing; a promise only where a password has to be looked at
 * or another process has to be asked.
 *
 * @param head what the client's credentials stand in
 */
export function admit(
  context: ProxyContext,
  exchange: Exchange,
  head?: RequestHead,
): Refusal | undefined | Promise<Refusal | undefined> {
  const barred = bar(context, exchange)
  if (barred !== undefined) return barred
  const stranger = identify(context, exchange, head)
  if (stranger instanceof Promise) return stranger.then((refusal) => refusal ?? takeRequest(context, exchange))
  return stranger ?? takeRequest(context, exchange)
}

/** As `admit`, of whoever may use the gateway, whether it has shown credentials or not. */
export function admitUnasked(context: ProxyContext, exchange: Exchange): Refusal | undefined | Promise<Refusal | undefined> {
  return bar(context, exchange) ?? recogniseUnasked(exchange) ?? takeRequest(context, exchange)
}

function bar(context: ProxyContext, { connection, generation }: Exchange): Refusal | undefined {
  if (!generation.config.clients.allow.contains(connection.client)) return { reason: 'client_not_allowed' }
  if (context.isDraining()) return { reason: 'draining' }
  if (context.mustWaitForAudit()) {
    context.telemetry.metrics.limitHits.inc({ limit: 'audit_buffer' })
    return AUDIT_STANDS
  }
  return undefined
}

function takeRequest(context: ProxyContext, exchange: Exchange): Refusal | undefined | Promise<Refusal | undefined> {
  const taken = context.admission.takeRequest(exchange.countedAs, performance.now())
  if (typeof taken === 'boolean') return taken ? undefined : CLIENT_LIMIT
  return taken.then((granted) => (granted ? undefined : CLIENT_LIMIT))
}

const AUDIT_STANDS: Refusal = { reason: 'gateway_full', detail: 'the audit log cannot be written' }
const CLIENT_LIMIT: Refusal = { reason: 'client_limit' }

/** The wire: what follows admission and comes before any decision. */
export function judgeHead(exchange: Exchange, head: RequestHead): Result<JudgedHead, Refusal | WireProblem> {
  const { config } = exchange.generation
  exchange.method = head.method
  const framing = checkHead(head, config.limits)
  if (!framing.ok) return framing
  const target = readTarget(head, exchange.connection.session !== undefined)
  return target.ok ? ok({ framing: framing.value, target: target.value }) : target
}

/** Decision, mode and what this gateway can do, in one. Notes on the exchange what decided. */
export function rule(exchange: Exchange, request: EgressRequest): Result<Allowed, Refusal> {
  const { policy, group } = exchange
  const { inspection } = exchange.generation
  const inspectionAvailable = !group?.neverInspected && (inspection?.permits(request.host) ?? false)
  const ruling = enforce(decide(policy, request), { mode: policy.mode, port: request.port, inspectionAvailable })
  exchange.entry = ruling.entry
  if (ruling.verdict === 'deny') return err(ruling)
  exchange.wouldDeny = ruling.wouldDeny
  return ok(ruling)
}
