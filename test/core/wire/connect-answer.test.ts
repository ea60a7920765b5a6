import { describe, expect, it } from 'vitest'
import { CONNECT_ANSWER_BYTES_MAX, ConnectAnswerReader } from '../../../src/core/wire/connect-answer.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const OK = 'HTTP/1.1 200 Connection established\r\nVia: 1.1 parent\r\nContent-Length: 5\r\n\r\n'

describe('the answer to a CONNECT', () => {
  it('is read alike wherever it is cut, and what comes behind it is kept whole', () => {
    const whole = bytes(`${OK}first bytes`)
    for (let cut = 0; cut <= whole.length; cut++) {
      const reader = new ConnectAnswerReader()
      const first = reader.push(whole.subarray(0, cut))
      const last = first.kind === 'answer' ? first : reader.push(whole.subarray(cut))
      if (last.kind !== 'answer') throw new Error(`cut at ${cut}: ${last.kind}`)
      expect(last.status, `cut at ${cut}`).toBe(200)
      const rest = new TextDecoder().decode(last.rest) + (first === last ? new TextDecoder().decode(whole.subarray(cut)) : '')
      expect(rest, `cut at ${cut}`).toBe('first bytes')
    }
  })

  it('comes after interim answers', () => {
    const answer = new ConnectAnswerReader().push(bytes(`HTTP/1.1 102 Processing\r\n\r\n${OK}x`))
    expect(answer).toMatchObject({ kind: 'answer', status: 200, rest: bytes('x') })
  })

  const statuses = [
    ['HTTP/1.0 200\r\n\r\n', 200],
    ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 407],
    ['HTTP/1.1 999 x\r\n\r\n', 999],
  ] as const
  for (const [text, status] of statuses)
    it(`has the status ${status}: ${JSON.stringify(text)}`, () =>
      expect(new ConnectAnswerReader().push(bytes(text))).toMatchObject({ kind: 'answer', status }))

  const malformed = [
    ['SSH-2.0-OpenSSH\r\n', 'another protocol is known by its first bytes'],
    ['\x15\x03\x01', 'a TLS alert'],
    ['HTTP/2 200 OK\r\n\r\n', 'no version that a proxy answers CONNECT in here'],
    ['HTTP/1.1 20 OK\r\n\r\n', 'a status has three digits'],
    ['HTTP/1.1 2000 OK\r\n\r\n', 'and no four'],
    ['HTTP/1.1 099 OK\r\n\r\n', 'and no zero first'],
    ['HTTP/1.1  200 OK\r\n\r\n', 'one space'],
  ] as const
  for (const [text, why] of malformed)
    it(`is malformed: ${why}`, () => expect(new ConnectAnswerReader().push(bytes(text)).kind).toBe('malformed'))

  it('is given up once it is longer than a head may be, in one piece or byte by byte', () => {
    const long = bytes(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(CONNECT_ANSWER_BYTES_MAX)}\r\n\r\n`)
    expect(new ConnectAnswerReader().push(long).kind).toBe('malformed')
    const reader = new ConnectAnswerReader()
    let last: { kind: string } = { kind: 'incomplete' }
    for (let at = 0; at < long.length && last.kind === 'incomplete'; at += 1000) last = reader.push(long.subarray(at, at + 1000))
    expect(last.kind).toBe('malformed')
    const interims = bytes('HTTP/1.1 102 x\r\n\r\n'.repeat(2000))
    expect(new ConnectAnswerReader().push(interims).kind).toBe('incomplete')
  })
})
