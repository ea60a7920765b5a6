import type { TunnelEnd } from '../../core/audit-event.ts'
import type { Limits } from '../../core/config.ts'
import { lifetimeOf } from '../../core/hooks/apply-hooks.ts'
import type { Narrowing } from '../../core/hooks/hook-answer.ts'
import type { Exchange } from './exchange.ts'

/** How long a tunnel may stand, with what a hook narrowed it to; 0 is without limit. */
export function lifetimeMs({ tunnelLifetimeSeconds }: Limits, narrowings: readonly Narrowing[] | undefined): number {
  const narrowedTo = narrowings === undefined ? undefined : lifetimeOf(narrowings)
  if (narrowedTo === undefined) return tunnelLifetimeSeconds * 1000
  return (tunnelLifetimeSeconds === 0 ? narrowedTo : Math.min(narrowedTo, tunnelLifetimeSeconds)) * 1000
}

/** A tunnel that stands. */
export interface OpenTunnel {
  readonly exchange: Exchange
  /** Since 1970. */
  readonly sinceMs: number
  /** Its requests are judged one by one, in plain HTTP or in TLS that ends here. */
  readonly isInspected: boolean
  bytesUp(): number
  bytesDown(): number
  end(endedBy: TunnelEnd): void
}

/** What the admin API shows of a tunnel. */
export interface TunnelRow {
  readonly id: string
  readonly listener: string
  readonly client: string
  readonly clientPort: number
  readonly host: string | undefined
  readonly port: number | undefined
  readonly entry: string | undefined
  readonly since: string
  readonly bytesUp: number
  readonly bytesDown: number
}

/** Tunnels shown at once. */
export const MAX_TUNNELS_SHOWN = 1_000

/** Every open tunnel, so that they can be listed, and ended together. */
export class Tunnels {
  readonly #open = new Map<string, OpenTunnel>()
  readonly #onEmpty: (() => void)[] = []
  readonly #onOpened: (tunnel: OpenTunnel) => void

  /** @param onOpened called with each that is added */
  constructor(onOpened: (tunnel: OpenTunnel) => void) {
    this.#onOpened = onOpened
  }

  add(tunnel: OpenTunnel): void {
    this.#open.set(tunnel.exchange.id, tunnel)
    this.#onOpened(tunnel)
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

  /** How many there are, and the first of them. */
  show(): { readonly open: number; readonly tunnels: readonly TunnelRow[] } {
    return { open: this.#open.size, tunnels: this.list().slice(0, MAX_TUNNELS_SHOWN).map(describe) }
  }

  /** Ends one; false where there is none of that name. */
  end(id: string, endedBy: TunnelEnd): boolean {
    const tunnel = this.#open.get(id)
    tunnel?.end(endedBy)
    return tunnel !== undefined
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

function describe(tunnel: OpenTunnel): TunnelRow {
  const { exchange, sinceMs } = tunnel
  const { id, connection, target, entry } = exchange
  return {
    id,
    listener: connection.listener,
    client: connection.client.text,
    clientPort: connection.clientPort,
    host: target?.host.text,
    port: target?.port,
    entry: entry?.id,
    since: new Date(sinceMs).toISOString(),
    bytesUp: tunnel.bytesUp(),
    bytesDown: tunnel.bytesDown(),
  }
}
