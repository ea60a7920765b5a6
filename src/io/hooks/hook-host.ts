import type { Config } from '../../core/config.ts'
import { type HookAnswer, type HookFailure, type HookVerdict, readHookAnswer } from '../../core/hooks/hook-answer.ts'
import type { HookQuestion } from '../../core/hooks/hook-question.ts'
import { assertNever, err, ok, type Result } from '../../core/result.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { AnswerCache } from './answer-cache.ts'
import { type HookEnd, HookProcess } from './hook-process.ts'
import type { FromHooks, HookSource, Notice } from './messages.ts'
import { Rationed } from './rationed.ts'

export interface HookHostOptions {
  readonly sources: readonly HookSource[]
  readonly settings: Config['hooks']
  readonly metrics: Metrics
  readonly log: Logger
}

/** How long a process may take to load the hooks. */
const LOAD_MS = 10_000

/** A process that answers nothing for so long after a hook was late stands still, and is replaced. */
const STUCK_MS = 1_000

/** A process that ended is replaced at once; the next one after this long, and after twice as long each time it happens again. */
const RESTART_MS = 100
const RESTART_MAX_MS = 30_000

/** A process that has run for so long has recovered: its next end is a first one. */
const RECOVERED_MS = 60_000

/** What hooks were told and have not acknowledged; past that, nothing is told any more. */
const TOLD_MAX = 1_000

/** Lines a second in the log about one thing that hooks do. */
const LINES_PER_SECOND = 5

interface Waiting {
  readonly question: HookQuestion
  readonly sinceMs: number
  readonly timer: NodeJS.Timeout
  readonly resolve: (verdict: HookVerdict) => void
}

/** The hooks of a generation: asks them, keeps what may be kept, and replaces their process when it ends or has to be ended. */
export class HookHost {
  readonly #options: HookHostOptions
  readonly #cache: AnswerCache
  readonly #problems: Rationed
  readonly #said: Rationed
  readonly #waiting = new Map<number, Waiting>()
  #process: HookProcess | undefined
  /** Whether the process has loaded the hooks. */
  #isReady = false
  #asks = true
  #notices: readonly Notice[] = []
  #lastId = 0
  #told = 0
  #pinged: NodeJS.Timeout | undefined
  #startedMs = 0
  #failures = 0
  #restart: NodeJS.Timeout | undefined
  #loading: ((outcome: Result<undefined, string>) => void) | undefined
  #isClosed = false

  private constructor(options: HookHostOptions) {
    this.#options = options
    const { log, settings } = options
    this.#cache = new AnswerCache(settings.cacheEntries)
    this.#problems = new Rationed(LINES_PER_SECOND)
    this.#said = new Rationed(LINES_PER_SECOND)
    log.debug({ hooks: options.sources.map(({ name }) => name) }, 'starting hooks')
  }

  /** Starts a process and loads the hooks. Error: what is wrong with one of them. */
  static async start(options: HookHostOptions): Promise<Result<HookHost, string>> {
    const host = new HookHost(options)
    const loaded = await host.#start()
    if (loaded.ok) return ok(host)
    void host.close()
    return err(loaded.error)
  }

  /** Whether any hook wants to be asked about requests. */
  get asks(): boolean {
    return this.#asks
  }

  /** Whether any hook wants to be told of anything. */
  get isTold(): boolean {
    return this.#notices.length > 0
  }

  get names(): readonly string[] {
    return this.#options.sources.map(({ name }) => name)
  }

  /** Whether these are the same hooks, to be run in the same way. */
  isFor(sources: readonly HookSource[], settings: Config['hooks']): boolean {
    const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
    return !this.#isClosed && same(sources, this.#options.sources) && same(settings, this.#options.settings)
  }

