import type { Narrowing } from '../../core/hooks/hook-answer.ts'
import { type Authority, addressHost, formatAuthority, parseAuthority } from '../../core/names/authority.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { hasPassedThrough } from '../../core/wire/fields.ts'
import {
  type BodyFraming,
  fieldValue,
  pathOf,
  type RequestHead,
  type RequestTarget,
  type WireProblem,
} from '../../core/wire/request-head.ts'
import { claimOf } from './claim.ts'
import type { HttpSession } from './client-connection.ts'
import type { Destination } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type Allowed, admit, judgeHead, rule, ruleTransparent } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'

/** What is to be forwarded, judged. */
export interface ForwardPlan {
  readonly scheme: HttpSession['scheme']
  readonly authority: Authority
  readonly defaultPort: number
  /** Exactly as the client sent it. */
  readonly pathAndQuery: string
  readonly framing: BodyFraming
  /** What a hook narrowed it to: of a WebSocket, how long it may stand. */
  readonly narrowings: readonly Narrowing[] | undefined
}

const DEFAULT_PORT = { http: 80, https: 443 } as const

/** Undefined where a request has its line already: while something was waited for, the rest of it turned out malformed. */
export type Admitted = Result<ForwardPlan, Refusal> | undefined

/**
 * Whether a request may be forwarded: admission first, then what it says. At once, before the parser reads on, unless a password has to be
 * looked at or another process to be asked.
 */
export function admitForward(context: ProxyContext, exchange: Exchange, head: RequestHead): Admitted | Promise<Admitted> {
  const plan = (barred: Refusal | undefined): Admitted | Promise<Admitted> => {
    if (exchange.settled) return undefined
    if (barred !== undefined) return err(barred)
    const planned = planForward(context, exchange, head)
    return planned instanceof Promise ? planned.then((late) => (exchange.settled ? undefined : late)) : planned
  }
  const admitted = admit(context, exchange, head)
  return admitted instanceof Promise ? admitted.then(plan) : plan(admitted)
}

/** Where it may be sent. */
export function locateForward(
  context: ProxyContext,
  exchange: Exchange,
  { authority }: ForwardPlan,
  deadline: number,
): Promise<Result<Destination, Refusal>> {
  // What was judged: the host that the origin is told, or the address that the client was connecting to.
  const { policy, target = authority, entry, receivedVia } = exchange
  const { upstream } = exchange.generation
  const claim = claimOf(context, exchange)
  return context.dialer.locate({ policy, upstream, ...target, entry, claim, receivedVia }, deadline)
}

/** Wire, session and policy, of a request that was admitted: what may be sent, or why nothing is. */
export function planForward(
  context: ProxyContext,
  exchange: Exchange,
  head: RequestHead,
): Result<ForwardPlan, Refusal> | Promise<Result<ForwardPlan, Refusal>> {
  const judged = judgeHead(exchange, head)
  if (!judged.ok) return judged
  const { session } = exchange.connection
  const scheme = session?.scheme ?? 'http'
  const where = locate(exchange, judged.value.target, head)
  if (!where.ok) return where
  const { authority, pathAndQuery } = where.value
  exchange.target = authority
  exchange.pathAndQuery = pathAndQuery
  const problem = checkFields(context, head)
  if (problem !== undefined) return err(problem)
  const http = { method: head.method, path: pathOf(pathAndQuery) }
  const { original } = exchange.connection
  const allowed =
    original === undefined
      ? rule(exchange, { ...authority, http }, head.rawHeaders)
      : ruleTransparent(exchange, authority.host.kind === 'name' ? authority.host.name : undefined, original, {
          http,
          rawHeaders: head.rawHeaders,
        })
  const planOf = (ruled: Result<Allowed, Refusal>): Result<ForwardPlan, Refusal> =>
    ruled.ok
      ? ok({
          scheme,
          authority,
          defaultPort: DEFAULT_PORT[scheme],
          pathAndQuery,
          framing: judged.value.framing,
          narrowings: ruled.value.narrowings,
        })
      : ruled
  return allowed instanceof Promise ? allowed.then(planOf) : planOf(allowed)
}

