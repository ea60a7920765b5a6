import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProxyAgent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const PASSWORD = 'correct horse: battery staple'

/** `http://USER:PASSWORD@HOST:PORT`, as proxy settings have it. */
const withUser = (url: string, user = 'alice', password = PASSWORD) =>
  url.replace('://', `://${user}:${encodeURIComponent(password)}@`)

const URLLIB = `
import sys, urllib.request, urllib.error
try:
    with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
        print(answer.status, answer.read().decode(), end='')
except (urllib.error.URLError, OSError) as error:
    print(error)
`

const HTTPS_PROXY_CLIENT = `
import http.client, ssl, sys
port, ca, cert, key, url = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
connection = http.client.HTTPSConnection('localhost', int(port), context=context, timeout=20)
connection.request('GET', url)
answer = connection.getresponse()
print(answer.status, answer.read().decode(), end='')
`

// Files are looked at every 10 s where the system tells of no change.
vi.setConfig({ testTimeout: 60_000 })

describeWith(['curl', 'git', 'openssl', 'python3'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-identified-'))
  const file = (name: string) => join(folder, name)
  let ca: OpensslCa
  let plain: HttpOrigin
  let secure: HttpOrigin
  const sallyport = (args: readonly string[], input = '') => run(process.execPath, [MAIN, ...args], { cwd: folder, input })

  const policy = () => `
credentials: { file: ${file('users.txt')} }
rules:
  - { name: corp, hosts: [corp.example], ports: [80, 443], groups: [people, machines] }
  - { name: repos, hosts: [corp.example], ports: [443], paths: ["/team/*"] }
  - { name: seen, hosts: [seen.example], ports: [443], paths: ["/team/*"], groups: [people, machines] }
destinations: { pin: { corp.example: "127.0.0.1:${secure.port}", plain.example: "127.0.0.1:${plain.port}", seen.example: "127.0.0.1:${secure.port}" } }
inspection: { caCertificate: ${file('inspection.pem')}, caKey: ${file('inspection.key')}, upstreamCa: [${ca.certificateFile}] }
`

  beforeAll(async () => {
    ca = new OpensslCa()
    secure = await HttpOrigin.serving(
      (path) => {
        const served = join(folder, 'served', path)
        return path === '/hello' ? 'over TLS' : existsSync(served) && statSync(served).isFile() ? readFileSync(served) : undefined
      },
      { tls: ca.issue('DNS:corp.example,DNS:seen.example') },
    )
    plain = await HttpOrigin.start((req, res) => res.end(`plain ${req.url} ${JSON.stringify(req.rawHeaders)}`))
    const added = await sallyport(['credentials', 'add', '--file', file('users.txt'), 'alice'], `${PASSWORD}\n`)
    expect(added, added.stderr).toMatchObject({ code: 0 })
    expect(statSync(file('users.txt')).mode & 0o777).toBe(0o600)
    expect(readFileSync(file('users.txt'), 'utf8')).toMatch(/^alice:scrypt\$16384\$8\$5\$\S+\n$/)
    const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.invalid']
    for (const args of [
      ['init', '--quiet', '--initial-branch=main', 'work'],
      ['-C', 'work', ...identity, 'commit', '--quiet', '--allow-empty', '--message', 'by somebody known'],
      ['clone', '--quiet', '--bare', 'work', 'served/team/repo.git'],
      ['-C', 'served/team/repo.git', 'update-server-info'],
    ]) {
      const { code, stderr } = await run('git', args, { cwd: folder, env: { HOME: folder, GIT_CONFIG_NOSYSTEM: '1' } })
      if (code !== 0) throw new Error(stderr)
    }
  })

  afterAll(async () => {
    await Promise.all([plain, secure].map((origin) => origin?.stop()))
    ca?.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  const git = (settings: readonly string[], into: string) =>
    run('git', [...settings.flatMap((setting) => ['-c', setting]), 'clone', 'https://corp.example/team/repo.git', into], {
      cwd: folder,
      env: { HOME: folder, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', GIT_SSL_CAINFO: ca.certificateFile },
    })

  describe('with a password, over loopback', () => {
    let gateway: ProgramUnderTest
    beforeAll(async () => {
      gateway = await startProgram(`${policy()}
groups:
  people: { users: ["*"], limits: { tunnelsPerClient: 50 } }
  machines: { sources: ["127.9.9.0/24"] }
`)
    })
    afterAll(() => gateway?.stop())

    const curl = (...args: string[]) =>
      run('curl', ['-sS', '--max-time', '20', '--proxy', gateway.proxyUrl, '--cacert', ca.certificateFile, ...args])
    const user = `alice:${PASSWORD}`

    it('curl gets through, and says 407 where it has none or a wrong one', async () => {
      expect(await curl('--proxy-user', user, 'https://corp.example/hello')).toMatchObject({ code: 0, stdout: 'over TLS' })
      const [event] = await gateway.audit({ host: 'corp.example', event: 'allow' })
      expect(event).toMatchObject({ group: 'people', user: 'alice', entry: 'rule/corp', client: '127.0.0.1' })
      const connections = secure.connections
      for (const wrong of [[], ['--proxy-user', 'alice:guess'], ['--proxy-user', `mallory:${PASSWORD}`]]) {
        const refused = await curl(...wrong, 'https://corp.example/hello')
        expect(refused.code).not.toBe(0)
        expect(refused.stderr).toContain('407')
      }
      expect(secure.connections).toBe(connections)
      expect(await gateway.metric('sallyport_credential_checks_total{outcome="wrong"}')).toBe(2)
      expect(gateway.stdout).not.toMatch(/battery|guess/)
    })

    it('curl that waits to be asked is asked and gets through', async () => {
      expect(await curl('--proxy-anyauth', '--proxy-user', user, 'https://corp.example/hello')).toMatchObject({
        stdout: 'over TLS',
      })
    })

    it('Python takes it out of its proxy variable, and keeps it from the origin', async () => {
      const env = {
        https_proxy: withUser(gateway.proxyUrl),
        http_proxy: withUser(gateway.proxyUrl),
        SSL_CERT_FILE: ca.certificateFile,
      }
      expect(await run('python3', ['-c', URLLIB, 'https://corp.example/hello'], { env })).toMatchObject({
        stdout: '200 over TLS',
      })
      const anonymous = { https_proxy: gateway.proxyUrl }
      expect((await run('python3', ['-c', URLLIB, 'https://corp.example/hello'], { env: anonymous })).stdout).toContain(
        '407 credentials_required',
      )
    })

    it('Node gets through with its token', async () => {
      const token = `Basic ${Buffer.from(user).toString('base64')}`
      const agent = new ProxyAgent({ uri: gateway.proxyUrl, token, requestTls: { ca: ca.pem } })
      try {
        const { body } = await request('https://corp.example/hello', { dispatcher: agent })
        expect(await body.text()).toBe('over TLS')
      } finally {
        await agent.close()
      }
    })

    it('git clones, though it asks without the password first', async () => {
      const quiet = 'sallyport_denials_quiet_total{listener="proxy",reason="credentials_required"}'
      const before = await gateway.metric(quiet)
      const { code, stderr } = await git([`http.proxy=${withUser(gateway.proxyUrl)}`], 'with-password')
      expect(code, stderr).toBe(0)
      expect(await gateway.metric(quiet)).toBeGreaterThan(before)
      const refused = await git([`http.proxy=${gateway.proxyUrl}`], 'without')
      expect(refused.code).toBe(128)
      expect(refused.stderr).toContain('407')
    })

    it('a user that is removed is out by itself, and another password is in', async () => {
      const removed = await sallyport(['credentials', 'remove', '--config', gateway.configFile, 'alice'])
      expect(removed).toMatchObject({ code: 0, stdout: expect.stringContaining('removed `alice`') })
      await waitFor(
        async () => ((await curl('--proxy-user', user, 'https://corp.example/hello')).code === 0 ? undefined : true),
        'the removal',
      )
      await sallyport(['credentials', 'add', '--config', gateway.configFile, 'alice'], PASSWORD)
      await waitFor(
        async () => ((await curl('--proxy-user', user, 'https://corp.example/hello')).code === 0 ? true : undefined),
        'the addition',
      )
    })
  })

  describe('over TLS to two workers', () => {
    let gateway: ProgramUnderTest
    let proxy: string
    const machines = new OpensslCa('Machines')
    const known = machines.issueClient('/CN=job-1', 'URI:spiffe://corp.example/jobs/1')
    const gone = machines.issueClient('/CN=job-2', 'URI:spiffe://corp.example/jobs/2')

    beforeAll(async () => {
      const { cert, key } = ca.issue('DNS:localhost,IP:127.0.0.1')
      writeFileSync(file('proxy.pem'), cert)
      writeFileSync(file('proxy.key'), key, { mode: 0o600 })
      writeFileSync(file('machines.crl'), machines.revocationList([]))
      const config = `
listen:
  proxy:
    address: "127.0.0.1:0"
    tls: { certificate: ${file('proxy.pem')}, key: ${file('proxy.key')}, clientCa: ${machines.certificateFile}, crl: ${file('machines.crl')}, clientCertificates: optional }
  metrics: "127.0.0.1:0"
  admin: "127.0.0.1:0"
workers: 2
groups:
  machines: { certificates: ["uri:spiffe://corp.example/jobs/*"] }
  people: { users: [alice] }
${policy()}`
      writeFileSync(file('tls.yaml'), config)
      const made = await sallyport(['ca', 'init', '--config', file('tls.yaml')])
      expect(made.code, made.stderr).toBe(0)
      chmodSync(machines.certificateFile, 0o644)
      gateway = await startProgram(config)
      proxy = gateway.proxyUrl.replace('http:', 'https:')
    })
    afterAll(async () => {
      await gateway?.stop()
      machines.remove()
    })

    const curl = (...args: string[]) =>
      run('curl', [
        '-sS',
        '--max-time',
        '20',
        '--proxy',
        proxy,
        '--proxy-cacert',
        ca.certificateFile,
        '--cacert',
        ca.certificateFile,
        ...args,
      ])
    const as = ({ base }: { readonly base: string }) => ['--proxy-cert', `${base}.pem`, '--proxy-key', `${base}.key`]

    it('curl with a certificate gets through: TLS in TLS, relayed', async () => {
      expect(await curl(...as(known), 'https://corp.example/hello')).toMatchObject({ code: 0, stdout: 'over TLS', stderr: '' })
      const [event] = await gateway.audit({ host: 'corp.example', event: 'allow' })
      expect(event).toMatchObject({ group: 'machines', user: 'uri:spiffe://corp.example/jobs/1' })
    })

    it('and inspected: TLS that ends in the gateway, in TLS that does', async () => {
      const seen = (path: string) =>
        curl('--cacert', file('inspection.pem'), ...as(known), '-w', ' %{http_code}', `https://seen.example${path}`)
      expect((await seen('/team/repo.git/HEAD')).stdout).toMatch(/^ref: refs\/heads\/main\n 200$/)
      expect((await seen('/hello')).stdout).toMatch(/path_not_listed.* 403$/s)
      const [event] = await gateway.audit({ host: 'seen.example', kind: 'inspected', event: 'allow' })
      expect(event).toMatchObject({ group: 'machines' })
    })

    it('curl with a password instead gets through, and with neither is asked', async () => {
      expect(await curl('--proxy-user', `alice:${PASSWORD}`, 'https://corp.example/hello')).toMatchObject({ stdout: 'over TLS' })
      expect((await curl('https://corp.example/hello')).stderr).toContain('407')
    })

    it('Python speaks to it with a certificate', async () => {
      const args = [
        String(gateway.port('proxy')),
        ca.certificateFile,
        `${known.base}.pem`,
        `${known.base}.key`,
        'http://plain.example/x',
      ]
      const { stdout, stderr } = await run('python3', ['-c', HTTPS_PROXY_CLIENT, ...args])
      expect(stdout, stderr).toMatch(/^403 .*host_not_listed/s)
      const allowed = await run('python3', ['-c', HTTPS_PROXY_CLIENT, ...args.slice(0, 4), 'http://corp.example/x'])
      // Plain HTTP to a server that speaks TLS: let out, and no answer that makes sense.
      expect(allowed.stdout).toMatch(/^(?:502|400) /)
    })

    it('Node speaks to it with a certificate', async () => {
      const agent = new ProxyAgent({
        uri: proxy,
        proxyTls: { ca: ca.pem, cert: known.cert, key: known.key },
        requestTls: { ca: ca.pem },
      })
      try {
        const { body } = await request('https://corp.example/hello', { dispatcher: agent })
        expect(await body.text()).toBe('over TLS')
      } finally {
        await agent.close()
      }
    })

    it('git clones with a certificate', async () => {
      const settings = [
        `http.proxy=${proxy}`,
        `http.proxySSLCAInfo=${ca.certificateFile}`,
        `http.proxySSLCert=${known.base}.pem`,
        `http.proxySSLKey=${known.base}.key`,
      ]
      const { code, stderr } = await git(settings, 'with-certificate')
      expect(code, stderr).toBe(0)
    })

    it('a certificate that is revoked is out in every worker, by itself', async () => {
      expect((await curl(...as(gone), 'https://corp.example/hello')).code).toBe(0)
      writeFileSync(file('machines.crl'), machines.revocationList([gone]))
      await waitFor(
        async () => ((await curl(...as(gone), 'https://corp.example/hello')).code === 0 ? undefined : true),
        'the revocation',
        30_000,
      )
      // The first to fail may be a tunnel that the reload ended: only the next is sure to be a refusal.
      for (let turn = 0; turn < 6; turn++) expect((await curl(...as(gone), 'https://corp.example/hello')).code).not.toBe(0)
      await gateway.audit({ reason: 'client_not_allowed' })
      expect((await curl(...as(known), 'https://corp.example/hello')).code).toBe(0)
    })

    it('counts by group over both workers', async () => {
      expect(await gateway.metric('sallyport_group_requests_total{group="machines",verdict="allow"}')).toBeGreaterThan(4)
      expect(await gateway.metric('sallyport_group_requests_total{group="people",verdict="allow"}')).toBe(1)
    })

    it('hands out settings that say https', async () => {
      const at = `https://localhost:${gateway.port('proxy')}`
      writeFileSync(gateway.configFile, `${readFileSync(gateway.configFile, 'utf8')}clients: { files: [proxy.pac, env.sh] }\n`)
      await waitFor(
        async () => {
          const { stdout } = await run('curl', ['-sS', '--noproxy', '*', '--cacert', ca.certificateFile, `${at}/env.sh`])
          return stdout.includes(`export https_proxy=${at}\n`) || undefined
        },
        'env.sh',
        30_000,
      )
    })
  })
})
