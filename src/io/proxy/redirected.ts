import type { Socket } from 'node:net'
import { type IpAddress, parseIp, unmapped } from '../../core/names/ip.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import { ok, type Result } from '../../core/result.ts'
import type { ReadOriginal } from '../relay/original-destination.ts'
import type { Refusal } from './exchange.ts'

/** Tells of each connection on a transparent listener where it was going. */
export class Redirected {
  readonly #read: ReadOriginal
  readonly #isOwnAddress: (address: IpAddress) => boolean

  /** @param isOwnAddress whether an address is this host's */
  constructor(read: ReadOriginal, isOwnAddress: (address: IpAddress) => boolean) {
    this.#read = read
    this.#isOwnAddress = isOwnAddress
  }

  /**
   * The destination, and why the connection is refused whatever it says: nobody may be led to this gateway by the addresses it has
   * itself. Where nothing was redirected the kernel names the listener, or nothing.
   */
  of(socket: Socket): Redirection {
    const found = this.#read(socket)
    if (!found.ok) return this.from(found, socket.localPort)
    const address = parseIp(found.value.address)
    if (address === undefined) return { obstacle: unknown('the original destination is not an address') }
    return this.from(ok({ address: unmapped(address), port: found.value.port }), socket.localPort)
  }

  /**
   * The same of what the kernel has told already.
   *
   * @param found where it was going, or the system's name of what went wrong
   * @param port what the listener listens on
   */
  from(found: Result<OriginalDestination, string>, port: number | undefined): Redirection {
    if (!found.ok) {
      if (found.error === 'ENOENT') return { obstacle: { reason: 'loop_detected', detail: NOT_REDIRECTED } }
      return { obstacle: unknown(`the kernel does not tell the original destination (${found.error})`) }
    }
    const original = found.value
    if (!this.#isOwnAddress(original.address)) return { original }
    const isListener = original.port === port
    const detail = isListener ? NOT_REDIRECTED : `${original.address.text} is this gateway`
    return { original, obstacle: { reason: 'loop_detected', detail } }
  }
}

/** Where a connection was going, if that can be told, and what keeps it from going there, if anything does. */
export interface Redirection {
  readonly original?: OriginalDestination
  readonly obstacle?: Refusal
}

function unknown(detail: string): Refusal {
  return { reason: 'internal_error', detail }
}

const NOT_REDIRECTED = 'the connection came to the listener itself: nothing redirected it'
