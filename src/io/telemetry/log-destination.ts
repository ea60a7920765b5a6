import { fstatSync, write, writeSync } from 'node:fs'

/** Log lines waiting beyond this are dropped and counted. */
const BUFFER_BYTES = 1_048_576

/** While nobody reads, a write says EAGAIN; it is tried again after this long. */
const RETRY_MS = 50

/** How long the end of the process may wait for a reader of the last lines. */
const LAST_WORDS_MS = 250

/**
 * Where the process log goes. Nobody waits for its reader: a synchronous write to a pipe that nobody reads would stall every tunnel
 * with it. What the reader does not take waits, bounded, and past that is dropped and counted.
 *
 * A pipe or socket does not block (libuv has seen to that for standard error), so it is written to at once, and the last line before
 * a crash is out. Anything else, a terminal too, is written to in libuv's pool.
 */
export class LogDestination {
  readonly #fd: number
  readonly #isPipe: boolean
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0
  #busy = false
  #retry: NodeJS.Timeout | undefined
  #droppedNow = 0
  #dropped = 0

  constructor(fd: number) {
    this.#fd = fd
    const found = fstatSync(fd)
    this.#isPipe = found.isFIFO() || found.isSocket()
  }

  /** Lines so far that nobody will read. */
  get dropped(): number {
    return this.#dropped
  }

  /** @param line with its end */
  write(line: string): void {
    if (this.#waitingBytes + line.length > BUFFER_BYTES) {
      this.#dropped++
      this.#droppedNow++
      return
    }
    this.#push(line)
    this.#writeNext()
  }

  /** Writes what waits as far as it is taken, at the end of the process. */
  flush(): void {
    const until = performance.now() + LAST_WORDS_MS
    while (this.#waiting.length > 0 && performance.now() < until) {
      const outcome = this.#writeAtOnce()
      if (outcome === 'failed') return
      if (outcome === 'later') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }

  #push(line: string): void {
    const bytes = Buffer.from(line)
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  #writeNext(): void {
    if (this.#busy || this.#retry !== undefined) return
    if (!this.#isPipe) return this.#writeInPool()
    while (this.#waiting.length > 0) {
      const outcome = this.#writeAtOnce()
      if (outcome === 'later') return this.#tryLater()
      // There is no reader any more, and nowhere to say so.
      if (outcome === 'failed') this.#drop()
    }
  }

  #writeAtOnce(): 'written' | 'later' | 'failed' {
    const [first] = this.#waiting
    if (first === undefined) return 'written'
    try {
      this.#taken(first, writeSync(this.#fd, first))
      return 'written'
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      return code === 'EAGAIN' || code === 'EINTR' ? 'later' : 'failed'
    }
  }

  #writeInPool(): void {
    const [first] = this.#waiting
    if (first === undefined) return
    this.#busy = true
    write(this.#fd, first, (error, written) => {
      this.#busy = false
      if (error?.code === 'EAGAIN' || error?.code === 'EINTR') return this.#tryLater()
      if (error) this.#drop()
      else this.#taken(first, written)
      this.#writeNext()
    })
  }

  #tryLater(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#writeNext()
    }, RETRY_MS).unref()
  }

  #taken(first: Buffer, written: number): void {
    this.#waitingBytes -= written
    if (written < first.length) this.#waiting[0] = first.subarray(written)
    else this.#waiting.shift()
    if (this.#waiting.length > 0 || this.#droppedNow === 0) return
    const lines = this.#droppedNow
    this.#droppedNow = 0
    const time = new Date().toISOString()
    this.#push(`${JSON.stringify({ level: 'warn', time, lines, msg: 'lines of this log were dropped: nobody took them' })}\n`)
  }

  #drop(): void {
    const lost = this.#waiting.splice(0)
    this.#dropped += lost.length
    this.#waitingBytes = 0
  }
}
