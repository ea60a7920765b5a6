/**
 * The kernel relay, `native/build/relay.node`: two sockets go in once a tunnel is decided, their bytes
 * go both ways in a thread of its own (`recv` and `send` for small messages, `splice(2)` for bulk),
 * one record comes out. No byte of it is seen by JavaScript. Linux; one binary for Node 20 and 24.
 *
 * ## How sockets get in and out of Node (the one safe recipe; `test/native/relay.test.ts` proves it)
 *
 * All in one tick, for a plain `net.Socket` that is connected (a `TLSSocket` never fits: its bytes are
 * not the socket's):
 *
 * 1. Nothing may wait to be written: `socket.writableLength === 0` on both. Wait for the `write`
 *    callback of what was sent (a `200`), or hand those bytes over as `toClient` or `toOrigin` instead.
 * 2. Take what Node has read already: `socket.read()` until `null`, and the `head` of `connect`. A stream
 *    that is flowing must be paused before, or its `data` listener has had them. These are the initial bytes.
 * 3. `relay(client._handle.fd, origin._handle.fd, ...)`. The descriptors are duplicated (F_DUPFD_CLOEXEC);
 *    the connection lives as long as any duplicate does. A negative result means that nothing was done:
 *    both sockets are as before and the stream relay can have them (`unshift` or pass on what step 2 took).
 * 4. `destroy()` both, at once, without `end()` before. libuv then takes its descriptor out of its own poll
 *    set and closes it; with a duplicate open that sends neither FIN nor RST, on Node 20 and on 24.
 *    Their `close` events follow as usual, so remove listeners that would take them for the tunnel's end.
 *
 * Between 3 and 4 the event loop must not turn: libuv would read from the same connection. The sockets may
 * not be used after 4. `resetAndDestroy()` would set SO_LINGER on the shared connection and break it later.
 */

/**
 * Who or what ended a tunnel: field 3 of a record.
 *
 * | code | |
 * |---|---|
 * | 0 | the client: it closed first, or its connection failed (the errno is set then) |
 * | 1 | the origin, likewise |
 * | 2 | the idle deadline |
 * | 3 | the lifetime deadline |
 * | 4 | `kill`, `killAll` or `close`; field 5 has the reason given there |
 * | 5 | the gateway's own trouble: out of memory, epoll refused; the errno is set |
 * | 6 | a dial that failed: the errno of an address that failed, `ETIMEDOUT` where none answered in time |
 * | 7 | a dial that succeeded: no end but a connection, see fields 7 and 8 |
 */
export type EndedByCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

/**
 * One ended tunnel (or dial) in nine numbers; a batch is a `Float64Array` of `9 * n`, its own, to keep if wanted.
 *
 * | index | |
 * |---|---|
 * | 0 | id, as `relay` or `dial` returned it |
 * | 1 | bytes up: taken by the origin's socket, initial ones included |
 * | 2 | bytes down: taken by the client's socket, initial ones included |
 * | 3 | who ended it, an `EndedByCode` |
 * | 4 | errno of the connection that failed (`util.getSystemErrorName(-errno)`), 0 for none |
 * | 5 | the reason of the kill, 0 for none |
 * | 6 | duration in ms since it was handed over |
 * | 7 | of a dial that succeeded, the index of the address; else -1 |
 * | 8 | of a dial that succeeded, the descriptor of the connected socket, yours from now on; else -1 |
 *
 * A tunnel whose peers both closed in order ends with a plain close. Every other end (a connection that
 * failed, a kill, a deadline) resets what is left, so that a cut answer does not look like a whole one.
 */
export type EndedRecords = Float64Array