interface Where {
  readonly authority: Authority
  readonly pathAndQuery: string
}

function locate(exchange: Exchange, target: RequestTarget, head: RequestHead): Result<Where, WireProblem> {
  const { session, original } = exchange.connection
  if (session !== undefined) return locateInSession(session, target, head)
  return original === undefined ? locateByTarget(target) : locateByHost(original, target, head)
}

function locateByTarget(target: RequestTarget): Result<Where, WireProblem> {
  if (target.form === 'absolute') return ok(target)
  return err({ reason: 'not_a_proxy_request', detail: 'the request is for the proxy itself' })
}

/** Inside a tunnel the host is the tunnel's, however the request names it. */
function locateInSession(session: HttpSession, target: RequestTarget, { rawHeaders }: RequestHead): Result<Where, WireProblem> {
  if (target.form === 'authority') return err({ reason: 'method_not_listed', detail: 'CONNECT inside a tunnel' })
  const host = parseAuthority(fieldValue(rawHeaders, 'host') ?? '', DEFAULT_PORT[session.scheme])
  if (!host.ok) return err({ reason: 'malformed_request', detail: 'Host is not valid' })
  const named = target.form === 'absolute' ? [host.value, target.authority] : [host.value]
  if (!named.every((authority) => sameAuthority(authority, session.authority))) {
    return err({ reason: 'host_mismatch', detail: `the tunnel is for ${formatAuthority(session.authority)}` })
  }
  return ok({ authority: session.authority, pathAndQuery: target.pathAndQuery })
}

/**
 * On a connection that was redirected here the Host says who is meant and nothing else: the port is the one that was dialled, and an
 * address can only be the one that was dialled. A request of HTTP/1.0 without Host is for that address.
 */
function locateByHost(
  original: OriginalDestination,
  target: RequestTarget,
  { rawHeaders }: RequestHead,
): Result<Where, WireProblem> {
  if (target.form === 'authority') return err({ reason: 'method_not_listed', detail: 'CONNECT to no proxy' })
  const { address, port } = original
  const dialled: Authority = { host: addressHost(address), port }
  const said = fieldValue(rawHeaders, 'host')
  const host = said === undefined ? ok(dialled) : parseAuthority(said, port)
  if (!host.ok) return err({ reason: 'malformed_request', detail: 'Host is not valid' })
  const authority = host.value
  // RFC 9112 section 3.2.2: the target counts, and the Host has to say the same.
  const named = target.form === 'absolute' ? [authority, target.authority] : [authority]
  const isMeant = named.every((one) => one.port === port && one.host.text === authority.host.text)
  if (!isMeant || (authority.host.kind === 'address' && authority.host.text !== address.text))
    return err({ reason: 'host_mismatch', detail: `the connection is to ${formatAuthority(dialled)}` })
  return ok({ authority, pathAndQuery: target.pathAndQuery })
}

function checkFields(context: ProxyContext, { rawHeaders }: RequestHead): WireProblem | undefined {
  if (hasPassedThrough(rawHeaders, context.via)) return { reason: 'loop_detected', detail: '`Via` names this gateway' }
  if (fieldValue(rawHeaders, 'max-forwards') === '0') return { reason: 'malformed_request', detail: '`Max-Forwards` is used up' }
  const expectation = fieldValue(rawHeaders, 'expect')
  if (expectation !== undefined && expectation.toLowerCase() !== '100-continue') {
    return { reason: 'malformed_request', detail: 'the only expectation met is `100-continue`' }
  }
  if (fieldValue(rawHeaders, 'content-type')?.toLowerCase().startsWith('application/grpc')) {
    return { reason: 'scheme_not_supported', detail: 'gRPC ends its answers with trailers, which are not carried here' }
  }
  return undefined
}

function sameAuthority(a: Authority, b: Authority): boolean {
  return formatAuthority(a) === formatAuthority(b)
}
