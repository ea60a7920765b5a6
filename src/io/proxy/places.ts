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

  constructor(limit: number) {
    this.#limit = limit
  }

  get taken(): number {
    return this.#taken + this.#handedOver
  }

  share(taker: PlaceTaker): void {
    this.#takers.push(taker)
    this.#tell()
  }

  take(): void {
    this.#taken++
    this.#tell()
  }

  giveBack(): void {
    this.#taken--
    this.#tell()
  }

  limit(connections: number): void {
    this.#limit = connections
    this.#tell()
  }

  handedOver(tunnels: number): void {
    this.#handedOver = tunnels
    this.#tell()
  }

  #tell(): void {
    const left = this.#limit - this.taken
    for (const taker of this.#takers) taker.leave(left)
  }
}