/**
 * What happened at the door: 23 numbers each, a batch at a time, and the bytes of all of them in one array.
 *
 * | index | |
 * |---|---|
 * | 0 | id; the same one that a tunnel has once it is carried. 0 for a connection that nobody was asked about (kind 2) |
 * | 1 | kind, see below |
 * | 2 | family of the client's address, 4 or 6 |
 * | 3 to 6 | the address in 32-bit words; of IPv4 the first alone |
 * | 7 | port of the client |
 * | 8 | kind 2: the descriptor, yours from now on; else -1 |
 * | 9 | kind 4: an errno as in a record of a dial that failed |
 * | 10 | index of the address that was connected to, -1 before |
 * | 11 | microseconds that the dial took |
 * | 12 | kind 3: 1 where the client has no more to say |
 * | 13, 14 | where its bytes are in the array, and how many |
 * | 15 | number of the listener, as `listen` returned it |
 * | 16 to 21 | kind 1 of a listener for TLS: where the connection was going before it was redirected, as fields 2 to 7 |
 * | 22 | a negative errno where that is not known, as `originalDestination` returns it; else 0 |
 *
 * | kind | | answered by |
 * |---|---|---|
 * | 1 | a first read that begins with `CONNECT ` and holds an empty line, or one whole TLS handshake record; nothing in it was parsed | `reply`, `connect`, `take` |
 * | 2 | the connection itself: not of kind 1, or asked for with `take`; bytes: what was read of it, all of it | |
 * | 3 | the origin is connected and the client was told so, where it is to be told; bytes: what came since, and behind the head the first time | `carry`, `more`, `reply` |
 * | 4 | no origin could be reached | `reply` |
 * | 5 | the client has gone, or `close` was called; the id is free | |
 * | 6 | the opening took longer than it may | `reply` |
 * | 7 | it is relayed, as `connect` was told with `judged`; its end is a record of `onEnded` with the same id, which comes later | |
 *
 * Between a record and its answer the connection is left alone, for as long as that takes: a deadline there is the caller's.
 */
export type DoorRecords = Float64Array

export interface RelayOptions {
  /**
   * Pipes for bulk at most, two descriptors each; past them bulk goes by recv and send. Default 128, and
   * never more than a sixteenth of the descriptor limit. They exist while peers are slow; about 32 are kept.
   */
  readonly maxPipes?: number
  /** Tunnels at most; `relay` says `-ENOSPC` past it. Default 65,536. A last resort: limits are policy. */
  readonly maxTunnels?: number
  /** `false`: never splice. Default `true`. */
  readonly splice?: boolean
}

export interface Relay {
  /**
   * Begins a tunnel: duplicates both descriptors and relays from then on. See the recipe above.
   *
   * @param toOrigin sent to the origin before anything read from the client: bytes Node had read. Copied, counted.
   * @param toClient the same for the other way.
   * @param idleMs end after this long without a byte in either direction, 0 for never. At most 64 ms late.
   * @param lifetimeMs end after this long whatever moves, 0 for never. Both below 2^32.
   * @param ownsOrigin `originFd` came from `dial` and no socket of Node's has it: it is taken, not duplicated,
   *   and only on success.
   * @returns the tunnel's id (above 0), or a negative errno: `-EMFILE`, `-ENOSPC`, `-ENOMEM`, `-EBADF`, `-ESHUTDOWN`
   *   (closed). Then nothing has happened to the sockets.
   * @throws TypeError for arguments of another type
   */
  relay(
    clientFd: number,
    originFd: number,
    toOrigin: Uint8Array | null,
    toClient: Uint8Array | null,
    idleMs: number,
    lifetimeMs: number,
    ownsOrigin: boolean,
  ): number
  /**
   * Connects, in the relay's thread, to the first address that answers: each has a head start of `staggerMs`, then
   * the next is tried beside it (RFC 8305); one that fails makes the next go at once. No socket of Node's is made,
   * which is most of what a dial costs. Addresses are vetted before: exactly these are connected to, and nothing is
   * looked up or sent. The socket has TCP_NODELAY, and keep-alive probes after 60 s.
   *
   * A record with code 7 and a descriptor follows, or one with 6. The descriptor goes to `relay` with `ownsOrigin`,
   * or to `new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true })`, or to `fs.closeSync`: one
   * of them, exactly once. `kill` gives up, and its record follows too; where the connection came up just before,
   * that record is one with code 7 and its descriptor is to be closed.
   *
   * @param addresses 1 to 8 in canonical text, in the order to try, commas between: `2001:db8::1,192.0.2.1`
   * @param dialMs for the whole, above 0; at most 64 ms late, as every deadline here
   * @returns the dial's id, from the same numbers as tunnels' ids, or a negative errno as for `relay`
   * @throws TypeError for what is no IP address, whatever spelling the system might understand
   */
  dial(addresses: string, port: number, dialMs: number, staggerMs: number): number
  /**
   * Accepts connections from a listening socket, which is duplicated: the caller closes its own. TCP_NODELAY and keep-alive probes are
   * set on it for all of them. What has not said enough after 192 ms is handed over (kind 2), so that deadlines are one server's alone.
   *
   * @param readsTls asks about one whole TLS handshake record instead of a CONNECT, with where the connection was going
   * @param established Latin-1, below 256 bytes: what a client is told once its origin is connected; empty: nothing
   * @returns the listener's number, or a negative errno: `-ENOSPC` past four
   */
  listen(fd: number, readsTls: boolean, established: string): number
  /** Closes those sockets, and connections that have said nothing yet. */
  stopListening(): void
  /**
   * Client connections at once, at the door and relayed; one above is accepted and closed.
   *
   * @returns how many were closed for that since the last call
   */
  limitClients(clients: number): number
  /** Client connections that there are, at the door and relayed. */
  clients(): number
  /**
   * Sends Latin-1 text (below 16 KiB; empty: nothing), ends this side, reads on for at most 64 KiB or a second, and closes.
   *
   * @returns 0, or a negative errno: `-ENOENT` where nothing of that id waits for an answer, `-ESHUTDOWN`. So do the following.
   */
  reply(id: number, text: string): number
  /**
   * Dials as `dial` does, and tells the client `established` when it has a connection; then waits for bytes of the opening, or where that
   * is `judged` already relays at once, for `idleMs` and `lifetimeMs`. The first `headBytes` of the first read are dropped, the rest and the opening are kept for the origin.
   */
  connect(
    id: number,
    addresses: string,
    port: number,
    dialMs: number,
    staggerMs: number,
    headBytes: number,
    judged: boolean,
    openingMs: number,
    heldBytes: number,
    idleMs: number,
    lifetimeMs: number,
  ): number
  /** Begins to relay, with what is kept first. Its end is a record of `onEnded` with the same id. */
  carry(id: number, idleMs: number, lifetimeMs: number): number
  /** Waits for more of the opening, within the same deadline. */
  more(id: number): number
  /** A record of kind 2 follows. */
  take(id: number): number
  /** Hands over what was left when `onMore` was called. */
  drain(): void
  /** Ends one tunnel with a reset on both sides; its record follows. `reason` (uint32) comes back in it. False: no such tunnel any more. */
  kill(id: number, reason: number): boolean
  /** Ends all that are open now, none that begins later. @returns how many were asked to end */
  killAll(reason: number): number
  /**
   * Live figures into `out`: bytes up, bytes down, ms since the last byte. Exact, though up to one write behind.
   * Works until the tunnel's record has been handed over; false after that.
   */
  stats(id: number, out: Float64Array): boolean
  /**
   * Into `out`: tunnels open and dials under way (those included whose record is still to come), bytes up and bytes down of all
   * tunnels ever, live ones included (fit for a counter: they never fall), pipes that exist. False: closed.
   */
  totals(out: Float64Array): boolean
  /**
   * Kills all that is left, stops the thread and waits for it (well under a millisecond each way); hands the last
   * records over before it returns. After that `relay` says `-ESHUTDOWN`. Harmless when called again. A relay
   * that is never closed ends with its environment: a worker thread's end, the process's end.
   */
  close(reason: number): void
}

