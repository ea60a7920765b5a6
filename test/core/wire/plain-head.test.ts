import { describe, expect, it } from 'vitest'
import { mayWaitItsTurn, readPlainConnect, readPlainRequest } from '../../../src/core/wire/plain-head.ts'

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

describe('the head of a plain request', () => {
  const head = 'GET http://pypi.org/simple/?a=b HTTP/1.1\r\nHost: pypi.org\r\nAccept: \r\n\r\n'

  it('is its method, its target and its fields, and says where it ends', () => {
    expect(readPlainRequest(`${head}GET / HTTP/1.1\r\n`)).toEqual({
      head: {
        method: 'GET',
        target: 'http://pypi.org/simple/?a=b',
        httpVersion: '1.1',
        rawHeaders: ['Host', 'pypi.org', 'Accept', ''],
      },
      length: head.length,
    })
  })

  const plain = [
    { head: 'GET / HTTP/1.1\r\n\r\n', because: 'a missing Host is for the rules to say' },
    { head: 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', because: 'HEAD has no body either' },
    { head: 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', because: 'so are two of them' },
    { head: 'GET http://a.example:80/?q=%20#f HTTP/1.1\r\nHost: a\r\n\r\n', because: 'a target is judged elsewhere' },
    { head: 'GET / HTTP/1.1\r\nA:b\r\nB:   c  \r\nC:\r\n\r\n', because: 'blanks round a value are no part of it' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n', because: 'it says what holds anyway' },
    { head: 'GET / HTTP/1.1\r\nconnection:Keep-Alive \r\n\r\n', because: 'in any case' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: keep-alive\r\n\r\n', because: 'and as often as one likes' },
    { head: 'GET / HTTP/1.1\r\nX-Connection: close\r\nConnections: close\r\n\r\n', because: 'those fields are others' },
    { head: 'GET / HTTP/1.1\r\nX-Upgrade: a\r\nContent-Lengths: 5\r\n\r\n', because: 'as are these' },
    { head: 'GET / HTTP/1.1\r\nCookie: a=b\r\nAccept-Encoding: gzip\r\n\r\n', because: 'browsers send that' },
  ] as const
  for (const { head, because } of plain)
    it(`is read: ${JSON.stringify(head)}: ${because}`, () => expect(readPlainRequest(head)?.length).toBe(head.length))

  const others = [
    { head: 'POST / HTTP/1.1\r\n\r\n', because: 'POST may have a body' },
    { head: 'OPTIONS * HTTP/1.1\r\n\r\n', because: 'so may any other' },
    { head: 'CONNECT a:443 HTTP/1.1\r\n\r\n', because: 'CONNECT has a reader of its own' },
    { head: 'get / HTTP/1.1\r\n\r\n', because: 'methods are case-sensitive' },
    { head: 'GETS / HTTP/1.1\r\n\r\n', because: 'a near miss' },
    { head: 'GET / HTTP/1.0\r\n\r\n', because: 'the connection would not stay' },
    { head: 'GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\n', because: 'Node takes that for `Connection`' },
    { head: 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', because: 'nor does HTTP/1.0 know the answers of HTTP/1.1' },
    { head: 'GET / HTTP/2.0\r\n\r\n', because: 'another version' },
    { head: 'GET /\r\n\r\n', because: 'no version' },
    { head: 'GET  / HTTP/1.1\r\n\r\n', because: 'two blanks' },
    { head: 'GET\t/ HTTP/1.1\r\n\r\n', because: 'a tab' },
    { head: 'GET / HTTP/1.1 \r\n\r\n', because: 'a blank behind the version' },
    { head: 'GET  HTTP/1.1\r\n\r\n', because: 'no target' },
    { head: 'GET /a b HTTP/1.1\r\n\r\n', because: 'a blank in the target' },
    { head: 'GET /\xe9 HTTP/1.1\r\n\r\n', because: 'a byte outside ASCII in the target' },
    { head: 'GET /\x00 HTTP/1.1\r\n\r\n', because: 'a control character in the target' },
    { head: 'GET /\x7f HTTP/1.1\r\n\r\n', because: 'DEL is one too' },
    { head: '\r\nGET / HTTP/1.1\r\n\r\n', because: 'an empty line in front' },
    { head: ' GET / HTTP/1.1\r\n\r\n', because: 'a blank in front' },
    { head: 'GET / HTTP/1.1\n\n', because: 'lines end in CRLF' },
    { head: 'GET / HTTP/1.1\r\nA: b\n\r\n', because: 'every line does' },
    { head: 'GET / HTTP/1.1\r\nA: b\r\n\n', because: 'the empty one too' },
    { head: 'GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n', because: 'a folded field' },
    { head: 'GET / HTTP/1.1\r\nA : b\r\n\r\n', because: 'a blank before the colon' },
    { head: 'GET / HTTP/1.1\r\nA\r\n\r\n', because: 'no colon' },
    { head: 'GET / HTTP/1.1\r\n: b\r\n\r\n', because: 'no name' },
    { head: 'GET / HTTP/1.1\r\nA: \tb\r\n\r\n', because: 'a tab in a value' },
    { head: 'GET / HTTP/1.1\r\nA: \x00\r\n\r\n', because: 'a control character' },
    { head: 'GET / HTTP/1.1\r\nA: \xe9\r\n\r\n', because: 'a byte outside ASCII' },
    { head: 'GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n', because: 'framing, even of nothing' },
    { head: 'GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n', because: 'framing' },
    { head: 'GET / HTTP/1.1\r\nTrailer: a\r\n\r\n', because: 'trailers' },
    { head: 'GET / HTTP/1.1\r\nTE: trailers\r\n\r\n', because: 'what trailers are answered with' },
    { head: 'GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n', because: 'an expectation' },
    { head: 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n', because: 'an upgrade' },
    { head: 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', because: 'the connection ends' },
    { head: 'GET / HTTP/1.1\r\nCONNECTION: keep-alive, close\r\n\r\n', because: 'a list of options' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alive, x-a\r\n\r\n', because: 'an option that names a field' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alives\r\n\r\n', because: 'a near miss' },
    { head: 'GET / HTTP/1.1\r\nConnection:\r\n\r\n', because: 'an empty list' },
    { head: 'GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n', because: 'every field counts' },
    { head: 'GET / HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n', because: 'in either order' },
  ] as const
  for (const { head, because } of others)
    it(`is left to the full parser: ${JSON.stringify(head)}: ${because}`, () => expect(readPlainRequest(head)).toBeUndefined())

  it('is nothing before its last byte', () => {
    for (let cut = 0; cut < head.length; cut++) expect(readPlainRequest(head.slice(0, cut)), `cut at ${cut}`).toBeUndefined()
  })
})

describe('what comes before its turn', () => {
  const waits = [
    { text: 'GET / HTTP/1.1\r\n\r\n', because: 'the next request of a pipeline' },
    { text: 'GET / HTTP/1.0\r\nA: b\r\n\r\n', because: 'of either version' },
    { text: 'GET / HTTP/1.1\r\n\r\nCONNECT a:443 HTTP/1.1\r\n\r\n', because: 'what follows it is for its own turn' },
    { text: 'POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello', because: 'its body waits with it' },
    { text: 'PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n', because: 'as it would in chunks' },
    { text: 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', because: 'the connection ends only with its answer' },
    { text: 'GET / HTTP/1.1\r\nX-Upgrade: a\r\nHost: upgrade\r\n\r\n', because: 'that field is another' },
    { text: 'CONNECTS a:443 HTTP/1.1\r\n\r\n', because: 'that method is another' },
    { text: 'GET CONNECT HTTP/1.1\r\n\r\n', because: 'that is a target' },
    { text: '\r\nGET / HTTP/1.1\r\n\r\n', because: 'an empty line in front is overlooked' },
    { text: 'M-SEARCH * HTTP/1.1\r\n\r\n', because: 'methods have hyphens too' },
    { text: 'GET / HTTP/1.1\r\nA: \xe9\tb\r\n\r\n', because: 'it is the full parser’s to take or refuse' },
  ] as const
  for (const { text, because } of waits)
    it(`waits: ${JSON.stringify(text)}: ${because}`, () => expect(mayWaitItsTurn(text)).toBe(true))

  const mayNot = [
    { text: 'CONNECT a:443 HTTP/1.1\r\n\r\n', because: 'the connection would become a tunnel' },
    { text: 'CONNECT ', because: 'that much is enough' },
    { text: 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n', because: 'the connection would become something else' },
    { text: 'GET / HTTP/1.1\r\nA: b\r\nUPGRADE:\r\n\r\n', because: 'in upper case too, and to nothing' },
    { text: '\x16\x03\x01', because: 'TLS' },
    { text: 'get / HTTP/1.1\r\n\r\n', because: 'no method begins so' },
    { text: '\r\nCONNECT a:443 HTTP/1.1\r\n\r\n', because: 'an empty line hides nothing' },
    { text: ' ', because: 'a blank in front' },
    { text: 'GET / HTTP/2.0\r\n\r\n', because: 'another version' },
    { text: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', because: 'the preface of h2' },
    { text: 'GET  / HTTP/1.1\r\n\r\n', because: 'two blanks' },
    { text: 'GET /\xe9 HTTP/1.1\r\n\r\n', because: 'a byte outside ASCII' },
    { text: 'GET / HTTP/1.1\r\nA: \x00\r\n\r\n', because: 'a control character in a value' },
    { text: 'GET / HTTP/1.1\r\nA: b\r\n Upgrade: c\r\n\r\n', because: 'a folded field' },
    { text: 'GET / HTTP/1.1\r\nUpgrade : a\r\n\r\n', because: 'a blank before the colon' },
    { text: 'GET / HTTP/1.1\r\nA: b\nUpgrade: c\r\n\r\n', because: 'lines end in CRLF' },
    { text: 'GET / HTTP/1.1\n\r\n\r\n', because: 'the first one too' },
  ] as const
  for (const { text, because } of mayNot)
    it(`may not wait: ${JSON.stringify(text)}: ${because}`, () => expect(mayWaitItsTurn(text)).toBe(false))

  const undecided = [
    { text: '', because: 'nothing has come' },
    { text: '\r\n', because: 'an empty line is overlooked' },
    { text: 'G', because: 'a method may come of it' },
    { text: 'CONNECT', because: 'it may be a longer method' },
    { text: 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n', because: 'the head has not ended' },
    { text: 'GET / HTTP/1.1\r\n\r', because: 'one byte is missing' },
    { text: 'GET / HTTP/1.1\n\n', because: 'only CRLF ends a head' },
  ] as const
  for (const { text, because } of undecided)
    it(`cannot be told yet: ${JSON.stringify(text)}: ${because}`, () => expect(mayWaitItsTurn(text)).toBeUndefined())

  it('is told at the last byte of its head, and the same from there on', () => {
    const head = 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n'
    for (let cut = 1; cut < head.length; cut++) expect(mayWaitItsTurn(head.slice(0, cut)), `cut at ${cut}`).toBeUndefined()
    for (const behind of ['', '\0', '\x16\x03', 'GET ', head]) expect(mayWaitItsTurn(head + behind)).toBe(true)
  })
})
