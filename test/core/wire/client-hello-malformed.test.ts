import { describe, expect, it } from 'vitest'
import { HelloReader, MAX_HELLO_BYTES, readClientHello } from '../../../src/core/wire/client-hello.ts'
import { MAX_HELLO_RECORDS } from '../../../src/core/wire/tls-handshake.ts'
import * as build from './hellos/build.ts'

const { alpn, ascii, extension, handshake, hello, helloBody, helloWith, messageOfLength, nameEntry, record, records } = build
const { serverName, uint16, vector16, vector8, versions, zeros } = build

const message = handshake(helloBody())
const bytesOf = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat())

describe('a malformed hello is refused', () => {
  const sni = (content: readonly number[]): Uint8Array => helloWith(extension(0, content))
  const name = nameEntry('a.example')
  const long = record([])
  const cases: { bytes: Uint8Array; why: string; because: string }[] = [
    { bytes: bytesOf([22, 3, 0]), why: 'record version', because: 'SSL 3.0 is dead (RFC 7568)' },
    { bytes: bytesOf([22, 3, 4]), why: 'record version', because: 'TLS 1.3 records say 0x0303' },
    { bytes: bytesOf(long), why: 'a record is empty', because: 'empty handshake fragments are forbidden' },
    {
      bytes: bytesOf(record(message.slice(0, 9)), long, record(message.slice(9))),
      why: 'a record is empty',
      because: 'in the middle too',
    },
    { bytes: bytesOf([22, 3, 1, 0x40, 0x01]), why: 'longer than 16384', because: 'one byte above the longest fragment' },
    {
      bytes: bytesOf(record(message.slice(0, 9)), record([1, 0], 21), record(message.slice(9))),
      why: 'another kind of record',
      because: 'an alert may not stand inside a message',
    },
    {
      bytes: bytesOf(record(message.slice(0, 9)), record([1], 20), record(message.slice(9))),
      why: 'another kind of record',
      because: 'nor change_cipher_spec',
    },
    {
      bytes: bytesOf(record(message.slice(0, 9)), [22, 2]),
      why: 'changes the major version',
      because: 'later records are TLS too',
    },
    { bytes: bytesOf(record(message.slice(0, 9)), [22, 3, 4]), why: 'record version', because: 'and of a known version' },
    { bytes: bytesOf(record([2])), why: 'not a ClientHello', because: 'a ServerHello comes from the other side' },
    { bytes: bytesOf(record([0, 0, 0, 0])), why: 'not a ClientHello', because: 'a HelloRequest too' },
    {
      bytes: bytesOf(record([...message, 0])),
      why: 'something follows the ClientHello',
      because: 'one more byte in the record begins another message',
    },
    {
      bytes: bytesOf(record([...message, ...message])),
      why: 'something follows the ClientHello',
      because: 'a second hello could name another host',
    },
    {
      bytes: bytesOf(record(message.slice(0, 2)), record([...message.slice(2), 0])),
      why: 'something follows the ClientHello',
      because: 'also when the handshake header is split',
    },
    { bytes: bytesOf(record(handshake([]))), why: 'ends before its extensions', because: 'an empty hello says nothing' },
    {
      bytes: bytesOf(record(handshake(helloBody({ extensions: [] }).slice(0, -1)))),
      why: 'ends before its extensions',
      because: 'the compression methods are cut',
    },
    { bytes: hello({ version: [0xfe, 0xfd] }), why: 'not for TLS', because: 'DTLS inside a TLS record' },
    { bytes: hello({ version: [2, 0] }), why: 'not for TLS', because: 'SSL 2.0 inside a TLS record' },
    { bytes: hello({ sessionId: vector8(zeros(33)) }), why: 'session id', because: 'one byte above the longest session id' },
    { bytes: hello({ cipherSuites: vector16([]) }), why: 'cipher suites', because: 'a hello offers at least one' },
    { bytes: hello({ cipherSuites: vector16([0x13, 1, 0]) }), why: 'cipher suites', because: 'a cipher suite has two bytes' },
    { bytes: hello({ compression: vector8([]) }), why: 'compression', because: 'null is always offered' },
    { bytes: hello({ extensions: [0] }), why: 'extensions run past', because: 'half a length' },
    {
      bytes: hello({ extensions: [...uint16(19), ...serverName('a.example')] }),
      why: 'extensions run past',
      because: 'the block says one byte too many',
    },
    {
      bytes: hello({ extensions: [...uint16(17), ...serverName('a.example')] }),
      why: 'something follows the extensions',
      because: 'the block says one byte too few',
    },
    {
      bytes: hello({ extensions: [...vector16(serverName('a.example')), 0] }),
      why: 'something follows the extensions',
      because: 'a byte is left over',
    },
    {
      bytes: helloWith(serverName('a.example'), [0, 1, 0]),
      why: 'an extension runs past',
      because: 'the last extension has half a length',
    },
    {
      bytes: helloWith(serverName('a.example'), [0, 1, 0, 1]),
      why: 'an extension runs past',
      because: 'the last extension has no content',
    },
    {
      bytes: helloWith(serverName('a.example'), serverName('b.example')),
      why: 'occurs twice',
      because: 'two server_name extensions (RFC 8446 section 4.2)',
    },
    {
      bytes: helloWith(serverName('a.example'), extension(0x0a0a, []), extension(0x0a0a, [])),
      why: 'occurs twice',
      because: 'the rule holds for GREASE too',
    },
    {
      bytes: helloWith(extension(99, []), serverName('a.example'), extension(99, [])),
      why: 'occurs twice',
      because: 'and for unknown ones',
    },
    { bytes: sni([]), why: 'server names run past', because: 'an empty server_name is what servers send, never clients' },
    { bytes: sni([0]), why: 'server names run past', because: 'half a list length' },
    { bytes: sni(vector16([])), why: 'list of server names is empty', because: 'a list has at least one name' },
    { bytes: sni([...vector16(name), 0]), why: 'something follows the server names', because: 'a byte after the list' },
    {
      bytes: sni([...uint16(name.length - 1), ...name]),
      why: 'something follows the server names',
      because: 'the list says one byte too few',
    },
    {
      bytes: sni([...uint16(name.length + 1), ...name]),
      why: 'server names run past',
      because: 'the list says one byte too many',
    },
    {
      bytes: sni(vector16([0, ...uint16(10), ...ascii('a.example')])),
      why: 'a server name runs past',
      because: 'the name says one byte too many',
    },
    {
      bytes: sni(vector16([0, ...uint16(8), ...ascii('a.example')])),
      why: 'a server name runs past',
      because: 'the name says one byte too few, and `e` begins no name',
    },
    { bytes: sni(vector16([0])), why: 'a server name runs past', because: 'a type without a name' },
    { bytes: sni(vector16(nameEntry(''))), why: 'a server name is empty', because: 'an empty name names nothing' },
    { bytes: sni(vector16([...name, ...nameEntry('')])), why: 'a server name is empty', because: 'behind a good one too' },
    { bytes: helloWith(extension(16, [])), why: 'ALPN names run past', because: 'ALPN without a list' },
    {
      bytes: helloWith(extension(16, vector16([]))),
      why: 'list of ALPN names is empty',
      because: 'a list has at least one name',
    },
    { bytes: helloWith(alpn('')), why: 'an ALPN name is empty', because: 'empty names are forbidden (RFC 7301 section 3.1)' },
    {
      bytes: helloWith(extension(16, vector16([3, ...ascii('h2')]))),
      why: 'an ALPN name runs past',
      because: 'the name says one byte too many',
    },
    {
      bytes: helloWith(extension(16, [...vector16([2, ...ascii('h2')]), 0])),
      why: 'something follows the ALPN names',
      because: 'a byte after the list',
    },
    { bytes: helloWith(versions()), why: 'supported versions', because: 'a list has at least one version' },
    { bytes: helloWith(extension(43, vector8([3, 4, 3]))), why: 'supported versions', because: 'a version has two bytes' },
    { bytes: helloWith(extension(43, [2, 3])), why: 'supported versions run past', because: 'the list says one byte too many' },
    {
      bytes: helloWith(extension(43, [2, 3, 4, 0])),
      why: 'something follows the supported versions',
      because: 'a byte after the list',
    },
    { bytes: records(messageOfLength(MAX_HELLO_BYTES - 19)), why: 'longer than 65536', because: 'one byte above the limit' },
    { bytes: records(messageOfLength(MAX_HELLO_BYTES - 100), 1_000), why: 'longer than 65536', because: 'record headers count' },
    {
      bytes: bytesOf([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]),
      why: 'longer than 65536',
      because: 'a length of 16 MB is refused when announced',
    },
    { bytes: records(messageOfLength(MAX_HELLO_RECORDS + 1), 1), why: 'more than 4096 records', because: 'one record too many' },
  ]
  for (const { bytes, why, because } of cases)
    it(`when ${because}`, () => {
      const reading = readClientHello(bytes)
      expect(reading).toEqual({ kind: 'malformed', why: expect.stringContaining(why) })
      const reader = new HelloReader()
      let dribbled = reader.push(new Uint8Array(0))
      for (const byte of bytes) dribbled = reader.push(Uint8Array.of(byte))
      expect(dribbled, 'byte by byte').toEqual(reading)
    })

  it('on the byte that makes it so, without waiting for the rest', () => {
    const early: { bytes: Uint8Array; because: string }[] = [
      { bytes: bytesOf([22, 3, 1, 2, 0, 2]), because: 'the handshake type' },
      { bytes: bytesOf([22, 3, 1, 0, 0]), because: 'the record length' },
      { bytes: bytesOf([22, 3, 1, 0, 60, 1, 0, 0, 40]), because: 'the handshake length, shorter than its record' },
    ]
    for (const { bytes, because } of early) {
      expect(readClientHello(bytes), because).toMatchObject({ kind: 'malformed' })
      expect(readClientHello(bytes.subarray(0, -1)), because).toEqual({ kind: 'incomplete' })
    }
  })
})
