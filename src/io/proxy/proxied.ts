import type { Socket } from 'node:net'
import { ProxyHeaderReader, type ProxyHeaderReading } from '../../core/wire/proxy-header.ts'

/** What became of the header that a connection has to begin with. */
export type ProxiedReading =
  | Exclude<ProxyHeaderReading, { readonly kind: 'incomplete' }>
  | { readonly kind: 'timeout' }
  /** The connection ended before it was whole, as a load balancer's health check does. */
  | { readonly kind: 'closed' }

/**
 * Reads the PROXY header off the front of a connection and puts back what follows it, with the socket paused. Nobody else may read the
 * socket before `onRead`, which is called once.
 */
export function readProxied(socket: Socket, deadlineMs: number, onRead: (reading: ProxiedReading) => void): void {
  const reader = new ProxyHeaderReader()
  let taken = 0
  const settle = (reading: ProxiedReading, rest?: Buffer) => {
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('end', onEnd)
    socket.off('close', onEnd)
    socket.pause()
    // Only now: while it flows, what is put back comes out again at once.
    if (rest !== undefined && rest.length > 0) socket.unshift(rest)
    onRead(reading)
  }
  const onData = (chunk: Buffer) => {
    const reading = reader.push(chunk)
    if (reading.kind === 'incomplete') {
      taken += chunk.length
      return
    }
    settle(reading, reading.kind === 'header' ? chunk.subarray(reading.length - taken) : undefined)
  }
  const onEnd = () => settle({ kind: 'closed' })
  const timer = setTimeout(() => settle({ kind: 'timeout' }), deadlineMs)
  socket.on('data', onData)
  socket.on('end', onEnd)
  socket.on('close', onEnd)
}
