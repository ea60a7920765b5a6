import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { helloWith, serverName } from '../core/wire/hellos/build.ts'
import { basic, userLine } from '../support/credentials.ts'
import { waitFor } from '../support/gateway.ts'
import { NAMESPACE_PROGRAMS } from '../support/namespace.ts'
import { describeWith } from '../support/program.ts'
import type { ProgramUnderTest } from '../support/program-under-test.ts'
import { LAB, SubnetLab } from '../support/subnet-lab.ts'

const ORIGIN = '20.60.0.10'
/** Somebody else's: everything is there that is at the origin, and nobody is let out to it. */
const ELSEWHERE = '20.60.0.66'
/** What address entries allow: this port unseen, that one as TLS. */
const OPAQUE = '20.60.0.20'
const ORIGIN_SIX = '2603:1030::10'
const ELSEWHERE_SIX = '2603:1030::66'

const ALERT = '\x15\x03\x03\x00\x02\x02'
const ACCESS_DENIED = `${ALERT}\x31`
const INTERNAL_ERROR = `${ALERT}\x50`

const head = ({ mismatch = 'dial', more = '' } = {}) => `
listen:
  transparent: { tls: "[::]:${LAB.ports.tls}", http: "[::]:${LAB.ports.http}", tcp: "[::]:${LAB.ports.tcp}" }
clients: { allow: ["${LAB.client.four}", "${LAB.client.six}"] }
dns: { servers: ["${LAB.internet.four}"] }
transparent: { mismatch: ${mismatch} }
reload: { watch: false }
limits: { openingSeconds: 2 }
rules:
  - { name: origin, hosts: [origin.test, six.test, down.test], ports: [80, 443, 22, 8445] }
  - { name: opaque, hosts: ["${OPAQUE}"], ports: [22, 443, 7777], protocol: any }
  - { name: literal, hosts: ["${OPAQUE}"], ports: [8443], protocol: tls }
  - { name: ranges, addresses: ["20.61.0.0/16"], ports: [443, 80] }
  - { name: no-range, addresses: ["20.61.9.0/24"], action: deny }
  - { name: plain, hosts: ["${OPAQUE}"], ports: [80] }
${more}`

