import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ACCESS_DENIED_ALERT } from '../../src/core/wire/client-hello.ts'
import {
  alpn,
  ascii,
  extension,
  handshake,
  hello,
  helloBody,
  helloWith,
  messageOf,
  messageOfLength,
  nameEntry,
  records,
  serverName,
  uint16,
  vector16,
  versions,
  zeros,
} from '../core/wire/hellos/build.ts'
import { CAPTURED } from '../core/wire/hellos/captured.ts'
import { waitFor } from '../support/gateway.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { openTunnel } from '../support/tunnel-client.ts'
import {
  type InspectionLab,
  requestsCounted,
  seenByOrigins,
  silentOrigin,
  startInspectionLab,
  tunnelEvent,
} from './inspection-lab.ts'

let lab: InspectionLab

beforeAll(async () => {
  lab = await startInspectionLab()
})
afterAll(() => lab.stop())

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const ALERT = Buffer.from(ACCESS_DENIED_ALERT).toString('latin1')
const connectTo = (authority: string) => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`
const GREASE = extension(0x0a0a, [])
const MORE_GREASE = extension(0xfafa, [0])
const PADDING = (bytes: number) => extension(21, zeros(bytes))

/** How the bytes of a hello may be cut on their way; the judgement must not depend on it. */
const deliveries: Readonly<Record<string, (bytes: Uint8Array) => readonly Uint8Array[]>> = {
  whole: (bytes) => [bytes],
  'byte by byte': (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte)),
  'in records of 3 bytes': (bytes) => [records(messageOf(bytes), 3)],
}

async function sendInPieces(client: RawClient, pieces: readonly Uint8Array[]): Promise<void> {
  client.socket.setNoDelay(true)
  for (const piece of pieces) {
    client.send(piece)
    // Each piece leaves as a segment of its own.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

interface Refused {
  readonly name: string
  readonly bytes: Uint8Array
  readonly reason: string
  /** As the audit line shows it. */
  readonly sni?: string
  readonly detail?: RegExp
}

const rows: readonly Refused[] = [
  { name: 'another name', bytes: helloWith(serverName('paths.test')), reason: 'sni_mismatch', sni: 'paths.test' },
  { name: 'an unlisted name', bytes: helloWith(serverName('evil.test')), reason: 'sni_mismatch', sni: 'evil.test' },
  { name: 'a name below it', bytes: helloWith(serverName('a.relayed.test')), reason: 'sni_mismatch' },
  { name: 'a name that ends alike', bytes: helloWith(serverName('xrelayed.test')), reason: 'sni_mismatch' },
  { name: 'a name that begins alike', bytes: helloWith(serverName('relayed.test.evil.test')), reason: 'sni_mismatch' },
  { name: 'no extensions at all', bytes: hello({ extensions: [] }), reason: 'sni_missing' },
  { name: 'no server name', bytes: helloWith(alpn('h2')), reason: 'sni_missing' },
  { name: 'an address', bytes: helloWith(serverName('127.0.0.1')), reason: 'sni_mismatch', sni: '127.0.0.1' },
  { name: 'an IPv6 address', bytes: helloWith(serverName('::1')), reason: 'sni_mismatch', sni: '::1' },
  { name: 'the host in brackets', bytes: helloWith(serverName('[relayed.test]')), reason: 'sni_mismatch' },
  { name: 'two names, the right one first', bytes: helloWith(serverName('relayed.test', 'evil.test')), reason: 'sni_mismatch' },
  { name: 'two names, the right one last', bytes: helloWith(serverName('evil.test', 'relayed.test')), reason: 'sni_mismatch' },
  { name: 'the right name twice', bytes: helloWith(serverName('relayed.test', 'relayed.test')), reason: 'sni_mismatch' },
  {
    name: 'the right name beside one of another type',
    bytes: helloWith(extension(0, vector16([...nameEntry('relayed.test'), ...nameEntry('evil.test', 7)]))),
    reason: 'sni_mismatch',
  },
  {
    name: 'two server name extensions',
    bytes: helloWith(serverName('relayed.test'), serverName('evil.test')),
    reason: 'not_tls',
    detail: /twice/,
  },
  { name: 'NUL and another name behind it', bytes: helloWith(serverName('relayed.test\0.evil.test')), reason: 'sni_mismatch' },
  { name: 'NUL at its end', bytes: helloWith(serverName('relayed.test\0')), reason: 'sni_mismatch' },
  { name: 'CR and LF', bytes: helloWith(serverName('relayed.test\r\nevil: x')), reason: 'sni_mismatch' },
  { name: 'an escape', bytes: helloWith(serverName('relayed%2etest')), reason: 'sni_mismatch' },
  { name: 'a space', bytes: helloWith(serverName('relayed.test ')), reason: 'sni_mismatch' },
  { name: 'a port', bytes: helloWith(serverName('relayed.test:443')), reason: 'sni_mismatch' },
  { name: 'an empty label', bytes: helloWith(serverName('relayed..test')), reason: 'sni_mismatch' },
  { name: 'two dots at its end', bytes: helloWith(serverName('relayed.test..')), reason: 'sni_mismatch' },
  { name: 'bytes past ASCII', bytes: helloWith(serverName('rel\xe4yed.test')), reason: 'sni_mismatch' },
  { name: 'an escape sequence of a terminal', bytes: helloWith(serverName('\x1b[31mrelayed.test')), reason: 'sni_mismatch' },
  { name: 'an empty name', bytes: helloWith(serverName('')), reason: 'not_tls' },
  { name: 'an empty list', bytes: helloWith(extension(0, vector16([]))), reason: 'not_tls' },
  {
    name: 'a list that is too short for its name',
    bytes: helloWith(extension(0, [...uint16(4), 0, ...vector16(ascii('relayed.test'))])),
    reason: 'not_tls',
  },
]

describe('cases 13 and 22: a ClientHello that does not name exactly the host of its CONNECT', () => {
  for (const { name, bytes, reason, sni, detail } of rows) {
    for (const [delivery, cut] of Object.entries(deliveries))
      it(`is answered with an alert when it has ${name}, sent ${delivery}`, async () => {
        const before = await requestsCounted(lab, 'connect', 'deny', reason)
        const seen = seenByOrigins(lab)
        const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
        await sendInPieces(client, cut(bytes))
        expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
        client.close()
        const event = await tunnelEvent(lab, client.localPort)
        expect(event).toMatchObject({ event: 'deny', reason, host: 'relayed.test', port: 443, entry: 'rule/relayed' })
        if (sni !== undefined) expect(event.sni).toBe(sni)
        if (detail !== undefined) expect(event.detail).toMatch(detail)
        expect(event.hint).toBeTypeOf('string')
        expect(seenByOrigins(lab)).toEqual(seen)
        expect(await requestsCounted(lab, 'connect', 'deny', reason)).toBe(before + 1)
      })

    it(`is refused with 403 instead of 200, undialled, when it came with the CONNECT and has ${name}`, async () => {
      const { connections } = lab.bytes
      const client = await RawClient.connect(lab.gateway.port)
      client.send(Buffer.concat([Buffer.from(connectTo('relayed.test:443')), bytes]))
      const text = await client.untilClosed()
      client.close()
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 403 ${reason}\r\n`))
      expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1)
      expect((await tunnelEvent(lab, client.localPort)).reason).toBe(reason)
      expect(lab.bytes.connections).toBe(connections)
    })
  }

  it('names both hosts in the log and in the answer', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(Buffer.concat([Buffer.from(connectTo('relayed.test:443')), helloWith(serverName('evil.test'))]))
    const text = await client.untilClosed()
    client.close()
    expect(text).toContain('evil.test')
    const event = await tunnelEvent(lab, client.localPort)
    expect(event).toMatchObject({ host: 'relayed.test', sni: 'evil.test' })
    expect(event.detail).toContain('`evil.test`')
    expect(event.detail).toContain('relayed.test')
  })

  it('is refused for an address when it has a name', async () => {
    const client = await RawClient.connect(lab.gateway.port)
    client.send(Buffer.concat([Buffer.from(connectTo('127.0.0.1:443')), helloWith(serverName('relayed.test'))]))
    expect(await client.untilClosed()).toMatch(/^HTTP\/1\.1 403 sni_mismatch\r\n/)
    client.close()
  })
})

