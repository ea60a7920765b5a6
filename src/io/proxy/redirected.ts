import type { Socket } from 'node:net'
import { type IpAddress, parseIp, unmapped } from '../../core/names/ip.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import { err, ok, type Result } from '../../core/result.ts'
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
   * The destination, or why the connection is refused: nobody may be led to this gateway by the addresses it has itself. Where nothing
   * was redirected the kernel names the listener, or nothing.
   */
  of(socket: Socket): Result<OriginalDestination, Refusal> {
    const found = this.#read(socket)
    if (!found.ok) {
      const detail =
        found.error === 'ENOENT' ? NOT_REDIRECTED : `the kernel does not tell the original destination (${found.error})`
      return err({ reason: found.error === 'ENOENT' ? 'loop_detected' : 'internal_error', detail })
    }
    const address = parseIp(found.value.address)
    if (address === undefined) return err({ reason: 'internal_error', detail: 'the original destination is not an address' })
    const original = { address: unmapped(address), port: found.value.port }
    if (!this.#isOwnAddress(original.address)) return ok(original)
    const isListener = original.port === socket.localPort
    return err({ reason: 'loop_detected', detail: isListener ? NOT_REDIRECTED : `${original.address.text} is this gateway` })
  }
}

const NOT_REDIRECTED = 'the connection came to the listener itself: nothing redirected it'
