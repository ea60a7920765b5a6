import { ANSWER_HEAD_BYTES, type AnswerHead, readAnswerHead } from '../../core/wire/answer-head.ts'
import { ChunkedBody } from '../../core/wire/chunked-body.ts'
import { type Field, requestFields, responseFields } from '../../core/wire/fields.ts'
import type { RequestHead } from '../../core/wire/request-head.ts'
import { Caller, type Destination } from './dial.ts'
import type { Exchange, Refusal } from './exchange.ts'
import { MAX_INTERIM_ANSWERS, mayUseKept, UNASKED_SWITCH } from './forward.ts'
import { admitForward, type ForwardPlan, locateForward } from './forward-plan.ts'
import { connectOrigin } from './origin-connector.ts'
import type { OriginAgent } from './origin-pool.ts'
import { type OriginUser, PlainOrigin } from './plain-origin.ts'
import type { ProxyContext } from './proxy-context.ts'

/** The client's side of a plain request: where its answer goes. */
export interface PlainAsker {
  readonly gone: boolean
  refuse(refusal: Refusal): void
  /**
   * The first bytes of an answer.
   *
   * @param onOut called once they are out, where the answer is complete with them
   * @returns false where no more should come until `onDrain`
   */
  begin(head: PlainAnswer, body: Buffer, onOut?: () => void): boolean
  /** More of it; likewise. */
  write(bytes: Buffer, onOut?: () => void): boolean
  /** Breaks the answer off, visibly. */
  abort(): void
  /** A fault of ours. */
  fail(error: unknown): void
}

export interface PlainAnswer {
  readonly status: number
  readonly reasonPhrase: string
  readonly fields: readonly Field[]
  readonly isChunked: boolean
}

const NOTHING = Buffer.alloc(0)
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1')
const CRLF = Buffer.from('\r\n', 'latin1')

/**
 * One plain request: without a body, so that it can be sent again, on a connection of its own or a kept one, and its answer relayed piece
 * by piece as it is read. The rules are those of every forward; what is missing is Node's client and its streams.
 */
export class PlainForward implements OriginUser {
  readonly #context: ProxyContext
  readonly #exchange: Exchange
  readonly #head: RequestHead
  readonly #asker: PlainAsker
  #caller: Caller | undefined
  #hasLeft = false
  #plan: ForwardPlan | undefined
  #destination: Destination | undefined
  #agent: OriginAgent | undefined
  #origin: PlainOrigin | undefined
  /** Others have used the connection: it may have died unseen. */
  #isKept = false
  #bytesUp = 0
  #bytesDown = 0
  #interim = 0
  /** Of an answer's head that is not whole yet. */
  #early: Buffer | undefined
  #answer: AnswerHead | undefined
  #left = 0
  #chunks: ChunkedBody | undefined
  /** The whole answer has come. */
  #isComplete = false

  constructor(context: ProxyContext, exchange: Exchange, head: RequestHead, asker: PlainAsker) {
    this.#context = context
    this.#exchange = exchange
    this.#head = head
    this.#asker = asker
  }

