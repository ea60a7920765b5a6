import { createRequire, SourceMap } from 'node:module'
import { Socket } from 'node:net'
import { dirname } from 'node:path'
import { compileFunction } from 'node:vm'
import {
  EXIT_MEMORY,
  type FromHooks,
  HOOKS_FD,
  type HookSource,
  NOTICES,
  type Notice,
  STOP_MS,
  type ToHooks,
} from './messages.ts'
import { recordReads } from './recorded-request.ts'

/**
 * The hook process: runs the operator's code, and nothing else does. It is trusted to mean well and not to be right: whatever it does to
 * this process, the gateway judges each answer again, and replaces the process when it does not answer.
 */

const HANDLERS = ['onRequest', ...NOTICES, 'onStop'] as const
type HandlerName = (typeof HANDLERS)[number]
type Handler = (argument?: unknown) => unknown

interface LoadedHook {
  readonly name: string
  readonly source: HookSource
  readonly handlers: Readonly<Partial<Record<HandlerName, Handler>>>
}

/** Kept from before any hook was loaded: code that replaces them changes its own answers, not how they are sent. */
const { stringify, parse } = JSON
const { exit, memoryUsage } = process

/** Longest text for the log. */
const PROBLEM_CHARACTERS_MAX = 500

const channel = new Socket({ fd: HOOKS_FD, readable: true, writable: true })
let hooks: readonly LoadedHook[] = []
let heapBytes = Number.POSITIVE_INFINITY

function send(message: FromHooks): void {
  channel.write(`${stringify(message)}\n`)
}

function receive(message: ToHooks): void {
  switch (message.kind) {
    case 'load':
      return load(message)
    case 'ask':
      return void answer(message.id, message.request as Readonly<Record<string, unknown>>)
    case 'tell':
      return void tell(message.notice, message.event)
    case 'ping':
      return send({ kind: 'pong' })
  }
}

function load(message: Extract<ToHooks, { kind: 'load' }>): void {
  heapBytes = message.heapBytes
  const loaded: LoadedHook[] = []
  for (const source of message.hooks) {
    try {
      loaded.push(loadHook(source))
    } catch (error) {
      return send({ kind: 'broken', problem: `${source.name}: ${describe(error, source)}` })
    }
  }
  hooks = loaded
  const notices = NOTICES.filter((notice) => hooks.some(({ handlers }) => handlers[notice] !== undefined))
  send({ kind: 'ready', asks: hooks.some(({ handlers }) => handlers.onRequest !== undefined), notices })
}

function loadHook(source: HookSource): LoadedHook {
  const { name, file, code } = source
  const module: { exports: Record<string, unknown> } = { exports: {} }
  const run = compileFunction(code, ['exports', 'require', 'module', '__filename', '__dirname'], { filename: file })
  run(module.exports, createRequire(file), module, file, dirname(file))
  const exported: unknown = module.exports['default']
  if (typeof exported !== 'object' || exported === null)
    throw new Error('it has no default export; write `export default defineHook({ ... })`')
  const given = exported as Readonly<Record<string, unknown>>
  for (const key of Object.keys(given))
    if (!(HANDLERS as readonly string[]).includes(key))
      throw new Error(`a hook has no \`${key}\`; it may have ${HANDLERS.map((one) => `\`${one}\``).join(', ')}`)
  const handlers: Partial<Record<HandlerName, Handler>> = {}
  for (const key of HANDLERS) {
    const handler = given[key]
    if (handler === undefined) continue
    if (typeof handler !== 'function') throw new Error(`\`${key}\` is no function`)
    handlers[key] = (argument) => Reflect.apply(handler, given, [argument]) as unknown
  }
  if (Object.keys(handlers).length === 0) throw new Error('it does nothing: give it `onRequest`, `onDenied` or `onTunnelEnd`')
  return { name, source, handlers }
}

/** What hooks have said so far to one request. */
interface Sum {
  readonly narrowings: object[]
  allowedBy: string | undefined
  /** The shortest time that all of them may be kept for; undefined once one may not. */
  keepSeconds: number | undefined
}

