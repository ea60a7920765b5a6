import { fstat, stat, write } from 'node:fs'
import { type AuditEvent, auditLine } from '../../core/audit-event.ts'
import { closeFile, type OpenFile, openFile } from './audit-file.ts'
import { type AuditFailurePolicy, AuditRoom } from './audit-room.ts'

export interface AuditLogOptions {
  /** `-` is standard output. */
  readonly file: string
  /** Lines waiting beyond this are dropped and counted. */
  readonly bufferBytes: number
  /** `deny` holds lines that an error keeps from being written, and tries again, where `drop` drops them. */
  readonly onFailure: AuditFailurePolicy
  /** Called with the number of lines that could not be written, and whether that was for want of room in the buffer. */
  readonly onDrop: (lines: number, isFull: boolean) => void
  /** Called once per run of failures, with the cause. */
  readonly onError: (error: Error) => void
  /** Called whenever something has been written, or given up. */
  readonly onRoom?: () => void
  /** Called when lines can be written no longer, and when they can again. */
  readonly onWritable?: (isWritable: boolean) => void
}

/** What a reload may change. */
export type AuditSettings = Pick<AuditLogOptions, 'file' | 'bufferBytes' | 'onFailure'>

/** Where audit lines go: a file, or whoever writes it. */
export interface AuditSink {
  /** Throws what the file system says. */
  open(): Promise<void>
  /** Takes the file that now stands under its name, or another one; throws what the file system says. */
  reopen(settings?: AuditSettings): Promise<void>
  write(event: AuditEvent): void
  /** Bytes that wait to be written. */
  readonly waitingBytes: number
  /** False while lines cannot be written, or hardly more can wait. */
  readonly isWritable: boolean
  /** Writes what waits, within a deadline. */
  close(): Promise<void>
}

/** While standard output is a pipe nobody reads, a write says EAGAIN; it is tried again after this long. */
const RETRY_MS = 50

/** With `deny`, lines that an error kept from being written are tried again after this long. */
const FAILURE_RETRY_MS = 500

/** How often the file is compared with what stands under its name. */
const ROTATION_CHECK_MS = 5_000

/**
 * Lines that come within this long are written together: a write of its own for each would cost as much as the rest of a tunnel's
 * set-up, most of it for waking a thread of libuv's pool.
 */
const GATHER_MS = 5

/** Written at once to a file. */
const FILE_BATCH_BYTES = 65_536

/** And to anything else: a write of this much to a pipe is never mixed with another's (PIPE_BUF, pipe(7)). */
const PIPE_BATCH_BYTES = 4_096

/** How much of the last writes may still be waited for at the end. */
const CLOSE_DEADLINE_MS = 2_000

/**
 * Writes one line an event, asynchronously and with bounded memory: `process.stdout.write` to a stalled pipe would buffer
 * without bound, and a synchronous write would stall every tunnel with it. A write(2) holds whole lines, so that lines of several
 * processes on one file do not mix; whatever is not written is counted, never lost silently.
 */
export class AuditLog implements AuditSink {
  #options: AuditLogOptions
  /** Whole lines that are written together. */
  readonly #lines: Buffer[] = []
  /** Lines that came just now, and the timer that ends their gathering. */
  #fresh = ''
  #gathering: NodeJS.Timeout | undefined
  #batchBytes = PIPE_BATCH_BYTES
  #head = 0
  #waitingBytes = 0
  #fd: number | undefined
  #busy = false
  #failing = false
  readonly #room: AuditRoom
  /** As it was told last. */
  #isWritable = true
  /** Of the lines that are next: how much of them is written, and by which opening of the file. */
  #begun = { bytes: 0, opening: 0 }
  #openings = 0
  #retry: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()
  #closing: (() => void) | undefined
  /** Of a file that was rotated away, until its last line is written. */
  #retired: number | undefined
  #rotation: NodeJS.Timeout | undefined

  constructor(options: AuditLogOptions) {
    this.#options = options
    this.#room = new AuditRoom(options.bufferBytes, options.onFailure)
  }

