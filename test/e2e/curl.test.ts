import { afterAll, beforeAll, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

describeWith(['curl', 'openssl'], () => {
  let ca: OpensslCa
  let secure: HttpOrigin
  let plain: HttpOrigin
  let six: HttpOrigin
  let gateway: ProgramUnderTest

  beforeAll(async () => {
    ca = new OpensslCa()
    secure = await HttpOrigin.start((_req, res) => res.end('over TLS\n'), { tls: ca.issue('DNS:pypi.org,DNS:evil.example') })
    plain = await HttpOrigin.start((req, res) => res.end(`plain ${req.url}\n`))
    six = await HttpOrigin.start((_req, res) => res.end('over IPv6\n'), { host: '::1' })
    gateway = await startProgram(`
rules:
  - { name: lab, hosts: ["::1"], ports: [${six.port}], protocol: http, destinations: ["::1/128"] }
destinations:
  pin:
    pypi.org: "127.0.0.1:${secure.port}"
    evil.example: "127.0.0.1:${secure.port}"
    cloud.r-project.org: "127.0.0.1:${plain.port}"
    raw.githubusercontent.com: "127.0.0.1:${plain.port}"
`)
  })

  afterAll(async () => {
    await gateway?.stop()
    await Promise.all([secure, plain, six].map((origin) => origin?.stop()))
    ca?.remove()
  })

  const curl = (...args: string[]) =>
    run('curl', [
      '--silent',
      '--show-error',
      '--max-time',
      '20',
      '--proxy',
      gateway.proxyUrl,
      '--cacert',
      ca.certificateFile,
      ...args,
    ])

  it('fetches a documented host over HTTPS through CONNECT', async () => {
    const before = await gateway.metric('sallyport_entry_hits_total{entry="2021-07-29/python/pypi.org",feature="python"}')
    const { code, stdout, stderr } = await curl('--write-out', '%{http_connect}', 'https://pypi.org/simple/')
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'over TLS\n200', stderr: '' })
    const [event] = await gateway.audit({ host: 'pypi.org', event: 'allow' })
    expect(event).toMatchObject({
      kind: 'connect',
      listener: 'proxy',
      client: '127.0.0.1',
      method: 'CONNECT',
      port: 443,
      entry: '2021-07-29/python/pypi.org',
      feature: 'python',
      address: `127.0.0.1:${secure.port}`,
      endedBy: 'client',
    })
    expect(event?.bytesUp).toBeGreaterThan(200)
    expect(event?.bytesDown).toBeGreaterThan(500)
    expect(await gateway.metric('sallyport_entry_hits_total{entry="2021-07-29/python/pypi.org",feature="python"}')).toBe(
      before + 1,
    )
    expect(await gateway.metric('sallyport_tunnels_open')).toBe(0)
  })

  it('is refused an unlisted host with the reason code as reason phrase, and the hint in the body', async () => {
    const { code, stderr, stdout } = await curl('--include', 'https://evil.example/')
    expect(code).toBe(56)
    expect(stderr).toContain('403')
    expect(stdout).toMatch(/^HTTP\/1\.1 403 host_not_listed\r\n/)
    expect(stdout).toContain('Sallyport-Reason: host_not_listed\r\n')
    const [event] = await gateway.audit({ host: 'evil.example' })
    expect(event).toMatchObject({ event: 'deny', kind: 'connect', reason: 'host_not_listed', port: 443 })
    expect(event?.hint).toContain('hosts: [evil.example]')
    expect(stdout).toContain(`Sallyport-Request-Id: ${event?.id}\r\n`)
    const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="evil.example"'
    expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBe(1)
  })

  it('shows the whole problem of a refused plain request: reason, host and the rule that would allow it', async () => {
    const { code, stdout } = await curl('--write-out', '\n%{http_code} %{content_type}', 'http://shop.example/a?b')
    expect(code).toBe(0)
    const [body = '', status] = stdout.split('\n\n')
    expect(status).toBe('403 application/problem+json')
    expect(JSON.parse(body)).toMatchObject({
      status: 403,
      reason: 'host_not_listed',
      host: 'shop.example',
      port: 80,
      hint: 'to allow it, add `rules: [{ name: shop-example, hosts: [shop.example] }]`',
    })
    const [event] = await gateway.audit({ host: 'shop.example' })
    expect(event).toMatchObject({ kind: 'forward', method: 'GET', path: '/a', event: 'deny' })
  })

  it('forwards plain HTTP, two requests on one connection', async () => {
    const url = 'http://cloud.r-project.org'
    const { code, stdout } = await curl('--write-out', '%{num_connects} ', `${url}/one?x=1`, `${url}/two`)
    expect(code).toBe(0)
    expect(stdout).toBe('plain /one?x=1\n1 plain /two\n0 ')
    const events = await gateway.audit({ host: 'cloud.r-project.org', kind: 'forward' }, 2)
    expect(events.map(({ path }) => path)).toEqual(['/one', '/two'])
    expect(new Set(events.map(({ clientPort }) => clientPort)).size).toBe(1)
    expect(await gateway.metric('sallyport_requests_total{listener="proxy",kind="forward",verdict="allow",reason=""}')).toBe(2)
  })

  it('uploads a body and gets the answer that the origin gives to it', async () => {
    const upload = await HttpOrigin.start((req, res) => {
      let length = 0
      req.on('data', (chunk: Buffer) => {
        length += chunk.length
      })
      req.on('end', () => res.end(`${length}`))
    })
    const other = await startProgram(`destinations: { pin: { cloud.r-project.org: "127.0.0.1:${upload.port}" } }`)
    try {
      const body = 'x'.repeat(3_000_000)
      const args = ['--silent', '--proxy', other.proxyUrl, '--data-binary', '@-', 'http://cloud.r-project.org/']
      // curl sends `Expect: 100-continue` for a body of this size.
      const { stdout } = await run('curl', args, { input: body })
      expect(stdout).toBe('3000000')
      expect(upload.requests[0]?.headers['expect']).toBeUndefined()
      const [event] = await other.audit({ kind: 'forward' })
      expect(event?.bytesUp).toBeGreaterThan(3_000_000)
    } finally {
      await other.stop()
      await upload.stop()
    }
  })

  it('judges each request inside a tunnel to port 80', async () => {
    const url = 'http://cloud.r-project.org'
    const { stdout } = await curl('--proxytunnel', `${url}/in-tunnel`, `${url}/again`)
    expect(stdout).toBe('plain /in-tunnel\nplain /again\n')
    const [connect] = await gateway.audit({ host: 'cloud.r-project.org', kind: 'connect' })
    const inside = await gateway.audit({ host: 'cloud.r-project.org', ...(connect && { parent: connect.id }) }, 2)
    expect(inside.map(({ kind, path }) => `${kind} ${path}`)).toEqual(['forward /in-tunnel', 'forward /again'])
  })

  it('is refused inside a tunnel to port 80 what the path rule does not list', async () => {
    const url = 'http://raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master'
    const { stdout } = await curl(
      '--proxytunnel',
      '--write-out',
      '%{http_code}\n',
      `${url}/azureml_remote_websocket_server/a`,
      `${url}/elsewhere`,
    )
    expect(stdout).toMatch(/^plain \/microsoft\/vscode-tools-for-ai\/master\/azureml_remote_websocket_server\/a\n200\n/)
    expect(stdout).toMatch(/"reason": "path_not_listed".*403\n$/s)
    expect(plain.asked.filter((request) => request.includes('elsewhere'))).toEqual([])
    await gateway.audit({ host: 'raw.githubusercontent.com', kind: 'forward', reason: 'path_not_listed', event: 'deny' })
  })

  it('reaches an IPv6 literal that a rule lists, forwarded and through a tunnel', async () => {
    const url = `http://[::1]:${six.port}/`
    expect((await curl('--globoff', url)).stdout).toBe('over IPv6\n')
    expect((await curl('--globoff', '--proxytunnel', url)).stdout).toBe('over IPv6\n')
    const events = await gateway.audit({ host: '::1', event: 'allow' }, 3)
    expect(events.map(({ kind }) => kind).toSorted()).toEqual(['connect', 'forward', 'forward'])
    for (const { entry, address } of events.filter(({ kind }) => kind === 'forward'))
      expect({ entry, address }).toEqual({ entry: 'rule/lab', address: `[::1]:${six.port}` })
  })

  it('is refused another IPv6 literal, and the metadata service with the NO_PROXY line', async () => {
    const other = await curl('--globoff', '--write-out', '%{http_code}', 'http://[::2]/')
    expect(other.stdout).toMatch(/"reason": "host_not_listed".*403$/s)
    const metadata = await curl('http://169.254.169.254/metadata/instance')
    expect(JSON.parse(metadata.stdout).hint).toContain('NO_PROXY=169.254.169.254')
  })

  it('says which port is listed when another is asked for', async () => {
    const { stderr, stdout } = await curl('--include', 'https://pypi.org:8443/')
    expect(stderr).toContain('403')
    expect(stdout).toContain('HTTP/1.1 403 port_not_listed')
    const [event] = await gateway.audit({ host: 'pypi.org', port: 8443 })
    expect(event).toMatchObject({ reason: 'port_not_listed', entry: '2021-07-29/python/pypi.org' })
  })

  it('never let anything of a refused host through', () => {
    expect(secure.requests.every((req) => req.headers.host === 'pypi.org')).toBe(true)
  })
})
