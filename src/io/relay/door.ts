import type { Server, Socket } from 'node:net'
import type { IpAddress } from '../../core/names/ip.ts'
import type { Result } from '../../core/result.ts'
import type { RelayHandle } from './relay.ts'

/** How a connection to the origin stands. */
export interface DoorDial {
  /** Index of the address that was connected to, -1 before. */
  readonly address: number
  readonly seconds: number
}

/** An end of a connection. */
export interface DoorAddress {
  readonly address: IpAddress
  readonly port: number
}

/**
 * Who is asked about connections at the door, by id. `head`, `opening`, `dialFailed` and `openingTimeout` each wait for one answer
 * through the `Door`; `handed`, `gone` and `carried` are the last that is heard of an id.
 */
export interface DoorKeeper {
  /**
   * A first read of what its listener asks about.
   *
   * @param original where a redirected connection was going, or the system's name of why that is not known; of a listener for TLS
   */
  head(id: number, client: DoorAddress, original: Result<DoorAddress, string>, first: Buffer): void
  /**
   * The connection is the keeper's from here on. The id is 0 where nobody was asked.
   *
   * @param socket absent where it cannot be had
   * @param first what was read of it, all of it
   */
  handed(id: number, socket: Socket | undefined, first: Buffer): void
  /** The client was told that its origin is connected, and has sent this since; `ended`: it has no more to say. */
  opening(id: number, dial: DoorDial, bytes: Buffer, ended: boolean): void
  dialFailed(id: number, dial: DoorDial, errno: number): void
  openingTimeout(id: number, dial: DoorDial): void
  gone(id: number, dial: DoorDial): void
  /** What was judged before its origin was connected is relayed since it is. */
  carried(id: number, dial: DoorDial, relay: RelayHandle): void
}

export interface DoorConnect {
  /** Vetted, in canonical text, in the order to try: at most eight. */
  readonly addresses: readonly string[]
  readonly port: number
  readonly dialMs: number
  readonly staggerMs: number
  /** So much of the first read is the head. */
  readonly headBytes: number
  /** The opening is known, or there is none to judge: relays as soon as the origin is connected, for so long. */
  readonly judged: boolean
  readonly idleMs: number
  readonly lifetimeMs: number
  /** How long all of the opening may take, once the client was told of its origin. */
  readonly openingMs: number
  /** How much of the opening a door may hold. Whoever judges it says when there is enough of it, at no more than this. */
  readonly heldBytes: number
}

/** What a listening socket is for. */
export interface DoorListener {
  /**
   * `connect`: a first read that begins as a CONNECT does and holds an empty line is asked about. `tls`: one whole TLS handshake record,
   * on a connection that was redirected.
   */
  readonly reads: 'connect' | 'tls'
  /** What a client is told once its origin is connected. */
  readonly established: string
}

/**
 * Where client connections are until it is known what they are for. One that is a CONNECT from its first byte to its last, or redirected
 * TLS, has its whole life here, without an HTTP parser; all else is handed over.
 */
export interface Door {
  /** Whether it can ask about redirected TLS. */
  readonly readsTls: boolean
  /** Accepts what comes in at a server that listens and has accepted nothing, which is the door's from here on. Throws what is in the way. */
  open(server: Server, listener: DoorListener, keeper: DoorKeeper): void
  /** Accepts no more from any, and closes connections that have said nothing yet. */
  close(): void
  /** So many clients' connections at once, tunnels among them; how many were closed for that since the last call. */
  limit(connections: number): number
  /** Connections that there are, tunnels among them. */
  readonly connections: number
  /** Says the last there is to say, one character a byte, and ends the connection. */
  reply(id: number, text: string): void
  /** Connects to the origin and tells the client. False where that could not be begun. */
  connect(id: number, to: DoorConnect): boolean
  /** Waits for more of the opening. */
  more(id: number): void
  /** Relays from here on, what came with the opening first. Throws where the door knows the connection no longer. */
  carry(id: number, idleMs: number, lifetimeMs: number): RelayHandle
  /** Has the connection handed over. */
  take(id: number): void
}
