import { Socket } from 'node:net'
import { type AuditEvent, auditLine } from '../core/audit-event.ts'
import type { AuditSettings, AuditSink } from '../io/telemetry/audit-log.ts'
import { AuditRoom } from '../io/telemetry/audit-room.ts'

/**
 * Lines that come within this long are sent together: to wake the primary for each costs it and us as much as a tunnel's set-up. A worker
 * that crashes takes so much of the log with it.
 */
const GATHER_MS = 10

/** Sent at once: about what a socket's buffer takes without a wait. */
const BATCH_BYTES = 65_536

/** How much of the last lines may still be waited for at the end. */
const CLOSE_DEADLINE_MS = 2_000

/** How much a worker may hold back, and what is to happen past that. */
export type WorkerAudit = Pick<AuditSettings, 'bufferBytes' | 'onFailure'>

/**
 * A worker's end of the pipe to the one writer of the audit log. What the primary does not take is held, bounded, and past that
 * dropped and counted; what was sent is written, also when the worker crashes after it.
 */
export class AuditPipe implements AuditSink {
  readonly #socket: Socket
  readonly #onDrop: (lines: number) => void
  readonly #room: AuditRoom
  /** What the primary said of the log last. */
  #isLogWritable: boolean
  /** Lines that came just now, and the timer that ends their gathering. */
  #fresh = ''
  #freshLines = 0
  #gathering: NodeJS.Timeout | undefined
  /** Of each batch that is on its way, how many lines it has. */
  readonly #sent: number[] = []

  /**
   * @param fd the pipe, inherited from the primary
   * @param isLogWritable whether the primary can write the log now
   */
  constructor(fd: number, audit: WorkerAudit, isLogWritable: boolean, onDrop: (lines: number) => void) {
    this.#socket = new Socket({ fd, readable: false, writable: true })
    // Without the primary this process ends.
    this.#socket.on('error', () => this.#socket.destroy())
    this.#room = new AuditRoom(audit.bufferBytes, audit.onFailure)
    this.#isLogWritable = isLogWritable
    this.#onDrop = onDrop
  }

  async open(): Promise<void> {}

  /** The file is the primary's. */
  async reopen(): Promise<void> {}

  /** Holds back so much from now on. */
  limit({ bufferBytes, onFailure }: WorkerAudit): void {
    this.#room.limit(bufferBytes, onFailure)
  }

  /** The primary has told whether it can write the log. */
  logIsWritable(isWritable: boolean): void {
    this.#isLogWritable = isWritable
  }

  get isWritable(): boolean {
    return this.#isLogWritable && !this.#socket.destroyed && !this.#room.isFull(this.waitingBytes)
  }

  write(event: AuditEvent): void {
    const line = auditLine(event)
    const waiting = this.waitingBytes
    if (this.#socket.destroyed || (waiting > 0 && waiting + line.length > this.#room.boundFor(event))) return this.#onDrop(1)
    this.#fresh += line
    this.#freshLines++
    if (this.#fresh.length >= BATCH_BYTES) this.#send()
    else this.#gathering ??= setTimeout(() => this.#send(), GATHER_MS).unref()
  }

  get waitingBytes(): number {
    return this.#socket.writableLength + this.#fresh.length
  }

  async close(): Promise<void> {
    this.#send()
    if (!this.#socket.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_DEADLINE_MS)
        this.#socket.end(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    const left = this.#sent.reduce((sum, lines) => sum + lines, 0)
    if (left > 0) this.#onDrop(left)
    this.#socket.destroy()
  }

  #send(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    if (this.#fresh === '') return
    this.#sent.push(this.#freshLines)
    // A line is printable ASCII.
    this.#socket.write(this.#fresh, 'latin1', this.#onWritten)
    this.#fresh = ''
    this.#freshLines = 0
  }

  readonly #onWritten = () => {
    this.#sent.shift()
  }
}
