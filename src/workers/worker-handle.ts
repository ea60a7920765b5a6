import type { Worker as ClusterWorker } from 'node:cluster'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { wait } from '../ending.ts'
import type { AuditIntake } from './audit-intake.ts'
import type { WorkerAudit } from './audit-pipe.ts'
import type { Answers, FromWorker, GenerationFiles, Question, ToWorker } from './messages.ts'

/** How long a worker may take to say how it stands. One that takes longer is shown as it was. */
const ANSWER_MS = 1_000

/** How long a worker may take to load and compile what the primary has loaded already. */
const PREPARE_MS = 10_000

/** How a worker's process ended. */
export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface WorkerEvents {
  /** What is not an answer to this handle. */
  readonly onMessage: (worker: WorkerHandle, message: FromWorker) => void
  /** Half a line came at the end. */
  readonly onTornLine: () => void
}

/** One worker, as the primary sees it. */
export class WorkerHandle {
  readonly id: number
  readonly pid: number | undefined
  /** Resolves once the process has ended and its last message has been heard. */
  readonly ended: Promise<WorkerEnd>
  /** Resolves once every audit line that it sent has been taken, too: while the log is not being written that can take long. */
  readonly gone: Promise<void>
  readonly startedMs = performance.now()
  isServing = false
  isGone = false
  readonly #process: ClusterWorker
  /** What waits for its hello. */
  #unheard: ToWorker[] | undefined = []
  readonly #answers = new Map<number, (answer: Answers[Question['what']]) => void>()
  /** Questions that are not answered yet, so that a worker that stands still is asked once. */
  readonly #asked = new Map<string, Promise<unknown>>()
  #lastQuestion = 0
  #loading: { readonly number: number; readonly settle: (problem: string | undefined) => void } | undefined

  constructor(process: ClusterWorker, intake: AuditIntake, events: WorkerEvents) {
    this.#process = process
    this.id = process.id
    this.pid = process.process.pid
    const pipe = process.process.stdio[4]
    this.ended = new Promise<WorkerEnd>((resolve) => {
      process.once('exit', (code, signal) => resolve({ code, signal: (signal as NodeJS.Signals | undefined) ?? null }))
      // It could not be started: there is no process that would end.
      process.on('error', () => {
        if (this.pid === undefined) resolve({ code: null, signal: null })
      })
    }).then(async (end) => {
      // Its last messages may still be on the way.
      if (process.isConnected()) await Promise.race([once(process, 'disconnect'), wait(ANSWER_MS)])
      this.isGone = true
      this.isServing = false
      this.#loading?.settle(undefined)
      return end
    })
    const taken = pipe instanceof Object ? intake.take(pipe as Duplex, events.onTornLine) : Promise.resolve()
    this.gone = Promise.all([this.ended, taken]).then(() => undefined)
    process.on('message', (message: FromWorker) => {
      if (!this.#settle(message)) events.onMessage(this, message)
    })
  }

  send(message: ToWorker): void {
    if (this.#unheard !== undefined) this.#unheard.push(message)
    else if (this.#process.isConnected()) this.#process.send(message)
  }

  /** The answer, or nothing from a worker that is too slow or has gone. */
  async ask<W extends Question['what']>(question: Extract<Question, { what: W }>): Promise<Answers[W] | undefined> {
    if (!this.isServing) return undefined
    const key = JSON.stringify(question)
    const answer = this.#asked.get(key) ?? this.#question(question, key)
    return (await Promise.race([answer, wait(ANSWER_MS), this.ended.then(() => undefined)])) as Answers[W] | undefined
  }

  /** Has the worker load settings and keep them ready: what is in the way, or nothing. One that dies over it is in nobody's way. */
  async prepare(generation: GenerationFiles): Promise<string | undefined> {
    const loaded = this.#loads(generation.number)
    this.send({ kind: 'prepare', generation })
    return Promise.race([
      loaded,
      wait(PREPARE_MS).then(() => `worker ${this.id} has not loaded the files within ${PREPARE_MS / 1000} s`),
    ])
  }

  /** Has the worker put in force what it prepared; resolves once it has, or is too slow or gone. */
  async commit(number: number, audit: WorkerAudit): Promise<void> {
    const committed = this.#loads(number)
    this.send({ kind: 'commit', number, audit })
    await Promise.race([committed, wait(PREPARE_MS)])
  }

  kill(): void {
    this.#process.process.kill('SIGKILL')
  }

  #loads(number: number): Promise<string | undefined> {
    if (this.isGone) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.#loading = { number, settle: resolve }
    })
  }

  #question(question: Question, key: string): Promise<unknown> {
    const id = ++this.#lastQuestion
    const answer = new Promise((resolve) => this.#answers.set(id, resolve)).finally(() => this.#asked.delete(key))
    this.#asked.set(key, answer)
    this.send({ kind: 'ask', id, question })
    return answer
  }

  #settle(message: FromWorker): boolean {
    switch (message.kind) {
      case 'hello': {
        const waiting = this.#unheard ?? []
        this.#unheard = undefined
        for (const one of waiting) this.send(one)
        return true
      }
      case 'answer':
        this.#answers.get(message.id)?.(message.answer)
        this.#answers.delete(message.id)
        return true
      case 'prepared':
      case 'committed':
        if (this.#loading?.number === message.number) this.#loading.settle(undefined)
        return true
      case 'unprepared':
        if (this.#loading?.number === message.number) this.#loading.settle(`worker ${this.id}: ${message.problem}`)
        return true
      default:
        return false
    }
  }
}
