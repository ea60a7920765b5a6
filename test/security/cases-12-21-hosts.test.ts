import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DnsServer } from '../support/dns-server.ts'
import { startGateway } from '../support/gateway.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { attack, expectRefused, type Lab, startLab } from './lab.ts'

/** Addresses nobody may be led to, each of them under a name of its own. */
const REFUSED_ADDRESSES = [
  // case 16
  '0.0.0.0',
  '0.1.2.3',
  '127.0.0.1',
  '127.255.255.254',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '169.254.169.254',
  '169.254.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '168.63.129.16',
  '192.0.0.1',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '100::1',
  '2001:db8::1',
  '3fff::1',
  // case 17
  '::ffff:7f00:1',
  '::ffff:a00:1',
  '::ffff:a9fe:a9fe',
  '::ffff:a83f:8110',
  // case 18
  '64:ff9b::7f00:1',
  '64:ff9b::a00:1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b::a83f:8110',
  '64:ff9b:1::a00:1',
  '64:ff9b:1::808:808',
  '2002:7f00:1::',
  '2002:a00:1::1',
  '2002:a9fe:a9fe::',
  '2001:0:808:808::1',
  '2001:0:0:0:0:0:f5ff:fffe',
  '::7f00:1',
  '::a00:1',
  '::ffff:0:7f00:1',
  '::ffff:0:a00:1',
] as const

let dns: DnsServer
let lab: Lab
const nameOf = (address: string) => `at-${address.replace(/[.:]/g, '-').replace(/^at--|-$/g, 'x')}x.refused.test`

beforeAll(async () => {
  dns = await DnsServer.of(Object.fromEntries(REFUSED_ADDRESSES.map((address) => [nameOf(address), [address]])))
  lab = await startLab({
    config: `dns: { servers: ["${dns.address}"] }`,
    rules: [
      '{ name: refused, hosts: ["*.refused.test"], ports: [80, 443, 7] }',
      '{ name: forbidden, hosts: [forbidden.test, "*.forbidden.test"], action: deny }',
      '{ name: wide, hosts: ["*forbidden.test", "*.test"], ports: [80, 443] }',
      `{ name: literals, hosts: [${[
        '127.0.0.1',
        '10.0.0.1',
        '169.254.169.254',
        '::1',
        '::ffff:127.0.0.1',
        '64:ff9b::a00:1',
        '0.0.0.0',
        '::',
      ]
        .map((literal) => `"${literal}"`)
        .join(', ')}], ports: [80, 443, 7] }`,
    ],
    pins: ['forbidden.test: "127.0.0.1:9"'],
  })
})
afterAll(async () => {
  await lab.stop()
  await dns.stop()
})

/** Beyond ASCII as UTF-8, one byte a character. */
const onTheWire = (text: string) => (/[^\0-\xff]/.test(text) ? Buffer.from(text).toString('latin1') : text)
const connectTo = (target: string) => `CONNECT ${onTheWire(target)} HTTP/1.1\r\nHost: x\r\n\r\n`
const getUrl = (url: string) => `GET ${onTheWire(url)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`

describe('case 12: another spelling of a denied host', () => {
  const spellings = [
    'forbidden.test',
    'FORBIDDEN.TEST',
    'forbidden.test.',
    'Forbidden.Test.',
    'www.forbidden.test',
    'WWW.forbidden.TEST.',
  ]
  for (const host of spellings) {
    it(`denies CONNECT ${host}`, async () => {
      const { events } = await expectRefused(lab, connectTo(`${host}:443`), 403, 'denied_by_rule')
      expect(events[0]).toMatchObject({ host: host.toLowerCase().replace(/\.$/, ''), entry: 'rule/forbidden' })
    })
    it(`denies GET http://${host}/`, () => expectRefused(lab, getUrl(`http://${host}/`), 403, 'denied_by_rule'))
  }
  for (const host of [
    '[forbidden.test]',
    '[forbidden.test.]',
    'forbidden.test..',
    '.forbidden.test',
    'forbidden.test%2e',
    'forbidden。test',
    'ｆorbidden.test',
  ])
    it(`refuses ${host} as malformed`, () => expectRefused(lab, connectTo(`${host}:443`), 400, 'malformed_request'))
})

