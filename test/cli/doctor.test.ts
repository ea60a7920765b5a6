import { createServer, type Server, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DoctorOptions, doctor } from '../../src/cli/doctor.ts'
import { DnsServer } from '../support/dns-server.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { Origin } from '../support/origin.ts'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
let dns: DnsServer
let ca: OpensslCa
let secure: Server
let plain: Origin
let deaf: Origin
/** Bytes of requests that arrived inside TLS. */
let inside = ''

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

beforeAll(async () => {
  ca = new OpensslCa('Origin Root')
  dns = await DnsServer.of({
    'good.test': ['127.0.0.1'],
    'wrong-name.test': ['127.0.0.1'],
    'plain.test': ['127.0.0.1'],
    'deaf.test': ['127.0.0.1'],
    'closed.test': ['127.0.0.1'],
    'private.test': ['10.20.4.5'],
    'self.test': ['127.0.0.1'],
    'any.wild.test': ['127.0.0.1'],
    'denied.test': ['127.0.0.1'],
  })
  secure = createServer(ca.issue('DNS:good.test,DNS:any.wild.test'), (socket: TLSSocket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      inside += bytes.toString('latin1')
    })
  })
  secure.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
  plain = await Origin.start(() => {})
  deaf = await Origin.start(() => {})
})

afterAll(async () => {
  await dns?.stop()
  secure?.close()
  await plain?.stop()
  await deaf?.stop()
  ca?.remove()
})

const FEATURES = [
  'azure',
  'studio',
  'compute',
  'storage',
  'container-registry',
  'microsoft-container-registry',
  'prebuilt-images',
  'python',
  'python-files',
  'r',
  'vscode',
]

/** Only these rules, the test's name server, and loopback within reach. */
function config(rules: string, more = ''): string {
  return write(`features: { ${FEATURES.map((name) => `${name}: false`).join(', ')} }
dns: { servers: ["${dns.address}"], timeoutMs: 500 }
destinations: { privateRanges: ["127.0.0.0/8"] }
inspection: { upstreamCa: ["${ca.certificateFile}"] }
rules:
${rules}
${more}`)
}

interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function run(options: DoctorOptions, columns?: number): Promise<Answer> {
  const written = { stdout: '', stderr: '' }
  const sink = (stream: keyof typeof written) => ({
    columns: stream === 'stderr' ? columns : undefined,
    write: (text: string) => {
      written[stream] += text
    },
  })
  const code = await doctor(options, { stdout: sink('stdout'), stderr: sink('stderr') }, '/nowhere/hosts')
  return { code, ...written }
}

type Found = Readonly<Record<string, unknown>>

async function examine(rules: string, options: DoctorOptions = {}, more = ''): Promise<{ code: number; found: Found[] }> {
  const { code, stdout } = await run({ config: config(rules, more), json: true, ...options })
  return { code, found: JSON.parse(stdout).destinations }
}

const rule = (name: string, port: number, more = '') => `  - { name: ${name}, hosts: [${name}.test], ports: [${port}]${more} }`

