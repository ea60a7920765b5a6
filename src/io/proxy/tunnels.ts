import type { TunnelEnd } from '../../core/audit-event.ts'
import type { Exchange } from './exchange.ts'

/** A tunnel that stands. */
export interface OpenTunnel {
  readonly exchange: Exchange
  readonly since: Date
  /** Its requests are judged one by one, in plain HTTP or in TLS that ends here. */
  readonly isInspected: boolean
  bytesUp(): number
  bytesDown(): number
  end(endedBy: TunnelEnd): void
}

/** Every open tunnel, so that they can be listed, and ended together. */
export class Tunnels {
  readonly #open = new Map<string, OpenTunnel>()
  readonly #onEmpty: (() => void)[] = []

  add(tunnel: OpenTunnel): void {
    this.#open.set(tunnel.exchange.id, tunnel)
  }

  remove(id: string): void {
    this.#open.delete(id)
    if (this.#open.size > 0) return
    for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  get size(): number {
    return this.#open.size
  }

  list(): OpenTunnel[] {
    return [...this.#open.values()]
  }

  endAll(endedBy: TunnelEnd): void {
    for (const tunnel of this.list()) tunnel.end(endedBy)
  }

  /** Resolves once no tunnel is open. */
  empty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onEmpty.push(resolve))
  }
}
