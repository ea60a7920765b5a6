import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { EXIT_MEMORY, type FromHooks, HOOKS_FD, LINE_BYTES_MAX, STOP_MS, type ToHooks } from './messages.ts'

/** Why a hook process has ended; a metric label. */
export const HOOK_ENDS = ['exited', 'memory', 'stuck', 'protocol'] as const
export type HookEnd = (typeof HOOK_ENDS)[number]

export interface HookProcessOptions {
  readonly heapBytes: number
  readonly onMessage: (message: FromHooks) => void
  /** A line on its standard output or error, bounded. */
  readonly onSaid: (text: string) => void
  readonly onEnd: (end: HookEnd, how: string) => void
}

/**
 * What Node itself takes, on top of what hooks may have: 48 MB of data and 41 MB in memory at rest (measured on Node 20 and 24), and room
 * for the garbage that a collection has not reached.
 */
const RUNTIME_BYTES = 134_217_728

/** How often the process is measured. What the kernel's own limit lets through in between is bounded by that. */
const MEASURE_MS = 500

/** Characters of a line of output that are passed on. */
const SAID_CHARACTERS_MAX = 500

/** Bytes that may wait to be written to it, before what can be left out is. */
const WAITING_BYTES_MAX = 1_048_576

/** Node 20 runs no TypeScript: from the source, as tests do, it is the one that was built. */
const RUNNER = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../../dist/io/hooks/runner.js' : './runner.js', import.meta.url),
)
const SHELL = '/bin/sh'
const MIB = 1_048_576

/**
 * One process that runs hooks. Its memory is bounded three times over: V8's heap by its own setting, everything that is private and writable
 * (heap, buffers, stacks) by the kernel (RLIMIT_DATA, which a shell sets before it becomes Node), and what is resident by measuring.
 * RLIMIT_AS is of no use here: V8 reserves address space by the gigabyte that it never touches.
 */
export class HookProcess {
  readonly #options: HookProcessOptions
  readonly #child: ChildProcess
  readonly #channel: Duplex
  readonly #measuring: NodeJS.Timeout
  #line = ''
  #end: HookEnd | undefined
  #isOver = false

  constructor(options: HookProcessOptions) {
    this.#options = options
    const child = spawnLimited(options.heapBytes)
    this.#child = child
    this.#channel = child.stdio[HOOKS_FD] as Duplex
    this.#measuring = setInterval(() => this.#measure(), MEASURE_MS)
    this.#measuring.unref()
    child.once('error', (error: NodeJS.ErrnoException) => this.#over('exited', `it cannot be started: ${error.code}`))
    // All it said has been read by then.
    child.once('close', (code, signal) => this.#over(endOf(code, signal), signal ?? `exit code ${code}`))
    this.#channel.on('error', () => {})
    this.#channel.setEncoding('utf8').on('data', (text: string) => this.#receive(text))
    for (const output of [child.stdout, child.stderr]) if (output !== null) eachLine(output, options.onSaid)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Whether it takes what it is sent. */
  get keepsUp(): boolean {
    return this.#channel.writableLength < WAITING_BYTES_MAX
  }

  send(message: ToHooks): void {
    if (!this.#isOver) this.#channel.write(`${JSON.stringify(message)}\n`)
  }

  kill(end: HookEnd): void {
    this.#end ??= end
    this.#child.kill('SIGKILL')
  }

  /** Lets it go: it ends by itself when its pipe is closed, or is ended. Resolves once it has. */
  async close(): Promise<void> {
    this.#channel.end()
    const killing = setTimeout(() => this.kill('exited'), STOP_MS + GRACE_MS)
    if (!this.#isOver) await new Promise<void>((resolve) => this.#child.once('close', () => resolve()))
    clearTimeout(killing)
  }

  #receive(text: string): void {
    this.#line += text
    let end = this.#line.indexOf('\n')
    let from = 0
    for (; end >= 0 && end - from <= LINE_BYTES_MAX; end = this.#line.indexOf('\n', from)) {
      this.#read(this.#line.slice(from, end))
      from = end + 1
    }
    this.#line = this.#line.slice(from)
    if (this.#line.length > LINE_BYTES_MAX) {
      this.#line = ''
      this.kill('protocol')
    }
  }

  #read(line: string): void {
    if (this.#end !== undefined) return
    let message: unknown
    try {
      message = JSON.parse(line)
    } catch {
      return this.kill('protocol')
    }
    if (!isMessage(message)) return this.kill('protocol')
    this.#options.onMessage(message)
  }

  #measure(): void {
    const resident = residentBytes(this.#child.pid)
    if (resident !== undefined && resident > this.#options.heapBytes + RUNTIME_BYTES) this.kill('memory')
  }

  #over(end: HookEnd, how: string): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#measuring)
    this.#channel.destroy()
    this.#options.onEnd(this.#end ?? end, how)
  }
}

/** How much later than it should have one that is let go is ended by force. */
const GRACE_MS = 500

function spawnLimited(heapBytes: number): ChildProcess {
  // Options that were meant for the gateway (an inspector's port) are not its child's.
  const { NODE_OPTIONS: _, ...env } = process.env
  const words = [`--max-old-space-size=${Math.ceil(heapBytes / MIB)}`, '--max-semi-space-size=8', RUNNER]
  const stdio = ['ignore', 'pipe', 'pipe', 'pipe'] as const
  if (!existsSync(SHELL)) return spawn(process.execPath, words, { env, stdio: [...stdio] })
  const kilobytes = Math.ceil((heapBytes + RUNTIME_BYTES + codeRangeBytes()) / 1024)
  // Where the limit cannot be set, as on systems other than Linux, measuring is left.
  const script = `ulimit -d ${kilobytes} 2>/dev/null; exec "$0" "$@"`
  return spawn(SHELL, ['-c', script, process.execPath, ...words], { env, stdio: [...stdio] })
}

/**
 * Newer V8 maps all that its compiler may ever write (half a gigabyte) as data at once, and does not start where that is refused. It is
 * measured in this process, which is the same program.
 */
function codeRangeBytes(): number {
  let maps: string
  try {
    maps = readFileSync('/proc/self/maps', 'latin1')
  } catch {
    return 0
  }
  let bytes = 0
  for (const [, from = '', to = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rwxp /gm))
    bytes += Number.parseInt(to, 16) - Number.parseInt(from, 16)
  return bytes
}

/** V8 aborts when its heap is full, the runner ends itself when an allocation was refused. */
function endOf(code: number | null, signal: NodeJS.Signals | null): HookEnd {
  return signal === 'SIGABRT' || signal === 'SIGTRAP' || code === 134 || code === EXIT_MEMORY ? 'memory' : 'exited'
}

/** Undefined where the system does not say. */
function residentBytes(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined
  }
}

function eachLine(output: Readable, onLine: (text: string) => void): void {
  let rest = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    // Of a line without an end only the beginning is kept.
    rest = (lines.pop() ?? '').slice(0, SAID_CHARACTERS_MAX)
    for (const line of lines) if (line.trim() !== '') onLine(line.slice(0, SAID_CHARACTERS_MAX))
  })
}

function isMessage(message: unknown): message is FromHooks {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return false
  const { kind } = message
  if (kind === 'answer') return 'id' in message && typeof message.id === 'number'
  return kind === 'ready' || kind === 'broken' || kind === 'told' || kind === 'pong'
}
