import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { ClientAddresses } from '../core/config/listen.ts'
import { type WorkLeft, wait } from '../ending.ts'
import type { RelayKind } from '../io/relay/relay.ts'
import type { Logger } from '../io/telemetry/log.ts'
import type { AuditIntake } from './audit-intake.ts'
import type { FromWorker, ToWorker } from './messages.ts'
import { type WorkerEnd, WorkerHandle } from './worker-handle.ts'

/** A worker that ended is replaced after this long, and after twice as long each time it happens again. */
const RESTART_MS = 1_000
const RESTART_MAX_MS = 30_000

/** A worker that has served for so long has recovered: its next crash is a first one. */
const RECOVERED_MS = 60_000

/** How long workers may take to stop listening. */
const REFUSE_MS = 5_000

/** How long a worker may take to end at once: its tunnels, its requests and its last audit lines have 2 s each. */
const END_MS = 8_000

export interface CrewOptions {
  readonly count: number
  readonly log: Logger
  readonly intake: AuditIntake
  /** The first message to a worker, with the settings in force. */
  readonly introduction: (worker: number) => ToWorker
  /** Resolves when a worker may be started: not in the middle of a reload. */
  readonly untilQuiet: () => Promise<unknown>
  readonly onMessage: (worker: WorkerHandle, message: FromWorker) => void
  readonly onServing: (bound: ClientAddresses, relay: RelayKind) => void
  readonly onEnded: (worker: WorkerHandle) => void
  readonly onRestart: () => void
  readonly onTornLine: () => void
}

/** The workers of a gateway: started together, replaced one by one, ended together. */
export class Crew {
  readonly #options: CrewOptions
  readonly #workers = new Set<WorkerHandle>()
  /** Those and the ones whose audit lines are still being taken. */
  readonly #taken = new Set<Promise<void>>()
  #ending = false
  #refusing: ((left: WorkLeft) => void) | undefined
  readonly #left = new Map<WorkerHandle, WorkLeft>()
  /** Resolves or rejects for the workers that the gateway starts with. */
  #starting: { readonly serving: () => void; readonly failed: (error: Error) => void } | undefined

  constructor(options: CrewOptions) {
    this.#options = options
    // Every worker accepts on the one socket by itself. Handing connections round costs as much as a tunnel's whole set-up, and with
    // every worker at its limit Node would hand them round for ever. It has to be set before anything else is.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
      args: [],
      // Nothing of a worker's goes to standard output, which is the audit log's; the last one is the pipe for audit lines.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
      // Settings, and what files said, are Maps and bytes.
      serialization: 'advanced',
    })
  }

  /** Workers whose process is there, serving or not yet. */
  get workers(): readonly WorkerHandle[] {
    return [...this.#workers]
  }

  get serving(): readonly WorkerHandle[] {
    return this.workers.filter((worker) => worker.isServing)
  }

  get size(): number {
    return this.#options.count
  }

  /** Starts them all; throws what keeps the first of them from serving. */
  async start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.#starting = { serving: resolve, failed: reject }
    })
    for (let n = 0; n < this.#options.count; n++) this.#fork(0)
    await started
    this.#starting = undefined
  }

  /** Has them stop listening; resolves to what is under way once they have, and replaces none from now on. */
  async refuseNew(): Promise<WorkLeft> {
    this.#ending = true
    const all = new Promise<WorkLeft>((resolve) => {
      this.#refusing = resolve
    })
    this.#send({ kind: 'refuse_new' })
    this.#countLeft()
    return Promise.race([all, wait(REFUSE_MS).then(() => sumOf(this.#left.values()))])
  }

  /** Resolves once all have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.ended))
  }

  /** Ends them at once, those that do not by force; resolves once their audit lines have been taken. */
  async stop(): Promise<void> {
    this.#ending = true
    this.#send({ kind: 'stop' })
    await Promise.race([this.ended(), wait(END_MS)])
    for (const worker of this.#workers) if (!worker.isGone) worker.kill()
    await Promise.race([Promise.all(this.#taken), wait(END_MS)])
  }

  #send(message: ToWorker): void {
    for (const worker of this.#workers) worker.send(message)
  }

  /** @param failures how often in a row the worker that this one stands for has ended */
  #fork(failures: number): void {
    const { intake, introduction, onTornLine } = this.#options
    const process: ClusterWorker = cluster.fork()
    const worker = new WorkerHandle(process, intake, { onTornLine, onMessage: (from, message) => this.#onMessage(from, message) })
    this.#workers.add(worker)
    worker.send(introduction(worker.id))
    void worker.ended.then((end) => this.#onEnded(worker, end, failures))
    this.#taken.add(worker.gone)
    void worker.gone.then(() => this.#taken.delete(worker.gone))
  }

  #onMessage(worker: WorkerHandle, message: FromWorker): void {
    switch (message.kind) {
      case 'serving':
        worker.isServing = true
        this.#options.onServing(message.bound, message.relay)
        if (this.serving.length === this.#options.count) this.#starting?.serving()
        return
      case 'start_failed':
        if (this.#starting === undefined)
          this.#options.log.error({ worker: worker.id, problem: message.message }, 'worker cannot start')
        this.#starting?.failed(new Error(message.message))
        return worker.kill()
      case 'refusing':
        this.#left.set(worker, message)
        return this.#countLeft()
      default:
        return this.#options.onMessage(worker, message)
    }
  }

  #onEnded(worker: WorkerHandle, { code, signal }: WorkerEnd, failures: number): void {
    this.#workers.delete(worker)
    this.#options.onEnded(worker)
    this.#countLeft()
    // Told to end while it starts, it has started as far as it will.
    if (this.#ending) return this.#starting?.serving()
    this.#starting?.failed(new Error(`a worker ended while it started (${signal ?? `exit code ${code}`})`))
    if (this.#starting !== undefined) return
    const before = performance.now() - worker.startedMs >= RECOVERED_MS ? 0 : failures
    const inMs = Math.min(RESTART_MAX_MS, RESTART_MS * 2 ** before)
    const { log, onRestart, untilQuiet } = this.#options
    log.error({ worker: worker.id, pid: worker.pid, code, signal, seconds: inMs / 1000 }, 'a worker has ended and is replaced')
    onRestart()
    void wait(inMs)
      .then(untilQuiet)
      .then(() => {
        if (!this.#ending) this.#fork(before + 1)
      })
  }

  /** Resolves `refuseNew` when nobody is left to be heard from. */
  #countLeft(): void {
    if (this.workers.every((worker) => this.#left.has(worker))) this.#refusing?.(sumOf(this.#left.values()))
  }
}

function sumOf(left: Iterable<WorkLeft>): WorkLeft {
  let tunnels = 0
  let requests = 0
  for (const one of left) {
    tunnels += one.tunnels
    requests += one.requests
  }
  return { tunnels, requests }
}