  /** What hooks say, at once where it was kept. There is always an answer, and in time. */
  ask(question: HookQuestion): HookVerdict | Promise<HookVerdict> {
    const kept = this.#cache.find(question)
    if (kept !== undefined) return this.#counted(kept, 'cache')
    if (this.#process === undefined || !this.#isReady) return this.#failed('not_running')
    const { settings } = this.#options
    if (this.#waiting.size >= settings.waiting || !this.#process.keepsUp) return this.#failed('too_many')
    return this.#send(this.#process, question, settings.timeoutMs)
  }

  #send(process: HookProcess, question: HookQuestion, timeoutMs: number): Promise<HookVerdict> {
    const id = ++this.#lastId
    process.send({ kind: 'ask', id, request: question })
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#onTimeout(id), timeoutMs)
      this.#waiting.set(id, { question, sinceMs: performance.now(), timer, resolve })
    })
  }

  /** Tells the hooks that want to know; what they do not keep up with is left out and counted. */
  tell(notice: Notice, event: unknown): void {
    if (!this.#notices.includes(notice)) return
    if (this.#process === undefined || !this.#isReady || this.#told >= TOLD_MAX || !this.#process.keepsUp)
      return this.#options.metrics.hookNoticesDropped.inc()
    this.#told++
    this.#process.send({ kind: 'tell', notice, event })
  }

  /** Lets go once what is under way has its answer. */
  async retire(): Promise<void> {
    const until = performance.now() + this.#options.settings.timeoutMs + RETIRE_MS
    do await new Promise((resolve) => setTimeout(resolve, RETIRE_LOOK_MS).unref())
    while (this.#waiting.size + this.#told > 0 && performance.now() < until)
    await this.close()
  }

  /** Resolves once the process has ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#restart)
    clearTimeout(this.#pinged)
    if (this.#isReady) this.#options.metrics.hookProcesses.dec()
    this.#isReady = false
    this.#failAll('not_running')
    this.#loading?.(err('the gateway ends'))
    await this.#process?.close()
  }

  #start(): Promise<Result<undefined, string>> {
    const { sources, settings } = this.#options
    this.#startedMs = performance.now()
    const started: HookProcess = new HookProcess({
      heapBytes: settings.heapBytes,
      onMessage: (message) => this.#onMessage(message),
      onSaid: (text) => this.#said.pass((missed) => this.#options.log.info({ text, missed }, 'a hook says')),
      onEnd: (end, how) => this.#onEnd(started, end, how),
    })
    this.#process = started
    started.send({ kind: 'load', hooks: sources, heapBytes: settings.heapBytes })
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(err(`the hooks have not loaded within ${LOAD_MS / 1000} s`)), LOAD_MS)
      const settle = (outcome: Result<undefined, string>) => {
        clearTimeout(timer)
        this.#loading = undefined
        if (!outcome.ok) started.kill('exited')
        resolve(outcome)
      }
      this.#loading = settle
    })
  }

  #onMessage(message: FromHooks): void {
    if (this.#isClosed && message.kind === 'ready') return
    switch (message.kind) {
      case 'ready':
        if (this.#loading === undefined) return
        this.#isReady = true
        this.#asks = message.asks === true
        this.#notices = Array.isArray(message.notices) ? message.notices : []
        this.#options.metrics.hookProcesses.inc()
        return this.#loading(ok(undefined))
      case 'broken':
        return this.#loading?.(err(String(message.problem)))
      case 'answer':
        return this.#onAnswer(message)
      case 'told':
        this.#told = Math.max(0, this.#told - 1)
        if (message.problem !== undefined) this.#report(message.hook, message.problem)
        return
      case 'pong':
        clearTimeout(this.#pinged)
        this.#pinged = undefined
        return
      default:
        return assertNever(message)
    }
  }

  #onAnswer({ id, answer, problem }: Extract<FromHooks, { kind: 'answer' }>): void {
    const waiting = this.#waiting.get(id)
    // Too late: it was refused.
    if (waiting === undefined) return
    const read = readHookAnswer(answer)
    const given: HookAnswer = read.ok ? read.value : { verdict: { verdict: 'failed', failure: 'wrong_answer' } }
    const { verdict } = given
    if (!read.ok) this.#report(undefined, read.error)
    else if (verdict.verdict === 'failed') this.#report(verdict.hook, problem ?? verdict.failure)
    if (verdict.verdict !== 'failed') this.#cache.add(waiting.question, given)
    this.#options.metrics.hookSeconds.observe((performance.now() - waiting.sinceMs) / 1000)
    this.#settle(id, waiting, verdict)
  }

  #onTimeout(id: number): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#report(undefined, `no answer within ${this.#options.settings.timeoutMs} ms`)
    this.#settle(id, waiting, { verdict: 'failed', failure: 'timeout' })
    // One promise that never settles holds up nobody else; code that does not come back holds up all.
    if (this.#pinged !== undefined || this.#process === undefined) return
    const asked = this.#process
    asked.send({ kind: 'ping' })
    this.#pinged = setTimeout(() => asked.kill('stuck'), STUCK_MS)
  }

  #settle(id: number, { timer, resolve }: Waiting, verdict: HookVerdict): void {
    clearTimeout(timer)
    this.#waiting.delete(id)
    resolve(this.#counted(verdict, 'process'))
  }

  #onEnd(ended: HookProcess, end: HookEnd, how: string): void {
    if (ended !== this.#process) return
    this.#process = undefined
    clearTimeout(this.#pinged)
    this.#pinged = undefined
    this.#told = 0
    const { metrics, log } = this.#options
    if (this.#isReady) metrics.hookProcesses.dec()
    this.#isReady = false
    this.#failAll('crashed')
    this.#loading?.(err(`the hook process ended while it loaded them (${end}: ${how})`))
    if (this.#isClosed) return
    if (performance.now() - this.#startedMs >= RECOVERED_MS) this.#failures = 0
    const inMs = this.#failures === 0 ? 0 : Math.min(RESTART_MAX_MS, RESTART_MS * 2 ** (this.#failures - 1))
    this.#failures++
    metrics.hookRestarts.inc({ cause: end })
    log.error({ cause: end, how, pid: ended.pid, seconds: inMs / 1000 }, 'the hook process has ended and is replaced')
    this.#restart = setTimeout(() => void this.#again(), inMs)
    this.#restart.unref()
  }

  async #again(): Promise<void> {
    const loaded = await this.#start()
    // It has loaded before: another try follows when its process has ended.
    if (!loaded.ok && !this.#isClosed) this.#options.log.error({ problem: loaded.error }, 'hooks do not load any more')
  }

  #failAll(failure: HookFailure): void {
    for (const [id, waiting] of [...this.#waiting]) this.#settle(id, waiting, { verdict: 'failed', failure })
  }

  #failed(failure: HookFailure): HookVerdict {
    return this.#counted({ verdict: 'failed', failure }, 'gateway')
  }

  #counted(verdict: HookVerdict, from: 'process' | 'cache' | 'gateway'): HookVerdict {
    const { metrics } = this.#options
    metrics.hookAnswers.inc({ verdict: shownVerdict(verdict), from })
    if (verdict.verdict === 'failed') metrics.hookFailures.inc({ failure: verdict.failure })
    return verdict
  }

  #report(hook: string | undefined, problem: string): void {
    this.#problems.pass((missed) =>
      this.#options.log.error({ hook, hooks: hook === undefined ? this.names : undefined, problem, missed }, 'a hook has failed'),
    )
  }
}

/** How long hooks that are replaced may take over what is under way, beyond the time for an answer. */
const RETIRE_MS = 2_000
const RETIRE_LOOK_MS = 100

function shownVerdict(verdict: HookVerdict): string {
  return verdict.verdict === 'pass' && verdict.narrowings.length > 0 ? 'narrow' : verdict.verdict
}