describe('case 13: control characters and escapes in a host', () => {
  const hosts = [
    'allowed.test\0.evil.test',
    'allowed.test\0',
    '\0allowed.test',
    'allowed.test%00',
    'allowed.test%0d%0aX: y',
    'allowed%2etest',
    'allowed.test%',
    'allowed.test\x7f',
    'allowed.test\x1b[0m',
    'allowed.test\x85',
    'allowed\xadtest',
  ]
  for (const host of hosts) {
    it(`refuses ${JSON.stringify(host)} in a CONNECT`, () => expectRefused(lab, connectTo(`${host}:7`), 400, 'malformed_request'))
    it(`refuses ${JSON.stringify(host)} in a URL`, () => expectRefused(lab, getUrl(`http://${host}/`), 400, 'malformed_request'))
  }
  it('refuses a CR in a CONNECT target', () => expectRefused(lab, connectTo('allowed.test\r:7'), 400, 'malformed_request'))
  it('refuses an LF in a CONNECT target', () => expectRefused(lab, connectTo('allowed.test\n:7'), 400, 'malformed_request'))
})

describe('case 14: an empty allowlist', () => {
  it('denies everything', async () => {
    const empty = await startGateway(
      'features: { azure: false, studio: false, compute: false, storage: false, container-registry: false, microsoft-container-registry: false, prebuilt-images: false, python: false, python-files: false, r: false, vscode: false, diagnostics: false }\nrules: []',
    )
    const nothing = { gateway: empty, origin: lab.origin, stop: () => empty.stop() }
    try {
      for (const target of ['pypi.org:443', 'management.azure.com:443', 'localhost:80', '8.8.8.8:53', '[2606:4700::1111]:443'])
        await expectRefused(nothing, connectTo(target), 403, 'host_not_listed')
      await expectRefused(
        nothing,
        'GET http://pypi.org/ HTTP/1.1\r\nHost: pypi.org\r\nConnection: close\r\n\r\n',
        403,
        'host_not_listed',
      )
    } finally {
      await nothing.stop()
    }
  })
})

describe('case 15: other spellings of an address', () => {
  const spellings = [
    '2130706433',
    '0177.0.0.1',
    '0177.0.0.01',
    '0x7f.1',
    '0x7f000001',
    '0X7F.0.0.1',
    '127.1',
    '127.0.1',
    '127.0.0.1.',
    '127.0.0.01',
    '127.0.0.256',
    '127.0.0.1.1',
    '127.0.0.0x1',
    '①②⑦.⓪.⓪.①',
    '１２７.０.０.１',
    '127。0。0。1',
    '127.0.0.1\0.refused.test',
    '0',
    '0x',
    'a.0x7f',
    'refused.127',
  ]
  for (const host of spellings) {
    it(`refuses CONNECT ${JSON.stringify(host)}`, () => expectRefused(lab, connectTo(`${host}:7`), 400, 'malformed_request'))
    it(`refuses http://${JSON.stringify(host)}/`, () => expectRefused(lab, getUrl(`http://${host}/`), 400, 'malformed_request'))
  }
})

describe('cases 16, 17 and 18: a listed name that leads to an address that is not the public internet', () => {
  for (const address of REFUSED_ADDRESSES) {
    it(`refuses a name at ${address}`, async () => {
      const { events } = await expectRefused(lab, connectTo(`${nameOf(address)}:7`), 403, 'address_refused')
      expect(events[0]?.address, 'nothing was dialled').toBeUndefined()
    })
  }

  it('refuses listed literals too, unless a range allows them', async () => {
    for (const literal of [
      '127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[64:ff9b::a00:1]',
      '0.0.0.0',
      '[::]',
    ])
      await expectRefused(lab, connectTo(`${literal}:7`), 403, 'address_refused')
  })

  it('refuses a zone id', () => expectRefused(lab, connectTo('[fe80::1%25lo]:7'), 400, 'malformed_request'))

  it('says the NO_PROXY line for the metadata service, in any embedding', async () => {
    for (const address of ['169.254.169.254', '::ffff:a9fe:a9fe', '64:ff9b::a9fe:a9fe'])
      expect((await attack(lab, connectTo(`${nameOf(address)}:7`))).text).toContain('NO_PROXY=169.254.169.254')
  })

  it('refuses the platform addresses whatever the config allows', async () => {
    const generous = await startLab({
      config: `dns: { servers: ["${dns.address}"] }`,
      rules: [
        '{ name: generous, hosts: ["*.refused.test", "169.254.169.254", "168.63.129.16"], ports: [7], destinations: ["0.0.0.0/0", "::/0", "127.0.0.0/8", "169.254.169.254/32", "168.63.129.16/32"] }',
      ],
      pins: ['pinned.refused.test: "169.254.169.254"', 'pinned6.refused.test: "[::ffff:a83f:8110]:80"'],
    })
    try {
      for (const host of [
        '169.254.169.254',
        '168.63.129.16',
        nameOf('169.254.169.254'),
        nameOf('168.63.129.16'),
        nameOf('fd00:ec2::254'),
        nameOf('64:ff9b::a83f:8110'),
        'pinned.refused.test',
        'pinned6.refused.test',
      ])
        await expectRefused(generous, connectTo(`${host}:7`), 403, 'address_refused')
    } finally {
      await generous.stop()
    }
  })

  it('does not take a range that is wider than /8 as a permission for loopback', async () => {
    const wide = await startLab({
      config: `dns: { servers: ["${dns.address}"] }`,
      rules: ['{ name: wide, hosts: ["*.refused.test"], ports: [7], destinations: ["0.0.0.0/0", "::/0", "126.0.0.0/7"] }'],
    })
    try {
      for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::', '::ffff:7f00:1'])
        await expectRefused(wide, connectTo(`${nameOf(address)}:7`), 403, 'address_refused')
    } finally {
      await wide.stop()
    }
  })
})

