import { networkInterfaces } from 'node:os'
import type { ListenAddress } from '../../core/listen-address.ts'
import { type IpAddress, parseIp } from '../../core/names/ip.ts'
import { isLoopback, isUnspecified } from '../../core/names/special-purpose.ts'

/** Whether a destination is one of these listeners. One on every address is met on each of this host's own. */
export function isListener(listeners: readonly ListenAddress[], address: IpAddress, port: number): boolean {
  return listeners.some(
    (own) => own.port === port && (own.address.text === address.text || (isUnspecified(own.address) && isOwnAddress(address))),
  )
}

function isOwnAddress(address: IpAddress): boolean {
  return isLoopback(address) || isUnspecified(address) || ownAddresses().has(address.text)
}

/** Addresses of an interface change seldom, and reading them takes longer than all else that is asked of a connection. */
const REMEMBERED_MS = 1_000

/** This host's own addresses, for a question with every connection. */
export class OwnAddresses {
  #known: ReadonlySet<string> = new Set()
  #readMs = Number.NEGATIVE_INFINITY

  has(address: IpAddress): boolean {
    if (isLoopback(address) || isUnspecified(address)) return true
    const nowMs = performance.now()
    if (nowMs - this.#readMs > REMEMBERED_MS) {
      this.#known = ownAddresses()
      this.#readMs = nowMs
    }
    return this.#known.has(address.text)
  }
}

function ownAddresses(): ReadonlySet<string> {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return new Set(own.flatMap(({ address }) => parseIp(address.replace(/%.*$/, ''))?.text ?? []))
}
