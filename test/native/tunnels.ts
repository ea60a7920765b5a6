import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net'
import type { Relay, RelayAddon } from '../../native/index.d.ts'

/** The numbers of one record, named. */
export interface Ended {
  readonly id: number
  readonly bytesUp: number
  readonly bytesDown: number
  readonly endedBy: number
  readonly error: number
  readonly reason: number
  readonly durationMs: number
  readonly address: number
  readonly fd: number
}

const RECORD_FIELDS = 9

/** A relay whose ends can be awaited by id, whichever comes first. */
export class RelayRig {
  readonly relay: Relay
  batches = 0
  readonly #ended = new Map<number, Ended>()
  readonly #waiting = new Map<number, (ended: Ended) => void>()

  constructor(addon: RelayAddon, options: Parameters<RelayAddon['createRelay']>[0] = {}) {
    this.relay = addon.createRelay(options, (records) => this.#take(records))
  }

  #take(records: Float64Array): void {
    this.batches++
    for (let at = 0; at < records.length; at += RECORD_FIELDS) {
      const [id = 0, bytesUp = 0, bytesDown = 0, endedBy = -1, error = 0, reason = 0, durationMs = 0, address = -1, fd = -1] =
        records.subarray(at)
      const ended = { id, bytesUp, bytesDown, endedBy, error, reason, durationMs, address, fd }
      this.#ended.set(id, ended)
      this.#waiting.get(id)?.(ended)
    }
  }

  end(id: number): Promise<Ended> {
    const already = this.#ended.get(id)
    return already ? Promise.resolve(already) : new Promise((resolve) => this.#waiting.set(id, resolve))
  }
}

export function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd: number } | null }
  return handle?.fd ?? -1
}

export interface HandOver {
  readonly toOrigin?: Uint8Array
  readonly toClient?: Uint8Array
  readonly idleMs?: number
  readonly lifetimeMs?: number
}

/** The recipe of native/index.d.ts, steps 2 to 4. */
export function handOver(relay: Relay, client: Socket, origin: Socket, options: HandOver = {}): number {
  const up = [options.toOrigin, client.read() as Uint8Array | null].filter((bytes) => bytes != null)
  const down = [options.toClient, origin.read() as Uint8Array | null].filter((bytes) => bytes != null)
  const id = relay.relay(
    descriptorOf(client),
    descriptorOf(origin),
    up.length > 0 ? Buffer.concat(up) : null,
    down.length > 0 ? Buffer.concat(down) : null,
    options.idleMs ?? 0,
    options.lifetimeMs ?? 0,
    false,
  )
  client.destroy()
  origin.destroy()
  return id
}

/** Sockets, near and far ends, over loopback. */
export class Loopback {
  readonly #server: Server
  /** By the far end's port: the accepted sockets nobody has asked for yet, and those who wait for one. */
  readonly #accepted = new Map<number, Socket>()
  readonly #waiting = new Map<number, (socket: Socket) => void>()

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => {
      const port = socket.remotePort ?? -1
      const waiting = this.#waiting.get(port)
      if (waiting) waiting(socket)
      else this.#accepted.set(port, socket)
      this.#waiting.delete(port)
    })
  }

  static async open(): Promise<Loopback> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Loopback(server)
  }

  /** `near` is what the gateway has (paused), `far` the peer's. */
  async pair(): Promise<{ near: Socket; far: Socket }> {
    const far = new Socket({ allowHalfOpen: true })
    far.connect((this.#server.address() as AddressInfo).port, '127.0.0.1')
    await once(far, 'connect')
    const port = far.localPort ?? -1
    const near = this.#accepted.get(port) ?? (await new Promise<Socket>((resolve) => this.#waiting.set(port, resolve)))
    this.#accepted.delete(port)
    return { near, far }
  }

  async close(): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }
}

export interface Tunnel {
  readonly id: number
  readonly client: Socket
  readonly origin: Socket
}

export async function openTunnel(rig: RelayRig, loopback: Loopback, options: HandOver = {}): Promise<Tunnel> {
  const [client, origin] = await Promise.all([loopback.pair(), loopback.pair()])
  const id = handOver(rig.relay, client.near, origin.near, options)
  return { id, client: client.far, origin: origin.far }
}

/** Reads exactly `count` bytes and leaves the rest. */
export async function take(socket: Socket, count: number): Promise<string> {
  let got = Buffer.alloc(0)
  while (got.length < count) {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) {
      await once(socket, 'readable')
      if (socket.readableEnded) throw new Error(`ended after ${got.length} of ${count} bytes`)
    } else got = Buffer.concat([got, chunk])
  }
  if (got.length > count) socket.unshift(got.subarray(count))
  return got.subarray(0, count).toString('latin1')
}

export async function untilEnd(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.readableEnded) await once(socket, 'end')
}

/** The error code the socket dies with. */
export async function untilError(socket: Socket): Promise<string | undefined> {
  socket.resume()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  return error.code
}

export const openDescriptors = (): number => readdirSync('/proc/self/fd').length

export { connect }
