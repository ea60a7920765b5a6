import type { Readable } from 'node:stream'
import type { AuditLog } from '../io/telemetry/audit-log.ts'

/** POSIX `PIPE_BUF` on Linux: a write of no more is not torn apart by another process on the same pipe. */
const WRITE_BYTES = 4_096

/** What one read of a pipe can bring (libuv). */
export const READ_BYTES = 65_536

/**
 * Lines gather in the kernel for so long before they are read: ten times as many for one wake-up of the primary. They are safe there,
 * also from the end of the worker that wrote them.
 */
const GATHER_MS = 10

const NEWLINE = 10

/**
 * Takes the audit lines of every worker, whole lines only, to the one log. While that is not being written (a stalled pipe, a slow
 * disk) nothing is read, so that the lines wait in the workers, which know how many they may hold.
 */
export class AuditIntake {
  readonly #log: Pick<AuditLog, 'writeLines' | 'waitingBytes'>
  #bufferBytes: number
  readonly #pipes = new Set<Readable>()
  #gathering: NodeJS.Timeout | undefined
  /** The log has no room for more. */
  #isFull = false
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
    let rest: Buffer = Buffer.alloc(0)
    pipe.on('data', (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      const end = bytes.lastIndexOf(NEWLINE) + 1
      rest = bytes.subarray(end)
      this.#write(bytes.subarray(0, end))
      if (!this.#finishing && (this.#isFull || chunk.length < READ_BYTES)) this.#gather(pipe)
    })
    if (this.#isFull) pipe.pause()
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
    if (!this.#isFull || this.#log.waitingBytes > this.#bufferBytes / 2) return
    this.#isFull = false
    this.#resume()
  }

  /** Takes whatever is still to come, whether the log is being written or not: it counts what it drops. */
  finish(): void {
    this.#finishing = true
    this.#isFull = false
    this.#resume()
  }

  #gather(pipe: Readable): void {
    pipe.pause()
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined
      if (!this.#isFull) this.#resume()
    }, GATHER_MS)
  }

  #resume(): void {
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
    this.#isFull = !this.#finishing && this.#log.waitingBytes > this.#bufferBytes
  }
}
