import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { opensslRoot, testFolder } from '../io/tls/test-ca.ts'
import { startGateway, type TestGateway, waitFor } from '../support/gateway.ts'
import { readAnswers } from '../support/http-answers.ts'
import { OpensslCa, type ServerCertificate } from '../support/openssl-ca.ts'
import { RawClient } from '../support/raw-client.ts'
import { run } from '../support/run.ts'
import { openTls, openTunnel, request } from '../support/tunnel-client.ts'
import {
  closed,
  eventsInside,
  type InspectionLab,
  inspected,
  inspectedRaw,
  startInspectionLab,
  tunnelEvent,
} from './inspection-lab.ts'
import { NO_FEATURES } from './lab.ts'

const get = (path: string, host: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`

describe('case 28: an origin whose certificate is not good', () => {
  const servers: Server[] = []
  const cas: OpensslCa[] = []
  let gateway: TestGateway
  let ca: OpensslCa
  const asked: string[] = []

  interface Row {
    readonly host: string
    readonly name: string
    readonly cause: RegExp
    readonly make: (good: OpensslCa, unknown: OpensslCa) => ServerCertificate
  }
  /** `bad.test` and NUL and `.evil.test`, as one dNSName. */
  const nulName = Buffer.concat([Buffer.from('nul.test\0.evil.test')])
  const nulSan = Buffer.concat([Buffer.from([0x30, nulName.length + 2, 0x82, nulName.length]), nulName])
  const rows: readonly Row[] = [
    { host: 'expired.test', name: 'expired', cause: /expired/, make: (good) => good.issue('DNS:expired.test', ['-days', '-1']) },
    {
      host: 'selfsigned.test',
      name: 'signed by itself',
      cause: /self-signed/,
      make: () => {
        const own = new OpensslCa('selfsigned.test')
        cas.push(own)
        return { cert: own.pem, key: own.keyPem }
      },
    },
    { host: 'wrong.test', name: 'for another name', cause: /another name/, make: (good) => good.issue('DNS:other.test') },
    {
      host: 'parent.test',
      name: 'for the names below it only',
      cause: /another name/,
      make: (good) => good.issue('DNS:*.parent.test'),
    },
    {
      host: 'a.b.deep.test',
      name: 'for one label less than it has',
      cause: /another name/,
      make: (good) => good.issue('DNS:*.deep.test'),
    },
    {
      host: 'nul.test',
      name: 'for a name with NUL behind it (CVE-2009-2408)',
      cause: /another name|cannot be read/,
      make: (good) => good.issue(`DER:${nulSan.toString('hex').replace(/..(?!$)/g, '$&:')}`),
    },
    {
      host: 'unknown.test',
      name: 'signed by a CA that nobody named',
      cause: /not known/,
      make: (_, unknown) => unknown.issue('DNS:unknown.test'),
    },
    {
      host: 'client.test',
      name: 'meant for clients',
      cause: /not meant for servers/,
      make: (good) => good.issue('DNS:client.test\nextendedKeyUsage=clientAuth'),
    },
    {
      host: 'address.test',
      name: 'for an address',
      cause: /another name/,
      make: (good) => good.issue('IP:127.0.0.1'),
    },
  ]
  const others = ['good.test', 'x.wild.test', 'plain.test', 'closing.test', 'silent.test', 'old.test']
  const ports = new Map<string, number>()

  async function listen(host: string, server: Server): Promise<void> {
    server.on('error', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    servers.push(server)
    const address = server.address()
    ports.set(host, typeof address === 'object' && address !== null ? address.port : 0)
  }
  const web = (certificate: ServerCertificate, options = {}) =>
    createHttpsServer({ ...certificate, ...options }, (req, res) => {
      asked.push(`${req.headers.host} ${req.url}`)
      res.end('fine')
    })

  beforeAll(async () => {
    ca = new OpensslCa('Inspection Root')
    const good = new OpensslCa('Good Root')
    const unknown = new OpensslCa('Unknown Root')
    cas.push(ca, good, unknown)
    for (const { host, make } of rows) await listen(host, web(make(good, unknown)))
    await listen('good.test', web(good.issue('DNS:good.test')))
    await listen('x.wild.test', web(good.issue('DNS:*.wild.test')))
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }
    await listen('old.test', web(good.issue('DNS:old.test'), old))
    await listen(
      'plain.test',
      createTcpServer((socket: Socket) => void socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    )
    await listen(
      'closing.test',
      createTcpServer((socket: Socket) => void socket.on('error', () => {}).once('data', () => socket.destroy())),
    )
    await listen(
      'silent.test',
      createTcpServer((socket: Socket) => void socket.on('error', () => {}).resume()),
    )
    const hosts = [...rows.map(({ host }) => host), ...others]
    gateway = await startGateway(`features: ${NO_FEATURES}
rules: [{ name: all, hosts: [${hosts.join(', ')}], paths: ["/ok/*"] }]
destinations: { pin: { ${hosts.map((host) => `${host}: "127.0.0.1:${ports.get(host)}"`).join(', ')} } }
limits: { dialSeconds: 1 }
inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}", upstreamCa: ["${good.certificateFile}"] }
`)
  })
  afterAll(async () => {
    await gateway.stop()
    for (const server of servers) server.close()
    for (const each of cas) each.remove()
  })

  async function ask(host: string) {
    const client = new RawClient(await openTls(gateway.port, `${host}:443`, { ca: ca.pem }))
    client.send(get('/ok/a', host))
    const text = await client.answer()
    client.close()
    const [answer] = readAnswers(text, [], false)
    const [event] = await gateway.audit(1, (line) => line.clientPort === client.localPort && line.kind === 'inspected')
    return { answer, event }
  }

  for (const { host, name, cause } of rows)
    it(`is answered for with 502 and the cause when it is ${name}`, async () => {
      const before = (await gateway.metric('sallyport_tls_handshake_failures_total{cause="origin_certificate"}')) ?? 0
      const { answer, event } = await ask(host)
      expect([answer?.status, answer?.reasonPhrase]).toEqual([502, 'origin_certificate_invalid'])
      const problem = JSON.parse(answer?.body ?? '')
      expect(problem.hint).toMatch(cause)
      expect(problem.detail).toMatch(cause)
      expect(event).toMatchObject({ event: 'error', reason: 'origin_certificate_invalid', host })
      expect(event?.detail).toMatch(cause)
      expect(event?.hint).toMatch(cause)
      expect(asked.filter((line) => line.startsWith(host))).toEqual([])
      expect(await gateway.metric('sallyport_tls_handshake_failures_total{cause="origin_certificate"}')).toBe(before + 1)
    })

  for (const [host, reason, status] of [
    ['plain.test', 'origin_protocol_error', 502],
    ['closing.test', 'origin_protocol_error', 502],
    ['old.test', 'origin_protocol_error', 502],
    ['silent.test', 'dial_timeout', 504],
  ] as const)
    it(`is told apart from one that does not speak TLS as it should: ${host}`, async () => {
      const { answer, event } = await ask(host)
      expect([answer?.status, answer?.reasonPhrase]).toEqual([status, reason])
      expect(event).toMatchObject({ event: 'error', reason })
      expect(event?.detail).toMatch(/TLS handshake/)
    })

  for (const host of ['good.test', 'x.wild.test'])
    it(`is no hindrance where it is good: ${host}`, async () => {
      expect((await ask(host)).answer).toMatchObject({ status: 200, body: 'fine' })
    })

  it('is not asked for before a request is allowed', async () => {
    const client = new RawClient(await openTls(gateway.port, 'expired.test:443', { ca: ca.pem }))
    client.send(get('/secret', 'expired.test'))
    expect(await client.answer()).toMatch(/^HTTP\/1\.1 403 path_not_listed/)
    client.close()
  })
})

describe('case 24: a TLS session of one host brought to another', () => {
  let lab: InspectionLab
  beforeAll(async () => {
    lab = await startInspectionLab()
  })
  afterAll(() => lab.stop())

  /** The last session that the host's own handshakes gave. */
  async function sessionOf(host: string, options: ConnectionOptions): Promise<Buffer> {
    const secure = await openTls(lab.gateway.port, `${host}:443`, { ca: lab.ca.pem, ...options })
    const sessions: Buffer[] = []
    secure.on('session', (session: Buffer) => sessions.push(session))
    const held = secure.getSession()
    if (options.maxVersion === 'TLSv1.2') {
      secure.destroy()
      if (held === undefined) throw new Error('no session')
      return held
    }
    await request(secure, get('/team/a', host))
    await waitFor(() => sessions[0], 'a ticket')
    secure.destroy()
    return sessions.at(-1) ?? Buffer.alloc(0)
  }

  for (const [name, options] of Object.entries({
    'TLS 1.3': { minVersion: 'TLSv1.3' },
    'TLS 1.2': { maxVersion: 'TLSv1.2' },
  } as const satisfies Record<string, ConnectionOptions>)) {
    it(`is resumed at its own host (${name})`, async () => {
      const session = await sessionOf('paths.test', options)
      const again = await openTls(lab.gateway.port, 'paths.test:443', { ca: lab.ca.pem, ...options, session })
      expect(again.isSessionReused()).toBe(true)
      expect(await request(again, get('/team/again', 'paths.test'))).toContain('origin saw /team/again')
      again.destroy()
    })

    it(`is not resumed at another, which shows its own certificate (${name})`, async () => {
      const session = await sessionOf('paths.test', options)
      const other = await openTls(lab.gateway.port, 'always.test:443', { ca: lab.ca.pem, ...options, session })
      expect(other.isSessionReused()).toBe(false)
      expect(other.getPeerCertificate().subjectaltname).toBe('DNS:always.test')
      other.destroy()
    })

    it(`does not carry the server name of the first (${name})`, async () => {
      const session = await sessionOf('paths.test', options)
      await expect(
        openTls(lab.gateway.port, 'always.test:443', { ca: lab.ca.pem, ...options, session, servername: 'paths.test' }),
      ).rejects.toThrow(/access denied/i)
    })

    it(`is judged anew where it is resumed: an SNI that differs is refused (${name})`, async () => {
      const session = await sessionOf('paths.test', options)
      await expect(
        openTls(lab.gateway.port, 'paths.test:443', { ca: lab.ca.pem, ...options, session, servername: 'whole.test' }),
      ).rejects.toThrow(/access denied/i)
    })
  }
})

describe('case 27: minting', () => {
  let lab: InspectionLab
  beforeAll(async () => {
    const limits = 'limits: { requestsPerSecondPerClient: 10000 }'
    lab = await startInspectionLab({
      config: limits,
      inspection: '  certificates: 4',
      rules: ['{ name: flood, hosts: ["*.flood.test"], ports: [443], paths: ["/team/*"] }'],
    })
  })
  afterAll(() => lab.stop())
  const minted = async () => (await lab.gateway.metric('sallyport_certificates_minted_total')) ?? 0
  const hits = async () => (await lab.gateway.metric('sallyport_certificate_cache_hits_total')) ?? 0

  it('happens once for 200 clients that come at once', async () => {
    const [before, found] = [await minted(), await hits()]
    const clients = await Promise.all(Array.from({ length: 200 }, () => inspected(lab)))
    expect(await minted()).toBe(before + 1)
    expect(await hits()).toBe(found + 199)
    expect(new Set(clients.map((client) => client.getPeerCertificate().fingerprint256)).size).toBe(1)
    const answers = await Promise.all(clients.map((client, n) => request(client, get(`/team/${n}`, 'paths.test'))))
    expect(answers.every((answer, n) => answer.includes(`origin saw /team/${n}`))).toBe(true)
    for (const client of clients) client.destroy()
  })

  it('does not happen for a host that is not allowed, nor before the opening is judged', async () => {
    const before = await minted()
    for (let n = 0; n < 20; n++)
      await expect(openTunnel(lab.gateway.port, `evil${n}.test:443`)).rejects.toThrow('host_not_listed')
    for (const servername of ['evil.test', 'whole.test', 'n1.flood.test'])
      await expect(openTls(lab.gateway.port, 'reads.test:443', { ca: lab.ca.pem, servername })).rejects.toThrow(/access denied/i)
    await expect(openTls(lab.gateway.port, 'whole.test:443', { ca: lab.ca.pem })).rejects.toThrow()
    expect(await minted()).toBe(before)
  })
})

describe('without a CA that can be used', () => {
  const folder = testFolder()
  let web: InspectionLab

  interface Row {
    readonly name: string
    /** Gives the lines of `inspection`. */
    readonly files: () => { readonly caCertificate: string; readonly caKey: string }
  }
  const missing = () => ({ caCertificate: join(folder.path, 'none.pem'), caKey: join(folder.path, 'none.key') })
  const rows: readonly Row[] = [
    { name: 'absent', files: missing },
    {
      name: 'garbage',
      files: () => {
        const files = opensslRoot(folder.path, { name: 'garbage' })
        writeFileSync(files.caCertificate, 'no PEM at all')
        return files
      },
    },
    {
      name: 'without the key that belongs to it',
      files: () => ({
        caCertificate: opensslRoot(folder.path, { name: 'one' }).caCertificate,
        caKey: opensslRoot(folder.path, { name: 'two' }).caKey,
      }),
    },
    {
      name: 'no CA',
      files: () => {
        const ca = new OpensslCa('Parent')
        const leaf = ca.issue('DNS:leaf.test')
        const files = { caCertificate: join(folder.path, 'leaf.pem'), caKey: join(folder.path, 'leaf.key') }
        writeFileSync(files.caCertificate, leaf.cert)
        writeFileSync(files.caKey, leaf.key)
        chmodSync(files.caKey, 0o600)
        ca.remove()
        return files
      },
    },
    {
      name: 'for other names',
      files: () =>
        opensslRoot(folder.path, { name: 'constrained', extensions: ['nameConstraints=critical,permitted;DNS:elsewhere.test'] }),
    },
    {
      name: 'expired',
      files: () => {
        const ca = new OpensslCa('Grandparent')
        const old = ca.issue('DNS:old.test\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign', ['-days', '-1'])
        const files = { caCertificate: join(folder.path, 'old.pem'), caKey: join(folder.path, 'old.key') }
        writeFileSync(files.caCertificate, old.cert)
        writeFileSync(files.caKey, old.key)
        chmodSync(files.caKey, 0o600)
        ca.remove()
        return files
      },
    },
  ]
  beforeAll(async () => {
    web = await startInspectionLab()
  })
  afterAll(() => web.stop())

  const config = ({ caCertificate, caKey }: ReturnType<Row['files']>, mode = 'enforce') => `features: ${NO_FEATURES}
