import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type CaInitOptions, type CaShowOptions, caInit, caShow } from '../../src/cli/ca.ts'
import { openssl } from '../io/tls/test-ca.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const RULES = `
rules:
  - { name: models, hosts: [models.example], paths: [/team/*] }
  - { name: readers, hosts: ["*.docs.example", 10.1.2.3], methods: [GET] }
  - { name: whole, hosts: [whole.example] }
`
const ALL_OFF = [
  ...['azure', 'studio', 'compute', 'storage', 'container-registry', 'microsoft-container-registry'],
  ...['prebuilt-images', 'python', 'python-files', 'r', 'vscode', 'diagnostics'],
]
const FEATURES = `features: { ${ALL_OFF.map((name) => `${name}: false`).join(', ')} }\n`

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-ca-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function configFile(text: string): string {
  const file = join(folder, 'gateway.yaml')
  writeFileSync(file, FEATURES + text)
  return file
}

interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function init(options: CaInitOptions, now = NOW): Promise<Said> {
  return said((io) => caInit(options, io, now))
}

async function show(options: CaShowOptions, now = NOW): Promise<Said> {
  return said((io) => caShow(options, io, now))
}

async function said(command: (io: Parameters<typeof caShow>[1]) => Promise<number>): Promise<Said> {
  const text = { out: '', err: '' }
  const sink = (name: keyof typeof text) => ({
    write: (part: string) => {
      text[name] += part
    },
  })
  const code = await command({ stdout: sink('out'), stderr: sink('err') })
  return { code, ...text }
}

const state = (name: string) => join(folder, 'state', name)
const certificate = () => new X509Certificate(readFileSync(state('ca.pem')))
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

describe('`sallyport ca init`', () => {
  it('makes the key for this user alone, the certificate for all, and the folder they are in', async () => {
    expect(await init({ config: configFile(RULES) })).toMatchObject({ code: 0, err: '' })
    expect(mode(state('ca.key'))).toBe('600')
    expect(mode(state('ca.pem'))).toBe('644')
    expect(mode(join(folder, 'state'))).toBe('700')
  })

  it('leaves the mode of a folder alone that is there already', async () => {
    mkdirSync(join(folder, 'state'), { mode: 0o755 })
    await init({ config: configFile(RULES) })
    expect(mode(join(folder, 'state'))).toBe('755')
  })

  it('puts both where `inspection` says, seen from the config file', async () => {
    const config = configFile(`${RULES}inspection: { caCertificate: pki/a/cert.pem, caKey: pki/b/key.pem }\n`)
    expect((await init({ config })).code).toBe(0)
    expect(existsSync(join(folder, 'pki/a/cert.pem')) && existsSync(join(folder, 'pki/b/key.pem'))).toBe(true)
  })

  it('limits the CA to the hosts that rules inspect, critically, and says what that means', async () => {
    const { out } = await init({ config: configFile(RULES) })
    const text = openssl(['x509', '-in', state('ca.pem'), '-noout', '-ext', 'nameConstraints'])
    expect(text).toMatch(/Name Constraints: critical/)
    expect(text.match(/(?:DNS|IP):\S+/g)).toEqual([
      'DNS:models.example',
      'DNS:docs.example',
      'IP:10.1.2.3/255.255.255.255',
      'IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0',
    ])
    expect(out).toContain('good for models.example and names under it')
    expect(out).toContain('cannot limit a CA to a name without the names under it')
    expect(out).not.toContain('whole.example')
  })

  it('excludes every address where no rule names one', async () => {
    await init({ config: configFile('rules: [{ name: m, hosts: [m.example], paths: [/x] }]') })
    const text = openssl(['x509', '-in', state('ca.pem'), '-noout', '-ext', 'nameConstraints'])
    expect(text).toMatch(/Excluded:\s+IP:0\.0\.0\.0\/0\.0\.0\.0\s+IP:0:0:0:0:0:0:0:0\/0:0:0:0:0:0:0:0/)
  })

  it('adds the hosts of `--host`, for rules to come', async () => {
    await init({ config: configFile(RULES), host: ['next.example', '*.later.example', '2001:db8::1'] })
    const text = openssl(['x509', '-in', state('ca.pem'), '-noout', '-ext', 'nameConstraints'])
    for (const name of ['DNS:next.example', 'DNS:later.example', 'DNS:models.example', 'IP:2001:DB8:0:0:0:0:0:1'])
      expect(text).toContain(name)
  })

  it('limits nothing with `--any-host`, and says so', async () => {
    const { out } = await init({ config: configFile(RULES), anyHost: true })
    expect(out).toContain('good for every host there is')
    expect(openssl(['x509', '-in', state('ca.pem'), '-noout', '-text'])).not.toContain('Name Constraints')
  })

  it('makes a root for leaves alone, that openssl finds in order', async () => {
    await init({ config: configFile(RULES) })
    const text = openssl(['x509', '-in', state('ca.pem'), '-noout', '-text'])
    expect(text).toMatch(/Basic Constraints: critical\n\s+CA:TRUE, pathlen:0\n/)
    expect(text).toMatch(/Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/)
    expect(
      openssl(['verify', '-x509_strict', '-attime', String(NOW.getTime() / 1000), '-CAfile', state('ca.pem'), state('ca.pem')]),
    ).toContain('OK')
  })

  for (const [keyType, expected] of [
    [undefined, { namedCurve: 'prime256v1' }],
    ['p384', { namedCurve: 'secp384r1' }],
    ['rsa', { modulusLength: 3072, publicExponent: 65537n }],
  ] as const) {
    it(`makes a ${keyType ?? 'P-256'} key ${keyType === undefined ? 'unless told otherwise' : 'when asked'}`, async () => {
      await init({ config: configFile(RULES), ...(keyType === undefined ? {} : { keyType }) })
      expect(certificate().publicKey.asymmetricKeyDetails).toEqual(expected)
    })
  }

  it('is valid from a day ago for ten years, or for so many days', async () => {
    const config = configFile(RULES)
    await init({ config })
    expect([certificate().validFrom, certificate().validTo]).toEqual(['Feb 28 12:00:00 2026 GMT', 'Feb 27 11:59:59 2036 GMT'])
    await init({ config, days: '30', certificate: join(folder, 'b.pem'), key: join(folder, 'b.key') })
    expect(new X509Certificate(readFileSync(join(folder, 'b.pem'))).validTo).toBe('Mar 31 11:59:59 2026 GMT')
  })

  it('prints the fingerprint that openssl prints, the name, and the next command', async () => {
    const config = configFile(RULES)
    const { out } = await init({ config, commonName: 'Corp egress' })
    const [, fingerprint = 'none'] = openssl(['x509', '-in', state('ca.pem'), '-noout', '-fingerprint', '-sha256']).split('=')
    expect(out).toContain(fingerprint.trim())
    expect(out).toContain('CN=Corp egress')
    expect(out).toContain(`sallyport ca show --config ${config}`)
  })

  it('prints nothing of the key', async () => {
    const { out, err } = await init({ config: configFile(RULES) })
    const [, body = ''] = readFileSync(state('ca.key'), 'utf8').split('\n')
    expect(body.length).toBeGreaterThan(20)
    expect(out + err).not.toContain(body)
  })

  for (const [present, absent] of [
    ['ca.key', 'ca.pem'],
    ['ca.pem', 'ca.key'],
  ] as const) {
    it(`overwrites nothing: with ${present} there it makes neither file`, async () => {
      const config = configFile(RULES)
      mkdirSync(join(folder, 'state'))
      writeFileSync(state(present), 'precious')
      expect(await init({ config })).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringContaining(`${state(present)}\` is there already`),
      })
      expect(readFileSync(state(present), 'utf8')).toBe('precious')
      expect(existsSync(state(absent))).toBe(false)
    })
  }

  it('says where it could not write', async () => {
    const config = configFile(RULES)
    writeFileSync(join(folder, 'state'), 'a file in the way of the folder')
    expect(await init({ config })).toMatchObject({ code: 1, err: expect.stringMatching(/state` cannot be written \(E/) })
  })

  it('makes no CA that would be good for nothing', async () => {
    const said = await init({ config: configFile('rules: [{ name: whole, hosts: [whole.example] }]') })
    expect(said).toMatchObject({ code: 1, out: '', err: expect.stringContaining('`paths` or `methods`') })
    expect(existsSync(state('ca.key'))).toBe(false)
  })

  it('reports a config file that cannot be used, and makes nothing', async () => {
    expect(await init({ config: configFile('nonsense: true') })).toMatchObject({
      code: 78,
      err: expect.stringContaining('nonsense'),
    })
    expect(existsSync(dirname(state('x')))).toBe(false)
  })

  const mistakes: readonly (readonly [CaInitOptions, RegExp])[] = [
    [{ days: '0' }, /`--days 0` is not a number of days/],
    [{ days: '1.5' }, /`--days 1.5`/],
    [{ days: 'ten' }, /`--days ten`/],
    [{ days: '' }, /`--days `/],
    [{ days: '36501' }, /use 1 to 36500/],
    [{ keyType: 'ed25519' }, /use p256, p384, rsa/],
    [{ commonName: '' }, /1 to 64/],
    [{ commonName: 'x'.repeat(65) }, /1 to 64/],
    [{ commonName: 'a\u001b[2Jb' }, /printable/],
    [{ host: ['https://a.example/'] }, /is a URL/],
    [{ host: ['a.example'], anyHost: true }, /leave out `--host`/],
    [{ certificate: 'x.pem' }, /go together/],
  ]
  for (const [options, says] of mistakes) {
    it(`takes ${JSON.stringify(options)} for a mistake of usage`, async () => {
      expect(await init({ config: configFile(RULES), ...options })).toMatchObject({
        code: 2,
        out: '',
        err: expect.stringMatching(says),
      })
      expect(existsSync(state('ca.key'))).toBe(false)
    })
  }
})

describe('`sallyport ca show`', () => {
  it('says what the CA is, how long it lasts and how each tool comes to trust it', async () => {
    const config = configFile(RULES)
    await init({ config, commonName: 'Corp egress' })
    const { code, out } = await show({ config })
    expect(code).toBe(0)
    for (const part of [
      'CN=Corp egress',
      '2036-02-27T11:59:59.000Z',
      certificate().fingerprint256,
      'good for models.example and names under it',
      `sallyport ca show --pem --config ${config}`,
      'update-ca-certificates',
      'update-ca-trust',
      'REQUESTS_CA_BUNDLE',
      'SSL_CERT_FILE',
      'PIP_CERT',
      'conda config --set ssl_verify',
      'CURL_CA_BUNDLE',
      'http.sslCAInfo',
      'NODE_EXTRA_CA_CERTS',
      'keytool -importcert',
      'systemctl restart docker',
      'httpProxyConfig.trustedCa',
      'base64 -w0',
    ])
      expect(out, part).toContain(part)
  })

  it('prints with `--pem` what clients install, and nothing else', async () => {
    const config = configFile(RULES)
    await init({ config })
    expect(await show({ config, pem: true })).toEqual({ code: 0, out: readFileSync(state('ca.pem'), 'utf8'), err: '' })
  })

  it('offers the next CA beside the current one while both are in the file', async () => {
    const config = configFile(RULES)
    await init({ config })
    const next = join(folder, 'next.pem')
    await init({ config, commonName: 'next', certificate: next, key: join(folder, 'next.key') })
    const both = readFileSync(state('ca.pem'), 'utf8') + readFileSync(next, 'utf8')
    writeFileSync(state('ca.pem'), both)
    expect(await show({ config, pem: true })).toMatchObject({ out: both })
    expect((await show({ config })).out).toContain('CN=Sallyport inspection CA 2026-03-01')
  })

  it('names the hosts that rules inspect and the CA is not good for', async () => {
    await init({ config: configFile(RULES) })
    const config = configFile(`${RULES}  - { name: later, hosts: [later.example], paths: [/x] }\n`)
    const { out } = await show({ config })
    expect(out).toMatch(/warning: .*: later\.example\n.*sallyport ca init/)
  })

  it('says what is wrong with a CA that cannot be used', async () => {
    const config = configFile(RULES)
    expect(await show({ config })).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/there is no .*ca\.pem.*sallyport ca init/),
    })
    await init({ config })
    expect(await show({ config }, new Date('2040-01-01'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('expired at 2036-02-27'),
    })
  })
})
