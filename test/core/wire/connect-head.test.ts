import { describe, expect, it } from 'vitest'
import { readPlainConnect } from '../../../src/core/wire/connect-head.ts'

const HEAD = 'CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\nUser-Agent: curl/8\r\n\r\n'

describe('the head of a plain CONNECT', () => {
  it('is its target, its version and its fields, and says where it ends', () => {
    expect(readPlainConnect(`${HEAD}\x16\x03\x01`)).toEqual({
      head: {
        method: 'CONNECT',
        target: 'pypi.org:443',
        httpVersion: '1.1',
        rawHeaders: ['Host', 'pypi.org:443', 'User-Agent', 'curl/8'],
      },
      length: HEAD.length,
    })
  })

  const plain = [
    { head: 'CONNECT pypi.org:443 HTTP/1.0\r\n\r\n', because: 'HTTP/1.0 has no Host' },
    { head: 'CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n', because: 'IPv6 is written in brackets' },
    { head: 'CONNECT pypi.org HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', because: 'what is wrong with it is for the rules to say' },
    {
      head: 'CONNECT pypi.org:443 HTTP/1.1\r\nHost:pypi.org\r\nEmpty:\r\n\r\n',
      because: 'blanks round a value are no part of it',
    },
    { head: 'CONNECT a:1 HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\n\r\n', because: 'curl and others send that' },
  ] as const
  for (const { head, because } of plain)
    it(`is read: ${JSON.stringify(head)}: ${because}`, () => expect(readPlainConnect(head)?.length).toBe(head.length))

  const others = [
    { head: 'GET http://pypi.org/ HTTP/1.1\r\n\r\n', because: 'it is no CONNECT' },
    { head: 'connect pypi.org:443 HTTP/1.1\r\n\r\n', because: 'methods are case-sensitive' },
    { head: 'CONNECT  pypi.org:443 HTTP/1.1\r\n\r\n', because: 'two blanks' },
    { head: 'CONNECT pypi.org:443 HTTP/2.0\r\n\r\n', because: 'another version' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1 \r\n\r\n', because: 'a blank behind the version' },
    { head: 'CONNECT pypi.org:443/x HTTP/1.1\r\n\r\n', because: 'a path' },
    { head: 'CONNECT user@pypi.org:443 HTTP/1.1\r\n\r\n', because: 'user information' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\n\n', because: 'lines end in CRLF' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA: b\n\r\n', because: 'every line does' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA: b\r\n c\r\n\r\n', because: 'a folded field' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA : b\r\n\r\n', because: 'a blank before the colon' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA\r\n\r\n', because: 'no colon' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA: \tb\r\n\r\n', because: 'a tab' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA: \x00\r\n\r\n', because: 'a control character' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nA: \xe9\r\n\r\n', because: 'a byte outside ASCII' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n', because: 'framing' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n', because: 'framing' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nExpect: 100-continue\r\n\r\n', because: 'an expectation' },
    { head: 'CONNECT pypi.org:443 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n', because: 'an upgrade' },
    { head: '\r\nCONNECT pypi.org:443 HTTP/1.1\r\n\r\n', because: 'an empty line in front' },
  ] as const
  for (const { head, because } of others)
    it(`is left to the full parser: ${JSON.stringify(head)}: ${because}`, () => expect(readPlainConnect(head)).toBeUndefined())

  it('is nothing before its last byte', () => {
    for (let cut = 0; cut < HEAD.length; cut++) expect(readPlainConnect(HEAD.slice(0, cut)), `cut at ${cut}`).toBeUndefined()
  })
})