describe('cases 12, 22 and 25, near misses: what is let through', () => {
  const big = messageOfLength(60_000)
  const passing: Readonly<Record<string, Uint8Array>> = {
    'the host': helloWith(serverName('relayed.test')),
    'the host in capitals': helloWith(serverName('RELAYED.test')),
    'the host with its dot': helloWith(serverName('relayed.test.')),
    'GREASE, ALPN and versions around the name': helloWith(
      GREASE,
      alpn('h2'),
      serverName('relayed.test'),
      versions(0x0304),
      MORE_GREASE,
    ),
    'more than 16 KB of it': helloWith(serverName('relayed.test'), PADDING(14_000), extension(0xfafa, zeros(14_000))),
  }
  for (const [name, bytes] of Object.entries(passing))
    for (const [delivery, cut] of Object.entries(deliveries)) {
      // A record of three bytes each would be more records than any client sends.
      if (bytes.length > 10_000 && delivery !== 'whole') continue
      it(`relays ${name}, sent ${delivery}, byte for byte`, async () => {
        const client = await openTunnel(lab.gateway.port, 'RELAYED.test.:443')
        const pieces = cut(bytes)
        await sendInPieces(client, pieces)
        const index = lab.bytes.connections - 1
        const expected = Buffer.concat(pieces)
        await waitFor(() => (lab.bytes.received[index]?.length === expected.length ? true : undefined), 'the hello at the origin')
        expect(lab.bytes.received[index]?.equals(expected)).toBe(true)
        client.close()
        expect(await tunnelEvent(lab, client.localPort)).toMatchObject({ event: 'allow', host: 'relayed.test' })
      })
    }

  it('judges a hello of 60 KB in many records like a small one', async () => {
    const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
    client.send(records(big, 1_000))
    expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
    expect(await tunnelEvent(lab, client.localPort)).toMatchObject({ reason: 'sni_mismatch', sni: 'a.example' })
  })

  it('refuses a hello of more than 64 KB before the whole of it is there', async () => {
    const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
    client.send(records([1, 1, 0, 0, ...zeros(70_000)]).subarray(0, 20_000))
    expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
    expect((await tunnelEvent(lab, client.localPort)).detail).toMatch(/longer than/)
  })
})

