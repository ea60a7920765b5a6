import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ran, type RunOptions, run } from './run.ts'

/** Programs that a network of namespaces is made with. */
export const NAMESPACE_PROGRAMS = ['ip', 'nft', 'nsenter', 'setpriv', 'unshare'] as const

/**
 * A network namespace with `/etc/hosts` and `/etc/resolv.conf` of its own. It has no name anywhere: it lasts as long as the process
 * that holds it, and that one ends with its standard input, which is this process's. So nothing is left behind, however the tests end.
 */
export class Namespace {
  readonly name: string
  readonly #holder: ChildProcess
  readonly #folder: string

  private constructor(name: string, holder: ChildProcess, folder: string) {
    this.name = name
    this.#holder = holder
    this.#folder = folder
  }

  /** @param resolv content of `/etc/resolv.conf`; empty: no name servers */
  static async create(name: string, { hosts = '', resolv = '' } = {}): Promise<Namespace> {
    const folder = mkdtempSync(join(tmpdir(), `sallyport-${name}-`))
    writeFileSync(join(folder, 'hosts'), `127.0.0.1 localhost\n::1 localhost\n${hosts}`)
    writeFileSync(join(folder, 'resolv.conf'), resolv)
    const script = `
      mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf && ip link set lo up || exit 1
      echo ready
      exec cat`
    const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', script, 'sh', folder], { stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    holder.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const [ready] = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')])
    if (!String(ready).startsWith('ready')) {
      rmSync(folder, { recursive: true, force: true })
      throw new Error(`no namespace ${name}: ${said}`)
    }
    return new Namespace(name, holder, folder)
  }

  /** What `ip link` takes as `netns`. */
  get pid(): string {
    return String(this.#holder.pid)
  }

  /** The words that run a program in here; it ends when this process does. */
  get prefix(): readonly string[] {
    return ['nsenter', '--target', this.pid, '--net', '--mount', 'setpriv', '--pdeathsig', 'KILL']
  }

  /** Runs a program in here to its end. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    const [first = '', ...words] = [...this.prefix, program, ...args]
    return run(first, words, options)
  }

  /** The same, and what it printed; throws what it said where it failed. */
  async must(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, args, options)
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} in ${this.name}: ${stderr}${stdout}`)
    return stdout
  }

  /** `ip` commands, one a line. */
  async ip(commands: string): Promise<void> {
    await this.must('ip', ['-batch', '-'], { input: commands })
  }

  /** Starts a program that goes on. */
  spawn(program: string, args: readonly string[]): ChildProcess {
    const [first = '', ...words] = [...this.prefix, program, ...args]
    return spawn(first, words, { stdio: 'pipe', env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' } })
  }

  async remove(): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      const gone = once(this.#holder, 'exit')
      this.#holder.kill('SIGKILL')
      await gone
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
