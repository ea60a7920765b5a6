import { connect, type Socket } from 'node:net'
import { probe } from './probe.ts'

export type RaceOutcome =
  | { readonly kind: 'connected'; readonly socket: Socket; readonly index: number }
  /** @property failures one for each address, in the order they failed */
  | { readonly kind: 'failed'; readonly failures: readonly RaceFailure[] }
  | { readonly kind: 'timeout' }

export interface RaceFailure {
  readonly address: string
  readonly error: NodeJS.ErrnoException
}

export interface RaceOptions {
  readonly port: number
  /** For all of it. */
  readonly dialMs: number
  /** The head start of each address over the next. */
  readonly staggerMs: number
  /** Whether the connection is probed while it is silent. */
  readonly isProbed: boolean
}

/**
 * Connects to the first of these addresses that answers. They are tried one after another, each beside those still under way (RFC 8305):
 * one that hangs delays the next by a moment only, and unlike Node's `autoSelectFamily` a slow one is not given up for it.
 *
 * @param onEnd called once, later, unless it was given up
 * @returns gives up
 */
export function race(addresses: readonly string[], options: RaceOptions, onEnd: (outcome: RaceOutcome) => void): () => void {
  const dials = new Race(addresses, options, onEnd)
  dials.tryNext()
  return () => dials.giveUp()
}

class Race {
  readonly #addresses: readonly string[]
  readonly #options: RaceOptions
  readonly #onEnd: (outcome: RaceOutcome) => void
  readonly #sockets: Socket[] = []
  readonly #failures: RaceFailure[] = []
  readonly #expiry: NodeJS.Timeout
  #stagger: NodeJS.Timeout | undefined
  #next = 0
  #isOver = false

  constructor(addresses: readonly string[], options: RaceOptions, onEnd: (outcome: RaceOutcome) => void) {
    this.#addresses = addresses
    this.#options = options
    this.#onEnd = onEnd
    this.#expiry = setTimeout(() => this.#end({ kind: 'timeout' }), Math.max(0, options.dialMs))
  }

  readonly tryNext = (): void => {
    clearTimeout(this.#stagger)
    const index = this.#next
    const address = this.#addresses[index]
    if (address === undefined) return
    this.#next++
    const socket = connect({
      host: address,
      port: this.#options.port,
      allowHalfOpen: true,
      noDelay: true,
    })
    this.#sockets.push(socket)
    const onError = (error: NodeJS.ErrnoException) => this.#failed(address, error)
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      if (this.#options.isProbed) probe(socket)
      this.#end({ kind: 'connected', socket, index })
    })
    if (this.#next < this.#addresses.length) this.#stagger = setTimeout(this.tryNext, this.#options.staggerMs)
  }

  giveUp(): void {
    this.#close(undefined)
  }

  #failed(address: string, error: NodeJS.ErrnoException): void {
    this.#failures.push({ address, error })
    if (this.#failures.length === this.#addresses.length) this.#end({ kind: 'failed', failures: this.#failures })
    // Those that were begun have all failed, or one of them has: the next need not wait.
    else if (!this.#isOver) this.tryNext()
  }

  #end(outcome: RaceOutcome): void {
    if (this.#isOver) return
    this.#close(outcome.kind === 'connected' ? outcome.socket : undefined)
    this.#onEnd(outcome)
  }

  #close(but: Socket | undefined): void {
    this.#isOver = true
    clearTimeout(this.#expiry)
    clearTimeout(this.#stagger)
    for (const socket of this.#sockets) if (socket !== but) socket.destroy()
  }
}
