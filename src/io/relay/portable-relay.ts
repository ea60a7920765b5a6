import type { Socket } from 'node:net'
import { PortableDoor } from './portable-door.ts'
import type { RawConnection } from './raw-connection.ts'
import type { Relay, RelayHandle, RelayOptions } from './relay.ts'
import { StreamRelay } from './stream-relay.ts'

/** The relay that runs everywhere: through Node's streams. */
export class PortableRelay implements Relay {
  readonly kind = 'portable'
  readonly door: PortableDoor

  /** @param onTaken called with the number of client connections at the door and relayed from there */
  constructor(onTaken: (connections: number) => void) {
    this.door = new PortableDoor(onTaken)
  }

  start(client: Socket, origin: Socket | RawConnection, options: RelayOptions): RelayHandle {
    return new StreamRelay(client, 'toSocket' in origin ? origin.toSocket() : origin, options)
  }

  /** Each tunnel has its sockets and its own end. */
  close(): void {
    this.door.breakOff()
  }
}
