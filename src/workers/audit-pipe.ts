import { Socket } from 'node:net'
import { type AuditEvent, auditLine } from '../core/audit-event.ts'
import type { AuditSink } from '../io/telemetry/audit-log.ts'

/** How much of the last lines may still be waited for at the end. */
const CLOSE_DEADLINE_MS = 2_000

/**
 * A worker's end of the pipe to the one writer of the audit log. What the primary does not take is held, bounded, and past that
 * dropped and counted; what was sent is written, also when the worker crashes after it.
 */
export class AuditPipe implements AuditSink {
  readonly #socket: Socket
  readonly #onDrop: (lines: number) => void
  #bufferBytes: number
  #waitingLines = 0

  /** @param fd the pipe, inherited from the primary */
  constructor(fd: number, bufferBytes: number, onDrop: (lines: number) => void) {
    this.#socket = new Socket({ fd, readable: false, writable: true })
    // Without the primary this process ends.
    this.#socket.on('error', () => this.#socket.destroy())
    this.#bufferBytes = bufferBytes
    this.#onDrop = onDrop
  }

  async open(): Promise<void> {}

  /** The file is the primary's. */
  async reopen(): Promise<void> {}

  /** Holds back so much from now on. */
  limit(bufferBytes: number): void {
    this.#bufferBytes = bufferBytes
  }

  write(event: AuditEvent): void {
    const line = auditLine(event)
    const waiting = this.#socket.writableLength
    if (this.#socket.destroyed || (waiting > 0 && waiting + line.length > this.#bufferBytes)) return this.#onDrop(1)
    this.#waitingLines++
    this.#socket.write(line, 'latin1', this.#onWritten)
  }

  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  async close(): Promise<void> {
    if (!this.#socket.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_DEADLINE_MS)
        this.#socket.end(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    if (this.#waitingLines > 0) this.#onDrop(this.#waitingLines)
    this.#socket.destroy()
  }

  readonly #onWritten = () => {
    this.#waitingLines--
  }
}
