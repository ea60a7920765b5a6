import { createServer } from 'node:net'
import { connect } from 'node:tls'
import { describe, expect, it } from 'vitest'
import {
  ACCESS_DENIED_ALERT,
  type ClientHello,
  HelloReader,
  MAX_HELLO_BYTES,
  readClientHello,
} from '../../../src/core/wire/client-hello.ts'
import { MAX_HELLO_RECORDS } from '../../../src/core/wire/tls-handshake.ts'
import * as build from './hellos/build.ts'

const {
  alpn,
  ascii,
  extension,
  handshake,
  hello,
  helloBody,
  helloWith,
  messageOfLength,
  nameEntry,
  record,
  records,
  serverName,
} = build
const { uint16, vector16, vector8, versions, zeros } = build

const message = handshake(helloBody())
const bytesOf = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat())
describe('a hello is read', () => {
  const cases: { bytes: Uint8Array; says: Partial<ClientHello>; because: string }[] = [
    { bytes: hello({ extensions: [] }), says: { serverNames: [] }, because: 'TLS 1.2 may leave out the extensions altogether' },
    { bytes: helloWith(), says: { serverNames: [] }, because: 'an empty extensions block is no fault' },
    { bytes: helloWith(serverName('a.example')), says: { serverNames: ['a.example'], length: 70 }, because: 'one name is usual' },
    {
      bytes: helloWith(serverName('a.example', 'b.example')),
      says: { serverNames: ['a.example', 'b.example'] },
      because: 'two names are for the judge',
    },
    {
      bytes: helloWith(serverName('a.example', 'a.example')),
      says: { serverNames: ['a.example', 'a.example'] },
      because: 'and a name twice too',
    },
    {
      bytes: helloWith(serverName('PyPI.org.')),
      says: { serverNames: ['PyPI.org.'] },
      because: 'case and trailing dot are kept',
    },
    {
      bytes: helloWith(serverName('a\0.example')),
      says: { serverNames: ['a\0.example'] },
      because: 'NUL is passed up, not cut at',
    },
    { bytes: helloWith(serverName('a%00\r\n*,')), says: { serverNames: ['a%00\r\n*,'] }, because: 'nothing is decoded' },
    {
      bytes: helloWith(serverName('m\xfcn.\xff\x80')),
      says: { serverNames: ['m\xfcn.\xff\x80'] },
      because: 'a byte is a character',
    },
    { bytes: helloWith(serverName('127.0.0.1')), says: { serverNames: ['127.0.0.1'] }, because: 'an address is for the judge' },
    {
      bytes: helloWith(serverName('a'.repeat(60_000))),
      says: { serverNames: ['a'.repeat(60_000)] },
      because: 'length is for the judge',
    },
    {
      bytes: helloWith(extension(0, vector16(nameEntry('x', 1)))),
      says: { serverNames: [], hasOtherNameTypes: true },
      because: 'name type 1 is unknown, and said so',
    },
    {
      bytes: helloWith(extension(0, vector16([...nameEntry('x', 7), ...nameEntry('a.example')]))),
      says: { serverNames: ['a.example'], hasOtherNameTypes: true },
      because: 'both kinds may stand in a list',
    },
    {
      bytes: helloWith(alpn('h2', '\x0a\x0a', 'http/1.1')),
      says: { alpn: ['h2', '\x0a\x0a', 'http/1.1'] },
      because: 'GREASE in ALPN is a name like any other',
    },
    {
      bytes: helloWith(versions(0x0a0a, 0x0304, 0x0303)),
      says: { supportedVersions: [0x0a0a, 0x0304, 0x0303] },
      because: 'GREASE in versions is a number',
    },
    {
      bytes: helloWith(extension(0x0a0a, []), extension(0xfafa, [0]), serverName('a.example')),
      says: { serverNames: ['a.example'] },
      because: 'two GREASE extensions differ',
    },
    {
      bytes: hello({ cipherSuites: vector16([0xda, 0xda, 0x13, 0x01]) }),
      says: { serverNames: ['a.example'] },
      because: 'GREASE in cipher suites is skipped',
    },
    {
      bytes: helloWith(extension(51, vector16([...uint16(0x2a2a), ...vector16([0])]))),
      says: {},
      because: 'GREASE in key shares is not looked at',
    },
    { bytes: helloWith(extension(0xfe0d, [0, 1, 2])), says: { ech: true }, because: 'real and GREASE ECH look alike' },
    { bytes: helloWith(extension(0xfe0d, [])), says: { ech: true }, because: 'an empty one counts: only presence does' },
    { bytes: helloWith(extension(0xfe0c, [0])), says: { ech: false }, because: 'a neighbour of the code point is not ECH' },
    { bytes: helloWith(extension(42, [])), says: { earlyData: true }, because: 'early data may follow' },
    {
      bytes: helloWith(extension(41, [1]), serverName('a.example')),
      says: { serverNames: ['a.example'] },
      because: "pre_shared_key out of place is the origin's affair",
    },
    { bytes: hello({ version: [3, 1] }), says: { serverNames: ['a.example'] }, because: "TLS 1.0 is the origin's affair" },
    {
      bytes: hello({ sessionId: vector8(zeros(32)) }),
      says: { serverNames: ['a.example'] },
      because: '32 bytes are the longest session id',
    },
    { bytes: bytesOf(record(message, 22, [3, 3])), says: { length: 70 }, because: 'JDK writes 0x0303 on the first record' },
    { bytes: bytesOf(record(message, 22, [3, 2])), says: { length: 70 }, because: '0x0302 lies between' },
    {
      bytes: bytesOf(record(message.slice(0, 9)), record(message.slice(9), 22, [3, 3])),
      says: { length: 75 },
      because: 'records may differ in version',
    },
    {
      bytes: bytesOf(record(message), record([1], 20), record(zeros(40), 23)),
      says: { length: 70 },
      because: 'later records are left alone',
    },
    { bytes: records(messageOfLength(20_000)), says: { length: 20_010 }, because: 'over 16 KB takes two records' },
    {
      bytes: records(messageOfLength(MAX_HELLO_BYTES - 20)),
      says: { length: MAX_HELLO_BYTES },
      because: 'the limit counts four record headers',
    },
    {
      bytes: records(messageOfLength(MAX_HELLO_RECORDS), 1),
      says: { length: 6 * MAX_HELLO_RECORDS },
      because: 'the most records of one byte',
    },
  ]
  for (const { bytes, says, because } of cases)
    it(`when ${because}`, () => expect(readClientHello(bytes)).toMatchObject({ kind: 'hello', hello: says }))
})