describe('case 20: redirects', () => {
  it('passes a redirect on and never follows it', async () => {
    const elsewhere = await Origin.start()
    const origin = await Origin.answering(
      'HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/secret\r\nContent-Length: 0\r\n\r\n',
    )
    const here = await startLab({
      origin,
      rules: ['{ name: elsewhere, hosts: [elsewhere.test] }'],
      pins: [`elsewhere.test: "127.0.0.1:${elsewhere.port}"`],
    })
    try {
      const { answers } = await attack(
        here,
        'GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n',
      )
      expect(answers).toMatchObject([{ status: 302 }])
      expect(answers[0]?.fields.get('location')).toBe('http://elsewhere.test/secret')
      expect(elsewhere.connections).toBe(0)
      expect(origin.connections).toBe(1)
    } finally {
      await here.stop()
      await elsewhere.stop()
    }
  })
})

describe('case 21: a request that comes back', () => {
  it('refuses a connection to each of its own listeners, also through a pin, a name or a mapped address', async () => {
    const loops = await DnsServer.of({ 'loop.test': ['127.0.0.1'], 'mapped.loop.test': ['::ffff:7f00:1'] })
    const rules =
      'rules: [{ name: self, hosts: [loop.test, "*.loop.test", "127.0.0.1", "::ffff:127.0.0.1"], ports: [PORTS], protocol: any, destinations: ["127.0.0.0/8"] }]'
    // The ports are free ones, so a first gateway finds them for the second.
    const probe = await startGateway('')
    const ports = [probe.port, probe.metricsPort, probe.adminPort]
    await probe.stop()
    const gateway = await startGateway(
      `listen: { proxy: "127.0.0.1:${ports[0]}", metrics: "127.0.0.1:${ports[1]}", admin: "127.0.0.1:${ports[2]}" }\ndns: { servers: ["${loops.address}"] }\n${rules.replace('PORTS', ports.join(', '))}`,
    )
    const own = { gateway, origin: lab.origin, stop: () => gateway.stop() }
    try {
      for (const port of ports)
        for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', 'loop.test', 'mapped.loop.test'])
          await expectRefused(own, connectTo(`${host}:${port}`), 403, 'loop_detected')
      await expectRefused(
        own,
        `GET http://loop.test:${ports[0]}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        403,
        'loop_detected',
      )
    } finally {
      await own.stop()
      await loops.stop()
    }
  })

  it('knows every address of a listener that is bound to all of them', async () => {
    const probe = await startGateway('')
    const port = probe.port
    await probe.stop()
    const gateway = await startGateway(
      `listen: { proxy: "0.0.0.0:${port}", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\nrules: [{ name: self, hosts: ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::ffff:127.0.0.2"], ports: [${port}], protocol: any, destinations: ["127.0.0.0/8", "0.0.0.0/32"] }]`,
    )
    const own = { gateway, origin: lab.origin, stop: () => gateway.stop() }
    try {
      for (const host of ['127.0.0.1', '127.0.0.2', '0.0.0.0', '[::ffff:127.0.0.2]'])
        await expectRefused(own, connectTo(`${host}:${port}`), 403, 'loop_detected')
    } finally {
      await own.stop()
    }
  })

  it('refuses a CONNECT that names this gateway in its `Via`, as a proxy between would send it back', async () => {
    await attack(lab, 'GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n')
    const via = /Via: 1\.1 (\S+)/.exec(lab.origin.received.map((bytes) => bytes.toString('latin1')).join(''))?.[1]
    expect(via).toMatch(/^sallyport-/)
    const withVia = (value: string) => `CONNECT allowed.test:80 HTTP/1.1\r\nHost: allowed.test:80\r\nVia: ${value}\r\n\r\n`
    const { events } = await expectRefused(lab, withVia(`1.0 squid, 1.1 ${via}, 1.1 other`), 403, 'loop_detected')
    expect(events[0]).toMatchObject({ host: 'allowed.test', kind: 'connect' })
    const client = await RawClient.connect(lab.gateway.port)
    client.send(withVia('1.1 sallyport-of-another, 1.0 squid'))
    expect(await client.until((text) => text.includes('\r\n\r\n')), 'another gateway is no loop').toMatch(/^HTTP\/1.1 200 /)
    client.close()
  })

  it('breaks a loop of two gateways by `Via`', async () => {
    // A plain TCP relay between the two, which shows what passes.
    const towards: { port: number } = { port: 0 }
    const joint = await Origin.start((socket) => {
      socket.pipe(connect(towards.port, '127.0.0.1')).pipe(socket)
    })
    const config = (target: number) =>
      `rules: [{ name: loop, hosts: [loop.test] }]\ndestinations: { pin: { loop.test: "127.0.0.1:${target}" } }`
    const first = await startGateway(config(joint.port))
    const second = await startGateway(config(first.port))
    towards.port = second.port
    try {
      const client = await RawClient.connect(first.port)
      client.send('GET http://loop.test/ HTTP/1.1\r\nHost: loop.test\r\nVia: 1.1 somebody\r\n\r\n')
      // In origin-form the second gateway refuses it as not meant for a proxy: no loop can form out of forwards.
      expect(await client.answer()).toMatch(/^HTTP\/1\.1 400 not_a_proxy_request\r\n/)
      client.close()
      const via = /\r\nVia: (.*)\r\n/.exec(joint.text)?.[1]
      expect(via).toMatch(/^1\.1 somebody, 1\.1 sallyport-[0-9a-f]{12}$/)
      const again = await RawClient.connect(first.port)
      again.send(`GET http://loop.test/ HTTP/1.1\r\nHost: loop.test\r\nVia: ${via}\r\n\r\n`)
      expect(await again.answer()).toMatch(/^HTTP\/1\.1 403 loop_detected\r\n/)
      again.close()
      const inList = await RawClient.connect(first.port)
      inList.send(`GET http://loop.test/ HTTP/1.1\r\nHost: loop.test\r\nVia: 1.0 a\r\nVia: ${via} (comment), 1.1 b\r\n\r\n`)
      expect(await inList.answer()).toMatch(/^HTTP\/1\.1 403 loop_detected\r\n/)
      inList.close()
      expect(joint.connections).toBe(1)
    } finally {
      await first.stop()
      await second.stop()
      await joint.stop()
    }
  })
})

describe('near misses: what is allowed', () => {
  it('serves a name that leads into a range that its rule allows', async () => {
    const origin = await Origin.answering(httpAnswer('here'))
    const names = await DnsServer.of({ 'lab.test': ['127.0.0.1'] })
    const here = await startLab({
      origin,
      config: `dns: { servers: ["${names.address}"] }`,
      rules: [`{ name: lab, hosts: [lab.test, "127.0.0.1"], ports: [${origin.port}], destinations: ["127.0.0.0/8"] }`],
    })
    try {
      for (const host of ['lab.test', '127.0.0.1', 'LAB.test.']) {
        const { answers, events } = await attack(
          here,
          `GET http://${host}:${origin.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        )
        expect(answers).toMatchObject([{ status: 200, body: 'here' }])
        expect(events).toMatchObject([{ event: 'allow', entry: 'rule/lab', address: `127.0.0.1:${origin.port}` }])
      }
    } finally {
      await here.stop()
      await names.stop()
    }
  })
})
