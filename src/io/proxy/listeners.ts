import { type ClientAddresses, type ClientListenerName, clientListeners, type Listener } from '../../core/config/listen.ts'
import type { Config, Limits } from '../../core/config.ts'
import type { ListenAddress } from '../../core/listen-address.ts'
import type { Door } from '../relay/door.ts'
import type { ReadOriginal } from '../relay/original-destination.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { beforeReading } from '../telemetry/tallies.ts'
import type { ListenerTls } from '../tls/listener-tls.ts'
import type { Forwarder } from './forward.ts'
import { ProxyListener } from './listener.ts'
import { OwnAddresses } from './own-listener.ts'
import { ClientPlaces } from './places.ts'
import type { ProxyContext } from './proxy-context.ts'
import { Redirected } from './redirected.ts'
import type { ExpectedOpening } from './transparent.ts'

const EXPECTED = {
  'transparent.tls': 'tls',
  'transparent.http': 'http',
  'transparent.tcp': 'any',
} as const satisfies Record<Exclude<ClientListenerName, 'proxy'>, ExpectedOpening>

/** The listeners for clients, as one: they share the places that there are for connections. */
export class ClientListeners {
  readonly #places: ClientPlaces
  readonly #listeners: ReadonlyMap<ClientListenerName, ProxyListener>

  /** @param readOriginal needed where a transparent listener is configured */
  constructor({ listen }: Config, context: ProxyContext, forwarder: Forwarder, limits: Limits, readOriginal: () => ReadOriginal) {
    this.#places = new ClientPlaces(limits.connections)
    shareDoor(this.#places, context.relay.door, context.telemetry.metrics.limitHits)
    const own = new OwnAddresses()
    const make = (name: ClientListenerName, { proxyProtocol }: Listener): ProxyListener => {
      const transparent =
        name === 'proxy'
          ? undefined
          : { expects: EXPECTED[name], redirected: new Redirected(readOriginal(), (address) => own.has(address)) }
      const tls = name === 'proxy' ? context.generation().access.tls : undefined
      return new ProxyListener(name, context, forwarder, limits, { places: this.#places, proxyProtocol, transparent, tls })
    }
    this.#listeners = new Map([...clientListeners(listen)].map(([name, listener]) => [name, make(name, listener)]))
  }

  /** Binds each; throws what the system says. */
  async start(addresses: ClientAddresses): Promise<ClientAddresses> {
    const bound: Partial<Record<ClientListenerName, ListenAddress>> = {}
    for (const [name, listener] of this.#listeners) {
      const address = addresses[name]
      if (address !== undefined) bound[name] = await listener.start(address)
    }
    return { ...bound, proxy: bound.proxy ?? addresses.proxy }
  }

  limit(limits: Limits): void {
    this.#places.limit(limits.connections)
    for (const listener of this.#listeners.values()) listener.limit(limits)
  }

  /** Takes other certificates from now on, where TLS is spoken. */
  secure(tls: ListenerTls | undefined): void {
    this.#listeners.get('proxy')?.secure(tls)
  }

  /** So many client connections are tunnels that Node does not see any more; they count all the same. */
  handedOver(tunnels: number): void {
    this.#places.handedOver(tunnels)
  }

  /** Calls back after each connection that is accepted. */
  onConnection(callback: () => void): void {
    for (const listener of this.#listeners.values()) listener.onConnection(callback)
  }

  /** Client connections there are, tunnels among them. */
  get connections(): number {
    return this.#places.taken
  }

  /** Accepts no more connections, and closes those that wait for a request. */
  stop(): void {
    for (const listener of this.#listeners.values()) listener.stop()
  }

  /** Closes everything at once. */
  destroy(): void {
    for (const listener of this.#listeners.values()) listener.destroy()
  }
}

function shareDoor(places: ClientPlaces, door: Door, limitHits: Metrics['limitHits']): void {
  places.shareDoor(door, (dropped) => limitHits.inc({ limit: 'connections' }, dropped))
  beforeReading(limitHits, () => places.tell())
}