describe('what is not TLS is known at once', () => {
  const cases: { bytes: Uint8Array; because: string }[] = [
    { bytes: bytesOf(ascii('S')), because: 'SSH begins with text' },
    { bytes: bytesOf(ascii('G')), because: 'so does HTTP' },
    { bytes: bytesOf([0x80]), because: 'an SSLv2 hello has no record type' },
    { bytes: bytesOf([0x80, 0x2e, 0x01, 0x03, 0x01]), because: 'nor has one that offers TLS 1.0' },
    { bytes: bytesOf([0]), because: '0 begins no record' },
    { bytes: bytesOf([21]), because: 'an alert opens nothing' },
    { bytes: bytesOf([20, 3, 3, 0, 1, 1]), because: 'nor does change_cipher_spec' },
    { bytes: bytesOf([22, 0xfe, 0xff]), because: 'DTLS has another major version' },
    { bytes: bytesOf([22, 2]), because: 'the major version is 3 in every TLS' },
    { bytes: bytesOf([22, 4]), because: 'there is no TLS 4 on this wire' },
  ]
  for (const { bytes, because } of cases)
    it(`${because}: ${Buffer.from(bytes).toString('hex')}`, () =>
      expect(readClientHello(bytes)).toMatchObject({ kind: 'not_tls' }))
})

describe('HelloReader', () => {
  it('keeps its reading whatever follows', () => {
    const reader = new HelloReader()
    const first = reader.push(helloWith(serverName('a.example')))
    expect(reader.push(helloWith(serverName('b.example')))).toBe(first)
    const refused = new HelloReader()
    refused.push(bytesOf(ascii('S')))
    expect(refused.push(helloWith(serverName('a.example')))).toMatchObject({ kind: 'not_tls' })
  })

  it('takes empty pieces as nothing', () => {
    const reader = new HelloReader()
    expect(reader.push(new Uint8Array(0))).toEqual({ kind: 'incomplete' })
    reader.push(hello().subarray(0, 20))
    expect(reader.push(new Uint8Array(0))).toEqual({ kind: 'incomplete' })
    expect(reader.push(hello().subarray(20))).toMatchObject({ kind: 'hello' })
  })

  it('reads bytes that lie in the middle of a larger buffer', () => {
    const one = hello()
    const within = new Uint8Array(one.length + 20).fill(22)
    within.set(one, 7)
    expect(readClientHello(within.subarray(7, 7 + one.length))).toEqual(readClientHello(one))
  })
})

describe('ACCESS_DENIED_ALERT', () => {
  it('is understood by a TLS client that waits for a ServerHello', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      const reader = new HelloReader()
      socket.on('data', (piece) => {
        if (reader.push(piece).kind === 'hello') socket.end(ACCESS_DENIED_ALERT)
      })
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const failure = await new Promise<NodeJS.ErrnoException>((failed) =>
      connect({ port, host: '127.0.0.1', servername: 'a.example' }).once('error', failed),
    )
    await new Promise((closed) => server.close(closed))
    expect(failure.code).toBe('ERR_SSL_TLSV1_ALERT_ACCESS_DENIED')
  })
})