/** Asks each hook in turn, until one refuses or fails. */
async function answer(id: number, fields: Readonly<Record<string, unknown>>): Promise<void> {
  const { request, read } = recordReads(fields)
  const sum: Sum = { narrowings: [], allowedBy: undefined, keepSeconds: Number.POSITIVE_INFINITY }
  const keep = () => {
    const names = sum.keepSeconds === undefined || sum.keepSeconds === Number.POSITIVE_INFINITY ? undefined : read()
    return names === undefined ? {} : { keepSeconds: sum.keepSeconds, read: names }
  }
  for (const { name, source, handlers } of hooks) {
    if (handlers.onRequest === undefined) continue
    let said: Plain
    try {
      said = plain(await handlers.onRequest(request))
    } catch (error) {
      const failure = error instanceof WrongAnswer ? 'wrong_answer' : 'threw'
      send({
        kind: 'answer',
        id,
        answer: { verdict: 'failed', failure, hook: name },
        problem: `${name}: ${describe(error, source)}`,
      })
      return leaveIfFull()
    }
    keepNoLonger(sum, said.cacheSeconds)
    if (said.verdict === 'deny')
      return send({ kind: 'answer', id, answer: { verdict: 'deny', hook: name, message: said.message, ...keep() } })
    if (said.verdict === 'allow') sum.allowedBy ??= name
    if (said.verdict === 'narrow')
      sum.narrowings.push({ hook: name, methods: said.methods, paths: said.paths, seconds: said.seconds })
  }
  const { allowedBy, narrowings } = sum
  const verdict = allowedBy === undefined ? { verdict: 'pass' } : { verdict: 'allow', hook: allowedBy }
  send({ kind: 'answer', id, answer: { ...verdict, narrowings, ...keep() } })
}

function keepNoLonger(sum: Sum, seconds: number | undefined): void {
  sum.keepSeconds = seconds === undefined || sum.keepSeconds === undefined ? undefined : Math.min(sum.keepSeconds, seconds)
}

class WrongAnswer extends Error {}

/** An answer with nothing behind it: every key read once, nothing but text, numbers and lists of text. */
interface Plain {
  readonly verdict: 'pass' | 'deny' | 'narrow' | 'allow'
  readonly message: string | undefined
  readonly methods: readonly string[] | undefined
  readonly paths: readonly string[] | undefined
  readonly seconds: number | undefined
  readonly cacheSeconds: number | undefined
}

/** Which keys an answer may have, beside `verdict` and `cacheSeconds`. */
const KEYS: Readonly<Record<Plain['verdict'], readonly string[]>> = {
  pass: [],
  deny: ['message'],
  narrow: ['methods', 'paths', 'seconds'],
  allow: [],
}

function plain(answer: unknown): Plain {
  if (typeof answer !== 'object' || answer === null)
    throw new WrongAnswer(
      `onRequest answered ${answer === null ? 'null' : `with ${typeof answer}`}; write \`return { verdict: 'pass' }\``,
    )
  const { verdict } = answer as { readonly verdict?: unknown }
  if (verdict !== 'pass' && verdict !== 'deny' && verdict !== 'narrow' && verdict !== 'allow')
    throw new WrongAnswer("onRequest answered without a `verdict` of 'pass', 'deny', 'narrow' or 'allow'")
  const allowed = ['verdict', 'cacheSeconds', ...KEYS[verdict]]
  const unknown = Object.keys(answer).find((key) => !allowed.includes(key))
  if (unknown !== undefined) throw new WrongAnswer(`an answer of '${verdict}' has no \`${unknown}\``)
  const given = answer as Readonly<Record<string, unknown>>
  const read: Plain = {
    verdict,
    message: textIn(given, 'message'),
    methods: textsIn(given, 'methods'),
    paths: textsIn(given, 'paths'),
    seconds: secondsIn(given, 'seconds'),
    cacheSeconds: secondsIn(given, 'cacheSeconds'),
  }
  if (verdict === 'narrow' && read.methods === undefined && read.paths === undefined && read.seconds === undefined)
    throw new WrongAnswer("an answer of 'narrow' wants `methods`, `paths` or `seconds`")
  return read
}