  async run(): Promise<void> {
    const exchange = this.#exchange
    const admitted = admitForward(this.#context, exchange, this.#head)
    const plan = admitted instanceof Promise ? await admitted : admitted
    if (plan === undefined) return
    if (!plan.ok) return this.#refuse(plan.error)
    if (this.#hasLeft || this.#asker.gone) return this.#clientLeft()
    this.#plan = plan.value
    const deadline = this.#context.dialer.deadline()
    const located = await locateForward(this.#context, exchange, plan.value, deadline)
    if (exchange.settled) return
    if (!located.ok) return this.#refuse(located.error)
    this.#destination = located.value
    this.#agent = this.#context.pool.agentFor(exchange, plan.value, located.value)
    await this.#send(plan.value, located.value, this.#agent, deadline)
  }

  /** The client has gone, or the connection to it is broken. What is not judged yet still is: its line is to say what came of it. */
  leave(): void {
    this.#hasLeft = true
    if (this.#plan === undefined) return
    this.#caller?.leave()
    this.#origin?.destroy()
    this.#clientLeft()
  }

  /** Nothing more comes: what the client has not taken is all there is. */
  get isOver(): boolean {
    return this.#isComplete || this.#exchange.settled
  }

  /** The client takes more. */
  onDrain(): void {
    if (!this.#isComplete) this.#origin?.socket.resume()
  }

  async #send(plan: ForwardPlan, destination: Destination, agent: OriginAgent, deadline: number): Promise<void> {
    const exchange = this.#exchange
    let origin = agent.hasIdle && mayUseKept(exchange, this.#head, plan) ? agent.takePlain() : undefined
    this.#isKept = origin !== undefined
    if (origin === undefined) {
      const caller = new Caller()
      this.#caller = caller
      const connected = await connectOrigin(this.#context, exchange, destination, caller, deadline)
      this.#caller = undefined
      if (this.#asker.gone || exchange.settled) {
        if (connected.ok) connected.value.destroy()
        return this.#clientLeft()
      }
      if (!connected.ok) return this.#refuse(connected.error)
      origin = new PlainOrigin(connected.value)
    }
    this.#ask(origin, plan)
  }

  #ask(origin: PlainOrigin, plan: ForwardPlan): void {
    const { dialer, via } = this.#context
    const exchange = this.#exchange
    const { method, rawHeaders, httpVersion } = this.#head
    this.#origin = origin
    exchange.parentProxy = dialer.parentOf.get(origin.socket)
    exchange.address = origin.peer ?? exchange.address
    origin.serve(this, exchange.limits.originSeconds * 1000)
    let text = `${method} ${plan.pathAndQuery} HTTP/1.1\r\n`
    for (const [name, value] of requestFields({ ...plan, rawHeaders, httpVersion, via })) text += `${name}: ${value}\r\n`
    text += '\r\n'
    this.#bytesUp += text.length
    origin.socket.write(text, 'latin1')
  }

  onBytes(bytes: Buffer): void {
    this.#guard(() => {
      this.#bytesDown += bytes.length
      if (this.#answer !== undefined) return this.#relayBody(this.#answer, bytes, undefined)
      const early = this.#early
      if (early === undefined) this.#readHead(bytes)
      else this.#readHead(Buffer.concat([early, bytes]), Math.max(0, early.length - 3))
    })
  }

  onEnd(): void {
    this.#guard(() => {
      if (this.#answer?.framing.kind !== 'until_close') return this.#brokeOff(undefined)
      this.#complete(undefined, LAST_CHUNK)
    })
  }

  onLost(error: NodeJS.ErrnoException | undefined): void {
    this.#guard(() => this.#brokeOff(error))
  }

  onQuiet(): void {
    this.#guard(() => {
      if (this.#answer !== undefined) return this.#brokeOff(undefined)
      this.#drop()
      this.#refuse({ reason: 'origin_timeout', detail: 'the origin sent nothing for too long' })
    })
  }

  /** An unexpected error ends one request, never the process. */
  #guard(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#drop()
      this.#asker.fail(error)
    }
  }

  /** Interim answers may stand before the one that counts. @param from where its end was not found before */
  #readHead(bytes: Buffer, from = 0): void {
    this.#early = undefined
    const end = bytes.indexOf('\r\n\r\n', from, 'latin1')
    if (end < 0 && bytes.length <= ANSWER_HEAD_BYTES) {
      this.#early = bytes
      return
    }
    if (end < 0 || end > ANSWER_HEAD_BYTES) return this.#fault(`its head is longer than ${ANSWER_HEAD_BYTES} bytes`)
    const read = readAnswerHead(bytes.toString('latin1', 0, end + 4), this.#head.method)
    if (!read.ok) return this.#fault(read.error)
    const rest = bytes.subarray(end + 4)
    if (read.value.status >= 200) return this.#begin(read.value, rest)
    if (read.value.status === 101) {
      this.#drop()
      return this.#refuse(UNASKED_SWITCH)
    }
    if (++this.#interim > MAX_INTERIM_ANSWERS) return this.#fault('a flood of interim answers')
    this.#readHead(rest)
  }

  #begin(answer: AnswerHead, rest: Buffer): void {
    const { status, reasonPhrase, rawHeaders, httpVersion, framing } = answer
    this.#answer = answer
    if (framing.kind === 'length') this.#left = framing.bytes
    if (framing.kind === 'chunked') this.#chunks = new ChunkedBody()
    const told = responseFields(rawHeaders, httpVersion, this.#context.via)
    // RFC 9110 section 8.6: where there is no body there is no length, and a client that believed one would read on.
    const fields = status === 204 ? told.filter(([name]) => name.toLowerCase() !== 'content-length') : told
    const isChunked = framing.kind === 'chunked' || framing.kind === 'until_close'
    this.#relayBody(answer, rest, { status, reasonPhrase, fields, isChunked })
  }

  /** @param head not told to the client yet */
  #relayBody(answer: AnswerHead, bytes: Buffer, head: PlainAnswer | undefined): void {
    switch (answer.framing.kind) {
      case 'none':
        return this.#complete(head, NOTHING, bytes.length === 0)
      case 'length': {
        const taken = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes
        this.#left -= taken.length
        return this.#left === 0 ? this.#complete(head, taken, taken.length === bytes.length) : this.#pass(head, taken)
      }
      case 'chunked':
        return this.#relayChunks(bytes, head)
      default:
        return this.#pass(head, bytes.length === 0 ? bytes : asChunk([bytes], bytes.length))
    }
  }