mode: ${mode}
rules:
  - { name: paths, hosts: [paths.test], ports: [443], paths: ["/team/*"] }
  - { name: plain, hosts: [paths.test], ports: [80], paths: ["/team/*"] }
  - { name: whole, hosts: [whole.test], ports: [443] }
destinations: { pin: { paths.test: "127.0.0.1:${web.web.port}", whole.test: "127.0.0.1:${web.web.port}" } }
inspection: { caCertificate: "${caCertificate}", caKey: "${caKey}" }
`

  for (const { name, files } of rows)
    it(`hosts that need it are refused with the command that mends it, and nothing else is: ${name}`, async () => {
      const gateway = await startGateway(config(files()))
      const client = await RawClient.connect(gateway.port)
      client.send('CONNECT paths.test:443 HTTP/1.1\r\nHost: paths.test:443\r\n\r\n')
      const [answer] = readAnswers(await client.untilClosed())
      client.close()
      expect([answer?.status, answer?.reasonPhrase]).toEqual([403, 'inspection_unavailable'])
      expect(JSON.parse(answer?.body ?? '').hint).toContain('sallyport ca init')
      const [event] = await gateway.audit(1, ({ reason }) => reason === 'inspection_unavailable')
      expect(event).toMatchObject({ event: 'deny', host: 'paths.test', entry: 'rule/paths' })

      const secure = await openTls(gateway.port, 'whole.test:443', { ca: web.originCa.pem })
      expect(await request(secure, get('/x', 'whole.test'))).toContain('origin saw /x')
      secure.destroy()
      // Over plain HTTP the path is in sight: no CA is needed.
      const plain = await RawClient.connect(gateway.port)
      plain.send('GET http://paths.test/secret HTTP/1.1\r\nHost: paths.test\r\n\r\n')
      expect(await plain.answer()).toMatch(/^HTTP\/1\.1 403 path_not_listed/)
      plain.close()
      await gateway.stop()
    })

  it('report mode relays them unseen, as would_deny', async () => {
    const gateway = await startGateway(config(missing(), 'report'))
    const secure = await openTls(gateway.port, 'paths.test:443', { ca: web.originCa.pem })
    expect(await request(secure, get('/secret', 'paths.test'))).toContain('origin saw /secret')
    secure.destroy()
    const [event] = await gateway.audit(1, ({ reason }) => reason === 'inspection_unavailable')
    expect(event).toMatchObject({ event: 'would_deny', host: 'paths.test' })
    await gateway.stop()
  })
})

describe('a client that does not believe the CA', () => {
  let lab: InspectionLab
  beforeAll(async () => {
    lab = await startInspectionLab({ config: 'limits: { openingSeconds: 0.5 }' })
  })
  afterAll(() => lab.stop())
  const failures = async (cause: string) =>
    (await lab.gateway.metric(`sallyport_tls_handshake_failures_total{cause="${cause}"}`)) ?? 0

  async function tlsInside(options: ConnectionOptions): Promise<{ secure: TLSSocket; port: number }> {
    const tunnel = await openTunnel(lab.gateway.port, 'paths.test:443')
    tunnel.socket.removeAllListeners('data')
    const secure = connectTls({ socket: tunnel.socket, servername: 'paths.test', ...options })
    secure.on('error', () => {})
    return { secure, port: tunnel.localPort }
  }

  const options = {
    'TLS 1.3': { minVersion: 'TLSv1.3' },
    'TLS 1.2': { maxVersion: 'TLSv1.2' },
  } as const satisfies Record<string, ConnectionOptions>
  for (const [name, versions] of Object.entries(options))
    it(`is told apart when it checks after the handshake and leaves without a word, as Node and GnuTLS do (${name})`, async () => {
      const before = await failures('client_distrusts_ca')
      const { secure, port } = await tlsInside({ ca: lab.originCa.pem, ...versions })
      await closed(secure)
      const event = await tunnelEvent(lab, port)
      expect(event).toMatchObject({ event: 'error', host: 'paths.test', endedBy: 'client' })
      expect(event.detail).toContain('client_distrusts_ca')
      expect(event.hint).toContain('sallyport ca show')
      expect(await failures('client_distrusts_ca')).toBe(before + 1)
    })

  it('is told apart when it says so with an alert, as OpenSSL does', async () => {
    const before = await failures('client_distrusts_ca')
    const caFile = lab.originCa.certificateFile
    const ran = await run(
      'openssl',
      [
        's_client',
        '-proxy',
        `127.0.0.1:${lab.gateway.port}`,
        '-connect',
        'paths.test:443',
        '-CAfile',
        caFile,
        '-verify_return_error',
      ],
      { input: 'GET / HTTP/1.0\r\n\r\n' },
    )
    expect(ran.code).not.toBe(0)
    const [event] = await lab.gateway.audit(before + 1, ({ event: verdict }) => verdict === 'error')
    expect(event?.detail).toContain('client_distrusts_ca')
    expect(await failures('client_distrusts_ca')).toBe(before + 1)
  })

  it('is not what a client is that asks for something, whatever the answer', async () => {
    const before = await failures('client_distrusts_ca')
    const client = await inspectedRaw(lab)
    client.send(get('/secret', 'paths.test'))
    await client.answer()
    client.close()
    expect(await tunnelEvent(lab, client.localPort)).toMatchObject({ event: 'allow' })
    expect(await failures('client_distrusts_ca')).toBe(before)
  })

  it('is not what a client is that stops in the middle of its handshake', async () => {
    const before = await failures('client_timeout')
    const tunnel = await openTunnel(lab.gateway.port, 'paths.test:443')
    const hello = await helloOf('paths.test')
    tunnel.send(hello)
    await tunnel.untilClosed()
    tunnel.close()
    expect((await tunnelEvent(lab, tunnel.localPort)).detail).toContain('client_timeout')
    expect(await failures('client_timeout')).toBe(before + 1)
  })

  it('is not what a client is that offers no version or protocol in common', async () => {
    const { secure, port } = await tlsInside({ ca: lab.ca.pem, ALPNProtocols: ['imap'] })
    await closed(secure)
    expect((await tunnelEvent(lab, port)).detail).toContain('client_protocol')
  })
})

/** What a real client begins with. */
async function helloOf(servername: string): Promise<Buffer> {
  const server = createTcpServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const client = connectTls({ port: typeof address === 'object' && address !== null ? address.port : 0, servername })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}

describe('the requests of one tunnel', () => {
  it('are listed with the address they went to', async () => {
    const lab = await startInspectionLab()
    const client = await inspectedRaw(lab)
    client.send(get('/team/a', 'paths.test'))
    await client.answer()
    client.close()
    expect(await eventsInside(lab, client.localPort)).toMatchObject([{ address: `127.0.0.1:${lab.web.port}` }])
    await lab.stop()
  })
})
