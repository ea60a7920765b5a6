import { describe, expect, it } from 'vitest'
import { type AnswerHead, readAnswerHead } from '../../../src/core/wire/answer-head.ts'

const HEAD = 'HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\n'

const chunked = 'Transfer-Encoding: chunked\r\n'
const none = { kind: 'none' } as const
const untilClose = { kind: 'until_close' } as const
const length = (bytes: number) => ({ kind: 'length', bytes }) as const

/** What the test says of a head; the rest of it may be anything. */
function expectRead(text: string, method: string, says: Partial<AnswerHead>): void {
  expect(readAnswerHead(text, method)).toEqual({ ok: true, value: expect.objectContaining(says) })
}

describe('the head of an answer', () => {
  it('is its status, its reason phrase, its version and its fields, and says what follows', () => {
    expect(readAnswerHead(HEAD, 'GET')).toEqual({
      ok: true,
      value: {
        status: 200,
        reasonPhrase: 'OK',
        httpVersion: '1.1',
        rawHeaders: ['Server', 'nginx', 'Content-Length', '5'],
        framing: { kind: 'length', bytes: 5 },
        keepsAlive: true,
      },
    })
  })

  const read: readonly { head: string; says: Partial<AnswerHead>; because: string }[] = [
    { head: 'HTTP/1.1 200 \r\n\r\n', says: { status: 200, reasonPhrase: '' }, because: 'the reason phrase may be absent' },
    { head: 'HTTP/1.1 200\r\n\r\n', says: { status: 200, reasonPhrase: '' }, because: 'some leave out the blank as well' },
    { head: 'HTTP/1.0 200 OK\r\n\r\n', says: { httpVersion: '1.0', reasonPhrase: 'OK' }, because: 'the older version is spoken' },
    {
      head: 'HTTP/1.1 404 Nicht gefunden: \xfcberall\r\n\r\n',
      says: { status: 404, reasonPhrase: 'Nicht gefunden: \xfcberall' },
      because: 'a reason phrase is in Latin-1',
    },
    { head: 'HTTP/1.1 200  OK \t\r\n\r\n', says: { reasonPhrase: ' OK \t' }, because: 'a reason phrase is kept as it is' },
    { head: 'HTTP/1.1 100 Continue\r\n\r\n', says: { status: 100 }, because: 'the lowest status' },
    { head: 'HTTP/1.1 999 \r\n\r\n', says: { status: 999 }, because: 'statuses have three digits, known or not' },
    { head: 'HTTP/1.1 200 OK\r\n\r\n', says: { rawHeaders: [] }, because: 'an answer without a field' },
    { head: 'HTTP/1.1 200 OK\r\nA:b\r\n\r\n', says: { rawHeaders: ['A', 'b'] }, because: 'no blank is needed behind the colon' },
    {
      head: 'HTTP/1.1 200 OK\r\nA: \t b c \t\r\n\r\n',
      says: { rawHeaders: ['A', 'b c'] },
      because: 'blanks round a value are no part of it',
    },
    { head: 'HTTP/1.1 200 OK\r\nA: b\tc\r\n\r\n', says: { rawHeaders: ['A', 'b\tc'] }, because: 'those inside are' },
    {
      head: 'HTTP/1.1 200 OK\r\nA:\r\nB: \t\r\n\r\n',
      says: { rawHeaders: ['A', '', 'B', ''] },
      because: 'values may be empty',
    },
    { head: 'HTTP/1.1 200 OK\r\nA: caf\xe9\r\n\r\n', says: { rawHeaders: ['A', 'caf\xe9'] }, because: 'values are Latin-1' },
    { head: 'HTTP/1.1 200 OK\r\nA: \x80\xa0\r\n\r\n', says: { rawHeaders: ['A', '\x80\xa0'] }, because: 'a blank is ASCII' },
    {
      head: 'HTTP/1.1 200 OK\r\nset-cookie: a\r\nSet-Cookie: b\r\nLocation: x:y\r\n\r\n',
      says: { rawHeaders: ['set-cookie', 'a', 'Set-Cookie', 'b', 'Location', 'x:y'] },
      because: 'names, order and repetition are kept',
    },
    { head: "HTTP/1.1 200 OK\r\n!#$%&'*+.^_`|~-9z: b\r\n\r\n", says: { status: 200 }, because: 'a name is any token' },
  ]
  for (const { head, says, because } of read)
    it(`is read: ${JSON.stringify(head)}: ${because}`, () => expectRead(head, 'GET', says))

  const refused: readonly { head: string; problem: RegExp; because: string }[] = [
    { head: 'HTTP/1.1 200 OK\n\n', problem: /status line/, because: 'lines end in CRLF' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\n\r\n', problem: /field/, because: 'every line does' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\r\n\n', problem: /field/, because: 'the empty one too' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n', problem: /field/, because: 'CR alone ends nothing' },
    { head: 'HTTP/1.1 200 O\rK\r\n\r\n', problem: /status line/, because: 'nor does it stand in a reason phrase' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', problem: /field/, because: 'a folded line' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\r\n\tc: d\r\n\r\n', problem: /field/, because: 'also where it looks like a field' },
    { head: 'HTTP/1.1 200 OK\r\n A: b\r\n\r\n', problem: /field/, because: 'a blank before the first field' },
    { head: 'HTTP/1.1 200 OK\r\nA : b\r\n\r\n', problem: /field/, because: 'a blank before the colon' },
    { head: 'HTTP/1.1 200 OK\r\nContent-Length\t: 5\r\n\r\n', problem: /field/, because: 'a tab there' },
    { head: 'HTTP/1.1 200 OK\r\nA b\r\n\r\n', problem: /field/, because: 'no colon' },
    { head: 'HTTP/1.1 200 OK\r\n: b\r\n\r\n', problem: /field/, because: 'no name' },
    { head: 'HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n', problem: /field/, because: 'a name is a token' },
    { head: 'HTTP/1.1 200 OK\r\n\xe9: b\r\n\r\n', problem: /field/, because: 'and tokens are ASCII' },
    { head: 'HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n', problem: /field/, because: 'NUL' },
    { head: 'HTTP/1.1 200 OK\r\nA: b\x0bc\r\n\r\n', problem: /field/, because: 'a control character' },
    { head: 'HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n', problem: /field/, because: 'DEL is one too' },
    { head: 'HTTP/1.1 200 O\x00K\r\n\r\n', problem: /status line/, because: 'NUL in the reason phrase' },
    { head: 'HTTP/1.1 200 \x1b[31mOK\r\n\r\n', problem: /status line/, because: 'so a terminal is not written to' },
    { head: 'HTTP/2.0 200 OK\r\n\r\n', problem: /status line/, because: 'another version' },
    { head: 'HTTP/1.2 200 OK\r\n\r\n', problem: /status line/, because: 'a version that does not exist' },
    { head: 'HTTP/0.9 200 OK\r\n\r\n', problem: /status line/, because: 'one that had no status' },
    { head: 'HTTP/1.10 200 OK\r\n\r\n', problem: /status line/, because: 'a version has two digits' },
    { head: 'http/1.1 200 OK\r\n\r\n', problem: /status line/, because: 'its name is case-sensitive' },
    { head: 'ICY 200 OK\r\n\r\n', problem: /status line/, because: 'another protocol' },
    { head: 'HTTP/1.1  200 OK\r\n\r\n', problem: /status line/, because: 'two blanks' },
    { head: 'HTTP/1.1\t200 OK\r\n\r\n', problem: /status line/, because: 'a tab is no blank here' },
    { head: 'HTTP/1.1 200\tOK\r\n\r\n', problem: /status line/, because: 'nor here' },
    { head: ' HTTP/1.1 200 OK\r\n\r\n', problem: /status line/, because: 'a blank in front' },
    { head: '\r\nHTTP/1.1 200 OK\r\n\r\n', problem: /status line/, because: 'an empty line in front' },
    { head: 'HTTP/1.1 99 OK\r\n\r\n', problem: /status line/, because: 'a status of two digits' },
    { head: 'HTTP/1.1 099 OK\r\n\r\n', problem: /status line/, because: 'a status below 100' },
    { head: 'HTTP/1.1 1000 OK\r\n\r\n', problem: /status line/, because: 'a status of four digits' },
    { head: 'HTTP/1.1 2x0 OK\r\n\r\n', problem: /status line/, because: 'a status that is no number' },
    { head: 'HTTP/1.1 200OK\r\n\r\n', problem: /status line/, because: 'a reason phrase that runs into it' },
    { head: 'HTTP/1.1 OK\r\n\r\n', problem: /status line/, because: 'no status' },
    { head: 'GET / HTTP/1.1\r\n\r\n', problem: /status line/, because: 'a request' },
    { head: '', problem: /status line/, because: 'nothing' },
  ]
  for (const { head, problem, because } of refused)
    it(`is refused: ${JSON.stringify(head)}: ${because}`, () =>
      expect(readAnswerHead(head, 'GET')).toEqual({ ok: false, error: expect.stringMatching(problem) }))

  it('is nothing before its last byte', () => {
    for (let cut = 0; cut < HEAD.length; cut++) expect(readAnswerHead(HEAD.slice(0, cut), 'GET').ok, `cut at ${cut}`).toBe(false)
  })
})

describe('the body of an answer', () => {
  const framed: readonly { status?: number; method?: string; fields: string; framing: AnswerHead['framing']; because: string }[] =
    [
      { fields: 'Content-Length: 5\r\n', framing: length(5), because: 'it says so' },
      { fields: 'Content-Length: 0\r\n', framing: length(0), because: 'an empty body has a length' },
      { fields: 'content-length:  007 \t\r\n', framing: length(7), because: 'digits are digits, and blanks no part of them' },
      { fields: 'Content-Length: 999999999999999\r\n', framing: length(999_999_999_999_999), because: 'that many fit a number' },
      { fields: chunked, framing: { kind: 'chunked' }, because: 'it says so' },
      { fields: 'transfer-encoding: CHUNKED\r\n', framing: { kind: 'chunked' }, because: 'codings ignore case' },
      { fields: '', framing: untilClose, because: 'nothing says where it ends' },
      { fields: 'Content-Lengths: 5\r\nX-Content-Length: 5\r\n', framing: untilClose, because: 'those names are others' },
      { fields: 'TE: chunked\r\nTrailer: a\r\n', framing: untilClose, because: 'they say nothing of the body' },
      { status: 205, fields: 'Content-Length: 3\r\n', framing: length(3), because: 'the status does not forbid it on the wire' },
      { status: 203, fields: '', framing: untilClose, because: 'the neighbour of 204 is like any other' },
      { status: 305, fields: chunked, framing: { kind: 'chunked' }, because: 'so is that of 304' },
      { method: 'HEAD', fields: 'Content-Length: 5\r\n', framing: none, because: 'it is the length that GET would get' },
      { method: 'HEAD', fields: chunked, framing: none, because: 'HEAD has no body whatever is said' },
      { method: 'HEAD', fields: '', framing: none, because: 'HEAD has no body when nothing is said' },
      { method: 'head', fields: 'Content-Length: 5\r\n', framing: length(5), because: 'methods are case-sensitive' },
      { status: 204, fields: 'Content-Length: 5\r\n', framing: none, because: '204 has no body' },
      { status: 204, fields: chunked, framing: none, because: '204 has none in chunks either' },
      { status: 304, fields: 'Content-Length: 5\r\n', framing: none, because: 'it is the length of what did not change' },
      { status: 304, fields: '', framing: none, because: '304 ends with its head' },
      { status: 100, fields: 'Content-Length: 5\r\n', framing: none, because: 'an interim answer has no body' },
      { status: 101, fields: '', framing: none, because: 'what follows a switch is no body' },
      { status: 199, fields: chunked, framing: none, because: 'unknown interim answers are interim too' },
    ]
  for (const { status = 200, method = 'GET', fields, framing, because } of framed)
    it(`of ${status} to ${method} with ${JSON.stringify(fields)} is ${JSON.stringify(framing)}: ${because}`, () =>
      expectRead(`HTTP/1.1 ${status} x\r\n${fields}\r\n`, method, { framing }))

  const doubtful: readonly { fields: string; problem: RegExp; because: string }[] = [
    { fields: 'Content-Length: 5\r\nContent-Length: 6\r\n', problem: /twice/, because: 'two lengths' },
    { fields: 'Content-Length: 5\r\ncontent-length: 5\r\n', problem: /twice/, because: 'two lengths, even if they are equal' },
    { fields: 'Content-Length: \r\nContent-Length: 5\r\n', problem: /twice/, because: 'also where the first is empty' },
    { fields: 'Content-Length: 5, 5\r\n', problem: /not a number/, because: 'a list of lengths' },
    { fields: `${chunked}${chunked}`, problem: /twice/, because: 'chunked twice' },
    { fields: `Transfer-Encoding: gzip\r\n${chunked}`, problem: /twice/, because: 'two lists of codings' },
    { fields: `Content-Length: 5\r\n${chunked}`, problem: /both/, because: 'the classic of request smuggling' },
    { fields: `${chunked}Content-Length: 5\r\n`, problem: /both/, because: 'in either order' },
    { fields: 'Transfer-Encoding: gzip, chunked\r\n', problem: /`chunked`/, because: 'another coding inside' },
    { fields: 'Transfer-Encoding: chunked, gzip\r\n', problem: /`chunked`/, because: 'another coding outside' },
    { fields: 'Transfer-Encoding: chunked, chunked\r\n', problem: /`chunked`/, because: 'chunked in chunked' },
    { fields: 'Transfer-Encoding: chunked;a=b\r\n', problem: /`chunked`/, because: 'chunked has no parameters' },
    { fields: 'Transfer-Encoding: chunked,\r\n', problem: /`chunked`/, because: 'an empty element' },
    { fields: 'Transfer-Encoding: xchunked\r\n', problem: /`chunked`/, because: 'a near miss' },
    { fields: 'Transfer-Encoding: \x0bchunked\r\n', problem: /field/, because: 'a vertical tab is no blank' },
    { fields: 'Transfer-Encoding: \xa0chunked\r\n', problem: /`chunked`/, because: 'nor is what Latin-1 takes for one' },
    { fields: 'Transfer-Encoding: identity\r\n', problem: /`chunked`/, because: 'RFC 9112 has no identity any more' },
    { fields: 'Transfer-Encoding:\r\n', problem: /`chunked`/, because: 'a coding is to be named' },
    { fields: 'Content-Length: +4\r\n', problem: /not a number/, because: 'a sign' },
    { fields: 'Content-Length: -4\r\n', problem: /not a number/, because: 'a negative length' },
    { fields: 'Content-Length: 0x10\r\n', problem: /not a number/, because: 'hexadecimal' },
    { fields: 'Content-Length: 1e3\r\n', problem: /not a number/, because: 'an exponent' },
    { fields: 'Content-Length: 4.0\r\n', problem: /not a number/, because: 'a fraction' },
    { fields: 'Content-Length: 4 4\r\n', problem: /not a number/, because: 'a blank inside' },
    { fields: 'Content-Length:\r\n', problem: /not a number/, because: 'an empty length' },
    { fields: 'Content-Length: \xb2\r\n', problem: /not a number/, because: 'digits are ASCII' },
    { fields: 'Content-Length: 1000000000000000\r\n', problem: /not a number/, because: '16 digits are meant by nobody' },
    { fields: 'Content-Length: 0000000000000004\r\n', problem: /not a number/, because: 'also where they are zeros' },
  ]
  for (const { fields, problem, because } of doubtful)
    it(`is refused with ${JSON.stringify(fields)}: ${because}`, () => {
      const refusal = { ok: false, error: expect.stringMatching(problem) }
      expect(readAnswerHead(`HTTP/1.1 200 OK\r\n${fields}\r\n`, 'GET')).toEqual(refusal)
      expect(readAnswerHead(`HTTP/1.1 204 OK\r\n${fields}\r\n`, 'GET'), 'without a body too').toEqual(refusal)
      expect(readAnswerHead(`HTTP/1.1 200 OK\r\n${fields}\r\n`, 'HEAD'), 'to HEAD too').toEqual(refusal)
    })
})

describe('the connection of an answer', () => {
  const empty = 'Content-Length: 0\r\n'
  const connections: readonly { version: string; status?: number; fields: string; stays: boolean; because: string }[] = [
    { version: '1.1', fields: empty, stays: true, because: 'that is the rule in HTTP/1.1' },
    { version: '1.1', fields: chunked, stays: true, because: 'chunks have an end' },
    { version: '1.1', fields: '', stays: false, because: 'its end is the end of the body' },
    { version: '1.1', fields: 'Connection: keep-alive\r\n', stays: false, because: 'whatever is said' },
    { version: '1.1', status: 304, fields: '', stays: true, because: 'there is no body to end' },
    { version: '1.1', fields: `${empty}Connection: close\r\n`, stays: false, because: 'the origin ends it' },
    { version: '1.1', fields: `${empty}connection: CLOSE\r\n`, stays: false, because: 'in upper case too' },
    { version: '1.1', fields: `${empty}Connection: keep-alive\r\n`, stays: true, because: 'it says what holds anyway' },
    { version: '1.1', fields: `${empty}Connection: x-a ,\tclose\r\n`, stays: false, because: 'one option of a list' },
    { version: '1.1', fields: `${empty}Connection: ,close,\r\n`, stays: false, because: 'a list with empty elements' },
    { version: '1.1', fields: `${empty}Connection: keep-alive, close\r\n`, stays: false, because: 'close weighs more' },
    {
      version: '1.1',
      fields: `${empty}Connection: close\r\nConnection: keep-alive\r\n`,
      stays: false,
      because: 'two fields are one list',
    },
    {
      version: '1.1',
      fields: `Connection: keep-alive\r\n${empty}Connection: close\r\n`,
      stays: false,
      because: 'in either order',
    },
    { version: '1.1', fields: `${empty}Connection: x-close\r\n`, stays: true, because: 'another option' },
    { version: '1.1', fields: `${empty}Connection: closed\r\n`, stays: true, because: 'a near miss' },
    { version: '1.1', fields: `${empty}Connection:\r\n`, stays: true, because: 'nothing is said' },
    { version: '1.1', fields: `${empty}X-Connection: close\r\n`, stays: true, because: 'another field' },
    { version: '1.0', fields: empty, stays: false, because: 'that is the rule in HTTP/1.0' },
    { version: '1.0', fields: `${empty}Connection: Keep-Alive\r\n`, stays: true, because: 'the origin offers it' },
    { version: '1.0', fields: `${empty}Connection: x-a, keep-alive\r\n`, stays: true, because: 'one option of a list' },
    { version: '1.0', fields: `${empty}Connection: x-a\r\nConnection: keep-alive\r\n`, stays: true, because: 'or of two' },
    { version: '1.0', fields: `${empty}Connection: keep-alive, close\r\n`, stays: false, because: 'close weighs more' },
    { version: '1.0', fields: `${empty}Connection: keep-alives\r\n`, stays: false, because: 'a near miss' },
    { version: '1.0', fields: `${empty}Keep-Alive: timeout=5\r\n`, stays: false, because: 'the hint alone offers nothing' },
    { version: '1.0', fields: 'Connection: keep-alive\r\n', stays: false, because: 'its end is the end of the body' },
  ]
  for (const { version, status = 200, fields, stays, because } of connections)
    it(`${stays ? 'stays' : 'ends'} in HTTP/${version} after ${status} with ${JSON.stringify(fields)}: ${because}`, () =>
      expectRead(`HTTP/${version} ${status} x\r\n${fields}\r\n`, 'GET', { keepsAlive: stays }))

  const hints: readonly { value: string; seconds: number | undefined; because: string }[] = [
    { value: 'timeout=5', seconds: 5, because: 'that is how it is written' },
    { value: 'timeout=5, max=100', seconds: 5, because: 'the number of requests is another matter' },
    { value: 'max=100,Timeout=65', seconds: 65, because: 'order and case do not count' },
    { value: 'timeout=0', seconds: 0, because: 'it may be over at once' },
    { value: 'timeout=999999999', seconds: 999_999_999, because: 'a long time is still a time' },
    { value: 'xtimeout=5', seconds: undefined, because: 'another parameter' },
    { value: 'timeout=', seconds: undefined, because: 'no number' },
    { value: 'timeout=-5', seconds: undefined, because: 'no time' },
    { value: 'timeout', seconds: undefined, because: 'nothing is said' },
    { value: '', seconds: undefined, because: 'nothing at all is said' },
  ]
  for (const { value, seconds, because } of hints)
    it(`is kept for ${seconds ?? 'no stated number of'} seconds with ${JSON.stringify(value)}: ${because}`, () => {
      const read = readAnswerHead(`HTTP/1.1 204 x\r\nKeep-Alive: ${value}\r\n\r\n`, 'GET')
      expect(read.ok && read.value.keepAliveSeconds).toBe(seconds)
      expect(read.ok && 'keepAliveSeconds' in read.value).toBe(seconds !== undefined)
    })
})

it('of HTTP/1.0 that is chunked is refused: its framing is faulty (RFC 9112 section 6.1)', () => {
  const read = readAnswerHead('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n', 'GET')
  expect(read).toEqual({ ok: false, error: 'Transfer-Encoding in HTTP/1.0' })
})