describe('sallyport doctor', () => {
  it('goes as far as a verified TLS handshake, and says how long each step took', async () => {
    const { code, found } = await examine(rule('good', portOf(secure)))
    expect(code).toBe(0)
    expect(found).toEqual([
      {
        host: 'good.test',
        port: portOf(secure),
        entry: 'rule/good',
        protocol: 'tls',
        ok: true,
        address: '127.0.0.1',
        addressClass: 'Loopback, RFC 1122; in destinations.privateRanges',
        resolveMs: expect.any(Number),
        dialMs: expect.any(Number),
        tlsMs: expect.any(Number),
      },
    ])
    expect(inside).toBe('')
  })

  it('sends nothing at all where no TLS is due', async () => {
    const { code, found } = await examine(rule('plain', plain.port, ', protocol: http'))
    expect(code).toBe(0)
    expect(found).toMatchObject([{ ok: true, protocol: 'http', dialMs: expect.any(Number) }])
    expect(found[0]).not.toHaveProperty('tlsMs')
    expect(plain.connections).toBe(1)
    expect(plain.text).toBe('')
  })

  describe('finds', () => {
    it('a name that does not exist', async () => {
      const { code, found } = await examine(rule('missing', 443))
      expect(code).toBe(1)
      expect(found).toMatchObject([
        {
          ok: false,
          reason: 'dns_failed',
          detail: 'the name does not exist (NXDOMAIN)',
          hint: expect.stringContaining('dns.servers'),
        },
      ])
    })

    it('a name that leads to a private address, with the range to add', async () => {
      const { found } = await examine(rule('private', 443))
      expect(found).toMatchObject([
        { ok: false, reason: 'address_refused', hint: expect.stringContaining('destinations: ["10.20.4.5/32"]') },
      ])
    })

    it('a port where nothing listens', async () => {
      const gone = await Origin.start()
      const { port } = gone
      await gone.stop()
      const { found } = await examine(rule('closed', port))
      expect(found).toMatchObject([{ ok: false, reason: 'dial_failed', address: '127.0.0.1' }])
    })

    it('a certificate for another name', async () => {
      const { found } = await examine(rule('wrong-name', portOf(secure)))
      expect(found).toMatchObject([
        {
          ok: false,
          reason: 'origin_certificate_invalid',
          detail: 'the certificate is for another name',
          dialMs: expect.any(Number),
        },
      ])
    })

    it('a certificate of a CA that is not trusted', async () => {
      const file = write(`features: { ${FEATURES.map((name) => `${name}: false`).join(', ')} }
dns: { servers: ["${dns.address}"] }
destinations: { privateRanges: ["127.0.0.0/8"] }
rules:
${rule('good', portOf(secure))}
`)
      const { stdout } = await run({ config: file, json: true })
      expect(JSON.parse(stdout).destinations).toMatchObject([
        { reason: 'origin_certificate_invalid', hint: expect.stringContaining('inspection.upstreamCa') },
      ])
    })

    it('an origin that never answers a ClientHello, within the deadline', async () => {
      const { found } = await examine(rule('deaf', deaf.port), { timeout: '0.3' })
      expect(found).toMatchObject([{ ok: false, reason: 'dial_timeout' }])
    })

    it('a name that leads back to the gateway', async () => {
      const { found } = await examine(rule('self', 3999), {}, 'listen: { proxy: "127.0.0.1:3999" }')
      expect(found).toMatchObject([{ ok: false, reason: 'loop_detected' }])
    })
  })

  it('follows a pin, and asks no name server then', async () => {
    const pinned = `  - { name: pinned, hosts: [good.test], ports: [443] }`
    const before = dns.count('good.test')
    const { stdout } = await run({
      config: write(
        `features: { ${FEATURES.map((name) => `${name}: false`).join(', ')} }
inspection: { upstreamCa: ["${ca.certificateFile}"] }
destinations: { pin: { good.test: "127.0.0.1:${portOf(secure)}" } }
rules:
${pinned}
`,
        'pinned.yaml',
      ),
      json: true,
    })
    expect(JSON.parse(stdout).destinations).toMatchObject([{ ok: true, addressClass: 'Loopback, RFC 1122; pinned' }])
    expect(dns.count('good.test')).toBe(before)
  })

  it('names a host under a wildcard on request, and tries each destination once', async () => {
    const rules = `${rule('good', portOf(secure))}
  - { name: again, hosts: [good.test], ports: [${portOf(secure)}] }
  - { name: wild, hosts: ["*.wild.test"], ports: [${portOf(secure)}] }`
    const { code, found } = await examine(rules, { host: [`any.wild.test:${portOf(secure)}`] })
    expect(code).toBe(0)
    expect(found.map(({ host }) => host)).toEqual(['any.wild.test', 'good.test'])
    const only = await examine(rules, { host: [`any.wild.test:${portOf(secure)}`], only: true })
    expect(only.found.map(({ host }) => host)).toEqual(['any.wild.test'])
  })

  it('never looks up a name that the policy refuses', async () => {
    const rules = `  - { name: no, hosts: [denied.test], action: deny }
  - { name: yes, hosts: [denied.test] }`
    const { code, found } = await examine(rules, { host: ['denied.test', 'unlisted.test'] })
    expect(code).toBe(1)
    expect(found).toMatchObject([
      { host: 'denied.test', ok: false, reason: 'denied_by_rule' },
      { host: 'unlisted.test', ok: false, reason: 'host_not_listed', hint: expect.stringContaining('to allow it') },
    ])
    expect(dns.count('denied.test') + dns.count('unlisted.test')).toBe(0)
  })

  it('is content with a config that names no host', async () => {
    const { code, stdout } = await run({ config: config('  - { name: wild, hosts: ["*.wild.test"] }') })
    expect(code).toBe(0)
    expect(stdout).toContain('not tried: 1 wildcard; `--host` names a host under one\n0 destinations, all reached\n')
  })

  it('tells a person in a table, and then what fails and what would help', async () => {
    const { code, stdout, stderr } = await run({ config: config(`${rule('good', portOf(secure))}\n${rule('missing', 443)}`) })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^DESTINATION +RESULT +DNS ms +TCP ms +TLS ms +ADDRESS$/m)
    expect(stdout).toMatch(/^good\.test:\d+ +ok +[\d.]+ +[\d.]+ +[\d.]+ +127\.0\.0\.1 \(Loopback/m)
    expect(stdout).toMatch(/^missing\.test:443: dns_failed: the name does not exist \(NXDOMAIN\)\n {2}see whether/m)
    expect(stdout).toMatch(/2 destinations, 1 not reached\n$/)
    expect(stderr).toBe('')
  })

  it('shows how far it is on a terminal, and clears it away', async () => {
    const { stderr } = await run({ config: config(rule('good', portOf(secure))) }, 80)
    expect(stderr).toBe('\r\u001b[K1/1 good.test\r\u001b[K')
  })

  it('tries nothing for a client that may not use the gateway', async () => {
    const before = dns.questions.length
    const { code, stdout } = await run({ config: config(rule('good', portOf(secure))), client: '10.0.0.7' })
    expect(code).toBe(1)
    expect(stdout).toContain('client_not_allowed: 10.0.0.7 is in no range of `clients.allow`')
    expect(dns.questions.length).toBe(before)
    expect((await run({ config: config(rule('good', portOf(secure))), client: '127.0.0.1' })).stdout).toContain(
      '127.0.0.1 may use the gateway',
    )
  })

  const wrong: readonly (readonly [what: string, words: readonly string[], says: string])[] = [
    ['a client that is no address', ['--client', 'me'], '`me` is not an address'],
    ['a host that is none', ['--host', 'a b'], '`--host`:'],
    ['a deadline that is none', ['--timeout', '0'], '`--timeout` wants seconds'],
    ['`--only` without a host', ['--only'], 'name a host'],
  ]
  for (const [what, words, says] of wrong)
    it(`refuses ${what}`, async () => {
      const outcome = await sallyport(['doctor', '--config', write('{}\n', 'empty.yaml'), ...words])
      expect(outcome.code).toBe(2)
      expect(outcome.stderr).toContain(says)
    })

  it('refuses a config with mistakes', async () => {
    const { code, stderr } = await sallyport(['doctor', '--config', write('clod: public\n', 'broken.yaml')])
    expect(code).toBe(78)
    expect(stderr).toContain('did you mean `cloud`?')
  })

  it('refuses a root that cannot be read', async () => {
    const file = write('inspection: { upstreamCa: [nowhere.pem] }\n', 'no-root.yaml')
    const { code, stderr } = await sallyport(['doctor', '--config', file])
    expect(code).toBe(78)
    expect(stderr).toContain('inspection.upstreamCa')
  })
})
