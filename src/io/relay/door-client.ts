import type { Socket } from 'node:net'
import { constants } from 'node:os'
import { parseIp, unmapped } from '../../core/names/ip.ts'
import { err } from '../../core/result.ts'
import type { DoorAddress, DoorConnect, DoorDial, DoorKeeper } from './door.ts'
import { endAndLinger } from './linger.ts'
import { probe } from './probe.ts'
import { type RaceOutcome, race } from './race.ts'
import type { RelayHandle } from './relay.ts'
import { breakOff } from './reset.ts'
import { StreamRelay } from './stream-relay.ts'

/** Who says nothing for so long is handed over: the keeper has deadlines of its own for that. */
const SILENT_MS = 192

/** The most that a first read with a head in it may be; one that is longer is handed over. */
const HEAD_BYTES = 8 * 1024

const CONNECT = 'CONNECT '
const END_OF_HEAD = '\r\n\r\n'
const NOTHING = Buffer.alloc(0)

/** Of a connection to an origin that there is not yet. */
const NO_ADDRESS = -1

/** What a door knows of its clients. */
export interface Hall {
  /** Those that somebody was asked about, by id. */
  readonly clients: Map<number, DoorClient>
  /** Those that have said nothing yet. */
  readonly silent: Set<DoorClient>
  readonly nextId: () => number
  /** One less is the door's, at its end or before. */
  readonly left: () => void
}

/**
 * How a connection stands: it has said nothing, an answer about it is waited for (and it is not read), its origin is being connected, its
 * opening is waited for, or it is no longer the door's.
 */
type State = 'silent' | 'asked' | 'dialling' | 'opening' | 'over'

/** One connection at the `PortableDoor`, from accept until it is relayed, refused or handed over. */
export class DoorClient {
  readonly socket: Relayed
  readonly #hall: Hall
  readonly #established: string
  readonly #keeper: DoorKeeper
  #id = 0
  #state: State = 'silent'
  #first: Buffer = NOTHING
  /** The client has no more to say. */
  #ended = false
  /** For the origin: what came behind the head, and the opening. */
  #held: Buffer[] = []
  #origin: Socket | undefined
  #dialSince = 0
  #dial: DoorDial = { address: NO_ADDRESS, seconds: 0 }
  #giveUp: (() => void) | undefined
  #openingTimer: NodeJS.Timeout | undefined

  constructor(hall: Hall, socket: Relayed, established: string, keeper: DoorKeeper) {
    this.#hall = hall
    this.#established = established
    this.#keeper = keeper
    this.socket = socket
    hall.silent.add(this)
    socket[CLIENT] = this
    socket.setTimeout(SILENT_MS)
    socket.on('error', ignore).on('close', onClose).on('timeout', onTimeout).on('end', onEnd).on('data', onData)
  }

  onData(bytes: Buffer): void {
    this.socket.pause()
    if (this.#state === 'silent') return this.#look(bytes)
    this.#held.push(bytes)
    this.#askAboutOpening(bytes)
  }

  #look(bytes: Buffer): void {
    this.#speaks()
    this.#first = bytes
    const { remoteAddress, remotePort } = this.socket
    const client = addressOf(remoteAddress, remotePort)
    const isHead =
      bytes.length < HEAD_BYTES && bytes.toString('latin1', 0, CONNECT.length) === CONNECT && bytes.includes(END_OF_HEAD)
    if (client === undefined || !isHead) return this.#handOver(bytes)
    this.#id = this.#hall.nextId()
    this.#hall.clients.set(this.#id, this)
    this.#state = 'asked'
    this.#keeper.head(this.#id, client, NOT_ASKED, bytes)
  }

