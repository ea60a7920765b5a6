import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { parseIp } from '../../core/names/ip.ts'
import { type Field, requestFields, responseFields } from '../../core/wire/fields.ts'
import { endAndLinger } from '../relay/linger.ts'
import { breakOff } from '../relay/reset.ts'
import { CarriedTunnel } from './carried-tunnel.ts'
import { claimOf } from './claim.ts'
import { answerAndClose } from './closing.ts'
import { Caller } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { type ForwardPlan, planForward } from './forward-plan.ts'
import { HeldBytes } from './held-bytes.ts'
import { admit, headOf } from './judge.ts'
import { connectOrigin } from './origin-connector.ts'
import type { ProxyContext } from './proxy-context.ts'
import { lifetimeMs } from './tunnels.ts'

/**
 * A WebSocket over plain HTTP: the upgrade is offered to the origin, and only after the origin's own 101 does the connection
 * become a tunnel. Anything else the origin answers is passed on as the last answer of the connection.
 *
 * @param head what came with the request: held until the 101, and dropped without one
 */
export async function forwardWebSocket(
  context: ProxyContext,
  exchange: Exchange,
  req: IncomingMessage,
  head: Buffer,
): Promise<void> {
  const { socket } = exchange.connection
  const held = new HeldBytes(socket, head, exchange.generation.config.limits.heldBytes, () => context.telemetry.hit('held_bytes'))
  const refuse = (refusal: Refusal) => {
    held.release()
    answerAndClose(socket, exchange.refuse(refusal))
  }
  const admitted = admit(context, exchange, headOf(req))
  const barred = admitted instanceof Promise ? await admitted : admitted
  if (barred !== undefined) return refuse(barred)
  const planned = planForward(context, exchange, headOf(req))
  const plan = planned instanceof Promise ? await planned : planned
  if (!plan.ok) return refuse(plan.error)
  if (plan.value.framing.kind !== 'none') return refuse({ reason: 'malformed_request', detail: 'an upgrade with a body' })
  const place = context.admission.takeTunnel(exchange.countedAs)
  const full = place instanceof Promise ? await place : place
  if (full !== undefined) return refuse(full)
  let isCarried = false
  try {
    const dialled = await dial(context, exchange)
    if (dialled === undefined) return
    if ('reason' in dialled) return refuse(dialled)
    const answer = await offerUpgrade(context, exchange, req, plan.value, dialled)
    if (socket.destroyed) {
      if (answer.kind === 'switched') answer.origin.destroy()
      return exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    }
    if (answer.kind === 'failed') return refuse(answer.refusal)
    if (answer.kind === 'refused') {
      held.release()
      return await passOn(exchange, socket, answer.message, context.via)
    }
    carry(context, exchange, socket, answer, held, plan.value.narrowings)
    isCarried = true
  } finally {
    if (!isCarried) context.admission.releaseTunnel(exchange.countedAs)
  }
}

/** The connected origin, a refusal, or nothing where the client has gone. */
async function dial(context: ProxyContext, exchange: Exchange): Promise<Socket | Refusal | undefined> {
  const { connection, policy, target, entry } = exchange
  if (target === undefined) throw new Error('a WebSocket without a target')
  const deadline = context.dialer.deadline()
  const { generation, receivedVia } = exchange
  const located = await context.dialer.locate(
    { policy, upstream: generation.upstream, ...target, entry, claim: claimOf(context, exchange), receivedVia },
    deadline,
  )
  if (!located.ok) return located.error
  const caller = new Caller()
  const onClose = () => caller.leave()
  connection.socket.once('close', onClose)
  const connected = await connectOrigin(context, exchange, located.value, caller, deadline)
  connection.socket.off('close', onClose)
  if (connection.socket.destroyed) {
    if (connected.ok) connected.value.destroy()
    exchange.served({ bytesUp: 0, bytesDown: 0, endedBy: 'client' })
    return undefined
  }
  if (!connected.ok) return connected.error
  const peer = parseIp(connected.value.remoteAddress ?? '')
  exchange.parentProxy = context.dialer.parentOf.get(connected.value)
  if (peer !== undefined) exchange.address = { ip: peer, port: connected.value.remotePort ?? 0 }
  return connected.value
}