export interface OriginalDestination {
  readonly address: string
  readonly port: number
  readonly family: 4 | 6
}

export interface RelayAddon {
  /** Of this file. A loader refuses a binary with another one, and says that it needs to be built again. */
  readonly abi: 3
  /**
   * Starts a relay with its thread. `onEnded` gets the records in batches, in the event loop, soon after the
   * ends; if it throws that is an uncaught exception. Open tunnels keep the process alive as open sockets
   * would; a relay without one does not. `onDoor` is needed for `listen`, and gets what happens at the door likewise; so is `onMore`, which is
   * called where a flood leaves more than fits one turn of the event loop: `drain` is then to be called in a later one, or nothing is
   * told of any more. One relay for each process or worker is what is wanted.
   *
   * @throws Error when there are too few descriptors or threads
   */
  createRelay(
    options: RelayOptions,
    onEnded: (records: EndedRecords) => void,
    onDoor?: (records: DoorRecords, bytes: Uint8Array) => void,
    onMore?: () => void,
  ): Relay
  /**
   * The process, and those it starts, leave no core dump from here on: none in a file, none to a pipe. Cannot be undone. Absent in a
   * binary that was built before there was this.
   *
   * @returns 0 or a negative errno
   */
  forbidCoreDumps?(): number
  /**
   * Where a connection that netfilter redirected was going: SO_ORIGINAL_DST, IPv4 and IPv6, also IPv4 on a
   * dual-stack listener. A negative errno: `-ENOENT` (not redirected), `-ENOPROTOOPT` (no such table), `-EBADF`.
   * Where connection tracking is on and nothing was redirected the kernel answers with the listener's own
   * address, so the caller must refuse its own listeners.
   */
  originalDestination(fd: number): OriginalDestination | number
}
