import type { Readable } from 'node:stream'
import type { AuditLog } from '../io/telemetry/audit-log.ts'

/** POSIX `PIPE_BUF` on Linux: a write of no more is not torn apart by another process on the same pipe. */
const WRITE_BYTES = 4_096

const NEWLINE = 10

/**
 * Takes the audit lines of every worker, whole lines only, to the one log. While that is not being written (a stalled pipe, a slow
 * disk) nothing is read, so that the lines wait in the workers, which know how many they may hold.
 */
export class AuditIntake {
  readonly #log: Pick<AuditLog, 'writeLines' | 'waitingBytes'>
  #bufferBytes: number
  readonly #pipes = new Set<Readable>()
  #paused = false
  #finishing = false

  /** @param bufferBytes what may wait in the log before reading stops */
  constructor(log: Pick<AuditLog, 'writeLines' | 'waitingBytes'>, bufferBytes: number) {
    this.#log = log
    this.#bufferBytes = bufferBytes
  }

  limit(bufferBytes: number): void {
    this.#bufferBytes = bufferBytes
    this.onRoom()
  }

  /** Resolves once everything that the worker sent has been handed over. What it did not finish is no line. */
  take(pipe: Readable, onTorn: () => void): Promise<void> {
    this.#pipes.add(pipe)
    if (this.#paused) pipe.pause()
    let rest: Buffer = Buffer.alloc(0)
    pipe.on('data', (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      const end = bytes.lastIndexOf(NEWLINE) + 1
      rest = bytes.subarray(end)
      this.#write(bytes.subarray(0, end))
    })
    return new Promise((resolve) => {
      pipe.on('error', () => pipe.destroy())
      pipe.once('close', () => {
        this.#pipes.delete(pipe)
        if (rest.length > 0) onTorn()
        resolve()
      })
    })
  }

  /** Something has been written: there may be room for more. */
  onRoom(): void {
    if (!this.#paused || this.#log.waitingBytes > this.#bufferBytes / 2) return
    this.#paused = false
    for (const pipe of this.#pipes) pipe.resume()
  }

  /** Takes whatever is still to come, whether the log is being written or not: it counts what it drops. */
  finish(): void {
    this.#finishing = true
    this.#paused = false
    for (const pipe of this.#pipes) pipe.resume()
  }

  #write(lines: Buffer): void {
    for (let from = 0; from < lines.length; ) {
      const within = lines.length - from <= WRITE_BYTES ? lines.length : lines.lastIndexOf(NEWLINE, from + WRITE_BYTES - 1) + 1
      // A line that is longer than that goes by itself.
      const end = within > from ? within : lines.indexOf(NEWLINE, from) + 1
      this.#log.writeLines(lines.subarray(from, end))
      from = end
    }
    if (this.#finishing || this.#log.waitingBytes <= this.#bufferBytes) return
    this.#paused = true
    for (const pipe of this.#pipes) pipe.pause()
  }
}
