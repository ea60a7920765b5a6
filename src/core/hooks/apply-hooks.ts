import type { Decision, EgressRequest } from '../policy/decide.ts'
import { type Circumstances, type Denial, enforce, letsThrough, type Ruling } from '../policy/enforce.ts'
import { defaultProtocol } from '../policy/entry.ts'
import { pathAmbiguity } from '../policy/path-pattern.ts'
import type { HookFailure, HookVerdict, Narrowing } from './hook-answer.ts'

/** What hooks may do, of the config. */
export interface HookRights {
  readonly mayAllow: boolean
}

/** A ruling, and what narrows it beside the policy. */
export type HookedRuling = Ruling & { readonly narrowings?: readonly Narrowing[]; readonly hook?: string }

/**
 * Whether there is anything for hooks to say: not where the request is refused whatever they answer. A refused name is then not even
 * shown to them.
 */
export function hasSayIn(decision: Decision, { mode }: Circumstances, { mayAllow }: HookRights): boolean {
  if (decision.verdict !== 'deny') return true
  return letsThrough(decision.reason, mode) || (mayAllow && isOpenToHooks(decision.reason))
}

/** What no entry lists a hook may let through. What a rule denies, and what cannot be read in one way only, stays refused. */
function isOpenToHooks(reason: Extract<Decision, { verdict: 'deny' }>['reason']): boolean {
  return reason !== 'denied_by_rule' && reason !== 'path_not_canonical'
}

/** Decision, hooks and mode, in this order. Pure and total; whatever is not understood is a denial. */
export function applyHooks(
  decision: Decision,
  answer: HookVerdict,
  request: EgressRequest,
  circumstances: Circumstances,
  rights: HookRights,
): HookedRuling {
  const entry = decision.entry === undefined ? {} : { entry: decision.entry }
  switch (answer.verdict) {
    case 'deny': {
      const { hook, message } = answer
      return { verdict: 'deny', reason: 'denied_by_hook', ...entry, hook, ...(message === undefined ? {} : { message }) }
    }
    case 'failed':
      return failed(answer.failure, answer.hook, entry)
    case 'allow': {
      if (decision.verdict !== 'deny')
        return narrowed(enforce(decision, circumstances), answer.narrowings, request, circumstances)
      if (!rights.mayAllow) return failed('may_not_allow', answer.hook, entry)
      if (!isOpenToHooks(decision.reason)) return enforce(decision, circumstances)
      const allowed: HookedRuling = {
        verdict: 'allow',
        protocol: defaultProtocol(request.port),
        inspect: false,
        hook: answer.hook,
      }
      return narrowed(allowed, answer.narrowings, request, circumstances)
    }
    case 'pass':
      return narrowed(enforce(decision, circumstances), answer.narrowings, request, circumstances)
  }
}

const FAILED: Readonly<Record<HookFailure, string>> = {
  threw: 'it threw',
  wrong_answer: 'its answer is none',
  timeout: 'it did not answer in time (`hooks.timeoutMs`)',
  crashed: 'its process ended before the answer',
  not_running: 'its process is being replaced',
  too_many: 'too many requests wait for an answer (`hooks.waiting`)',
  may_not_allow: 'it answered `allow`, and `hooks.mayAllow` is not set',
}

function failed(failure: HookFailure, hook: string | undefined, entry: Pick<Denial, 'entry'>): HookedRuling {
  return { verdict: 'deny', reason: 'hook_failed', detail: FAILED[failure], ...entry, ...(hook === undefined ? {} : { hook }) }
}

/**
 * A ruling within narrowings. Where a method or path has to be seen and is not, the tunnel is inspected; where that cannot be done the
 * request is refused, in report mode too.
 */
export function narrowed(
  ruling: HookedRuling,
  narrowings: readonly Narrowing[],
  request: EgressRequest,
  { inspectionAvailable }: Pick<Circumstances, 'inspectionAvailable'>,
): HookedRuling {
  if (ruling.verdict === 'deny' || narrowings.length === 0) return ruling
  const denial = outsideOf(narrowings, request)
  const entry = ruling.entry === undefined ? {} : { entry: ruling.entry }
  if (denial !== undefined) return { verdict: 'deny', ...denial, ...entry }
  const mustSee = request.http === undefined && narrowings.some(needsSight)
  const all = [...(ruling.narrowings ?? []), ...narrowings]
  if (!mustSee) return { ...ruling, narrowings: all }
  const protocol = ruling.protocol === 'any' ? defaultProtocol(request.port) : ruling.protocol
  if (protocol === 'tls' && !inspectionAvailable) {
    const by = narrowings.find(needsSight)
    return {
      verdict: 'deny',
      reason: 'inspection_unavailable',
      ...entry,
      detail: 'a hook narrows it to certain methods or paths',
      ...(by === undefined ? {} : { hook: by.hook }),
    }
  }
  return { ...ruling, protocol, inspect: true, narrowings: all }
}

/** Why a request whose method and path are known is outside what it was narrowed to; nothing where it is inside, or they are not known. */
export function outsideOf(narrowings: readonly Narrowing[], { http }: EgressRequest): Denial | undefined {
  if (http === undefined) return undefined
  for (const { hook, methods, paths } of narrowings) {
    if (methods !== undefined && !methods.includes(http.method))
      return { reason: 'denied_by_hook', hook, message: `only ${methods.join(', ')}` }
    if (paths === undefined) continue
    const ambiguity = pathAmbiguity(http.path)
    if (ambiguity !== undefined) return { reason: 'path_not_canonical', hook, detail: ambiguity }
    if (!paths.some((pattern) => pattern.matches(http.path)))
      return { reason: 'denied_by_hook', hook, message: `only ${paths.map(({ text }) => text).join(', ')}` }
  }
  return undefined
}

/** How long the tunnel may stand in seconds: the least that any of them says. */
export function lifetimeOf(narrowings: readonly Narrowing[]): number | undefined {
  let least: number | undefined
  for (const { seconds } of narrowings)
    if (seconds !== undefined && seconds < (least ?? Number.POSITIVE_INFINITY)) least = seconds
  return least
}

/** Whether a method or a path has to be seen. */
export function needsSight({ methods, paths }: Narrowing): boolean {
  return methods !== undefined || paths !== undefined
}
