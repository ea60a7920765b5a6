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
  if (isLoopback(address) || isUnspecified(address)) return true
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return own.some((candidate) => parseIp(candidate.address.replace(/%.*$/, ''))?.text === address.text)
}