describe('case 22: an opening that is not TLS', () => {
  const openings: Readonly<Record<string, string | Uint8Array>> = {
    'an HTTP request': 'GET / HTTP/1.1\r\nHost: relayed.test\r\n\r\n',
    'an SSH banner': 'SSH-2.0-OpenSSH_9\r\n',
    'an SSLv2 hello': Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0, 0, 0, 0),
    'one newline': '\n',
    'one NUL': '\0',
    'a TLS alert': Uint8Array.of(21, 3, 3, 0, 2, 2, 40),
    'application data': Uint8Array.of(23, 3, 3, 0, 1, 0),
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  }
  for (const [name, bytes] of Object.entries(openings)) {
    it(`is closed without a word when it is ${name}`, async () => {
      const seen = seenByOrigins(lab)
      const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
      client.send(bytes)
      expect(await client.untilClosed()).toBe(ESTABLISHED)
      expect(await tunnelEvent(lab, client.localPort)).toMatchObject({ event: 'deny', reason: 'not_tls' })
      expect(seenByOrigins(lab)).toEqual(seen)
      client.close()
    })
  }

  const broken: Readonly<Record<string, Uint8Array>> = {
    'a handshake message that is no ClientHello': records(handshake(helloBody(), 2)),
    'a ClientHello with something behind it in its record': records([...handshake(helloBody()), 1, 2, 3]),
    'an empty record': Uint8Array.of(22, 3, 1, 0, 0),
    'a record of 2^14 + 1 bytes': Uint8Array.of(22, 3, 1, 0x40, 0x01, 1),
    'another record inside the ClientHello': Uint8Array.of(22, 3, 1, 0, 1, 1, 23, 3, 3, 0, 1, 0),
  }
  for (const [name, bytes] of Object.entries(broken))
    it(`gets an alert when it is ${name}`, async () => {
      const seen = seenByOrigins(lab)
      const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
      client.send(bytes)
      expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
      expect((await tunnelEvent(lab, client.localPort)).reason).toBe('not_tls')
      expect(seenByOrigins(lab)).toEqual(seen)
      client.close()
    })

  it('is recorded as nothing but an end when the client leaves in the middle of its hello', async () => {
    const seen = seenByOrigins(lab)
    const client = await openTunnel(lab.gateway.port, 'relayed.test:443')
    client.send(helloWith(serverName('relayed.test')).subarray(0, 20))
    client.socket.end()
    expect(await client.untilClosed()).toBe(ESTABLISHED)
    expect(await tunnelEvent(lab, client.localPort)).toMatchObject({
      event: 'allow',
      endedBy: 'client',
      bytesUp: 0,
      bytesDown: 0,
    })
    expect(seenByOrigins(lab)).toEqual(seen)
    client.close()
  })
})

