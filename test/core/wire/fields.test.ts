import { describe, expect, it } from 'vitest'
import {
  asksForWebSocket,
  type Field,
  hasPassedThrough,
  type OutgoingRequest,
  pairs,
  requestFields,
  responseFields,
  withoutUpgrade,
} from '../../../src/core/wire/fields.ts'
import { authorityOf } from '../../support/policy.ts'

const VIA = 'sallyport-a1b2'

/** What the origin gets, one `Name: value` a line. */
function sent(rawHeaders: readonly string[], more: Partial<OutgoingRequest> = {}): readonly string[] {
  const request: OutgoingRequest = {
    rawHeaders,
    authority: authorityOf('origin.example:80'),
    defaultPort: 80,
    framing: { kind: 'none' },
    httpVersion: '1.1',
    via: VIA,
    ...more,
  }
  return lines(requestFields(request))
}

const received = (...rawHeaders: readonly string[]): readonly string[] => lines(responseFields(rawHeaders, '1.1', VIA))
const lines = (fields: readonly Field[]): readonly string[] => fields.map(([name, value]) => `${name}: ${value}`)

const REBUILT = ['Host: origin.example', `Via: 1.1 ${VIA}`, 'Connection: keep-alive']

describe('the fields that an origin gets', () => {
  it('are the client’s, in their order and spelling, between a rebuilt Host and our own', () => {
    const client = ['host', 'h', 'User-Agent', 'curl', 'x-a', '1', 'X-A', '2', 'Cookie', 'c', 'Authorization', 'Bearer t']
    expect(sent(client)).toEqual([
      'Host: origin.example',
      'User-Agent: curl',
      'x-a: 1',
      'X-A: 2',
      'Cookie: c',
      'Authorization: Bearer t',
      `Via: 1.1 ${VIA}`,
      'Connection: keep-alive',
    ])
  })

  const NEVER: readonly (readonly [name: string, value: string, because: string])[] = [
    ['Connection', 'close', 'it concerns one connection'],
    ['Proxy-Connection', 'keep-alive', 'it concerns one connection'],
    ['Keep-Alive', 'timeout=5', 'it concerns one connection'],
    ['TE', 'trailers', 'no trailers are passed on'],
    ['Trailer', 'X-T', 'no trailers are passed on'],
    ['Transfer-Encoding', 'chunked', 'framing is rebuilt'],
    ['Content-Length', '5', 'framing is rebuilt'],
    ['Upgrade', 'h2c', 'only `websocket` is ever forwarded (case 46)'],
    ['HTTP2-Settings', 'AAMAAABkAAQ', 'only `websocket` is ever forwarded (case 46)'],
    ['Proxy-Authorization', 'Basic dTpw', 'the gateway’s own credentials (case 31)'],
    ['pRoXy-AuThOrIzAtIoN', 'Basic dTpw', 'names have no case (case 31)'],
    ['Proxy-Authenticate', 'Basic', 'it is for the client of a proxy'],
    ['Expect', '100-continue', 'the gateway answers it'],
    ['X-Forwarded-For', '10.0.0.5', 'no client address leaves the subnet'],
    ['Host', 'other.example', 'the target that was judged wins (case 11)'],
    ['Sallyport-Reason', 'forged', 'only the gateway speaks for itself (case 30)'],
    ['sallyport-anything', 'forged', 'only the gateway speaks for itself (case 30)'],
  ]
  for (const [name, value, because] of NEVER)
    it(`never hold the client's ${name}: ${because}`, () => {
      expect(sent(['Host', 'h', name, value])).toEqual(REBUILT)
    })

  it('hold nothing that Connection names as its own, in any case and over several fields', () => {
    const client = ['Connection', 'close, X-Own', 'X-Own', '1', 'connection', ' x-other ,,', 'X-OTHER', '2', 'X-Kept', '3']
    expect(sent(['Host', 'h', ...client])).toEqual([
      'Host: origin.example',
      'X-Kept: 3',
      `Via: 1.1 ${VIA}`,
      'Connection: keep-alive',
    ])
  })

  it('cannot lose what the gateway writes itself by naming it in Connection', () => {
    const client = ['Host', 'h', 'Connection', 'host, via, content-length, connection', 'Content-Length', '3']
    expect(sent(client, { framing: { kind: 'length', bytes: 3 } })).toEqual([
      'Host: origin.example',
      `Via: 1.1 ${VIA}`,
      'Content-Length: 3',
      'Connection: keep-alive',
    ])
  })

  const HOSTS: readonly (readonly [target: string, defaultPort: number, host: string])[] = [
    ['Origin.Example.:80', 80, 'origin.example'],
    ['origin.example:8080', 80, 'origin.example:8080'],
    ['origin.example:443', 80, 'origin.example:443'],
    ['origin.example:443', 443, 'origin.example'],
    ['10.1.2.3:80', 80, '10.1.2.3'],
    ['[2001:db8::1]:80', 80, '[2001:db8::1]'],
    ['[2001:db8::1]:8080', 80, '[2001:db8::1]:8080'],
  ]
  for (const [target, defaultPort, host] of HOSTS)
    it(`name ${host} as Host for ${target} where ${defaultPort} is the default`, () => {
      expect(sent(['Host', 'evil.example'], { authority: authorityOf(target), defaultPort })[0]).toBe(`Host: ${host}`)
    })

  it('frame the body one way', () => {
    const client = ['Host', 'h', 'Content-Length', '9', 'Transfer-Encoding', 'chunked']
    const framing = (one: OutgoingRequest['framing']) =>
      sent(client, { framing: one }).filter((line) => /^(content-length|transfer-encoding)/i.test(line))
    expect(framing({ kind: 'none' })).toEqual([])
    expect(framing({ kind: 'length', bytes: 0 })).toEqual(['Content-Length: 0'])
    expect(framing({ kind: 'length', bytes: 9 })).toEqual(['Content-Length: 9'])
    expect(framing({ kind: 'chunked' })).toEqual(['Transfer-Encoding: chunked'])
  })

  it('carry one Via with every hop, ours last', () => {
    expect(sent(['Host', 'h', 'Via', '1.0 fred', 'VIA', '1.1 b (c)'], { httpVersion: '1.0' })).toContain(
      `Via: 1.0 fred, 1.1 b (c), 1.0 ${VIA}`,
    )
  })

  it('count Max-Forwards down, never below zero', () => {
    const left = (value: string) => sent(['Host', 'h', 'Max-Forwards', value]).filter((line) => line.startsWith('Max-Forwards'))
    expect(left('10')).toEqual(['Max-Forwards: 9'])
    expect(left('0')).toEqual(['Max-Forwards: 0'])
    expect(left('many')).toEqual(['Max-Forwards: 0'])
    expect(left('-5')).toEqual(['Max-Forwards: 0'])
  })

  it('ask for a WebSocket and nothing else where one is forwarded', () => {
    const client = ['Host', 'h', 'Connection', 'Upgrade, HTTP2-Settings', 'Upgrade', 'websocket', 'HTTP2-Settings', 'AA']
    const handshake = ['Sec-WebSocket-Key', 'k', 'Sec-WebSocket-Version', '13']
    expect(sent([...client, ...handshake], { upgrade: 'websocket' })).toEqual([
      'Host: origin.example',
      'Sec-WebSocket-Key: k',
      'Sec-WebSocket-Version: 13',
      `Via: 1.1 ${VIA}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
    ])
  })
})

describe('the fields that a client gets', () => {
  it('are the origin’s, with our Via', () => {
    expect(received('Content-Type', 'text/html', 'Set-Cookie', 'a', 'set-cookie', 'b', 'Content-Length', '5')).toEqual([
      'Content-Type: text/html',
      'Set-Cookie: a',
      'set-cookie: b',
      'Content-Length: 5',
      `Via: 1.1 ${VIA}`,
    ])
  })

  it('hold nothing that concerns the origin’s connection, nor a proxy’s demand for credentials', () => {
    const hop = ['Connection', 'X-Own', 'X-Own', '1', 'Keep-Alive', 'timeout=5', 'Proxy-Connection', 'close', 'Upgrade', 'h2c']
    const more = ['Trailer', 'X-T', 'Transfer-Encoding', 'chunked', 'TE', 'x', 'Proxy-Authenticate', 'Basic realm="x"']
    expect(received(...hop, ...more, 'proxy-authentication-info', 'x')).toEqual([`Via: 1.1 ${VIA}`])
  })

  it('never let an origin speak for the gateway (case 30)', () => {
    expect(received('Sallyport-Reason', 'host_not_listed', 'SALLYPORT-Request-Id', 'x')).toEqual([`Via: 1.1 ${VIA}`])
  })

  it('keep the hops before us', () => {
    expect(received('Via', '1.1 cdn')).toEqual([`Via: 1.1 cdn, 1.1 ${VIA}`])
  })
})

describe('a loop (case 21)', () => {
  const CASES: readonly (readonly [fields: readonly string[], loop: boolean, because: string])[] = [
    [['Via', `1.1 ${VIA}`], true, 'our own name'],
    [['via', `1.0 fred, 1.1 ${VIA}, 1.1 other`], true, 'our own name among others'],
    [['Via', '1.0 fred', 'VIA', `1.1\t${VIA} (comment)`], true, 'our own name in a later field'],
    [['Via', `HTTP/1.1 ${VIA}`], true, 'our own name behind a protocol name'],
    [['Via', `1.1 ${VIA}x`], false, 'another name that begins alike'],
    [['Via', `1.1 fred (${VIA})`], false, 'our name in a comment'],
    [['Via', VIA], false, 'a hop without a protocol is none of ours'],
    [['X-Via', `1.1 ${VIA}`], false, 'another field'],
    [[], false, 'no field'],
  ]
  for (const [fields, loop, because] of CASES)
    it(`is ${loop ? '' : 'not '}seen in ${JSON.stringify(fields)}: ${because}`, () => {
      expect(hasPassedThrough(fields, VIA)).toBe(loop)
    })
})

describe('an upgrade (case 46)', () => {
  const CASES: readonly (readonly [method: string, fields: readonly string[], asks: boolean, because: string])[] = [
    ['GET', ['Upgrade', 'websocket', 'Connection', 'Upgrade'], true, 'it is what a browser sends'],
    ['GET', ['upgrade', 'WebSocket'], true, 'the token has no case'],
    ['POST', ['Upgrade', 'websocket'], false, 'a WebSocket begins with GET'],
    ['GET', ['Upgrade', 'h2c'], false, 'another protocol'],
    ['GET', ['Upgrade', 'websocket, h2c'], false, 'the origin could choose the other'],
    ['GET', ['Upgrade', 'websocket', 'Upgrade', 'h2c'], false, 'the origin could choose the other'],
    ['GET', ['Upgrade', 'websocket/13'], false, 'near miss'],
    ['GET', ['Upgrade', ''], false, 'nothing is asked for'],
    ['GET', [], false, 'nothing is asked for'],
  ]
  for (const [method, fields, asks, because] of CASES)
    it(`is ${asks ? '' : 'not '}a WebSocket in ${method} ${JSON.stringify(fields)}: ${because}`, () => {
      expect(asksForWebSocket(method, fields)).toBe(asks)
    })

  it('that is not forwarded leaves no trace', () => {
    const fields = [
      'Host',
      'h',
      'Connection',
      'Upgrade, HTTP2-Settings, X-Own',
      'Upgrade',
      'h2c',
      'HTTP2-Settings',
      'AA',
      'X',
      '1',
    ]
    expect(lines(withoutUpgrade(fields))).toEqual(['Host: h', 'Connection: x-own', 'X: 1'])
    expect(lines(withoutUpgrade(['connection', 'upgrade', 'UPGRADE', 'h2c']))).toEqual([])
    expect(lines(withoutUpgrade(['Connection', 'close']))).toEqual(['Connection: close'])
  })
})

describe('pairs', () => {
  it('come from names and values in turn; a name without a value is dropped', () => {
    expect(pairs(['A', '1', 'B', '2'])).toEqual([
      ['A', '1'],
      ['B', '2'],
    ])
    expect(pairs(['A'])).toEqual([])
  })
})
