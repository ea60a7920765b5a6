import type { IncomingMessage } from 'node:http'
import { StreamRelay } from '../relay/stream-relay.ts'
import { answerAndClose } from './closing.ts'
import type { Dialled } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { HeldBytes } from './held-bytes.ts'
import { type Allowed, judgeHead, rule } from './judge.ts'
import type { ProxyContext } from './proxy-context.ts'

/** RFC 9110 section 9.3.6: a 2xx to CONNECT has neither body nor framing. */
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/**
 * The life of a CONNECT: judge, resolve, vet, dial, and only then the 200. What the client sends in the meantime is held, never
 * parsed as a request, and dropped with the connection where the tunnel is refused.
 *
 * @param head what came with the CONNECT
 * @param serveHttp hands the client's connection to the HTTP parser, for a tunnel that carries plain HTTP
 */
export async function openTunnel(
  context: ProxyContext,
  exchange: Exchange,
  req: IncomingMessage,
  head: Buffer,
  serveHttp: () => void,
): Promise<void> {
  const { socket, client } = exchange.connection
  const held = new HeldBytes(socket, head, exchange.generation.config.limits.heldBytes)
  const refuse = (refusal: Refusal) => {
    held.release()
    answerAndClose(socket, exchange.refuse(refusal))
  }
  const ruling = judgeConnect(context, exchange, req)
  if (!ruling.ok) return refuse(ruling.error)
  const full = context.admission.takeTunnel(client.text)
  if (full !== undefined) return refuse({ reason: full })
  const tunnel = new Tunnel(context, exchange, ruling.value, held)
  await tunnel.open(serveHttp)
}

function judgeConnect(context: ProxyContext, exchange: Exchange, req: IncomingMessage) {
  const judged = judgeHead(context, exchange, req)
  if (!judged.ok) return judged
  const { target } = judged.value
  if (target.form !== 'authority')
    return { ok: false, error: { reason: 'malformed_request', detail: 'CONNECT without an authority' } } as const
  exchange.target = target.authority
  // A CONNECT inside a tunnel would be a second, unjudged way out of it.
  if (exchange.connection.session !== undefined) {
    return { ok: false, error: { reason: 'host_mismatch', detail: 'CONNECT inside a tunnel' } } as const
  }
  return rule(exchange, target.authority)
}

/** A tunnel from its admission to its end. Its place is given back exactly once, whatever happens. */
class Tunnel {
  readonly #context: ProxyContext
  readonly #exchange: Exchange
  readonly #ruling: Allowed
  readonly #held: HeldBytes

  constructor(context: ProxyContext, exchange: Exchange, ruling: Allowed, held: HeldBytes) {
    this.#context = context
    this.#exchange = exchange
    this.#ruling = ruling
    this.#held = held
  }

  async open(serveHttp: () => void): Promise<void> {
    const { socket } = this.#exchange.connection
    try {
      const dialled = await this.#dial()
      if (dialled === undefined) return
      socket.write(ESTABLISHED)
      this.#exchange.allowed()
      this.#context.telemetry.metrics.setupSeconds.observe(this.#exchange.elapsedMs / 1000)
      await (this.#ruling.protocol === 'http' ? this.#serveHttp(dialled, serveHttp) : this.#carry(dialled))
    } finally {
      this.#context.tunnels.remove(this.#exchange.id)
      this.#context.admission.releaseTunnel(this.#exchange.connection.client.text)
    }
  }

  /** The connected origin, or nothing where the client was refused or has gone. */
  async #dial(): Promise<Dialled | undefined> {
    const { connection, generation, target } = this.#exchange
    const { socket } = connection
    if (target === undefined) throw new Error('a tunnel without a target')
    const gone = new AbortController()
    const onClose = () => gone.abort()
    socket.once('close', onClose)
    const dialled = await this.#context.dialer.dial(
      { policy: generation.policy, ...target, entry: this.#ruling.entry },
      gone.signal,
    )
    socket.off('close', onClose)
    if (socket.destroyed) {
      if (dialled.ok) dialled.value.socket.destroy()
      this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
      return undefined
    }
    if (!dialled.ok) {
      this.#held.release()
      answerAndClose(socket, this.#exchange.refuse(dialled.error))
      return undefined
    }
    this.#exchange.address = { ip: dialled.value.address, port: dialled.value.port }
    return dialled.value
  }

  /** Relays until both sides have ended. */
  async #carry(dialled: Dialled): Promise<void> {
    const { connection, generation } = this.#exchange
    const { limits } = generation.config
    const relay = new StreamRelay(connection.socket, dialled.socket, {
      initialUp: this.#held.release(),
      idleMs: limits.tunnelIdleSeconds * 1000,
      lifetimeMs: limits.tunnelLifetimeSeconds * 1000,
    })
    this.#context.tunnels.add({
      exchange: this.#exchange,
      since: new Date(),
      bytesUp: () => relay.bytesUp,
      bytesDown: () => relay.bytesDown,
      end: (endedBy) => relay.end(endedBy),
    })
    const result = await relay.done
    const { tunnelBytes } = this.#context.telemetry.metrics
    tunnelBytes.inc({ direction: 'up' }, result.bytesUp)
    tunnelBytes.inc({ direction: 'down' }, result.bytesDown)
    this.#exchange.served(result)
  }

  /** The client goes on in plain HTTP; each request is an exchange of its own. */
  #serveHttp(dialled: Dialled, serveHttp: () => void): Promise<void> {
    const { connection, target } = this.#exchange
    const { socket } = connection
    if (target === undefined) throw new Error('a tunnel without a target')
    const session = {
      authority: target,
      parent: this.#exchange.id,
      ruling: this.#ruling,
      dialled: dialled as Dialled | undefined,
    }
    connection.session = session
    // Not used while it waits for the first request, but somebody must hear it break.
    dialled.socket.on('error', () => dialled.socket.destroy())
    this.#context.tunnels.add({
      exchange: this.#exchange,
      since: new Date(),
      bytesUp: () => socket.bytesRead,
      bytesDown: () => socket.bytesWritten,
      end: () => socket.destroySoon(),
    })
    const done = new Promise<void>((resolve) => {
      socket.once('close', () => {
        session.dialled?.socket.destroy()
        this.#exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
        resolve()
      })
    })
    const early = this.#held.release()
    if (this.#held.ended) socket.destroySoon()
    else {
      if (early.length > 0) socket.unshift(early)
      serveHttp()
    }
    return done
  }
}
