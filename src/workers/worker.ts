import { assertNever, err, ok, type Result } from '../core/result.ts'
import type { Share } from '../core/shares/share.ts'
import { countAdmission, Gate, HOSTS_FILE } from '../gate.ts'
import { loadConfig } from '../io/config/load.ts'
import { replayReads } from '../io/file-reads.ts'
import { countAuditLoss } from '../io/telemetry/audit-trouble.ts'
import { createLog, type Logger } from '../io/telemetry/log.ts'
import { Metrics, readingsOfWorker } from '../io/telemetry/metrics.ts'
import { surviveUnforeseen } from '../io/telemetry/unforeseen.ts'
import { type Settings, SettingsInForce } from '../settings-in-force.ts'
import { AuditPipe, type WorkerAudit } from './audit-pipe.ts'
import { ConnectionShare } from './connection-share.ts'
import { LeasedAdmission } from './leased-admission.ts'
import type { Answers, FromWorker, GatewayIdentity, GenerationFiles, Question, ToWorker } from './messages.ts'

/**
 * A worker: a process that accepts on the proxy's port and carries requests, and has everything else from the primary. This module is
 * its entry; it ends with the primary's word, or with the primary.
 */

/** Where the primary opens the pipe for audit lines (see `crew.ts`). */
const AUDIT_FD = 4

/** How often what is not in use is given back. */
const GIVE_BACK_MS = 250

type Start = Extract<ToWorker, { kind: 'start' }>

/** What there is once it serves. */
interface Serving {
  readonly metrics: Metrics
  readonly audit: AuditPipe
  readonly settings: SettingsInForce
  readonly gate: Gate
  readonly admission: LeasedAdmission
  readonly connections: ConnectionShare
  readonly identity: GatewayIdentity
}

class Worker {
  #serving: Serving | undefined
  #prepared: { readonly number: number; readonly settings: Settings } | undefined
  #ending = false
  /** Loading takes a while: what comes in the meantime waits its turn. */
  #turn: Promise<void> = Promise.resolve()

  receive(message: ToWorker): void {
    switch (message.kind) {
      case 'start':
        return this.#inTurn(() => this.#start(message))
      case 'prepare':
        return this.#inTurn(() => this.#prepare(message.generation))
      case 'commit':
        return this.#inTurn(() => this.#commit(message.number, message.audit))
      case 'audit':
        return this.#inTurn(() => this.#serving?.audit.logIsWritable(message.isWritable))
      case 'abandon':
        return this.#inTurn(() => {
          this.#prepared = undefined
          this.#serving?.settings.abandonHooks()
        })
      case 'refuse_new':
        return this.#refuseNew()
      case 'stop':
        return void this.#end()
      case 'ask':
        return void this.#answer(message.id, message.question)
      case 'given':
        return this.#given(message.share, message.amount, message.retryMs)
      case 'recall':
        return this.#recall(message.share, message.keep)
      default:
        return assertNever(message)
    }
  }

  #inTurn(act: () => void | Promise<void>): void {
    this.#turn = this.#turn.then(act)
  }

  async #start(start: Start): Promise<void> {
    const { log: processLog, dropped } = createLog()
    const log = processLog.child({ worker: start.worker })
    surviveUnforeseen(log)
    try {
      const loaded = await load(start.generation, start.identity)
      if (!loaded.ok) throw new Error(loaded.error)
      const serving = assemble(start, loaded.value, log)
      const problem = await serving.settings.startHooks()
      if (problem !== undefined) throw new Error(problem)
      serving.metrics.countLogLosses(dropped)
      const bound = await serving.gate.start(start.listen)
      this.#serving = serving
      setInterval(() => this.#giveBackIdle(), GIVE_BACK_MS).unref()
      send({ kind: 'serving', bound, relay: serving.gate.relay })
    } catch (error) {
      send({ kind: 'start_failed', message: error instanceof Error ? error.message : String(error) })
    }
  }

  async #prepare(generation: GenerationFiles): Promise<void> {
    const { number } = generation
    // One that could not start is about to be ended, and in nobody's way.
    if (this.#serving === undefined) return
    const loaded = await load(generation, this.#serving.identity)
    if (!loaded.ok) return send({ kind: 'unprepared', number, problem: loaded.error })
    const problem = await this.#serving.settings.prepareHooks(loaded.value)
    if (problem !== undefined) return send({ kind: 'unprepared', number, problem })
    this.#prepared = { number, settings: loaded.value }
    send({ kind: 'prepared', number })
  }

  #commit(number: number, bounds: WorkerAudit): void {
    const prepared = this.#prepared
    this.#prepared = undefined
    if (this.#serving === undefined || prepared?.number !== number) return
    const { settings, gate, audit, admission } = this.#serving
    gate.adopt(settings.swap(prepared.settings))
    audit.limit(bounds)
    // A limit may be lower now, and then what is spare here is nobody's.
    this.#giveBack(admission.giveUpAll())
    send({ kind: 'committed', number })
  }

  #refuseNew(): void {
    if (this.#serving === undefined) return void this.#end()
    const { gate } = this.#serving
    send({ kind: 'refusing', ...gate.refuseNew() })
    void gate.settled().then(() => this.#end())
  }

  async #end(): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    if (this.#serving === undefined) return process.exit(0)
    const { gate, audit, metrics, settings } = this.#serving
    await gate.close()
    await settings.closeHooks()
    await audit.close()
    const ended: FromWorker = { kind: 'ended', metrics: readingsOfWorker(await metrics.read()) }
    process.send?.(ended, undefined, {}, () => process.exit(0))
  }

  async #answer(id: number, question: Question): Promise<void> {
    if (this.#serving === undefined) return
    send({ kind: 'answer', id, answer: await answerTo(this.#serving, question) })
  }

  #given(share: Share, amount: number, retryMs: number): void {
    if (share.limit === 'connections') this.#serving?.connections.given(amount)
    else this.#serving?.admission.given(share, amount, retryMs, performance.now())
  }

  #recall(share: Share, keep: number | undefined): void {
    const { connections, admission } = this.#serving ?? {}
    const amount = share.limit === 'connections' ? connections?.recall(keep) : admission?.recall(share)
    send({ kind: 'give_back', shares: [[share, amount ?? 0]], recalled: true })
  }

  #giveBackIdle(): void {
    if (this.#serving === undefined) return
    this.#serving.connections.look()
    this.#giveBack(this.#serving.admission.giveUpIdle(performance.now()))
  }

  #giveBack(shares: [Share, number][]): void {
    if (shares.length > 0) send({ kind: 'give_back', shares, recalled: false })
  }
}