  #relayChunks(bytes: Buffer, head: PlainAnswer | undefined): void {
    const parts: Uint8Array[] = []
    let length = 0
    const reading = this.#chunks?.push(bytes, (part) => {
      parts.push(part)
      length += part.length
    })
    if (typeof reading === 'object') return this.#malformedBody(head, reading.problem)
    const carried = length === 0 ? NOTHING : asChunk(parts, length)
    if (reading !== 'done') return this.#pass(head, carried)
    this.#complete(
      head,
      length === 0 ? LAST_CHUNK : Buffer.concat([carried, LAST_CHUNK]),
      this.#chunks?.consumed === bytes.length,
    )
  }

  #malformedBody(head: PlainAnswer | undefined, problem: string): void {
    if (head !== undefined) return this.#fault(problem)
    this.#exchange.note = problem
    this.#brokeOff(undefined)
  }

  #pass(head: PlainAnswer | undefined, bytes: Buffer): void {
    if (head === undefined && bytes.length === 0) return
    if (!this.#tell(head, bytes)) this.#origin?.socket.pause()
  }

  #tell(head: PlainAnswer | undefined, bytes: Buffer, onOut?: () => void): boolean {
    if (head === undefined) return this.#asker.write(bytes, onOut)
    this.#exchange.allowed()
    return this.#asker.begin(head, bytes, onOut)
  }

  /** @param isClean the connection has nothing behind the answer, and may carry another request */
  #complete(head: PlainAnswer | undefined, last: Buffer, isClean = false): void {
    this.#isComplete = true
    this.#letGo(isClean)
    const relayed = { bytesUp: this.#bytesUp, bytesDown: this.#bytesDown }
    const onOut = () => this.#exchange.served(this.#asker.gone ? { ...relayed, endedBy: 'client' } : relayed)
    this.#tell(head, last, onOut)
  }

  /** The connection goes back to the others, or ends. */
  #letGo(isClean: boolean): void {
    const origin = this.#origin
    this.#origin = undefined
    if (origin === undefined) return
    const { keepsAlive, keepAliveSeconds } = this.#answer ?? { keepsAlive: false }
    if (!isClean || !keepsAlive) origin.destroy()
    // A second before the origin ends it by itself, as Node does.
    else this.#agent?.keepPlain(origin, keepAliveSeconds === undefined ? undefined : (keepAliveSeconds - 1) * 1000)
  }

  /** The origin is gone before its answer was complete. */
  #brokeOff(error: NodeJS.ErrnoException | undefined): void {
    const hasSaidNothing = this.#bytesDown === 0
    this.#drop()
    if (this.#exchange.settled || this.#isComplete) return
    if (this.#answer !== undefined) {
      this.#exchange.served({ bytesUp: this.#bytesUp, bytesDown: this.#bytesDown, endedBy: 'origin' })
      return this.#asker.abort()
    }
    const wasDead = error === undefined || error.code === 'ECONNRESET' || error.code === 'EPIPE'
    if (this.#isKept && hasSaidNothing && wasDead) return this.#askAgain()
    this.#refuse({ reason: 'origin_protocol_error', detail: error?.code ?? 'the origin closed the connection without an answer' })
  }

  /** A kept connection had died unseen: a plain request changes nothing, and may be sent again. */
  #askAgain(): void {
    // The others that were kept are no younger.
    this.#agent?.closeIdle()
    const [plan, destination, agent] = [this.#plan, this.#destination, this.#agent]
    if (plan === undefined || destination === undefined || agent === undefined) throw new Error('a request that was never sent')
    this.#send(plan, destination, agent, this.#context.dialer.deadline()).catch((error: unknown) => this.#asker.fail(error))
  }

  #fault(detail: string): void {
    this.#drop()
    this.#refuse({ reason: 'origin_protocol_error', detail })
  }

  #drop(): void {
    const origin = this.#origin
    this.#origin = undefined
    origin?.serve(NOBODY, 0)
    origin?.destroy()
  }

  #refuse(refusal: Refusal): void {
    if (!this.#exchange.settled) this.#asker.refuse(refusal)
  }

  #clientLeft(): void {
    this.#exchange.served({ bytesUp: this.#bytesUp, bytesDown: this.#bytesDown, endedBy: 'client' })
  }
}

const NOBODY: OriginUser = { onBytes() {}, onEnd() {}, onLost() {}, onQuiet() {} }

function asChunk(parts: readonly Uint8Array[], length: number): Buffer {
  return Buffer.concat([Buffer.from(`${length.toString(16)}\r\n`, 'latin1'), ...parts, CRLF])
}
