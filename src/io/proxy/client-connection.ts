import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { CredentialRecord } from '../../core/config/credential-file.ts'
import type { Narrowing } from '../../core/hooks/hook-answer.ts'
import type { Authority } from '../../core/names/authority.ts'
import { type IpAddress, parseIp, unmapped } from '../../core/names/ip.ts'
import type { OriginalDestination } from '../../core/policy/transparent-target.ts'
import type { Result } from '../../core/result.ts'
import type { ProxiedPeer } from '../../core/wire/proxy-header.ts'
import { type ClientCertificate, clientCertificateOf } from '../tls/client-certificate.ts'
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
  /** Who opened it, where a password told. */
  readonly proved: CredentialRecord | undefined
  /** What a hook narrowed the tunnel to; absent where none did. */
  readonly narrowings: readonly Narrowing[] | undefined
  /** Header fields of the CONNECT; absent where there are no hooks to be shown them. */
  readonly hookFields: readonly string[] | undefined
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

/** What a client showed in its TLS handshake with the listener. */
export interface ShownCertificate {
  readonly shown: Result<ClientCertificate | undefined, string>
  /** The CAs it was verified by, in PEM. */
  readonly clientCa: string | undefined
}

/** What is known of a connection beside its socket. */
export interface ToldOfConnection {
  /** Whose it is, as a trusted PROXY header says. */
  readonly source?: ProxiedPeer | undefined
  /** Where it was going before it was redirected here. */
  readonly original?: OriginalDestination | undefined
  /** The CAs, in PEM, that its certificate was verified by. */
  readonly clientCa?: string | undefined
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
  /** Absent where the listener speaks no TLS. */
  readonly certificate: ShownCertificate | undefined
  /** Nobody on the way can read what is sent to the listener. */
  readonly isConfidential: boolean
  /** On a transparent listener: where the client was going. */
  readonly original: OriginalDestination | undefined
  #requests: Set<PendingRequest> | undefined
  /** The request read last; its body may still be arriving, even after its answer. */
  newest: PendingRequest | undefined
  /** Nothing more is read as a request: the last answer has been given, or the connection became a tunnel. */
  closing = false

  constructor(
    socket: Socket,
    listener: string,
    outer?: { readonly connection: ClientConnection; readonly session: HttpSession },
    told: ToldOfConnection = {},
  ) {
    this.socket = socket
    this.listener = listener
    this.session = outer?.session
    this.certificate = outer?.connection.certificate ?? (outer === undefined ? shownOn(socket, told.clientCa) : undefined)
    this.isConfidential = outer?.connection.isConfidential ?? socket instanceof TLSSocket
    this.original = told.original
    const address = outer?.connection.client ?? told.source?.address ?? parseIp(socket.remoteAddress?.replace(/%.*$/, '') ?? '')
    // A peer that has gone before it was accepted has no address; it matches no range that anybody would allow.
    this.client = unmapped(address ?? NO_ADDRESS)
    this.clientPort = outer?.connection.clientPort ?? told.source?.port ?? socket.remotePort ?? 0
  }

  /** One that has no socket of Node's: it is at the door, and mostly stays without one. */
  static atDoor(listener: string, told: ToldOfConnection & { readonly source: ProxiedPeer }): ClientConnection {
    return new ClientConnection(HANDED_OVER, listener, undefined, told)
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

function shownOn(socket: Socket, clientCa: string | undefined): ShownCertificate | undefined {
  return socket instanceof TLSSocket ? { shown: clientCertificateOf(socket), clientCa } : undefined
}

const HANDED_OVER = new Socket().destroy()

const NO_ADDRESS: IpAddress = { family: 6, words: [0, 0, 0, 0], text: '::' }
