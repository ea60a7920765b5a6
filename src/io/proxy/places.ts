import type { Door } from '../relay/door.ts'

/** A server whose connections take places. */
export interface PlaceTaker {
  /** So many more connections may come in, over all servers. */
  leave(places: number): void
}

/**
 * The places for client connections, shared by every listener: `limits.connections` is of the whole gateway. Tunnels that the relay has
 * taken over take up theirs although Node does not see them any more.
 */
export class ClientPlaces {
  readonly #takers: PlaceTaker[] = []
  #limit: number
  #taken = 0
  #handedOver = 0
  #door: Door | undefined
  #onDropped: (connections: number) => void = () => {}

  constructor(limit: number) {
    this.#limit = limit
  }

  get taken(): number {
    return this.#taken + (this.#door?.connections ?? this.#handedOver)
  }

  share(taker: PlaceTaker): void {
    this.#takers.push(taker)
    this.tell()
  }

  /**
   * Connections at the door take places from here on, as do the tunnels that it has in common with the relay.
   *
   * @param onDropped called with how many the door has closed for want of a place, some time after
   */
  shareDoor(door: Door, onDropped: (connections: number) => void): void {
    this.#door = door
    this.#onDropped = onDropped
    this.tell()
  }

  take(): void {
    this.#taken++
    this.tell()
  }

  giveBack(): void {
    this.#taken--
    this.tell()
  }

  limit(connections: number): void {
    this.#limit = connections
    this.tell()
  }

  handedOver(tunnels: number): void {
    this.#handedOver = tunnels
    this.#tellTakers()
  }

  /** Tells whoever accepts how many more there may be, and hears from the door. */
  tell(): void {
    this.#tellTakers()
    // The door counts for itself what it has, and the relay's tunnels.
    const dropped = this.#door?.limit(this.#limit - this.#taken) ?? 0
    if (dropped > 0) this.#onDropped(dropped)
  }

  #tellTakers(): void {
    const left = this.#limit - this.taken
    for (const taker of this.#takers) taker.leave(left)
  }
}