  /** Opens the file for appending; throws what the file system says. */
  async open(): Promise<void> {
    const { file } = this.#options
    this.#take(
      await openFile(file).catch((error: NodeJS.ErrnoException) => {
        throw new Error(`cannot open the audit log \`${file}\` (\`audit.file\`): ${error.code ?? error.message}`, {
          cause: error,
        })
      }),
    )
    this.#rotation = setInterval(() => this.#lookForRotation(), ROTATION_CHECK_MS)
    this.#rotation.unref()
  }

  /**
   * Opens the file anew, which after a rotation is another one, or takes another file. No line is lost: what waits goes to the
   * new one. Throws what the file system says, and writes on to the old one then.
   */
  reopen(settings?: AuditSettings): Promise<void> {
    // A reload, a signal and the look for a rotation may come together: each descriptor is retired by one of them.
    const turn = this.#turn.then(() => this.#reopen(settings ?? this.#options))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #reopen(settings: AuditSettings): Promise<void> {
    const isSame = settings.file === this.#options.file
    if (!isSame || settings.file !== '-') {
      const fresh = await openFile(settings.file)
      // Closed in the meantime.
      if (this.#fd === undefined) return closeFile(fresh.fd)
      this.#retire(this.#fd)
      this.#take(fresh)
    }
    this.#options = { ...this.#options, ...settings }
    this.#room.limit(settings.bufferBytes, settings.onFailure)
    this.#pump()
    this.#tellWhetherWritable()
  }

  write(event: AuditEvent): void {
    this.#write(auditLine(event), this.#room.boundFor(event))
  }

  /**
   * Writes finished lines, as another process has sent them: many together, so that they wait for no more.
   *
   * @param lines whole ones; kept until they are written
   */
  writeLines(lines: Buffer): void {
    this.#gather()
    for (let from = 0; from < lines.length; ) {
      const fitting = lines.lastIndexOf(NEWLINE, from + this.#batchBytes - 1) + 1
      // A line that is longer than a batch goes by itself.
      const end = fitting > from ? fitting : lines.indexOf(NEWLINE, from) + 1 || lines.length
      const batch = lines.subarray(from, end)
      if (this.#hasRoomFor(batch.length, this.#options.bufferBytes)) this.#lines.push(batch)
      else this.#drop(countLines(batch))
      from = end
    }
    this.#writeNext()
    this.#tellWhetherWritable()
  }

  #write(line: string, bound: number): void {
    if (!this.#hasRoomFor(line.length, bound)) return this.#drop(1)
    if (this.#fresh.length + line.length > this.#batchBytes) this.#gather()
    this.#fresh += line
    this.#gathering ??= setTimeout(() => this.#pump(), GATHER_MS).unref()
    this.#tellWhetherWritable()
  }

  /** Whether so many more may wait, which then do. */
  #hasRoomFor(bytes: number, bound: number): boolean {
    if (this.#fd === undefined || this.#waitingBytes + bytes > bound) return false
    this.#waitingBytes += bytes
    return true
  }

  #drop(lines: number): void {
    this.#options.onDrop(lines, this.#fd !== undefined)
  }

  /** What came just now is one write from here on. */
  #gather(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    if (this.#fresh === '') return
    // A line is printable ASCII.
    this.#lines.push(Buffer.from(this.#fresh, 'latin1'))
    this.#fresh = ''
  }

  #take({ fd, isFile }: OpenFile): void {
    this.#fd = fd
    this.#openings++
    this.#batchBytes = isFile ? FILE_BATCH_BYTES : PIPE_BATCH_BYTES
  }

  /** Bytes that wait to be written. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get isWritable(): boolean {
    return this.#isWritable
  }

  #tellWhetherWritable(): void {
    const isWritable = !this.#failing && !this.#room.isFull(this.#waitingBytes)
    if (isWritable === this.#isWritable) return
    this.#isWritable = isWritable
    this.#options.onWritable?.(isWritable)
  }

  /** Writes what waits, within a deadline, and counts the rest as dropped. */
  async close(): Promise<void> {
    if (this.#waitingBytes > 0) {
      const drained = new Promise<void>((resolve) => {
        this.#closing = resolve
      })
      this.#pump()
      let timer: NodeJS.Timeout | undefined
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_DEADLINE_MS)
      })
      await Promise.race([drained, deadline])
      clearTimeout(timer)
    }
    // What came while that was waited for is as late as the rest.
    this.#gather()
    const left = this.#lines.slice(this.#head).reduce((sum, lines) => sum + countLines(lines), 0)
    if (left > 0) this.#options.onDrop(left, false)
    clearInterval(this.#rotation)
    clearTimeout(this.#retry)
    const fd = this.#fd
    this.#fd = undefined
    closeFile(fd)
  }

  /** Writes what waits, with what came just now. */
  #pump(): void {
    this.#gather()
    this.#writeNext()
  }

  #writeNext(): void {
    const lines = this.#lines[this.#head]
    if (this.#busy || this.#fd === undefined || lines === undefined) return
    clearTimeout(this.#retry)
    this.#busy = true
    const { bytes, opening } = this.#begun
    // A line that another file has a part of goes to this one whole.
    const from = opening === this.#openings || bytes === 0 ? bytes : lines.lastIndexOf(NEWLINE, bytes - 1) + 1
    this.#begun = { bytes: 0, opening: 0 }
    this.#writeRest(this.#fd, this.#openings, lines, from)
  }

  /** A line goes to one file whole, also if that is rotated away in the middle of it. */
  #writeRest(fd: number, opening: number, lines: Buffer, from: number): void {
    if (this.#fd === undefined) return
    write(fd, lines, from, lines.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN' || error?.code === 'EINTR') {
        // Nothing waits for this timer at the end of the process but `close`, which has its own deadline.
        setTimeout(() => this.#writeRest(fd, opening, lines, from), RETRY_MS).unref()
        return
      }
      if (error === null && from + written < lines.length) return this.#writeRest(fd, opening, lines, from + written)
      const isHeld = error !== null && this.#options.onFailure === 'deny'
      if (error === null) this.#failing = false
      else this.#failed(error)
      if (isHeld) this.#hold({ bytes: from, opening })
      else {
        if (error !== null) this.#options.onDrop(countLines(lines.subarray(from)), false)
        this.#settled(lines)
      }
      this.#tellWhetherWritable()
    })
  }

  /** Lines that could not be written stay the next ones. */
  #hold(begun: { readonly bytes: number; readonly opening: number }): void {
    this.#busy = false
    this.#begun = begun
    closeFile(this.#retired)
    this.#retired = undefined
    this.#retry = setTimeout(() => this.#pump(), FAILURE_RETRY_MS).unref()
  }

  #settled(line: Buffer): void {
    this.#busy = false
    closeFile(this.#retired)
    this.#retired = undefined
    this.#waitingBytes -= line.length
    this.#head++
    if (this.#head === this.#lines.length) {
      this.#lines.length = 0
      this.#head = 0
      if (this.#closing !== undefined) this.#gather()
      if (this.#lines.length === 0) this.#closing?.()
    } else if (this.#head >= 1024) {
      this.#lines.splice(0, this.#head)
      this.#head = 0
    }
    this.#writeNext()
    this.#options.onRoom?.()
  }

  #failed(error: Error): void {
    if (!this.#failing) this.#options.onError(error)
    this.#failing = true
  }

  #retire(fd: number | undefined): void {
    // With one retired already, the line under way is in that one.
    if (!this.#busy || this.#retired !== undefined) return closeFile(fd)
    this.#retired = fd
  }

  /** After `logrotate` has renamed the file, there is another one under its name, or none. */
  #lookForRotation(): void {
    const { file } = this.#options
    const fd = this.#fd
    if (fd === undefined || file === '-') return
    fstat(fd, (error, own) => {
      if (error !== null) return
      stat(file, (missing, named) => {
        if (missing === null && named.ino === own.ino && named.dev === own.dev) return
        this.reopen().catch((failure: Error) => this.#options.onError(failure))
      })
    })
  }
}

function countLines(lines: Buffer): number {
  let count = 0
  for (const byte of lines) if (byte === NEWLINE) count++
  return count
}

const NEWLINE = 10
