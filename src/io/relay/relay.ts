import type { Socket } from 'node:net'
import type { TunnelEnd } from '../../core/audit-event.ts'
import type { Door } from './door.ts'
import type { RawConnection } from './raw-connection.ts'

export interface RelayOptions {
  /** Sent to the origin before anything else the client sends. */
  readonly initialUp: Buffer
  /** Sent to the client before anything else the origin sends. */
  readonly initialDown?: Buffer
  /** Without a byte either way for so long, the tunnel ends; 0 is without limit. */
  readonly idleMs: number
  /** The tunnel ends after so long whatever it does; 0 is without limit. */
  readonly lifetimeMs: number
}

export interface RelayResult {
  /** Absent where it was a trouble of the gateway's own; the log tells it. */
  readonly endedBy?: TunnelEnd
  /** Taken by the origin's connection. */
  readonly bytesUp: number
  /** Taken by the client's connection. */
  readonly bytesDown: number
}

/** One tunnel that is being relayed. */
export interface RelayHandle {
  /** Calls back once, later, when both connections are closed. Nobody is called back who asked before. */
  onDone(callback: (result: RelayResult) => void): void
  /** So far. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Ends the tunnel from our side, at once. The first cause given is the one that counts. */
  end(endedBy: TunnelEnd): void
}

/** What became of a raw dial. */
export type RawDialOutcome =
  | { readonly kind: 'connected'; readonly connection: RawConnection; readonly index: number }
  /** @property errno of an address that failed, `ETIMEDOUT` where none answered in time */
  | { readonly kind: 'failed'; readonly errno: number }
  | { readonly kind: 'given_up' }

/**
 * Connects to the first of these addresses that answers, each with a head start of `staggerMs` over the next, all within `dialMs`.
 * `onEnd` is called once, later. Gives a function that gives up, or nothing where this dial has to be made in another way.
 *
 * @param addresses vetted, in canonical text, in the order to try
 */
export type RawDial = (
  addresses: readonly string[],
  port: number,
  dialMs: number,
  staggerMs: number,
  onEnd: (outcome: RawDialOutcome) => void,
) => (() => void) | undefined

export const RELAY_KINDS = ['kernel', 'portable'] as const
export type RelayKind = (typeof RELAY_KINDS)[number]

/**
 * Moves the bytes of tunnels, both ways and unseen. An end on one side is passed on as an end, a reset as a reset, and a reader
 * that is slow slows the writer down. What ends because neither peer wanted it to (a deadline, a policy, a drain) is broken off
 * on both sides, so that a cut answer does not look like a whole one.
 */
export interface Relay {
  readonly kind: RelayKind
  /** Takes both connections over: nobody else may use them from here on. */
  start(client: Socket, origin: Socket | RawConnection, options: RelayOptions): RelayHandle
  /** Connects without Node; absent where the relay cannot. */
  readonly dial?: RawDial
  readonly door: Door
  /** Ends what is left. */
  close(): void
}