function assemble(
  { identity, connections, audit: bounds, isLogWritable, workers }: Start,
  settings: Settings,
  log: Logger,
): Serving {
  const metrics = new Metrics()
  const inForce = new SettingsInForce(settings, metrics, log)
  const audit = new AuditPipe(AUDIT_FD, bounds, isLogWritable, (lines) => countAuditLoss(metrics, lines, true))
  const admission = new LeasedAdmission({ ...countAdmission(metrics), ask: (share) => send({ kind: 'want', share }) })
  const gate = new Gate({
    settings: inForce,
    metrics,
    audit,
    admission,
    log,
    hostsFile: HOSTS_FILE,
    via: identity.via,
    ownListeners: () => [identity.metrics, identity.admin],
    connections,
    processes: workers,
  })
  const share = new ConnectionShare({
    held: connections,
    open: () => gate.connections,
    limit: (count) => gate.limitConnections(count),
    ask: () => send({ kind: 'want', share: { limit: 'connections', client: '' } }),
  })
  gate.onConnection(() => share.look())
  return { metrics, audit, settings: inForce, gate, admission, connections: share, identity }
}

/** The settings that the primary has loaded, from what it read, and nothing else. */
async function load({ file, reads, policyHash }: GenerationFiles, identity: GatewayIdentity): Promise<Result<Settings, string>> {
  try {
    const loaded = await loadConfig(file, replayReads(reads))
    if (!loaded.ok) return err(`what the primary could load does not load here: ${loaded.error[0]?.message}`)
    const { config, compiled, inspection, access, hooks, upstream, auditKey = identity.pseudonymKey } = loaded.value
    const { hash } = compiled.policy
    if (hash !== policyHash)
      return err(`the policy is ${hash} here and ${policyHash} in the primary: the package was changed; restart the gateway`)
    return ok({ config, policy: compiled.policy, inspection, access, hooks, upstream, auditKey })
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error))
  }
}

async function answerTo({ metrics, gate, audit }: Serving, question: Question): Promise<Answers[Question['what']]> {
  switch (question.what) {
    case 'metrics': {
      const load = {
        tunnels: gate.tunnelsOpen,
        connections: gate.connections,
        auditBytesWaiting: audit.waitingBytes,
        parents: gate.parents,
      }
      return { metrics: readingsOfWorker(await metrics.read()), load }
    }
    case 'denials':
      return gate.denials.list()
    case 'tunnels':
      return gate.tunnels.show()
    case 'end_tunnel':
      return gate.tunnels.end(question.tunnel, 'policy_changed')
    default:
      return assertNever(question)
  }
}

/** Without the primary there is nobody to tell, and this process ends. */
function send(message: FromWorker): void {
  if (process.connected) process.send?.(message)
}

// A terminal sends its signals to every process, a service manager to every one in the group: they are the primary's to act on.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})

const worker = new Worker()
process.on('message', (message) => worker.receive(message as ToWorker))
send({ kind: 'hello' })
