import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ipv4FromValue, ipv6FromWords, parseIp } from '../../../src/core/names/ip.ts'
import {
  crc32c,
  MAX_V1_BYTES,
  MAX_V2_BYTES,
  ProxyHeaderReader,
  type ProxyHeaderReading,
  readProxyHeader,
} from '../../../src/core/wire/proxy-header.ts'
import { tlv, v2Header, withChecksum } from '../../support/proxy-header.ts'

const bytesOf = (text: string) => Buffer.from(text, 'latin1')
const source = (address: string, port: number) => ({ address: parseIp(address), port })

const FOUR = Buffer.from([10, 44, 0, 10, 10, 0, 0, 4, 0xc0, 0x01, 0x01, 0xbb])
const SIX = Buffer.concat([
  Buffer.from('fd440000000000000000000000000010', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from([0xc0, 0x01, 0x01, 0xbb]),
])

const GOOD: readonly (readonly [name: string, bytes: Buffer, read: object])[] = [
  ['version 1, IPv4', bytesOf('PROXY TCP4 10.44.0.10 10.0.0.4 49153 443\r\n'), { source: source('10.44.0.10', 49153) }],
  ['version 1, IPv6', bytesOf('PROXY TCP6 fd44::10 2001:db8::1 49153 443\r\n'), { source: source('fd44::10', 49153) }],
  [
    'version 1, IPv6 in full',
    bytesOf(`PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    { source: source('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65535) },
  ],
  ['version 1, unknown', bytesOf('PROXY UNKNOWN\r\n'), {}],
  ['version 1, unknown with what one might take for addresses', bytesOf('PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n'), {}],
  ['version 2, IPv4', v2Header(0x21, 0x11, FOUR), { source: source('10.44.0.10', 49153) }],
  ['version 2, IPv6', v2Header(0x21, 0x21, SIX), { source: source('fd44::10', 49153) }],
  ['version 2, LOCAL', v2Header(0x20, 0x00, Buffer.alloc(0)), {}],
  ['version 2, LOCAL, with addresses that do not count', v2Header(0x20, 0x11, FOUR), {}],
  ['version 2, a family that is not said', v2Header(0x21, 0x00, Buffer.alloc(0)), {}],
  [
    'version 2, TLVs that are of no interest',
    v2Header(0x21, 0x11, Buffer.concat([FOUR, tlv(0x01, bytesOf('h2')), tlv(0xea, Buffer.alloc(300))])),
    { source: source('10.44.0.10', 49153) },
  ],
  [
    'version 2, a checksum that matches',
    withChecksum(v2Header(0x21, 0x21, Buffer.concat([SIX, tlv(0x03, Buffer.alloc(4)), tlv(0x04, Buffer.alloc(2))]))),
    { source: source('fd44::10', 49153) },
  ],
]

const BAD: readonly (readonly [name: string, bytes: Buffer, why: string | RegExp])[] = [
  ['an HTTP request', bytesOf('GET / HTTP/1.1\r\n\r\n'), 'the connection does not begin with a PROXY header'],
  [
    'a request that begins with the same letter',
    bytesOf('POST / HTTP/1.1\r\n\r\n'),
    'the connection does not begin with a PROXY header',
  ],
  ['a ClientHello', Buffer.from([22, 3, 1, 2, 0, 1]), 'the connection does not begin with a PROXY header'],
  ['another case', bytesOf('proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), 'the connection does not begin with a PROXY header'],
  [
    'a signature with one byte changed',
    Buffer.from('0d0a0d0a000d0a515549540b2111000c', 'hex'),
    'the connection does not begin with a PROXY header',
  ],
  ['a bare LF', bytesOf('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n'), 'the line does not end in CR LF'],
  ['a CR inside', bytesOf('PROXY TCP4 1.2.3.4\r 5.6.7.8 1 2\r\n'), 'the line has a CR inside'],
  ['a NUL', bytesOf('PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n'), /not printable/],
  ['another family', bytesOf('PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n'), /neither TCP4, TCP6 nor UNKNOWN/],
  ['UNKNOWN that goes on', bytesOf('PROXY UNKNOWNS\r\n'), /neither TCP4, TCP6 nor UNKNOWN/],
  ['IPv6 said to be IPv4', bytesOf('PROXY TCP4 ::1 ::1 1 2\r\n'), /not one of the family/],
  ['IPv4 said to be IPv6', bytesOf('PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n'), /not one of the family/],
  ['an octal address', bytesOf('PROXY TCP4 010.0.0.1 5.6.7.8 1 2\r\n'), /not one of the family/],
  ['two spaces', bytesOf('PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n'), /not one of the family/],
  ['a zone', bytesOf('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'), /not one of the family/],
  ['a port too many', bytesOf('PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n'), /two ports/],
  ['a port too few', bytesOf('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n'), /two ports/],
  ['a port past the last', bytesOf('PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n'), /two ports/],
  ['a port with a leading zero', bytesOf('PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n'), /two ports/],
  ['a line without end', bytesOf(`PROXY UNKNOWN ${'x'.repeat(200)}`), 'the line is longer than 107 bytes'],
  ['version 3', v2Header(0x31, 0x11, FOUR), /version is not 2/],
  ['another command', v2Header(0x22, 0x11, FOUR), /neither LOCAL nor PROXY/],
  ['UDP', v2Header(0x21, 0x12, FOUR), 'the header is not for TCP'],
  ['a unix socket', v2Header(0x21, 0x31, Buffer.alloc(216)), 'the header is not for TCP'],
  ['addresses cut short', v2Header(0x21, 0x11, FOUR.subarray(0, 11)), /shorter than its addresses/],
  ['IPv4 addresses said to be IPv6', v2Header(0x21, 0x21, FOUR), /shorter than its addresses/],
  ['a TLV without a length', v2Header(0x21, 0x11, Buffer.concat([FOUR, Buffer.from([1, 0])])), /ends before its length/],
  ['a TLV past the end', v2Header(0x21, 0x11, Buffer.concat([FOUR, Buffer.from([1, 0, 9, 1])])), /runs past the header/],
  [
    'a checksum that does not match',
    v2Header(0x21, 0x11, Buffer.concat([FOUR, tlv(0x03, Buffer.from([1, 2, 3, 4]))])),
    /does not match/,
  ],
  ['a checksum of another length', v2Header(0x21, 0x11, Buffer.concat([FOUR, tlv(0x03, Buffer.alloc(8))])), /four bytes/],
  [
    'two checksums',
    withChecksum(v2Header(0x21, 0x11, Buffer.concat([FOUR, tlv(0x03, Buffer.alloc(4)), tlv(0x03, Buffer.alloc(4))]))),
    /checksum/,
  ],
  [
    'a length past what is taken',
    v2Header(0x21, 0x11, Buffer.concat([FOUR, Buffer.alloc(MAX_V2_BYTES)])),
    /longer than 4096 bytes/,
  ],
]

describe('a PROXY header', () => {
  for (const [name, bytes, read] of GOOD)
    it(`is read: ${name}`, () => {
      expect(readProxyHeader(bytes)).toEqual({ kind: 'header', length: bytes.length, ...read })
      const followed = Buffer.concat([bytes, bytesOf('\x16\x03\x01 and what the client says')])
      expect(readProxyHeader(followed)).toEqual({ kind: 'header', length: bytes.length, ...read })
    })

  for (const [name, bytes, why] of BAD)
    it(`is refused: ${name}`, () => {
      const reading = readProxyHeader(bytes)
      expect(reading).toEqual({ kind: 'malformed', why: expect.stringMatching(why) })
    })

  it('is cut anywhere without a change: every prefix is incomplete, and no more is taken than it needs', () => {
    for (const [name, bytes] of GOOD)
      for (let cut = 0; cut < bytes.length; cut++)
        expect(readProxyHeader(bytes.subarray(0, cut)), `${name} cut at ${cut}`).toEqual({ kind: 'incomplete' })
  })

  it('is refused on the same byte however it comes: once refused, whatever follows', () => {
    for (const [name, bytes] of BAD) {
      const whole = readProxyHeader(bytes)
      let first: ProxyHeaderReading | undefined
      for (let cut = 0; cut <= bytes.length && first === undefined; cut++) {
        const reading = readProxyHeader(bytes.subarray(0, cut))
        expect(reading.kind, `${name} cut at ${cut}`).not.toBe('header')
        if (reading.kind === 'malformed') first = reading
      }
      expect(first, name).toEqual(whole)
    }
  })

  it('comes to the same in pieces of any size', () => {
    fc.assert(
      fc.property(fc.constantFrom(...GOOD, ...BAD), fc.array(fc.integer({ min: 1, max: 40 })), ([, bytes], sizes) => {
        const reader = new ProxyHeaderReader()
        let reading: ProxyHeaderReading = { kind: 'incomplete' }
        for (let at = 0, n = 0; at < bytes.length && reading.kind === 'incomplete'; n++) {
          const end = at + (sizes[n % Math.max(sizes.length, 1)] ?? 1)
          reading = reader.push(bytes.subarray(at, end))
          at = end
        }
        expect(reading).toEqual(readProxyHeader(bytes))
      }),
    )
  })

  it('tells the address and port that were put into it, in either version', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff })
    const port = fc.integer({ min: 0, max: 65535 })
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), port, (words, number) => {
        const six = ipv6FromWords(words)
        const four = ipv4FromValue(words[0])
        const addresses = Buffer.alloc(36)
        for (const [index, value] of words.entries()) addresses.writeUInt32BE(value, 4 * index)
        addresses.writeUInt16BE(number, 32)
        expect(readProxyHeader(v2Header(0x21, 0x21, addresses))).toMatchObject({ source: { address: six, port: number } })
        const line = bytesOf(`PROXY TCP4 ${four.text} 192.0.2.1 ${number} 443\r\n`)
        expect(readProxyHeader(line)).toMatchObject({ source: { address: four, port: number } })
      }),
    )
  })

  it('never throws, and never asks for more than its bound', () => {
    const starts = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', '\r\n\r\n\0\r\nQUIT\n', '\r\n\r\n\0\r\nQUIT\n\x21\x11')
    fc.assert(
      fc.property(starts, fc.uint8Array({ maxLength: 64 }), (start, rest) => {
        const bytes = Buffer.concat([bytesOf(start), rest])
        const reading = readProxyHeader(bytes)
        if (reading.kind === 'header') expect(reading.length).toBeLessThanOrEqual(bytes.length)
        const longest = start.startsWith('P') ? MAX_V1_BYTES : MAX_V2_BYTES
        const filled = readProxyHeader(Buffer.concat([bytes, Buffer.alloc(longest, 0x41)]))
        expect(filled.kind).not.toBe('incomplete')
      }),
    )
  })
})

describe('CRC32c', () => {
  // RFC 3720 appendix B.4, and the check value of the catalogue of CRCs.
  it.each([
    ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
    ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
    ['123456789', bytesOf('123456789'), 0xe3069283],
  ])('of %s is as published', (_, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc)
  })
})
