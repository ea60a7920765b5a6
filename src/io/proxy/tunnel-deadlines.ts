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

  /** @param lifetimeMs how long it may stand altogether; 0 is without limit */
  constructor(
    socket: Socket,
    { tunnelIdleSeconds }: Limits,
    lifetimeMs: number,
    onDeadline: (which: 'idle_timeout' | 'lifetime') => void,
  ) {
    if (lifetimeMs > 0) this.#lifetime = setTimeout(() => onDeadline('lifetime'), lifetimeMs)
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