describe('case 22: an origin that speaks first', () => {
  let talker: Origin
  let other: InspectionLab
  beforeAll(async () => {
    talker = await Origin.start((socket) => socket.write('220 mail.test ESMTP\r\n'))
    other = await startInspectionLab({ bytes: talker, config: 'limits: { openingSeconds: 0.4 }' })
  })
  afterAll(() => other.stop())

  it('is not heard before the opening is judged, and never when it is refused', async () => {
    const client = await openTunnel(other.gateway.port, 'relayed.test:443')
    await waitFor(() => (talker.connections > 0 ? true : undefined), 'the connection')
    client.send('EHLO\r\n')
    expect(await client.untilClosed()).toBe(ESTABLISHED)
    expect(talker.text).toBe('')
    client.close()
  })

  it('is not heard by a client that says nothing, whose tunnel ends at the deadline', async () => {
    const client = await openTunnel(other.gateway.port, 'relayed.test:443')
    expect(await client.untilClosed()).toBe(ESTABLISHED)
    expect(await tunnelEvent(other, client.localPort)).toMatchObject({ event: 'deny', reason: 'opening_timeout' })
    expect(talker.text).toBe('')
    client.close()
  })

  it('is not heard by a client that dribbles its hello past the deadline, which gets an alert', async () => {
    const bytes = helloWith(serverName('relayed.test'))
    const client = await openTunnel(other.gateway.port, 'relayed.test:443')
    client.send(bytes.subarray(0, 30))
    expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
    expect((await tunnelEvent(other, client.localPort)).reason).toBe('opening_timeout')
    expect(talker.text).toBe('')
    client.close()
  })

  it('is heard once the hello is good, however slowly it came', async () => {
    const client = await openTunnel(other.gateway.port, 'relayed.test:443')
    const bytes = helloWith(serverName('relayed.test'))
    client.send(bytes.subarray(0, 30))
    await new Promise((resolve) => setImmediate(resolve))
    expect(client.text).toBe(ESTABLISHED)
    client.send(bytes.subarray(30))
    expect(await client.until((text) => text.includes('ESMTP'))).toBe(`${ESTABLISHED}220 mail.test ESMTP\r\n`)
    client.close()
  })

  it('is heard at once where the entry says `protocol: any`', async () => {
    const client = await openTunnel(other.gateway.port, 'any.test:7')
    expect(await client.until((text) => text.includes('ESMTP'))).toBe(`${ESTABLISHED}220 mail.test ESMTP\r\n`)
    client.close()
  })
})

