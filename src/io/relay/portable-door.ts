import type { Server } from 'node:net'
import type { Door, DoorConnect, DoorKeeper, DoorListener } from './door.ts'
import { DoorClient, type Hall } from './door-client.ts'
import type { RelayHandle } from './relay.ts'
import { breakOff } from './reset.ts'

/** The door in Node: sockets without an HTTP parser. */
export class PortableDoor implements Door {
  readonly readsTls = false
  readonly #servers: Server[] = []
  readonly #hall: Hall
  readonly #onChange: (connections: number) => void
  #connections = 0
  #limit = Number.POSITIVE_INFINITY
  #dropped = 0
  #lastId = 0

  /** @param onChange called with how many connections there are, whenever that has changed */
  constructor(onChange: (connections: number) => void) {
    this.#onChange = onChange
    this.#hall = {
      clients: new Map(),
      silent: new Set(),
      nextId: () => ++this.#lastId,
      left: () => this.#onChange(--this.#connections),
    }
  }

  open(server: Server, { reads, established }: DoorListener, keeper: DoorKeeper): void {
    if (reads !== 'connect') throw new Error('this door does not ask about TLS')
    this.#servers.push(server)
    server.on('connection', (socket) => {
      if (this.#connections < this.#limit) {
        this.#onChange(++this.#connections)
        new DoorClient(this.#hall, socket, established, keeper)
      } else {
        this.#dropped++
        socket.destroy()
      }
    })
  }

  close(): void {
    for (const server of this.#servers) server.close()
    for (const client of this.#hall.silent) client.socket.destroy()
  }

  /** Breaks everything off that is not relayed yet. */
  breakOff(): void {
    for (const client of this.#hall.clients.values()) breakOff(client.socket)
  }

  limit(connections: number): number {
    this.#limit = connections
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }

  get connections(): number {
    return this.#connections
  }

  reply(id: number, text: string): void {
    this.#hall.clients.get(id)?.reply(text)
  }

  connect(id: number, to: DoorConnect): boolean {
    const client = this.#hall.clients.get(id)
    client?.connect(to)
    return client !== undefined
  }

  more(id: number): void {
    this.#hall.clients.get(id)?.more()
  }

  carry(id: number, idleMs: number, lifetimeMs: number): RelayHandle {
    const client = this.#hall.clients.get(id)
    if (client === undefined) throw new Error('the door does not carry: nobody of that id is here')
    return client.carry(idleMs, lifetimeMs)
  }

  take(id: number): void {
    this.#hall.clients.get(id)?.take()
  }
}
