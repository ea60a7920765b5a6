import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { waitFor } from './gateway.ts'
import { bareEnvironment, type Ran, run } from './run.ts'

/** The built program; `npm test` builds it when needed. */
export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string }

export interface StartOptions {
  /** `read` collects the audit log; `stalled` never reads it; `closed` closes it at once. */
  readonly stdout?: 'read' | 'stalled' | 'closed'
  /** Another installation than this checkout's. */
  readonly main?: string
  readonly env?: Readonly<Record<string, string>>
  /** Puts something beside the config file before the program starts. */
  readonly prepare?: (folder: string) => void
  /** A program and its arguments that run this one: `['prlimit', '--nofile=64']`. */
  readonly under?: readonly string[]
  /** The same, where its listeners can be reached only in the same way; signals must reach the program. */
  readonly within?: readonly string[]
  /** Whether the process log is read. */
  readonly stderr?: 'read' | 'stalled'
}

const FREE_PORTS = 'listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\n'
const LISTENERS = ['proxy', 'metrics', 'admin'] as const

/**
 * The built program as a child process, on free ports, with a config file in a folder of its own.
 *
 * @param yaml the config file; `listen` is added unless it is in it
 */
export async function startProgram(yaml: string, options: StartOptions = {}): Promise<ProgramUnderTest> {
  const started = new ProgramUnderTest(yaml, options)
  try {
    await started.ready()
  } catch (error) {
    await started.stop()
    throw error
  }
  return started
}

export class ProgramUnderTest {
  readonly folder: string
  readonly configFile: string
  readonly exited: Promise<Ended>
  readonly child: ChildProcess
  /** Begins to read a process log that was not read. */
  readonly readLog: () => void
  #stdout = ''
  #stderr = ''
  #ended: Ended | undefined
  readonly #ports = new Map<string, number>()
  readonly #within: readonly string[]

  constructor(
    yaml: string,
    { stdout = 'read', stderr = 'read', main = MAIN, env = {}, prepare, under = [], within = [] }: StartOptions = {},
  ) {
    if (!existsSync(main)) throw new Error(`${main} is not there: run \`npm run build\` first`)
    this.folder = mkdtempSync(join(tmpdir(), 'sallyport-e2e-'))
    this.configFile = join(this.folder, 'gateway.yaml')
    writeFileSync(this.configFile, `${/^listen:/m.test(yaml) ? '' : FREE_PORTS}${yaml}`)
    prepare?.(this.folder)
    this.#within = within
    const words = [...within, ...under, process.execPath, main, 'serve', '--config', this.configFile]
    const [program = process.execPath, ...args] = words
    const child = spawn(program, args, {
      cwd: this.folder,
      env: bareEnvironment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#ended = { code, signal }
        resolve(this.#ended)
      })
    })
    const readLog = () =>
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.#stderr += text
      })
    this.readLog = readLog
    if (stderr === 'read') readLog()
    if (stdout === 'closed') child.stdout.destroy()
    if (stdout === 'read')
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        this.#stdout += text
      })
  }

  /** Resolves once every listener stands. */
  async ready(): Promise<void> {
    await waitFor(() => {
      for (const line of this.log) {
        if (line.msg === 'listening') this.#ports.set(String(line['listener']), portOf(String(line['address'])))
      }
      if (this.#ended !== undefined) throw new Error(`ended with ${JSON.stringify(this.#ended)}:\n${this.#stderr}`)
      return LISTENERS.every((name) => this.#ports.has(name)) ? true : undefined
    }, 'the listeners')
  }

  /** @param listener key in `listen` */
  port(listener: 'proxy' | 'metrics' | 'admin'): number {
    const port = this.#ports.get(listener)
    if (port === undefined) throw new Error(`no ${listener} listener stands`)
    return port
  }

  get proxyUrl(): string {
    return `http://127.0.0.1:${this.port('proxy')}`
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Everything on standard output, when it is read. */
  get stdout(): string {
    return this.#stdout
  }

  /** The process log so far. */
  get log(): LogLine[] {
    return this.#stderr
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line))
  }

  /** Resolves once the log has a line with this message. */
  logged(message: string): Promise<LogLine> {
    return waitFor(() => this.log.find(({ msg }) => msg === message), `\`${message}\` in the log`)
  }

  /** Resolves once the audit log on standard output holds so many events that satisfy the condition. */
  audit(condition: Partial<AuditEvent>, count = 1): Promise<AuditEvent[]> {
    return waitFor(
      () => {
        const found = this.events().filter((event) => isLike(event, condition))
        return found.length >= count ? found : undefined
      },
      `${count} audit events like ${JSON.stringify(condition)}`,
    )
  }

  /** The audit log on standard output so far; every line of it has to be one event. */
  events(): AuditEvent[] {
    return this.#stdout
      .slice(0, this.#stdout.lastIndexOf('\n') + 1)
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  }

  /** What a listener answers to a GET. */
  async ask(listener: 'metrics' | 'admin', path: string): Promise<Response> {
    const url = `http://127.0.0.1:${this.port(listener)}${path}`
    const [first, ...words] = this.#within
    if (first === undefined) return fetch(url)
    const { code, stdout, stderr } = await run(first, [...words, 'curl', '--silent', '--show-error', url])
    if (code !== 0) throw new Error(stderr)
    return new Response(stdout)
  }

  /** The value of a metric line, as in `sallyport_tunnels_open` or `name{label="value"}`; 0 where there is none. */
  async metric(line: string): Promise<number> {
    const text = await (await this.ask('metrics', '/metrics')).text()
    const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `))
    return found === undefined ? 0 : Number(found.slice(line.length + 1))
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Ends the program by force and removes its folder. How it ends by itself is what the lifecycle tests are for. */
  async stop(): Promise<void> {
    if (this.#ended === undefined) this.child.kill('SIGKILL')
    await this.exited
    this.child.stdout?.destroy()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Runs another command of the built program to its end. */
export function runProgram(args: readonly string[], options: { cwd?: string } = {}): Promise<Ran> {
  return run(process.execPath, [MAIN, ...args], options)
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1))
}

function isLike(event: AuditEvent, condition: Partial<AuditEvent>): boolean {
  return Object.entries(condition).every(([key, value]) => event[key as keyof AuditEvent] === value)
}
