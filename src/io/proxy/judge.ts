import type { IncomingMessage } from 'node:http'
import { applyHooks, type HookedRuling, hasSayIn, narrowed, needsSight } from '../../core/hooks/apply-hooks.ts'
import { HookQuestion } from '../../core/hooks/hook-question.ts'
import type { Hostname } from '../../core/names/hostname.ts'
import type { ClientGroup } from '../../core/policy/client-group.ts'
import { type Decision, decide, type EgressRequest } from '../../core/policy/decide.ts'
import { type Circumstances, type Denial, enforce, letsThrough } from '../../core/policy/enforce.ts'
import { type OriginalDestination, transparentTarget } from '../../core/policy/transparent-target.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { viaOf } from '../../core/wire/fields.ts'
import {
  type BodyFraming,
  checkHead,
  type RequestHead,
  type RequestTarget,
  readTarget,
  type WireProblem,
} from '../../core/wire/request-head.ts'
import type { HookHost } from '../hooks/hook-host.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { identify, recogniseUnasked } from './identify.ts'
import type { ProxyContext } from './proxy-context.ts'

export type Allowed = Extract<HookedRuling, { verdict: 'allow' }>

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
  exchange.receivedVia = viaOf(head.rawHeaders)
  const framing = checkHead(head, config.limits)
  if (!framing.ok) return framing
  const target = readTarget(head, exchange.connection.session !== undefined)
  return target.ok ? ok({ framing: framing.value, target: target.value }) : target
}

/**
 * Decision, hooks, mode and what this gateway can do, in one. Notes on the exchange what decided. A promise only where a hook has to be
 * asked.
 */
export function rule(
  exchange: Exchange,
  request: EgressRequest,
  rawHeaders: readonly string[],
): Result<Allowed, Refusal> | Promise<Result<Allowed, Refusal>> {
  const { policy, group } = exchange
  const { inspection, hooks } = exchange.generation
  const decision = decide(policy, request)
  const inspectionAvailable = !group?.neverInspected && (inspection?.permits(request.host) ?? false)
  const circumstances = { mode: policy.mode, port: request.port, inspectionAvailable }
  if (hooks === undefined) {
    return settle(exchange, withinTunnel(exchange, enforce(decision, circumstances), request, circumstances))
  }
  return ruleWithHooks(exchange, request, rawHeaders, hooks, decision, circumstances)
}

function ruleWithHooks(
  exchange: Exchange,
  request: EgressRequest,
  rawHeaders: readonly string[],
  hooks: HookHost,
  decision: Decision,
  circumstances: Circumstances,
): Result<Allowed, Refusal> | Promise<Result<Allowed, Refusal>> {
  const rights = exchange.generation.config.hooks
  exchange.hookFields = rawHeaders
  const settled = (ruling: HookedRuling) => settle(exchange, withinTunnel(exchange, ruling, request, circumstances))
  if (!hooks.asks || !hasSayIn(decision, circumstances, rights)) return settled(enforce(decision, circumstances))
  const answer = hooks.ask(questionOf(exchange, request, decision, exchange.group))
  if (!(answer instanceof Promise)) return settled(applyHooks(decision, answer, request, circumstances, rights))
  return answer.then((late) => settled(applyHooks(decision, late, request, circumstances, rights)))
}

/** What is wrong with a tunnel's opening, after the mode: what report mode lets through is noted. */
export function enforceOpening(exchange: Exchange, { narrowings }: Allowed, denial: Denial): Refusal | undefined {
  const named = exchange.entry === undefined ? denial : { ...denial, entry: exchange.entry }
  // What a hook narrowed to certain requests has to be seen, in report mode too.
  const mustBeSeen = narrowings?.some(needsSight) === true
  if (mustBeSeen || !letsThrough(denial.reason, exchange.policy.mode)) return named
  exchange.wouldDeny ??= named
  return undefined
}

/** What a tunnel was narrowed to holds for all that is inside. */
function withinTunnel(
  { connection }: Exchange,
  ruling: HookedRuling,
  request: EgressRequest,
  circumstances: Circumstances,
): HookedRuling {
  const narrowings = connection.session?.narrowings
  return narrowings === undefined ? ruling : narrowed(ruling, narrowings, request, circumstances)
}

/**
 * What hooks are asked about a request, or about a tunnel that one has opened.
 *
 * @param group that of the client now: of an open tunnel it may be another than it was
 */
export function questionOf(
  exchange: Exchange,
  request: EgressRequest,
  decision: Decision,
  group: ClientGroup | undefined,
): HookQuestion {
  const { id, kind, connection, parent, user, hookFields = [] } = exchange
  return new HookQuestion({
    id,
    kind,
    listener: connection.listener,
    client: connection.client.text,
    group: group?.name,
    user,
    parent,
    request,
    decision,
    fields: hookFields,
    proxyFields: connection.session?.hookFields ?? hookFields,
  })
}

function settle(exchange: Exchange, ruling: HookedRuling): Result<Allowed, Refusal> {
  exchange.entry = ruling.entry
  if (ruling.verdict === 'deny') return err(ruling)
  exchange.wouldDeny = ruling.wouldDeny
  exchange.hook = ruling.hook
  return ok(ruling)
}

/**
 * The same for a connection that was redirected here, by its host's name or by the address it was going to. Notes on the exchange
 * which of them it is for.
 */
export function ruleTransparent(
  exchange: Exchange,
  name: Hostname | undefined,
  original: OriginalDestination,
  head?: { readonly http: NonNullable<EgressRequest['http']>; readonly rawHeaders: readonly string[] },
): Result<Allowed, Refusal> | Promise<Result<Allowed, Refusal>> {
  const { request, byAddress } = transparentTarget(exchange.policy, name, original, head?.http)
  exchange.target = { host: request.host, port: request.port }
  if (byAddress && name !== undefined) exchange.note = `allowed by its address; the client names ${name}`
  return rule(exchange, request, head?.rawHeaders ?? [])
}
