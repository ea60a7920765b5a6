import { close, constants, open, write } from 'node:fs'
import { type AuditEvent, auditLine } from '../../core/audit-event.ts'

export interface AuditLogOptions {
  /** `-` is standard output. */
  readonly file: string
  /** Lines waiting beyond this are dropped and counted. */
  readonly bufferBytes: number
  /** Called with the number of lines that could not be written. */
  readonly onDrop: (lines: number) => void
  /** Called once per run of failures, with the cause. */
  readonly onError: (error: Error) => void
}

/** The file may be a named pipe or `/dev/stdout`: these must not block either. A regular file does not care. */
const OPEN_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/** While standard output is a pipe nobody reads, a write says EAGAIN; it is tried again after this long. */
const RETRY_MS = 50

/** How much of the last writes may still be waited for at the end. */
const CLOSE_DEADLINE_MS = 2_000

/**
 * Writes one line an event, asynchronously and with bounded memory: `process.stdout.write` to a stalled pipe would buffer
 * without bound, and a synchronous write would stall every tunnel with it. Each line is one write(2), so that lines of several
 * processes on one file do not mix; whatever is not written is counted, never lost silently.
 */
export class AuditLog {
  readonly #options: AuditLogOptions
  readonly #lines: Buffer[] = []
  #head = 0
  #waitingBytes = 0
  #fd: number | undefined
  #busy = false
  #failing = false
  #closing: (() => void) | undefined

  constructor(options: AuditLogOptions) {
    this.#options = options
  }

  /** Opens the file for appending; throws what the file system says. */
  async open(): Promise<void> {
    if (this.#options.file === '-') {
      // Reading the property is what puts a pipe into non-blocking mode. Otherwise a write to a stalled one would hold a thread
      // of libuv's pool, and with it the end of the process, for as long as nobody reads.
      void process.stdout
      this.#fd = 1
      return
    }
    this.#fd = await new Promise<number>((resolve, reject) => {
      open(this.#options.file, OPEN_FLAGS, 0o640, (error, fd) => (error ? reject(error) : resolve(fd)))
    })
  }

  write(event: AuditEvent): void {
    const line = Buffer.from(auditLine(event), 'latin1')
    if (this.#fd === undefined || this.#waitingBytes + line.length > this.#options.bufferBytes) {
      this.#options.onDrop(1)
      return
    }
    this.#lines.push(line)
    this.#waitingBytes += line.length
    this.#pump()
  }

  /** Bytes that wait to be written. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Writes what waits, within a deadline, and counts the rest as dropped. */
  async close(): Promise<void> {
    if (this.#waitingBytes > 0) {
      const drained = new Promise<void>((resolve) => {
        this.#closing = resolve
      })
      let timer: NodeJS.Timeout | undefined
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_DEADLINE_MS)
      })
      await Promise.race([drained, deadline])
      clearTimeout(timer)
    }
    const left = this.#lines.length - this.#head
    if (left > 0) this.#options.onDrop(left)
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined && fd !== 1) close(fd, () => {})
  }

  #pump(): void {
    const line = this.#lines[this.#head]
    if (this.#busy || this.#fd === undefined || line === undefined) return
    this.#busy = true
    this.#writeRest(line, 0)
  }

  #writeRest(line: Buffer, from: number): void {
    if (this.#fd === undefined) return
    write(this.#fd, line, from, line.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN' || error?.code === 'EINTR') {
        // Nothing waits for this timer at the end of the process but `close`, which has its own deadline.
        setTimeout(() => this.#writeRest(line, from), RETRY_MS).unref()
        return
      }
      if (error) this.#failed(error)
      else if (from + written < line.length) return this.#writeRest(line, from + written)
      else this.#failing = false
      this.#settled(line)
    })
  }

  #settled(line: Buffer): void {
    this.#busy = false
    this.#waitingBytes -= line.length
    this.#head++
    if (this.#head === this.#lines.length) {
      this.#lines.length = 0
      this.#head = 0
      this.#closing?.()
    } else if (this.#head >= 1024) {
      this.#lines.splice(0, this.#head)
      this.#head = 0
    }
    this.#pump()
  }

  #failed(error: Error): void {
    this.#options.onDrop(1)
    if (!this.#failing) this.#options.onError(error)
    this.#failing = true
  }
}
