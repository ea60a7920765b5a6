import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { waitFor } from './gateway.ts'
import { bareEnvironment } from './run.ts'

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: readonly [number, string]
  readonly values?: readonly (readonly [number, string])[]
}

export interface ScrapeTarget {
  readonly address: string
  readonly labels: Readonly<Record<string, string>>
}

const CONFIG = 'prometheus.yml'

/** A real Prometheus on a free port of loopback, with its database in a folder of its own. */
export class Prometheus {
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #exited: Promise<unknown>
  #log = ''
  #url = ''

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child
    this.#folder = folder
    this.#exited = new Promise((resolve) => child.once('exit', resolve))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text
    })
  }

  /** The config it was started with. */
  get configFile(): string {
    return join(this.#folder, CONFIG)
  }

  static #config(targets: readonly ScrapeTarget[], ruleFiles: readonly string[]): string {
    return stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ruleFiles,
      scrape_configs: [
        { job_name: 'sallyport', static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })) },
      ],
    })
  }

  static async start(program: string, targets: readonly ScrapeTarget[], ruleFiles: readonly string[]): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-prometheus-'))
    const file = join(folder, CONFIG)
    writeFileSync(file, Prometheus.#config(targets, ruleFiles))
    const words = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`, '--web.listen-address=127.0.0.1:0']
    const child = spawn(program, words, { cwd: folder, env: bareEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] })
    const prometheus = new Prometheus(child, folder)
    try {
      await waitFor(() => /msg="Listening on" address=(\S+)/.exec(prometheus.#log)?.[1], 'Prometheus to listen', 20_000).then(
        (address) => {
          prometheus.#url = `http://${address}`
        },
      )
      await waitFor(
        async () => ((await fetch(`${prometheus.#url}/-/ready`)).ok ? true : undefined),
        'Prometheus to be ready',
        20_000,
      )
    } catch (error) {
      await prometheus.stop()
      throw new Error(`${error}\n${prometheus.#log}`)
    }
    return prometheus
  }

  /** An instant query, now. */
  query(expr: string): Promise<readonly Sample[]> {
    return this.#ask('query', { query: expr })
  }

  /** @param from and to in seconds since the epoch */
  queryRange(expr: string, from: number, to: number, stepSeconds: number): Promise<readonly Sample[]> {
    return this.#ask('query_range', { query: expr, start: String(from), end: String(to), step: String(stepSeconds) })
  }

  /** Every loaded rule with how its last evaluation went. */
  async rules(): Promise<readonly { readonly name: string; readonly health: string; readonly lastError?: string }[]> {
    const { groups } = await this.#get('rules', {})
    return groups.flatMap(({ rules }: { rules: never[] }) => rules)
  }

  async #ask(path: string, words: Record<string, string>): Promise<readonly Sample[]> {
    return (await this.#get(path, words)).result
  }

  // biome-ignore lint/suspicious/noExplicitAny: Prometheus' own answers
  async #get(path: string, words: Record<string, string>): Promise<any> {
    // biome-ignore lint/suspicious/noExplicitAny: the same
    const answer: any = await (await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(words)}`)).json()
    if (answer.status !== 'success') throw new Error(`${answer.errorType}: ${answer.error}`)
    return answer.data
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exited
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
