import { spawn } from 'node:child_process'

export interface Ran {
  /** Undefined where a signal ended it. */
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  /** Beside `PATH` and a locale, all that the program sees: no proxy settings of the machine that the tests run on. */
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly deadlineMs?: number
}

/** Runs a program to its end. Asynchronously, since the origins it talks to live in this very process. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd, env, input = '', deadlineMs = 30_000 } = options
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: bareEnvironment(env), stdio: 'pipe' })
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8')
      child[name].on('data', (text: string) => {
        output[name] += text
      })
    }
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? undefined, ...output })
    })
  })
}

/** What every program gets: it finds other programs, and speaks English. */
export function bareEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8', ...more }
}
