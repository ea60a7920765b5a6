import type { TunnelEnd } from '../../core/audit-event.ts'
import type { RelayHandle, RelayResult } from '../relay/relay.ts'
import type { Exchange } from './exchange.ts'
import type { ProxyContext } from './proxy-context.ts'
import type { OpenTunnel } from './tunnels.ts'

/** A tunnel that the relay has: all that is kept of it until its end, which is recorded here and gives its place back. */
export class CarriedTunnel implements OpenTunnel {
  readonly exchange: Exchange
  readonly sinceMs = Date.now()
  readonly isInspected: boolean
  readonly #context: ProxyContext
  readonly #relay: RelayHandle

  /** @param isInspected whether what opened it was a request that was judged whole, as a WebSocket's is */
  constructor(context: ProxyContext, exchange: Exchange, relay: RelayHandle, isInspected: boolean) {
    this.#context = context
    this.exchange = exchange
    this.isInspected = isInspected
    this.#relay = relay
    exchange.connection.handOver()
    context.tunnels.add(this)
    relay.onDone((result) => this.#finish(result))
  }

  bytesUp(): number {
    return this.#relay.bytesUp
  }

  bytesDown(): number {
    return this.#relay.bytesDown
  }

  end(endedBy: TunnelEnd): void {
    this.#relay.end(endedBy)
  }

  #finish(result: RelayResult): void {
    const { admission, telemetry, tunnels, log } = this.#context
    const { exchange } = this
    try {
      tunnels.remove(exchange.id)
      admission.releaseTunnel(exchange.countedAs)
      if (!this.isInspected) telemetry.countTunnelBytes(result.bytesUp, result.bytesDown)
      exchange.served(result)
    } catch (error) {
      log.error({ requestId: exchange.id, err: error }, 'the end of a tunnel failed')
    }
  }
}
