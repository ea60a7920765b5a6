import type { Result } from '../../core/result.ts'
import { REPORTED_FLOWS, type SubnetReport } from '../../core/subnet/report.ts'
import { ruleSet } from '../../core/subnet/rule-set.ts'
import type { Logger } from '../telemetry/log.ts'
import type { LookedUp } from './addresses.ts'
import type { HostRules, RuleSource } from './host-rules.ts'
import { writeReport } from './report-file.ts'

/** How often the rules are looked at and the counters told: a table that somebody flushed is back within so long. */
const LOOK_MS = 5_000

export interface WatchedSource extends RuleSource {
  readonly stateDirectory: string
  readonly refreshSeconds: number
}

export interface SubnetWatchOptions {
  readonly rules: HostRules
  readonly source: WatchedSource
  /** Loads the config again; the error is everything that is wrong with it. */
  readonly load: () => Promise<Result<WatchedSource, readonly string[]>>
  readonly log: Logger
  readonly lookMs?: number
}

/**
 * Keeps the rules of this host right: puts them back when another program has removed or changed them, looks names up, takes over a
 * changed config, and tells the gateway what was dropped. When it ends the rules stay; addresses of names expire.
 */
export class SubnetWatch {
  readonly #rules: HostRules
  readonly #load: SubnetWatchOptions['load']
  readonly #log: Logger
  readonly #lookMs: number
  #source: WatchedSource
  #looking: NodeJS.Timeout | undefined
  #refreshing: NodeJS.Timeout | undefined
  /** What is done is done one after the other. */
  #work: Promise<void> = Promise.resolve()
  #stopped = false
  /** What was said last of each kind of trouble, so that it is said once and not every five seconds. */
  readonly #said = new Map<string, string>()

  constructor({ rules, source, load, log, lookMs = LOOK_MS }: SubnetWatchOptions) {
    this.#rules = rules
    this.#source = source
    this.#load = load
    this.#log = log
    this.#lookMs = lookMs
  }

  /** Begins, with the rules applied already. */
  start(found: LookedUp): void {
    this.#tellProblems(found)
    this.#looking = setInterval(() => this.#next(() => this.#look()), this.#lookMs)
    this.#scheduleRefresh()
    this.#next(() => this.#look())
  }

  /** Takes over a changed config; one that does not load changes nothing. */
  reload(): Promise<void> {
    return this.#next(async () => {
      const loaded = await this.#load()
      if (!loaded.ok) {
        this.#log.error({ problems: loaded.error }, 'the config does not load; the rules stay as they are')
        return
      }
      const changed = ruleSet(this.#source.plan) !== ruleSet(loaded.value.plan)
      this.#source = loaded.value
      this.#scheduleRefresh()
      if (changed) await this.#apply('applied the rules of the changed config')
      else await this.#refresh()
    })
  }

  /** Resolves once nothing is under way. The rules stay. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#looking)
    clearInterval(this.#refreshing)
    await this.#work
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work
      .then(() => (this.#stopped ? undefined : work()))
      .catch((error: unknown) => this.#log.error({ err: error }, 'the rules could not be looked after'))
    return this.#work
  }

  #scheduleRefresh(): void {
    clearInterval(this.#refreshing)
    this.#refreshing = setInterval(() => this.#next(() => this.#refresh()), this.#source.refreshSeconds * 1000)
  }

  async #look(): Promise<void> {
    if (!(await this.#rules.isInForce())) {
      this.#log.error('another program has removed or changed the rules; they are applied again')
      await this.#apply('the rules are back')
    }
    await this.#report()
  }

  async #apply(message: string): Promise<void> {
    const applied = await this.#rules.apply(this.#source)
    if (!applied.ok) {
      this.#log.error({ problem: applied.error }, 'the rules cannot be applied')
      return
    }
    this.#log.info({ ranges: this.#source.plan.ranges.map(({ text }) => text), addresses: applied.value.addresses }, message)
    this.#tellProblems(applied.value)
  }

  async #refresh(): Promise<void> {
    const found = await this.#rules.refresh(this.#source)
    if (found.ok) this.#tellProblems(found.value)
    else this.#sayOnce('refresh', found.error, 'addresses of names cannot be let through')
  }

  #tellProblems({ problems }: LookedUp): void {
    this.#sayOnce('names', problems.join('; '), 'names without an address that may be let through')
  }

  async #report(): Promise<void> {
    const read = await this.#rules.read()
    if (!read.ok) {
      this.#sayOnce('read', read.error, 'counters cannot be read')
      return
    }
    const flows = read.value.flows.toSorted((a, b) => b.packets - a.packets).slice(0, REPORTED_FLOWS)
    const report: SubnetReport = {
      version: 1,
      timeMs: Date.now(),
      rulesInForce: await this.#rules.isInForce(),
      packets: [...read.value.packets],
      flows: flows.map((flow) => ({ ...flow })),
    }
    try {
      await writeReport(this.#source.stateDirectory, report)
      this.#said.delete('report')
    } catch (error) {
      this.#sayOnce('report', String((error as NodeJS.ErrnoException).code), 'the report for the gateway cannot be written')
    }
  }

  #sayOnce(kind: string, problem: string, message: string): void {
    if (this.#said.get(kind) === problem) return
    this.#said.set(kind, problem)
    if (problem !== '') this.#log.warn({ problem }, message)
  }
}