function textIn(given: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = given[key]
  if (value === undefined || typeof value === 'string') return value
  throw new WrongAnswer(`\`${key}\` is no text`)
}

function textsIn(given: Readonly<Record<string, unknown>>, key: string): readonly string[] | undefined {
  const value = given[key]
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw new WrongAnswer(`\`${key}\` is no list`)
  const texts = Array.from(value)
  if (texts.every((one): one is string => typeof one === 'string')) return texts
  throw new WrongAnswer(`\`${key}\` is no list of texts`)
}

function secondsIn(given: Readonly<Record<string, unknown>>, key: string): number | undefined {
  const value = given[key]
  if (value === undefined) return undefined
  if (typeof value === 'number' && value > 0 && value <= 31_536_000) return value
  throw new WrongAnswer(`\`${key}\` is no number of seconds above 0`)
}

/** Tells each hook; the gateway waits for none of them. */
async function tell(notice: Notice, event: unknown): Promise<void> {
  let failed: { readonly hook: string; readonly problem: string } | undefined
  for (const { name, source, handlers } of hooks) {
    try {
      await handlers[notice]?.(event)
    } catch (error) {
      failed = { hook: name, problem: `${name}: ${notice}: ${describe(error, source)}` }
    }
  }
  send({ kind: 'told', ...failed })
  if (failed !== undefined) leaveIfFull()
}

/** The gateway has let go of this process: hooks may finish what they have begun. */
async function stop(): Promise<void> {
  setTimeout(() => exit(0), STOP_MS)
  for (const { name, source, handlers } of hooks) {
    try {
      await handlers.onStop?.()
    } catch (error) {
      process.stderr.write(`${name}: onStop: ${describe(error, source)}\n`)
    }
  }
  exit(0)
}

/** An allocation that was refused is an exception like any other; what was allocated before it is still there. */
function leaveIfFull(): void {
  const { heapUsed, external } = memoryUsage()
  if (heapUsed + external > heapBytes) exit(EXIT_MEMORY)
}

/** What went wrong, with the place in the operator's own file. */
function describe(error: unknown, source: HookSource | undefined): string {
  try {
    if (!(error instanceof Error)) return bounded(`it threw ${String(error)}`)
    const place = source === undefined ? undefined : placeOf(error.stack, source)
    return bounded(place === undefined ? `${error.message}` : `${place}: ${error.name}: ${error.message}`)
  } catch {
    return 'it threw something that cannot be shown'
  }
}

function placeOf(stack: string | undefined, { file, map }: HookSource): string | undefined {
  const at = stack?.indexOf(`${file}:`) ?? -1
  if (stack === undefined || at < 0) return undefined
  const [, line, column] = /^:(\d+):(\d+)/.exec(stack.slice(at + file.length)) ?? []
  if (line === undefined || column === undefined) return undefined
  const found = new SourceMap(parse(map)).findEntry(Number(line) - 1, Number(column) - 1)
  return 'originalLine' in found ? `${found.originalSource}:${found.originalLine + 1}:${found.originalColumn + 1}` : undefined
}

function bounded(text: string): string {
  return text.length > PROBLEM_CHARACTERS_MAX ? `${text.slice(0, PROBLEM_CHARACTERS_MAX)}...` : text
}

// A terminal sends its signals to every process: they are the gateway's to act on, and this process ends with its pipe.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})
// What a hook throws outside of a call (a timer, a promise nobody waits for) is told on standard error and ends nothing.
for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (error: unknown) => {
    const source = hooks.find((hook) => error instanceof Error && placeOf(error.stack, hook.source) !== undefined)?.source
    process.stderr.write(`outside of a call: ${describe(error, source)}\n`)
    leaveIfFull()
  })

let rest = ''
channel.setEncoding('utf8')
channel.on('data', (text: string) => {
  const lines = (rest + text).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) receive(parse(line) as ToHooks)
})
channel.on('error', () => {})
channel.on('close', () => void stop())