describeWith([...NAMESPACE_PROGRAMS, 'curl', 'python3', 'openssl'], () => {
  let lab: SubnetLab
  let gateway: ProgramUnderTest

  beforeAll(async () => {
    const names = ['origin.test', 'evil.test', 'six.test']
    const addresses = [ORIGIN, ELSEWHERE, ORIGIN_SIX, ELSEWHERE_SIX, OPAQUE]
    lab = await SubnetLab.start({
      services: [
        ...addresses.map((address) => ({ kind: 'https', address, port: 443, names }) as const),
        ...addresses.map((address) => ({ kind: 'http', address, port: 80 }) as const),
        ...['20.61.0.5', '20.61.9.5'].map((address) => ({ kind: 'https', address, port: 443, names }) as const),
        { kind: 'http', address: '20.61.0.5', port: 80 },
        { kind: 'https', address: OPAQUE, port: 8443, names },
        { kind: 'echo', address: OPAQUE, port: 22, greeting: 'SSH-2.0-lab\r\n' },
        { kind: 'echo', address: OPAQUE, port: 7777 },
        { kind: 'echo', address: ELSEWHERE, port: 22, greeting: 'SSH-2.0-lab\r\n' },
      ],
      names: {
        'origin.test': [ORIGIN],
        'evil.test': [ELSEWHERE],
        'six.test': [ORIGIN_SIX],
        'evil-six.test': [ELSEWHERE_SIX],
        'down.test': [ORIGIN],
      },
    })
    await lab.redirect()
    await lab.subnet.ip(`addr add 10.44.0.99/24 dev eth0`)
    gateway = await lab.serve(head())
  })
  afterAll(() => lab?.stop())

  /** Every request so far has its line: those that come from now on are not of an earlier one. */
  async function settled(): Promise<void> {
    await waitFor(async () => {
      const page = await (await gateway.ask('metrics', '/metrics')).text()
      const counted = [...page.matchAll(/^sallyport_requests_total\{.*\} (\d+)$/gm)].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      )
      return counted === gateway.events().length ? true : undefined
    }, 'a line for every request')
  }

  /** What happened since: the events that satisfy the condition, and connections to an address. */
  async function since<T>(act: () => Promise<T>, condition: (event: AuditEvent) => boolean = () => true) {
    await settled()
    const before = gateway.events().length
    const arrived = lab.arrivals.length
    const result = await act()
    const event = await waitFor(() => gateway.events().slice(before).find(condition), `an event after ${JSON.stringify(result)}`)
    const connections = lab.arrivals.slice(arrived).flatMap((arrival) => (arrival.what === 'connection' ? [arrival.to] : []))
    return { result, event, connections }
  }

  const hello = (...names: readonly string[]) => helloWith(...(names.length === 0 ? [] : [serverName(...names)]))

  describe('clients that know of no proxy', () => {
    it('reach an allowed host with Python alone', async () => {
      const script = 'import urllib.request as u; print(u.urlopen("https://origin.test/py").read().decode(), end="")'
      const env = { SSL_CERT_FILE: lab.ca.certificateFile }
      const { result, event } = await since(() => lab.run('python3', ['-c', script], { env }))
      expect(result).toEqual({ code: 0, stdout: `https ${ORIGIN}:443 origin.test /py\n`, stderr: '' })
      expect(event).toMatchObject({ event: 'allow', kind: 'transparent', listener: 'transparent.tls', host: 'origin.test' })
    })

    it('are told by Python that they may not, and by the audit log who wanted what', async () => {
      const script = 'import urllib.request as u; u.urlopen("https://evil.test/")'
      const { result, event, connections } = await since(() => lab.run('python3', ['-c', script]))
      expect(result.stderr).toMatch(/access.denied/i)
      expect(connections).toEqual([])
      expect(event).toMatchObject({
        event: 'deny',
        reason: 'host_not_listed',
        kind: 'transparent',
        listener: 'transparent.tls',
        client: LAB.client.four,
        host: 'evil.test',
        port: 443,
        sni: 'evil.test',
        original: `${ELSEWHERE}:443`,
        hint: expect.stringContaining('evil.test'),
      })
      expect(event.address).toBeUndefined()
    })

    it('get the usual answer over HTTP', async () => {
      const { stdout } = await lab.curl('--include', 'http://evil.test/')
      expect(stdout).toMatch(/^HTTP\/1\.1 403 host_not_listed\r\n/)
      expect(stdout).toContain('"hint": "to allow it, add')
    })

    it('are refused before they say anything where they may not use the gateway', async () => {
      const { result, event } = await since(() => lab.curl('--interface', '10.44.0.99', 'https://origin.test/'))
      expect(result.code).toBe(35)
      expect(event).toMatchObject({ reason: 'client_not_allowed', client: '10.44.0.99' })
      expect(event.host).toBeUndefined()
      const { stdout } = await lab.curl('--interface', '10.44.0.99', '--include', 'http://origin.test/')
      expect(stdout).toMatch(/^HTTP\/1\.1 403 client_not_allowed\r\n/)
    })
  })

  describe('an allowed name at another address', () => {
    it('leads a forged SNI to the host of that name and nowhere else', async () => {
      const { result, event, connections } = await since(() =>
        lab.curl('--resolve', `origin.test:443:${ELSEWHERE}`, 'https://origin.test/'),
      )
      expect(result.stdout).toBe(`https ${ORIGIN}:443 origin.test /\n`)
      expect(connections).toEqual([`${ORIGIN}:443`])
      expect(event).toMatchObject({
        event: 'allow',
        original: `${ELSEWHERE}:443`,
        address: `${ORIGIN}:443`,
        detail: `${ELSEWHERE} is not among the addresses of origin.test:443`,
      })
      expect(await gateway.metric('sallyport_transparent_mismatches_total{outcome="dialled"}')).toBeGreaterThan(0)
    })

    it('leads a forged Host there too', async () => {
      const { result, connections } = await since(() =>
        lab.curl('--resolve', `origin.test:80:${ELSEWHERE}`, 'http://origin.test/'),
      )
      expect(result.stdout).toBe(`http ${ORIGIN}:80 origin.test /\n`)
      expect(connections).not.toContain(`${ELSEWHERE}:80`)
    })

    it('does so over IPv6', async () => {
      const { result, connections } = await since(() =>
        lab.curl('--resolve', `six.test:443:[${ELSEWHERE_SIX}]`, 'https://six.test/'),
      )
      expect(result.stdout).toBe(`https ${ORIGIN_SIX}:443 six.test /\n`)
      expect(connections).toEqual([`${ORIGIN_SIX}:443`])
    })

    it('leads from one family to the other', async () => {
      const { result } = await since(() => lab.curl('--resolve', `origin.test:443:[${ELSEWHERE_SIX}]`, 'https://origin.test/'))
      expect(result.stdout).toBe(`https ${ORIGIN}:443 origin.test /\n`)
    })
  })

  describe('a connection that carries several requests', () => {
    const get = (host: string, path: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`

    it('has each judged by its own Host', async () => {
      const { result, connections } = await since(() =>
        lab.raw(
          ORIGIN,
          80,
          [
            { send: get('origin.test', '/1') },
            { until: '/1\n' },
            { send: get('evil.test', '/2') },
            { until: '}\n' },
            { send: get('origin.test', '/3') },
            { until: '/3\n' },
            { end: true },
          ],
          2,
        ),
      )
      expect(result.text.match(/HTTP\/1\.1 \d+ \S+/g)).toEqual([
        'HTTP/1.1 200 OK',
        'HTTP/1.1 403 host_not_listed',
        'HTTP/1.1 200 OK',
      ])
      expect(connections.every((to) => to === `${ORIGIN}:80`)).toBe(true)
      expect(lab.arrivals.filter((arrival) => arrival.what === 'request' && arrival.host === 'evil.test')).toEqual([])
    })

    it('has each judged that was sent ahead', async () => {
      const { text } = await lab.raw(
        ORIGIN,
        80,
        [
          { send: get('origin.test', '/a') + get('evil.test', '/b') + get('origin.test', '/c') },
          { until: '/c\n' },
          { end: true },
        ],
        2,
      )
      expect(text.match(/HTTP\/1\.1 \d+ \S+/g)).toEqual(['HTTP/1.1 200 OK', 'HTTP/1.1 403 host_not_listed', 'HTTP/1.1 200 OK'])
    })

    it('may come byte by byte', async () => {
      const steps = [...get('origin.test', '/slow')].map((send) => ({ send }))
      const { text } = await lab.raw(ORIGIN, 80, [...steps, { until: '/slow\n' }, { end: true }], 2)
      expect(text).toContain(`http ${ORIGIN}:80 origin.test /slow\n`)
    })
  })

  describe('what names no host', () => {
    const TLS_CASES = [
      { what: 'no SNI', bytes: hello(), reason: 'sni_missing' },
      { what: 'two names, the first of which is allowed', bytes: hello('origin.test', 'evil.test'), reason: 'sni_mismatch' },
      { what: 'an address as SNI', bytes: hello(ORIGIN), reason: 'sni_mismatch' },
      { what: 'a name with a NUL', bytes: hello('origin.test\0.evil.test'), reason: 'sni_mismatch' },
    ] as const
    for (const { what, bytes, reason } of TLS_CASES)
      for (const port of [443, 8444])
        it(`is refused with ${reason} on port ${port}: ${what}`, async () => {
          const { result, event, connections } = await since(() => lab.raw(ORIGIN, port, [{ send: bytes }]))
          expect(result.text).toBe(ACCESS_DENIED)
          expect(event).toMatchObject({ event: 'deny', reason, host: ORIGIN, port, client: LAB.client.four })
          expect(connections).toEqual([])
        })

    const OTHER_CASES = [
      { what: 'SSH on a port for SSH', port: 22, bytes: 'SSH-2.0-x\r\n', reason: 'host_not_listed' },
      { what: 'SSH on the port for TLS', port: 443, bytes: 'SSH-2.0-x\r\n', reason: 'not_tls' },
      { what: 'a ClientHello cut off by garbage', port: 443, bytes: '\x16\x03\x01\x00\x05\x02aaaa', reason: 'not_tls' },
    ] as const
    for (const { what, port, bytes, reason } of OTHER_CASES)
      it(`is refused with ${reason}: ${what}`, async () => {
        const { event, connections } = await since(() => lab.raw(ELSEWHERE, port, [{ send: bytes }]))
        expect(event).toMatchObject({ event: 'deny', reason, host: ELSEWHERE, port })
        expect(connections).toEqual([])
      })

    it('is told in words where it is HTTP on the port for TLS', async () => {
      const { text } = await lab.raw(ORIGIN, 443, [{ send: 'GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n' }])
      expect(text).toMatch(/^HTTP\/1\.1 403 not_tls\r\n/)
    })

    it('is refused with an alert where it is TLS on the port for HTTP', async () => {
      const { result, event } = await since(() => lab.raw(ORIGIN, 80, [{ send: hello('origin.test') }]))
      expect(result.text).toBe(ACCESS_DENIED)
      expect(event).toMatchObject({ reason: 'malformed_request', listener: 'transparent.http' })
    })

    it('is refused where it waits for the server to speak, and the line says why', async () => {
      const { result, event, connections } = await since(() => lab.raw(ELSEWHERE, 22, [], 10))
      expect(result).toMatchObject({ text: '', end: 'eof' })
      expect(event).toMatchObject({
        event: 'deny',
        reason: 'host_not_listed',
        host: ELSEWHERE,
        port: 22,
        detail: expect.stringContaining('the client sent nothing'),
      })
      expect(connections).toEqual([])
    })

    it('is refused where the TLS does not come in time', async () => {
      const { result, event } = await since(() => lab.raw(ORIGIN, 443, [{ send: hello('origin.test').subarray(0, 20) }], 10))
      expect(result.text).toBe(ACCESS_DENIED)
      expect(event).toMatchObject({ reason: 'opening_timeout' })
    })

    it('is no request where the client leaves at once, and a line where it waited', async () => {
      await settled()
      const before = gateway.events().length
      await lab.raw(ELSEWHERE, 443, [], 0.05)
      await lab.raw(ELSEWHERE, 22, [], 0.05)
      const { event } = await since(() => lab.raw(ELSEWHERE, 22, [], 1.3))
      expect(gateway.events().slice(before)).toEqual([event])
      expect(event).toMatchObject({ reason: 'host_not_listed', host: ELSEWHERE, port: 22 })
    })

    it('may be HTTP/1.0 without Host, for an address that is listed', async () => {
      const { text } = await lab.raw(OPAQUE, 80, [{ send: 'GET /ten HTTP/1.0\r\n\r\n' }])
      expect(text).toContain(`http ${OPAQUE}:80 ${OPAQUE} /ten\n`)
      const { event } = await since(() => lab.raw(ORIGIN, 80, [{ send: 'GET /ten HTTP/1.0\r\n\r\n' }]))
      expect(event).toMatchObject({ reason: 'host_not_listed', host: ORIGIN })
    })
  })

  describe('an HTTP request that means something else', () => {
    const CASES = [
      {
        what: 'an address that is not the one dialled',
        head: `GET / HTTP/1.1\r\nHost: ${ELSEWHERE}\r\n\r\n`,
        status: 421,
        reason: 'host_mismatch',
      },
      {
        what: 'another port than the one dialled',
        head: 'GET / HTTP/1.1\r\nHost: origin.test:443\r\n\r\n',
        status: 421,
        reason: 'host_mismatch',
      },
      {
        what: 'a URL for another host than its Host',
        head: 'GET http://evil.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n',
        status: 421,
        reason: 'host_mismatch',
      },
      {
        what: 'two Hosts',
        head: 'GET / HTTP/1.1\r\nHost: origin.test\r\nHost: evil.test\r\n\r\n',
        status: 400,
        reason: 'malformed_request',
      },
      { what: 'no Host in HTTP/1.1', head: 'GET / HTTP/1.1\r\nX: y\r\n\r\n', status: 400, reason: 'malformed_request' },
      {
        what: 'CONNECT',
        head: 'CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n',
        status: 403,
        reason: 'method_not_listed',
      },
      {
        what: 'the file that only the proxy listener hands out',
        head: 'GET /ca.pem HTTP/1.1\r\nHost: evil.test\r\n\r\n',
        status: 403,
        reason: 'host_not_listed',
      },
    ] as const
    for (const { what, head: bytes, status, reason } of CASES)
      it(`is refused with ${reason}: ${what}`, async () => {
        const { result, connections } = await since(() => lab.raw(ORIGIN, 80, [{ send: bytes }, { until: '}\n' }, { end: true }]))
        expect(result.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} ${reason}\r\n`))
        expect(connections).toEqual([])
      })
  })

  describe('an address entry', () => {
    it('lets out a name that is not listed, to the address that was dialled, whether it is said or not', async () => {
      for (const url of ['https://evil.test/', `https://${OPAQUE}/`]) {
        const { result, event, connections } = await since(() =>
          lab.curl('--insecure', '--resolve', `evil.test:443:${OPAQUE}`, url),
        )
        expect(result.stdout).toMatch(`https ${OPAQUE}:443 `)
        expect(connections).toEqual([`${OPAQUE}:443`])
        expect(event).toMatchObject({ event: 'allow', entry: 'rule/opaque', host: OPAQUE, address: `${OPAQUE}:443` })
      }
    })

    it('may be a range: whatever the name, and nothing in a range that a rule refuses', async () => {
      for (const [url, body] of [
        ['https://evil.test/', 'https 20.61.0.5:443 evil.test /\n'],
        ['https://20.61.0.5/', 'https 20.61.0.5:443 20.61.0.5 /\n'],
        ['http://evil.test/', 'http 20.61.0.5:80 evil.test /\n'],
      ] as const) {
        const there = ['--resolve', 'evil.test:443:20.61.0.5', '--resolve', 'evil.test:80:20.61.0.5']
        const { result, event } = await since(() => lab.curl('--insecure', ...there, url))
        expect(result.stdout).toBe(body)
        expect(event).toMatchObject({ event: 'allow', entry: 'rule/ranges', host: '20.61.0.5' })
      }
      const { result, event, connections } = await since(() => lab.curl('--insecure', 'https://20.61.9.5/'))
      expect(result.code).toBe(35)
      expect(connections).toEqual([])
      expect(event).toMatchObject({ reason: 'denied_by_rule', entry: 'rule/no-range' })
    })

    it('does not keep an allowed name from its own host', async () => {
      const { connections, event } = await since(() => lab.curl('--resolve', `origin.test:443:${OPAQUE}`, 'https://origin.test/'))
      expect(connections).toEqual([`${ORIGIN}:443`])
      expect(event).toMatchObject({ entry: 'rule/origin', original: `${OPAQUE}:443` })
    })

    it('lets the server speak first where it relays unseen', async () => {
      const { result, event } = await since(() => lab.raw(OPAQUE, 22, [{ until: 'SSH-2.0-lab\r\n' }, { end: true }], 1))
      expect(result.text).toBe('SSH-2.0-lab\r\n')
      expect(event).toMatchObject({ event: 'allow', host: OPAQUE, port: 22, bytesDown: 13 })
    })

    it('relays what is neither TLS nor HTTP', async () => {
      const { text } = await lab.raw(OPAQUE, 7777, [{ send: '\0\x01binary' }, { until: 'binary' }, { end: true }], 1)
      expect(text).toBe('\0\x01binary')
    })

    it('carries any name in TLS where it is for TLS, and nothing else', async () => {
      const { stdout } = await lab.curl('--insecure', '--resolve', `evil.test:8443:${OPAQUE}`, 'https://evil.test:8443/')
      expect(stdout).toBe(`https ${OPAQUE}:8443 evil.test:8443 /\n`)
      const { event } = await since(() => lab.raw(OPAQUE, 8443, [{ send: 'SSH-2.0-x\r\n' }]))
      expect(event).toMatchObject({ reason: 'not_tls', entry: 'rule/literal' })
    })

    it('lets HTTP out by its address, and the origin hears the Host that the client sent', async () => {
      const { result, event } = await since(() => lab.curl('--resolve', `evil.test:80:${OPAQUE}`, 'http://evil.test/x'))
      expect(result.stdout).toBe(`http ${OPAQUE}:80 evil.test /x\n`)
      expect(event).toMatchObject({ entry: 'rule/plain', host: OPAQUE, detail: expect.stringContaining('evil.test') })
    })
  })

  describe('the gateway itself', () => {
    it('is no destination: what was not redirected is refused on every listener', async () => {
      for (const [port, answer] of [
        [LAB.ports.tls, ACCESS_DENIED],
        [LAB.ports.http, /^HTTP\/1\.1 403 loop_detected\r\n/],
        [LAB.ports.tcp, ''],
      ] as const)
        for (const address of [LAB.lan.four, LAB.lan.six, LAB.wan.four]) {
          const { result, event } = await since(() => lab.raw(address, port, [{ send: hello('origin.test') }]))
          expect(result.text).toMatch(answer)
          expect(event).toMatchObject({ event: 'deny', reason: 'loop_detected', host: address, port })
        }
    })

    it('is no destination where rules redirect what was for it, either', async () => {
      await lab.applyRules(
        `table inet lab_all { chain every { type nat hook prerouting priority dstnat - 1; iifname "${LAB.lan.name}" tcp dport 443 redirect to :${LAB.ports.tls}
}
}`,
      )
      try {
        const { result, event } = await since(() => lab.raw(LAB.wan.four, 443, [{ send: hello('origin.test') }]))
        expect(result.text).toBe(ACCESS_DENIED)
        expect(event).toMatchObject({
          reason: 'loop_detected',
          host: LAB.wan.four,
          port: 443,
          detail: `${LAB.wan.four} is this gateway`,
        })
      } finally {
        await lab.applyRules('delete table inet lab_all')
      }
    })
  })

  it('tells a failure from a refusal in TLS', async () => {
    const { result, event } = await since(() => lab.raw(ORIGIN, 8445, [{ send: hello('down.test') }]))
    expect(event).toMatchObject({ event: 'error', reason: 'dial_failed' })
    expect(result.text).toBe(INTERNAL_ERROR)
  })

  describe('another address than the host has', () => {
    it('is refused where the operator wants that, and let through and told in report mode', async () => {
      await lab.end(gateway)
      gateway = await lab.serve(head({ mismatch: 'refuse' }))
      const forged = ['--resolve', `origin.test:443:${ELSEWHERE}`, 'https://origin.test/']
      const { result, event, connections } = await since(() => lab.curl(...forged))
      expect(result.code).toBe(35)
      expect(connections).toEqual([])
      expect(event).toMatchObject({
        event: 'deny',
        reason: 'address_mismatch',
        host: 'origin.test',
        original: `${ELSEWHERE}:443`,
      })
      expect(await gateway.metric('sallyport_transparent_mismatches_total{outcome="refused"}')).toBe(1)
      expect((await lab.curl('https://origin.test/')).stdout).toBe(`https ${ORIGIN}:443 origin.test /\n`)
      await lab.end(gateway)
      gateway = await lab.serve(head({ mismatch: 'refuse', more: 'mode: report\n' }))
      const reported = await since(() => lab.curl(...forged))
      expect(reported.result.stdout).toBe(`https ${ORIGIN}:443 origin.test /\n`)
      expect(reported.event).toMatchObject({ event: 'would_deny', reason: 'address_mismatch' })
    })

    it('in report mode lets out what no entry allows, to where it was going, and says what would have been refused', async () => {
      const cases = [
        { url: 'https://evil.test/', words: ['--insecure'], reason: 'host_not_listed', to: `${ELSEWHERE}:443` },
        { url: `https://${ELSEWHERE}/`, words: ['--insecure'], reason: 'sni_missing', to: `${ELSEWHERE}:443` },
        { url: 'http://evil.test/', words: [], reason: 'host_not_listed', to: `${ELSEWHERE}:80` },
      ] as const
      for (const { url, words, reason, to } of cases) {
        const { result, event } = await since(() => lab.curl(...words, url))
        expect(result.stdout).toContain(to)
        expect(event).toMatchObject({ event: 'would_deny', reason })
      }
    })
  })

  describe('client groups', () => {
    const groups = (source: string) => `
groups: { lab: { sources: ["${source}"], mode: report, limits: { tunnelsPerClient: 7 } } }
  `
    it('are by address alone: the policy is that of the group for each way to speak', async () => {
      await lab.end(gateway)
      gateway = await lab.serve(head({ more: groups(LAB.client.four) }).replace('name: opaque,', 'name: opaque, groups: [lab],'))
      for (const url of ['https://evil.test/', 'http://evil.test/']) {
        const { result, event } = await since(() => lab.curl('--insecure', url))
        expect(result.stdout).toContain(ELSEWHERE)
        expect(event).toMatchObject({ event: 'would_deny', reason: 'host_not_listed', group: 'lab' })
      }
      // The server speaks first: that it may is in the group's own rules.
      const greeted = await since(() => lab.raw(OPAQUE, 22, [{ until: 'lab\r\n' }, { end: true }], 1))
      expect(greeted.result.text).toBe('SSH-2.0-lab\r\n')
      expect(greeted.event).toMatchObject({ event: 'allow', entry: 'rule/opaque', group: 'lab' })
      expect(await gateway.metric('sallyport_tunnels_open')).toBe(0)
    })

    it('are closed to whoever would have to show a password first', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'sallyport-users-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      const users = join(folder, 'users.txt')
      writeFileSync(users, `${userLine('alice', 'a')}\n`, { mode: 0o600 })
      await lab.end(gateway)
      gateway = await lab.serve(head({ more: `credentials: { file: ${users} }\n${groups('10.99.0.0/16')}` }))
      const refused = { event: 'deny', reason: 'credentials_required', detail: expect.stringContaining('redirected') }
      const tls = await since(() => lab.curl('https://origin.test/'))
      expect(tls.result.code).toBe(35)
      expect(tls.event).toMatchObject(refused)
      const http = await since(() => lab.curl('--header', basic('alice', 'a').trim(), 'http://origin.test/'))
      expect(http.event).toMatchObject(refused)
      expect([...tls.connections, ...http.connections]).toEqual([])
    })
  })

  describe('with two workers', () => {
    beforeAll(async () => {
      await lab.end(gateway)
      gateway = await lab.serve(head({ more: 'workers: 2\n' }))
    })

    it('each takes connections on every listener', async () => {
      for (let n = 0; n < 4; n++) {
        expect((await lab.curl('https://origin.test/', 'http://origin.test/')).stdout).toBe(
          `https ${ORIGIN}:443 origin.test /\nhttp ${ORIGIN}:80 origin.test /\n`,
        )
        expect((await lab.curl('https://evil.test/')).code).toBe(35)
        expect((await lab.raw(OPAQUE, 22, [{ until: 'lab\r\n' }, { end: true }], 1)).text).toBe('SSH-2.0-lab\r\n')
      }
      const counted = await gateway.metric(
        'sallyport_requests_total{listener="transparent.tls",kind="transparent",verdict="deny",reason="host_not_listed"}',
      )
      expect(counted).toBe(4)
    })

    it('say on a reload that listeners wait for a restart', async () => {
      writeFileSync(gateway.configFile, head({ more: 'workers: 2\n' }).replace(/http: "[^"]*"/, 'http: "[::]:3081"'))
      gateway.signal('SIGHUP')
      expect(await gateway.logged('reloaded')).toMatchObject({ restartRequired: ['listen.transparent'] })
      expect((await lab.curl('http://origin.test/')).stdout).toBe(`http ${ORIGIN}:80 origin.test /\n`)
    })
  })

  it('ends in order: no more is taken, what is open goes on', async () => {
    const slow = lab.raw(OPAQUE, 7777, [{ send: 'one' }, { until: 'one' }], 3)
    await waitFor(async () => ((await gateway.metric('sallyport_tunnels_open')) > 0 ? true : undefined), 'the tunnel')
    gateway.signal('SIGTERM')
    await gateway.logged('no new work; waiting for tunnels and requests to end')
    expect((await lab.curl('https://origin.test/')).code).toBe(7)
    expect(await slow).toMatchObject({ text: 'one', end: 'timeout' })
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })
})