  #speaks(): void {
    this.#hall.silent.delete(this)
    this.socket.setTimeout(0)
  }

  onTimeout(): void {
    if (this.#state !== 'silent') return
    this.#speaks()
    this.#handOver(NOTHING)
  }

  /** Its end is told of while a socket is paused, too. */
  onEnd(): void {
    this.#ended = true
    if (this.#state === 'silent') this.socket.destroy()
    else if (this.#state === 'opening') this.#askAboutOpening(NOTHING)
  }

  onClose(): void {
    this.#hall.silent.delete(this)
    this.#hall.left()
    // While somebody is about to answer, it is the answer that is told that nobody is there any more.
    if (this.#state === 'dialling' || this.#state === 'opening') this.#gone()
  }

  #gone(): void {
    if (this.#state === 'over') return
    const dial = this.#state === 'dialling' ? { ...this.#dial, seconds: this.#dialSeconds() } : this.#dial
    this.#leave()
    if (this.#origin !== undefined) breakOff(this.#origin)
    this.#keeper.gone(this.#id, dial)
  }

  #leave(): void {
    this.#state = 'over'
    this.#giveUp?.()
    this.#giveUp = undefined
    clearTimeout(this.#openingTimer)
    this.#hall.clients.delete(this.#id)
    this.socket.off('data', onData).off('end', onEnd).off('timeout', onTimeout)
  }

  /** To somebody who knows what to do with it, and counts it from here on. */
  #handOver(first: Buffer): void {
    this.#leave()
    this.socket.off('close', onClose)
    this.socket[CLIENT] = undefined
    probe(this.socket)
    this.#hall.left()
    this.#keeper.handed(this.#id, this.socket, first)
  }

  take(): void {
    if (this.socket.destroyed) return this.#gone()
    this.#handOver(this.#first)
  }

  reply(text: string): void {
    this.#leave()
    if (this.#origin !== undefined) breakOff(this.#origin)
    endAndLinger(this.socket, Buffer.from(text, 'latin1'))
  }

  connect(to: DoorConnect): void {
    this.#state = 'dialling'
    this.#dialSince = performance.now()
    if (this.#first.length > to.headBytes) this.#held.push(this.#first.subarray(to.headBytes))
    this.#first = NOTHING
    if (this.socket.destroyed) return process.nextTick(() => this.#gone())
    this.#giveUp = race(to.addresses, { ...to, isProbed: false }, (outcome) => this.#dialled(outcome, to))
  }

  #dialSeconds(): number {
    return (performance.now() - this.#dialSince) / 1000
  }

  #dialled(outcome: RaceOutcome, { judged, openingMs, idleMs, lifetimeMs }: DoorConnect): void {
    this.#giveUp = undefined
    const seconds = this.#dialSeconds()
    if (outcome.kind !== 'connected') {
      this.#state = 'asked'
      return this.#keeper.dialFailed(this.#id, { address: NO_ADDRESS, seconds }, errnoOf(outcome))
    }
    const { socket, index } = outcome
    this.#dial = { address: index, seconds }
    this.#origin = socket
    // Nobody reads from it before the opening is judged, but somebody must hear it break.
    socket.on('error', ignore)
    if (this.#established !== '') this.socket.write(this.#established, 'latin1')
    if (judged) return this.#keeper.carried(this.#id, this.#dial, this.carry(idleMs, lifetimeMs))
    this.#openingTimer = setTimeout(() => this.#late(), openingMs)
    this.more()
  }

  #late(): void {
    if (this.#state !== 'opening') return
    this.socket.pause()
    this.#state = 'asked'
    this.#keeper.openingTimeout(this.#id, this.#dial)
  }

  #askAboutOpening(bytes: Buffer): void {
    this.#state = 'asked'
    this.#keeper.opening(this.#id, this.#dial, bytes, bytes.length === 0)
  }

  more(): void {
    this.#state = 'opening'
    if (this.socket.destroyed) process.nextTick(() => this.#gone())
    else if (this.#ended) process.nextTick(() => this.#endAgain())
    else this.socket.resume()
  }

  #endAgain(): void {
    if (this.#state === 'opening') this.#askAboutOpening(NOTHING)
  }

  carry(idleMs: number, lifetimeMs: number): RelayHandle {
    if (this.#origin === undefined) throw new Error('the door does not carry: there is no origin')
    this.#leave()
    const [only = NOTHING, ...others] = this.#held
    const initialUp = others.length === 0 ? only : Buffer.concat(this.#held)
    this.#origin.off('error', ignore)
    // Nothing is kept of it here but that it counts.
    this.socket[CLIENT] = undefined
    this.socket.off('close', onClose).on('close', this.#hall.left)
    return new StreamRelay(this.socket, this.#origin, { initialUp, idleMs, lifetimeMs })
  }
}

const NOT_ASKED = err('ENOENT')

/** Nothing where the peer has gone before it was looked at. */
function addressOf(text: string | undefined, port: number | undefined): DoorAddress | undefined {
  const address = parseIp(text?.replace(/%.*$/, '') ?? '')
  return address === undefined || port === undefined ? undefined : { address: unmapped(address), port }
}

/** Of an address that failed in another way than by silence, if there is one. */
function errnoOf(outcome: Exclude<RaceOutcome, { kind: 'connected' }>): number {
  const failures = outcome.kind === 'timeout' ? [] : outcome.failures
  const telling = failures.find(({ error }) => error.code !== 'ETIMEDOUT')
  return telling?.error.errno === undefined ? constants.errno.ETIMEDOUT : -telling.error.errno
}

/** Found on the socket itself, so that a connection takes no closures. */
const CLIENT = Symbol('client')
type Relayed = Socket & { [CLIENT]?: DoorClient | undefined }

const ignore = () => {}

function onData(this: Relayed, bytes: Buffer): void {
  this[CLIENT]?.onData(bytes)
}
function onEnd(this: Relayed): void {
  this[CLIENT]?.onEnd()
}
function onTimeout(this: Relayed): void {
  this[CLIENT]?.onTimeout()
}
function onClose(this: Relayed): void {
  this[CLIENT]?.onClose()
}
