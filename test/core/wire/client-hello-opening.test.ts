import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readClientHello } from '../../../src/core/wire/client-hello.ts'
import { classifyOpening } from '../../../src/core/wire/tls-opening.ts'
import { CAPTURED } from './hellos/captured.ts'

const FIXED = { seed: 20210729, numRuns: 2_000 }
const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

describe('classifyOpening', () => {
  const cases = [
    { text: '', opening: 'undecided', because: 'nothing has been said' },
    { text: '\x16', opening: 'undecided', because: 'one byte is too little for TLS' },
    { text: '\x16\x03', opening: 'tls', because: 'a handshake record begins so' },
    { text: '\x16\x02', opening: 'other', because: 'no TLS has major version 2' },
    { text: '\x15\x03', opening: 'other', because: 'an alert opens nothing' },
    { text: '\x80\x2e\x01\x03', opening: 'other', because: 'SSLv2 is not spoken' },
    { text: 'GET / HTTP/1.1\r\n', opening: 'http', because: 'a path follows the method' },
    { text: 'GET /', opening: 'http', because: 'that much is enough' },
    { text: 'GET ', opening: 'undecided', because: 'Redis begins so too' },
    { text: 'GET key\r\n', opening: 'other', because: 'that is Redis' },
    { text: 'GE', opening: 'undecided', because: 'a method may still come of it' },
    { text: 'VERSION-CONTROL /', opening: 'http', because: 'registered methods hold hyphens' },
    { text: 'GET http://a.example/', opening: 'http', because: 'absolute targets are HTTP' },
    { text: 'GET HTTPS://a.example/', opening: 'http', because: 'schemes ignore case' },
    { text: 'GET htt', opening: 'undecided', because: 'a scheme may still come of it' },
    { text: 'GET http:/x', opening: 'other', because: 'it did not' },
    { text: 'OPTIONS * HTTP/1.1', opening: 'http', because: '`*` is a target' },
    { text: 'PRI * HTTP/2.0\r\n', opening: 'http', because: 'the preface of h2 is a request line' },
    { text: 'CONNECT a.example:443', opening: 'http', because: "CONNECT's target is an authority" },
    { text: 'CONNECT [::1]:443', opening: 'http', because: 'also in brackets' },
    { text: 'CONNECT ', opening: 'undecided', because: 'the target is to come' },
    { text: 'EHLO mail.example\r\n', opening: 'other', because: 'SMTP takes a name there' },
    { text: 'EHLO h', opening: 'undecided', because: 'a name may begin like a scheme' },
    { text: 'SSH-2.0-OpenSSH_9.2\r\n', opening: 'other', because: 'no method holds a digit' },
    { text: 'SSH-', opening: 'undecided', because: 'so far it could be a method' },
    { text: 'get / HTTP/1.1', opening: 'other', because: 'methods are upper case' },
    { text: 'GET\r\n', opening: 'other', because: 'a method ends in a space' },
    { text: ' GET /', opening: 'other', because: 'a method comes first' },
    { text: '\r\nGET /', opening: 'other', because: 'no client sends an empty line first' },
    { text: 'A'.repeat(24), opening: 'undecided', because: 'no method is longer' },
    { text: 'A'.repeat(25), opening: 'other', because: 'this one is' },
    { text: '\x00\x00', opening: 'other', because: 'binary protocols are neither' },
  ] as const
  for (const { text, opening, because } of cases)
    it(`says ${opening} to ${JSON.stringify(text)}: ${because}`, () => expect(classifyOpening(latin1(text))).toBe(opening))

  it('says tls to every captured hello from its second byte on', () => {
    for (const { name, bytes } of CAPTURED) {
      expect(classifyOpening(bytes.subarray(0, 1)), name).toBe('undecided')
      expect(classifyOpening(bytes.subarray(0, 2)), name).toBe('tls')
      expect(classifyOpening(bytes), name).toBe('tls')
    }
  })

  const words = fc.constantFrom(
    '\x16',
    '\x03',
    'GET',
    'CONNECT',
    ' ',
    '/',
    '*',
    'http',
    '://',
    's',
    'A',
    'z',
    '-',
    '\r\n',
    '\x80',
  )
  const openings = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.array(words, { maxLength: 12 }).map((parts) => latin1(parts.join(''))),
  )

  it('keeps a decided answer whatever follows', () => {
    fc.assert(
      fc.property(openings, (bytes) => {
        const whole = classifyOpening(bytes)
        for (let cut = 0; cut < bytes.length; cut++)
          expect(['undecided', whole]).toContain(classifyOpening(bytes.subarray(0, cut)))
      }),
      FIXED,
    )
  })

  it('agrees with readClientHello on what is not TLS', () => {
    fc.assert(
      fc.property(openings, (bytes) => {
        const opening = classifyOpening(bytes)
        const notTls = readClientHello(bytes).kind === 'not_tls'
        if (opening === 'tls') expect(notTls).toBe(false)
        if (opening === 'http' || opening === 'other') expect(notTls).toBe(true)
      }),
      FIXED,
    )
  })
})