type UpgradeAnswer =
  | { readonly kind: 'switched'; readonly message: IncomingMessage; readonly origin: Socket; readonly head: Buffer }
  | { readonly kind: 'refused'; readonly message: IncomingMessage }
  | { readonly kind: 'failed'; readonly refusal: Refusal }

const WRONG_SWITCH: Refusal = { reason: 'origin_protocol_error', detail: 'the origin switched to another protocol' }

function offerUpgrade(
  context: ProxyContext,
  exchange: Exchange,
  req: IncomingMessage,
  plan: ForwardPlan,
  origin: Socket,
): Promise<UpgradeAnswer> {
  const fields = requestFields({
    ...plan,
    rawHeaders: req.rawHeaders,
    httpVersion: req.httpVersion,
    via: context.via,
    upgrade: 'websocket',
  })
  return new Promise((resolve) => {
    const { socket } = exchange.connection
    let answered = false
    const outgoing = httpRequest({
      createConnection: () => origin,
      method: 'GET',
      path: plan.pathAndQuery,
      headers: fields.flat(),
      setHost: false,
    })
    const fail = (refusal: Refusal) => {
      answered = true
      outgoing.destroy()
      resolve({ kind: 'failed', refusal })
    }
    outgoing.setTimeout(exchange.limits.originSeconds * 1000, () =>
      fail({ reason: 'origin_timeout', detail: 'the origin sent nothing for too long' }),
    )
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      fail({ reason: 'origin_protocol_error', detail: error.code ?? error.message }),
    )
    outgoing.on('response', (message) => {
      // A 101 that does not say to what is no answer that may be passed on: the client would take it for the switch.
      if (message.statusCode === 101) return fail(WRONG_SWITCH)
      answered = true
      resolve({ kind: 'refused', message })
    })
    outgoing.on('upgrade', (message, _socket, head) => {
      if (message.headers.upgrade?.toLowerCase() !== 'websocket') return fail(WRONG_SWITCH)
      answered = true
      // `createConnection` above made it, so it is that socket.
      resolve({ kind: 'switched', message, origin, head })
    })
    // A client that ends its side before it is answered has gone. What was answered has another owner.
    const onGone = () => {
      if (answered) return
      socket.destroy()
      outgoing.destroy()
    }
    socket.once('close', onGone)
    socket.once('end', onGone)
    outgoing.end()
  })
}

/** The origin would not switch: its answer is the connection's last, and its end is the answer's. */
function passOn(exchange: Exchange, socket: Socket, message: IncomingMessage, via: string): Promise<void> {
  exchange.allowed()
  const { bytesWritten } = socket
  const fields: Field[] = [...responseFields(message.rawHeaders, message.httpVersion, via), ['Connection', 'close']]
  socket.write(formatHead(message, fields))
  message.pipe(socket, { end: false })
  return new Promise((resolve) => {
    message.once('close', () => {
      if (message.complete) endAndLinger(socket, '')
      else breakOff(socket)
    })
    socket.once('close', () => {
      message.destroy()
      exchange.served({ bytesUp: 0, bytesDown: socket.bytesWritten - bytesWritten })
      resolve()
    })
    // Read on, so that a client that goes away is noticed.
    socket.resume()
  })
}

function carry(
  context: ProxyContext,
  exchange: Exchange,
  socket: Socket,
  { message, origin, head }: Extract<UpgradeAnswer, { kind: 'switched' }>,
  held: HeldBytes,
  narrowings: ForwardPlan['narrowings'],
): void {
  const { limits } = exchange
  exchange.allowed()
  const fields: Field[] = [
    ...responseFields(message.rawHeaders, message.httpVersion, context.via),
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
  ]
  socket.write(formatHead(message, fields))
  origin.setTimeout(0)
  const relay = context.relay.start(socket, origin, {
    initialUp: held.release(),
    initialDown: head,
    idleMs: limits.tunnelIdleSeconds * 1000,
    lifetimeMs: lifetimeMs(limits, narrowings),
  })
  new CarriedTunnel(context, exchange, relay, true)
}

function formatHead({ statusCode, statusMessage }: IncomingMessage, fields: readonly Field[]): Buffer {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines.join('')}\r\n`, 'latin1')
}
