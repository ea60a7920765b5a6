// Processes for a benchmark: pinned to a core, their processor time and memory read from /proc.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/** The proxy has one core for itself; load and origin share the other. */
export const PROXY_CORE = 0
export const LOAD_CORE = 1

/** Ticks of `utime` and `stime`: USER_HZ is 100 on every Linux there is. */
const TICK_MS = 10

/** Both are rounded down to a tick, and the scheduler's own count is read a moment later. */
const ROUNDING_MS = 25

const started = new Set()

/** Ends every process that this program started and that is left. */
export function endAll() {
  for (const child of started) child.kill('SIGKILL')
}

/** Starts a program on a core; its output is kept for the message when it fails. */
export function startPinned(core, command, args, options = {}) {
  const child = spawn('taskset', ['-c', String(core), command, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options })
  child.output = ''
  const keep = (text) => {
    child.output = (child.output + text).slice(-4000)
  }
  child.stdout?.setEncoding('utf8').on('data', keep)
  child.stderr?.setEncoding('utf8').on('data', keep)
  child.on('error', (error) => keep(error.message))
  child.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })))
  started.add(child)
  void child.ended.then(() => started.delete(child))
  return child
}

export async function stop(child) {
  for (const pid of tree(child.pid)) signal(pid, 'SIGTERM')
  const late = setTimeout(() => {
    for (const pid of tree(child.pid)) signal(pid, 'SIGKILL')
  }, 3000)
  await child.ended
  clearTimeout(late)
}

function signal(pid, name) {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended by itself.
  }
}

/** A process and all its descendants. */
export function tree(pid) {
  const parents = new Map()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const fields = statOf(entry)
    if (fields !== undefined) parents.set(Number(entry), Number(fields[1]))
  }
  const found = [pid]
  for (let at = 0; at < found.length; at++) for (const [child, parent] of parents) if (parent === found[at]) found.push(child)
  return found
}

/** Fields of /proc/PID/stat from `state` on: the name before it may hold blanks. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Processor time in ms of a process with all threads, its children, and those of them that have ended. */
export function cpuMs(pid) {
  let total = 0
  for (const one of tree(pid)) {
    const fields = statOf(one)
    if (fields === undefined) continue
    const coarse = (Number(fields[11]) + Number(fields[12])) * TICK_MS
    const fine = threadsMs(one)
    // Threads that have ended are in the coarse count alone.
    total += (fine > coarse - ROUNDING_MS ? fine : coarse) + (Number(fields[13]) + Number(fields[14])) * TICK_MS
  }
  return total
}

/** What the scheduler has counted, in nanoseconds, for the threads there are. */
function threadsMs(pid) {
  try {
    const nanoseconds = readdirSync(`/proc/${pid}/task`).map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    )
    return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e6
  } catch {
    // A thread ended meanwhile, or the kernel keeps no such count.
    return 0
  }
}

/** Resident memory in bytes; what processes share is divided among them. */
export function residentBytes(pid) {
  let total = 0
  for (const one of tree(pid)) {
    const text = readFileSync(`/proc/${one}/smaps_rollup`, 'utf8')
    total += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  }
  return total
}

export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

export async function untilListening(child, port, deadlineMs = 30_000) {
  const until = Date.now() + deadlineMs
  let ended = false
  void child.ended.then(() => {
    ended = true
  })
  for (;;) {
    const open = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.on('connect', () => socket.destroy()).on('error', () => resolve(false))
    })
    if (open) return
    if (ended || Date.now() > until) throw new Error(`does not listen: ${child.output.trim().split('\n').at(-1)}`)
    await pause(100)
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs the load generator to its end; its one line of JSON. */
export async function load(binary, args, core = LOAD_CORE) {
  const child = startPinned(core, binary, args.map(String))
  await child.ended
  try {
    return JSON.parse(child.output.trim().split('\n').at(-1))
  } catch {
    throw new Error(`load ${args.join(' ')}: ${child.output}`)
  }
}
