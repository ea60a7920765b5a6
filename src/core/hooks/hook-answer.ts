import { type PathPattern, parsePathPattern } from '../policy/path-pattern.ts'
import { err, ok, type Result } from '../result.ts'

/**
 * What hooks answered together, as their process sends it. That process runs the operator's code, so whatever it sends is judged here
 * once more, from the first key to the last, before anything is done with it.
 */

/** What a request that is let through is narrowed to: all of it must hold. */
export interface Narrowing {
  /** Name of the hook that asks for it. */
  readonly hook: string
  readonly methods?: readonly string[]
  readonly paths?: readonly PathPattern[]
  /** How long the tunnel may stand. */
  readonly seconds?: number
}

/** Why there is no answer to go by; a metric label. */
export const HOOK_FAILURES = ['threw', 'wrong_answer', 'timeout', 'crashed', 'not_running', 'too_many', 'may_not_allow'] as const
export type HookFailure = (typeof HOOK_FAILURES)[number]

export type HookVerdict =
  | { readonly verdict: 'pass'; readonly narrowings: readonly Narrowing[] }
  | { readonly verdict: 'allow'; readonly hook: string; readonly narrowings: readonly Narrowing[] }
  | {
      readonly verdict: 'deny'
      readonly hook: string /** The hook's own words, unbounded and unescaped. */
      readonly message?: string
    }
  | {
      readonly verdict: 'failed'
      readonly failure: HookFailure /** Absent where it was none in particular. */
      readonly hook?: string
    }

/** A verdict, and for how long and for which other requests it holds as well. */
export interface HookAnswer {
  readonly verdict: HookVerdict
  /** Absent where it holds for this one request. */
  readonly keep?: { readonly seconds: number /** Fields of the question that it depends on. */; readonly read: readonly string[] }
}

/** Longer than any sentence for a user; what is longer is cut when it is shown. */
const MESSAGE_CHARACTERS_MAX = 2_000
const NAME_CHARACTERS_MAX = 128
const READ_MAX = 64
const LIST_MAX = 100
const SECONDS_MAX = 31_536_000
/** Timers count milliseconds in 31 bits; 24 days are longer than any tunnel stands. */
const LIFETIME_SECONDS_MAX = 2_147_483

/** Reads an answer. The error says what is wrong with it, in words that have nothing of the answer in them. */
export function readHookAnswer(raw: unknown): Result<HookAnswer, string> {
  if (!isRecord(raw)) return err('the answer is no object')
  const verdict = readVerdict(raw)
  if (!verdict.ok) return verdict
  const { keepSeconds, read } = raw
  if (keepSeconds === undefined || verdict.value.verdict === 'failed') return ok({ verdict: verdict.value })
  if (!isSeconds(keepSeconds)) return err('`cacheSeconds` is no number of seconds')
  const fields = readTexts(read, READ_MAX, NAME_CHARACTERS_MAX)
  // More fields than can be kept: then it is not kept.
  if (fields === undefined) return ok({ verdict: verdict.value })
  return ok({ verdict: verdict.value, keep: { seconds: keepSeconds, read: fields } })
}

function readVerdict(raw: Readonly<Record<string, unknown>>): Result<HookVerdict, string> {
  const { verdict, hook, message } = raw
  const named = typeof hook === 'string' ? hook.slice(0, NAME_CHARACTERS_MAX) : undefined
  switch (verdict) {
    case 'pass': {
      const narrowings = readNarrowings(raw['narrowings'])
      return narrowings.ok ? ok({ verdict, narrowings: narrowings.value }) : narrowings
    }
    case 'allow': {
      if (named === undefined) return err('the answer names no hook')
      const narrowings = readNarrowings(raw['narrowings'])
      return narrowings.ok ? ok({ verdict, hook: named, narrowings: narrowings.value }) : narrowings
    }
    case 'deny':
      if (named === undefined) return err('the answer names no hook')
      if (message === undefined) return ok({ verdict, hook: named })
      if (typeof message !== 'string') return err('`message` is no text')
      return ok({ verdict, hook: named, message: message.slice(0, MESSAGE_CHARACTERS_MAX) })
    case 'failed':
      return ok({
        verdict,
        failure: raw['failure'] === 'wrong_answer' ? 'wrong_answer' : 'threw',
        ...(named === undefined ? {} : { hook: named }),
      })
    default:
      return err('`verdict` is none of `pass`, `deny`, `narrow` and `allow`')
  }
}

function readNarrowings(raw: unknown): Result<readonly Narrowing[], string> {
  if (raw === undefined) return ok([])
  if (!Array.isArray(raw) || raw.length > LIST_MAX) return err('the narrowings are no list')
  const read: Narrowing[] = []
  for (const one of raw) {
    const narrowing = readNarrowing(one)
    if (!narrowing.ok) return narrowing
    read.push(narrowing.value)
  }
  return ok(read)
}

function readNarrowing(raw: unknown): Result<Narrowing, string> {
  if (!isRecord(raw)) return err('a narrowing is no object')
  const { hook, methods, paths, seconds } = raw
  if (typeof hook !== 'string') return err('a narrowing names no hook')
  if (methods === undefined && paths === undefined && seconds === undefined)
    return err('a narrowing has none of `methods`, `paths` and `seconds`')
  const allowed = methods === undefined ? undefined : readTexts(methods, LIST_MAX, METHOD_CHARACTERS_MAX)
  if (methods !== undefined && !allowed?.every((method) => /^[A-Z][A-Z-]*$/.test(method)))
    return err('`methods` is no list of methods in capitals')
  const patterns = paths === undefined ? ok(undefined) : readPaths(paths)
  if (!patterns.ok) return patterns
  if (seconds !== undefined && !(isSeconds(seconds) && seconds <= LIFETIME_SECONDS_MAX))
    return err('`seconds` is no number of seconds above 0')
  return ok({
    hook: hook.slice(0, NAME_CHARACTERS_MAX),
    ...(allowed === undefined ? {} : { methods: allowed }),
    ...(patterns.value === undefined ? {} : { paths: patterns.value }),
    ...(seconds === undefined ? {} : { seconds }),
  })
}

const METHOD_CHARACTERS_MAX = 32
const PATH_CHARACTERS_MAX = 8_192

function readPaths(raw: unknown): Result<readonly PathPattern[], string> {
  const texts = readTexts(raw, LIST_MAX, PATH_CHARACTERS_MAX)
  if (texts === undefined) return err('`paths` is no list of path patterns')
  const patterns: PathPattern[] = []
  for (const text of texts) {
    const pattern = parsePathPattern(text)
    if (!pattern.ok) return err(`\`paths\`: ${pattern.error}`)
    patterns.push(pattern.value)
  }
  return ok(patterns)
}

function readTexts(raw: unknown, most: number, longest: number): readonly string[] | undefined {
  if (!Array.isArray(raw) || raw.length > most) return undefined
  return raw.every((one): one is string => typeof one === 'string' && one.length <= longest) ? raw : undefined
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= SECONDS_MAX
}

/** What `JSON.parse` made, so without getters; `__proto__` in it is a key like any other. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
