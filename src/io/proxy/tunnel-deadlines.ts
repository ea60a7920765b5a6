import type { Socket } from 'node:net'
import type { Limits } from '../../core/config.ts'

/** How late an idle tunnel may be noticed, as a part of the time that it may be idle. */
const LOOKS = 8

/**
 * The deadlines of a tunnel whose inside is read here, by the bytes of the client's connection: the relay sees to those of the others.
 * The parser has the socket's own timeout for itself.
 */
export class TunnelDeadlines {
  readonly #idle: NodeJS.Timeout | undefined
  readonly #lifetime: NodeJS.Timeout | undefined

  constructor(
    socket: Socket,
    { tunnelIdleSeconds, tunnelLifetimeSeconds }: Limits,
    onDeadline: (which: 'idle_timeout' | 'lifetime') => void,
  ) {
    if (tunnelLifetimeSeconds > 0) this.#lifetime = setTimeout(() => onDeadline('lifetime'), tunnelLifetimeSeconds * 1000)
    if (tunnelIdleSeconds <= 0) return
    let moved = 0
    let stillSince = performance.now()
    this.#idle = setInterval(
      () => {
        const now = socket.bytesRead + socket.bytesWritten
        if (now !== moved) {
          moved = now
          stillSince = performance.now()
        } else if (performance.now() - stillSince >= tunnelIdleSeconds * 1000) onDeadline('idle_timeout')
      },
      (tunnelIdleSeconds * 1000) / LOOKS,
    )
  }

  clear(): void {
    clearInterval(this.#idle)
    clearTimeout(this.#lifetime)
  }
}