describe('case 26: ECH', () => {
  const chromium = CAPTURED.find(({ name }) => name === 'chromium')?.bytes ?? new Uint8Array()
  const ech = helloWith(extension(0xfe0d, [0, 0, 1, 0, 1]), serverName('relayed.test'))
  const innerType = helloWith(extension(0xfe0d, [1]), serverName('relayed.test'))
  let refusing: InspectionLab
  const withOrigin = {
    rules: ['{ name: chromium, hosts: [origin.example], ports: [443] }'],
  }
  let passing: InspectionLab
  beforeAll(async () => {
    const pinned = await silentOrigin()
    const other = await silentOrigin()
    passing = await startInspectionLab({ ...withOrigin, bytes: pinned, pins: [`origin.example: "127.0.0.1:${pinned.port}"`] })
    refusing = await startInspectionLab({
      ...withOrigin,
      bytes: other,
      pins: [`origin.example: "127.0.0.1:${other.port}"`],
      inspection: '  ech: refuse',
    })
  })
  afterAll(() => Promise.all([passing.stop(), refusing.stop()]))

  it("passes Chromium's GREASE by default, since the outer name is the host", async () => {
    const client = await openTunnel(passing.gateway.port, 'origin.example:443')
    client.send(chromium)
    await waitFor(() => (passing.bytes.text.length === chromium.length ? true : undefined), 'the hello')
    client.close()
  })

  it('passes by default only with the right outer name', async () => {
    const client = await openTunnel(passing.gateway.port, 'relayed.test:443')
    client.send(chromium)
    expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
    expect(await tunnelEvent(passing, client.localPort)).toMatchObject({ reason: 'sni_mismatch', sni: 'origin.example' })
    client.close()
  })

  for (const [name, host, bytes] of [
    ["Chromium's GREASE", 'origin.example', chromium],
    ['an outer hello', 'relayed.test', ech],
    ['an inner hello', 'relayed.test', innerType],
  ] as const)
    it(`is refused with \`ech: refuse\`: ${name}`, async () => {
      const client = await openTunnel(refusing.gateway.port, `${host}:443`)
      client.send(bytes)
      expect(await client.untilClosed()).toBe(`${ESTABLISHED}${ALERT}`)
      expect(await tunnelEvent(refusing, client.localPort)).toMatchObject({ event: 'deny', reason: 'ech_refused', sni: host })
      expect(refusing.bytes.text).toBe('')
      client.close()
    })

  it('leaves hellos without it alone with `ech: refuse`', async () => {
    const bytes = helloWith(serverName('relayed.test'))
    const client = await openTunnel(refusing.gateway.port, 'relayed.test:443')
    client.send(bytes)
    await waitFor(() => (refusing.bytes.text.length === bytes.length ? true : undefined), 'the hello')
    client.close()
  })
})

describe('openings in report mode', () => {
  let report: InspectionLab
  beforeAll(async () => {
    report = await startInspectionLab({ config: 'mode: report' })
  })
  afterAll(() => report.stop())

  const through: Readonly<Record<string, readonly [reason: string, bytes: Uint8Array | string]>> = {
    'another name': ['sni_mismatch', helloWith(serverName('evil.test'))],
    'no name': ['sni_missing', helloWith(alpn('h2'))],
    'no TLS': ['not_tls', 'SSH-2.0-x\r\n'],
  }
  for (const [name, [reason, bytes]] of Object.entries(through))
    it(`relays one with ${name} untouched, as a would_deny`, async () => {
      const client = await openTunnel(report.gateway.port, 'relayed.test:443')
      client.send(bytes)
      const index = report.bytes.connections - 1
      await waitFor(() => (report.bytes.received[index]?.length === bytes.length ? true : undefined), 'the opening')
      client.close()
      expect(await tunnelEvent(report, client.localPort)).toMatchObject({ event: 'would_deny', reason, host: 'relayed.test' })
      expect(await requestsCounted(report, 'connect', 'would_deny', reason)).toBe(1)
    })

  it('still ends one that never comes', async () => {
    const quick = await startInspectionLab({ config: 'mode: report\nlimits: { openingSeconds: 0.2 }' })
    const client = await openTunnel(quick.gateway.port, 'relayed.test:443')
    expect(await client.untilClosed()).toBe(ESTABLISHED)
    expect((await tunnelEvent(quick, client.localPort)).reason).toBe('opening_timeout')
    client.close()
    await quick.stop()
  })
})
