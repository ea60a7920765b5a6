import { everyEntry } from '../core/policy/policy.ts'
import { worstOf } from '../io/proxy/parents.ts'
import type { Metrics } from '../io/telemetry/metrics.ts'
import type { DenialRow } from '../io/telemetry/recent-denials.ts'
import type { SettingsInForce } from '../settings-in-force.ts'
import type { Crew } from './crew.ts'
import { mergeDenials, mergeTunnels } from './merged-lists.ts'
import { MergedMetrics } from './merged-metrics.ts'
import type { Answers, Question, TunnelList, WorkerLoad } from './messages.ts'

/** All workers seen as one: each is asked, and the answers are put together. */
export class CrewView {
  readonly #crew: Crew
  readonly #merged: MergedMetrics
  readonly #loads = new Map<number, WorkerLoad>()

  constructor(crew: Crew, own: Metrics, settings: SettingsInForce) {
    this.#crew = crew
    this.#merged = new MergedMetrics({
      own,
      deniedHosts: () => settings.generation.config.metrics.deniedHosts,
      entries: () => new Set(everyEntry(settings.generation.policy).map(({ id }) => id)),
      groups: () => new Set(settings.generation.policy.groups.map(({ name }) => name)),
      nowMs: () => performance.now(),
    })
  }

  /** Asks every worker how it stands; of one that does not answer, what it said before is kept. */
  async look(): Promise<void> {
    await Promise.all(
      this.#crew.serving.map(async (worker) => {
        const answer = await worker.ask<'metrics'>({ what: 'metrics' })
        if (answer === undefined || worker.isGone) return
        this.#loads.set(worker.id, answer.load)
        this.#merged.update(worker.id, answer.metrics)
      }),
    )
  }

  /** A worker has told how its metrics stand at its end. */
  lastWord(worker: number, { metrics }: Pick<Answers['metrics'], 'metrics'>): void {
    this.#merged.update(worker, metrics)
  }

  /** The worker has gone. */
  forget(worker: number): void {
    this.#merged.retire(worker)
    this.#loads.delete(worker)
  }

  /** The page for Prometheus. */
  async metricsPage(): Promise<string> {
    await this.look()
    return this.#merged.page()
  }

  /** For the status: what all carry together, and each by itself. */
  async load() {
    await this.look()
    const loads = [...this.#loads.values()]
    return {
      tunnels: sum(loads.map(({ tunnels }) => tunnels)),
      auditBytesWaiting: sum(loads.map(({ auditBytesWaiting }) => auditBytesWaiting)),
      parents: worstOf(loads.flatMap(({ parents }) => parents)),
      workers: this.#crew.workers.map((worker) => ({
        worker: worker.id,
        pid: worker.pid,
        serving: worker.isServing,
        ...this.#loads.get(worker.id),
      })),
    }
  }

  async denials(): Promise<DenialRow[]> {
    return mergeDenials(await this.#askAll<'denials'>({ what: 'denials' }))
  }

  async tunnels(): Promise<TunnelList> {
    return mergeTunnels(await this.#askAll<'tunnels'>({ what: 'tunnels' }))
  }

  /** Ends a tunnel, whichever worker has it; false where none does. */
  async endTunnel(tunnel: string): Promise<boolean> {
    return (await this.#askAll<'end_tunnel'>({ what: 'end_tunnel', tunnel })).includes(true)
  }

  async #askAll<W extends Question['what']>(question: Extract<Question, { what: W }>): Promise<Answers[W][]> {
    const answers = await Promise.all(this.#crew.serving.map((worker) => worker.ask<W>(question)))
    return answers.filter((answer) => answer !== undefined)
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
