import type { Readable } from 'node:stream'
import type { AuditLog } from '../io/telemetry/audit-log.ts'

const NEWLINE = 10

/** What one read of a pipe can bring (libuv). */
export const READ_BYTES = 65_536

/**
 * Takes the audit lines of every worker, whole lines only, to the one log. While that is not being written (a stalled pipe, a slow
 * disk) nothing is read, so that the lines wait in the workers, which know how many they may hold.
 */
export class AuditIntake {
  readonly #log: Pick<AuditLog, 'writeLines' | 'waitingBytes'>
  #bufferBytes: number
  readonly #pipes = new Set<Readable>()
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
    /** The beginning of a line. */
    let rest: Buffer | undefined
    pipe.on('data', (read: Buffer) => {
      const bytes = rest === undefined ? read : Buffer.concat([rest, read])
      const end = bytes.lastIndexOf(NEWLINE) + 1
      if (end > 0) this.#write(bytes.subarray(0, end))
      rest = end < bytes.length ? bytes.subarray(end) : undefined
    })
    if (this.#isFull) pipe.pause()
    return new Promise((resolve) => {
      pipe.on('error', () => pipe.destroy())
      pipe.once('close', () => {
        this.#pipes.delete(pipe)
        if (rest !== undefined) onTorn()
        resolve()
      })
    })
  }

  /** Something has been written: there may be room for more. */
  onRoom(): void {
    if (!this.#isFull || this.#log.waitingBytes > this.#bufferBytes / 2) return
    this.#isFull = false
    for (const pipe of this.#pipes) pipe.resume()
  }

  /** Takes whatever is still to come, whether the log is being written or not: it counts what it drops. */
  finish(): void {
    this.#finishing = true
    this.#isFull = false
    for (const pipe of this.#pipes) pipe.resume()
  }

  #write(lines: Buffer): void {
    this.#log.writeLines(lines)
    if (this.#finishing || this.#isFull || this.#log.waitingBytes <= this.#bufferBytes) return
    this.#isFull = true
    for (const pipe of this.#pipes) pipe.pause()
  }
}
