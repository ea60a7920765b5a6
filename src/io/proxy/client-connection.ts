import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Authority } from '../../core/names/authority.ts'
import { type IpAddress, parseIp, unmapped } from '../../core/names/ip.ts'
import type { Dialled } from './dial.ts'
import type { Exchange } from './exchange.ts'
import type { Http1Responder } from './responder.ts'

/** A tunnel whose inside is HTTP in sight: every request in it is judged, and must be for its host. */
export interface HttpSession {
  /** `https` came out of TLS that was ended here. */
  readonly scheme: 'http' | 'https'
  readonly authority: Authority
  /** Id of the CONNECT. */
  readonly parent: string
  /** The connection that was made before the 200, for the first request. */
  dialled: Dialled | undefined
  /** A request has come out of it, whatever became of it. */
  wasUsed: boolean
}

/** A request whose answer is not finished. */
export interface PendingRequest {
  readonly exchange: Exchange
  readonly req: IncomingMessage
  readonly responder: Http1Responder
}

/** One client connection on a listener, or what was found inside one. */
export class ClientConnection {
  /** Where answers go: the TCP connection, or the TLS inside it. */
  socket: Socket
  /** Key of the listener in `listen`. */
  readonly listener: string
  readonly client: IpAddress
  readonly clientPort: number
  readonly session: HttpSession | undefined
  #requests: Set<PendingRequest> | undefined
  /** The request read last; its body may still be arriving, even after its answer. */
  newest: PendingRequest | undefined
  /** Nothing more is read as a request: the last answer has been given, or the connection became a tunnel. */
  closing = false

  private constructor(socket: Socket, listener: string, client: IpAddress, clientPort: number, session?: HttpSession) {
    this.socket = socket
    this.listener = listener
    this.session = session
    this.client = unmapped(client)
    this.clientPort = clientPort
  }

  static accepted(socket: Socket, listener: string): ClientConnection {
    // A peer that has gone before it was accepted has no address; it matches no range that anybody would allow.
    const client = parseIp(socket.remoteAddress?.replace(/%.*$/, '') ?? '') ?? NO_ADDRESS
    return new ClientConnection(socket, listener, client, socket.remotePort ?? 0)
  }

  /** What was found inside another. */
  static inside(socket: Socket, { listener, client, clientPort }: ClientConnection, session: HttpSession): ClientConnection {
    return new ClientConnection(socket, listener, client, clientPort, session)
  }

  /** One that has no socket of Node's: it is at the door, and mostly stays without one. */
  static atDoor(listener: string, client: IpAddress, clientPort: number): ClientConnection {
    return new ClientConnection(HANDED_OVER, listener, client, clientPort)
  }

  /** The relay has the socket: nobody gets at it through this record, and it need not be kept for as long as the tunnel is. */
  handOver(): void {
    this.socket = HANDED_OVER
  }

  /** Requests whose answers are not finished, in the order they came. */
  get requests(): Set<PendingRequest> {
    this.#requests ??= new Set()
    return this.#requests
  }

  /** How many requests wait for their answers to be finished. */
  get pending(): number {
    return this.#requests?.size ?? 0
  }
}

const HANDED_OVER = new Socket().destroy()

const NO_ADDRESS: IpAddress = { family: 6, words: [0, 0, 0, 0], text: '::' }
