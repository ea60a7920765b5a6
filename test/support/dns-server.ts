import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'

/** A record of a scripted answer: an address of its family, or another name. */
export interface DnsRecord {
  readonly type: 'A' | 'AAAA' | 'CNAME'
  readonly value: string
  /** Seconds. */
  readonly ttl?: number
  /** The name it is for; by default the one asked for. */
  readonly owner?: string
}

/** What the server does with a question. */
export type DnsReply =
  | { readonly kind: 'records'; readonly records: readonly DnsRecord[] }
  | { readonly kind: 'nxdomain' }
  | { readonly kind: 'servfail' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'silence' }

export interface DnsQuestion {
  readonly name: string
  readonly type: 'A' | 'AAAA' | 'other'
}

export type DnsScript = (question: DnsQuestion, nth: number) => DnsReply

const TYPE_NUMBERS = { A: 1, CNAME: 5, AAAA: 28 } as const
const RCODES = { records: 0, servfail: 2, nxdomain: 3, refused: 5 } as const
const CLASS_IN = 1

/**
 * A small authoritative name server on UDP (RFC 1035): it answers from a script and remembers every question. It is a real
 * server, so that what is tested is the resolver on the wire.
 */
export class DnsServer {
  readonly #socket: Socket
  readonly #script: DnsScript
  readonly questions: DnsQuestion[] = []

  private constructor(socket: Socket, script: DnsScript) {
    this.#socket = socket
    this.#script = script
    socket.on('message', (message, from) => this.#answer(message, from))
  }

  /** @param script called with the question, and with how often this name and type were asked before */
  static async start(script: DnsScript): Promise<DnsServer> {
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
    return new DnsServer(socket, script)
  }

  /** A server with fixed addresses by name; a name it does not have does not exist. */
  static of(names: Readonly<Record<string, readonly string[]>>, ttl = 60): Promise<DnsServer> {
    return DnsServer.start(({ name, type }) => {
      const addresses = names[name]
      if (addresses === undefined) return { kind: 'nxdomain' }
      return addressRecords(addresses, type, ttl)
    })
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** As the config file wants it. */
  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** How often a name was asked for. */
  count(name: string, type?: DnsQuestion['type']): number {
    return this.questions.filter((question) => question.name === name && (type === undefined || question.type === type)).length
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()))
  }

  #answer(message: Buffer, from: RemoteInfo): void {
    const { name, type, end } = readQuestion(message)
    const nth = this.count(name, type)
    this.questions.push({ name, type })
    const reply = this.#script({ name, type }, nth)
    if (reply.kind === 'silence') return
    const records = reply.kind === 'records' ? reply.records : []
    const header = Buffer.alloc(12)
    message.copy(header, 0, 0, 2)
    // A response, authoritative, recursion desired and available.
    header.writeUInt16BE(0x8580 | RCODES[reply.kind], 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    const body = records.map((record) => encodeRecord(record, name))
    this.#socket.send(Buffer.concat([header, message.subarray(12, end), ...body]), from.port, from.address)
  }
}

/** The records for those of the addresses that are of the family asked for. */
export function addressRecords(addresses: readonly string[], type: DnsQuestion['type'], ttl = 60): DnsReply {
  const records = addresses
    .map((value): DnsRecord => ({ type: value.includes(':') ? 'AAAA' : 'A', value, ttl }))
    .filter((record) => record.type === type)
  return { kind: 'records', records }
}

function readQuestion(message: Buffer): DnsQuestion & { readonly end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const number = message.readUInt16BE(at + 1)
  const type = number === TYPE_NUMBERS.A ? 'A' : number === TYPE_NUMBERS.AAAA ? 'AAAA' : 'other'
  // c-ares mixes the case of what it asks (DNS 0x20); names are compared without it.
  return { name: labels.join('.').toLowerCase(), type, end: at + 5 }
}

function encodeRecord({ type, value, ttl = 60, owner }: DnsRecord, asked: string): Buffer {
  const data = type === 'CNAME' ? encodeName(value) : type === 'A' ? encodeIpv4(value) : encodeIpv6(value)
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(TYPE_NUMBERS[type], 0)
  fixed.writeUInt16BE(CLASS_IN, 2)
  fixed.writeUInt32BE(ttl, 4)
  fixed.writeUInt16BE(data.length, 8)
  // Without an owner of its own, a pointer to the question.
  const name = owner === undefined || owner === asked ? Buffer.from([0xc0, 0x0c]) : encodeName(owner)
  return Buffer.concat([name, fixed, data])
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')]))
  return Buffer.concat([...labels, Buffer.from([0])])
}

function encodeIpv4(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number))
}

function encodeIpv6(text: string): Buffer {
  const [left = '', right] = text.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const zeros = right === undefined ? [] : Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return Buffer.from(
    [...head, ...zeros, ...tail].flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]),
  )
}
