import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, runProgram, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

/** Every client below fetches these, each in the way it has. */
const ALLOWED = '/team/file.txt'
const SIBLING = '/secret.txt'
/** Some clients resolve the first two themselves, and then ask for the sibling; nobody may get it. */
const TRICKS = [
  '/team/../secret.txt',
  '/team/%2e%2e/secret.txt',
  '/team/%252e%252e/secret.txt',
  '/team/..%2fsecret.txt',
  '/team//secret.txt',
]

const HOST = 'raw.corp.example'

describeWith(['openssl'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-inspection-'))
  const caFile = join(folder, 'state', 'ca.pem')
  let originCa: OpensslCa
  let stranger: OpensslCa
  let origin: HttpOrigin
  let gateway: ProgramUnderTest
  let proxy = ''
  const waiting: ServerResponse[] = []

  beforeAll(async () => {
    originCa = new OpensslCa('Origin Root')
    stranger = new OpensslCa('Somebody Else')
    origin = await HttpOrigin.start(
      (req, res) => {
        const file = join(folder, 'served', decodeURIComponent((req.url ?? '').replace(/\?.*/, '')))
        if (req.url === ALLOWED) return void res.end('the file\n')
        if (req.url === '/team/page.html') return void res.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE)
        // The page has not loaded before its script has done all it does.
        if (req.url === '/team/wait') return void waiting.push(res)
        if (req.url === '/team/done') {
          for (const each of [...waiting.splice(0), res]) each.end()
          return
        }
        if (req.url?.startsWith('/secret')) return void res.end('the secret\n')
        const known = existsSync(file) && statSync(file).isFile()
        res.writeHead(known ? 200 : 404).end(known ? readFileSync(file) : '')
      },
      { tls: originCa.issue(`DNS:${HOST},DNS:git.corp.example`) },
    )
    const sockets = new WebSocketServer({ server: origin.server, path: '/team/socket' })
    sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(`echo ${message}`)))
    const config = `
rules:
  - { name: raw, hosts: [${HOST}], ports: [443], paths: ["/team/*"] }
  - { name: git, hosts: [git.corp.example], ports: [443], paths: ["/team/repo.git/*"] }
destinations: { pin: { ${HOST}: "127.0.0.1:${origin.port}", git.corp.example: "127.0.0.1:${origin.port}" } }
inspection:
  caCertificate: "${caFile}"
  caKey: "${join(folder, 'state', 'ca.key')}"
  upstreamCa: ["${originCa.certificateFile}"]
clients: { files: [ca.pem] }
`
    // As an operator does it: the rules first, then the CA for them, then the gateway.
    const configFile = join(folder, 'gateway.yaml')
    writeFileSync(configFile, config)
    const made = await runProgram(['ca', 'init', '--config', configFile])
    if (made.code !== 0) throw new Error(made.stderr)
    gateway = await startProgram(config)
    proxy = gateway.proxyUrl
  })

  afterAll(async () => {
    await gateway?.stop()
    await origin?.stop()
    originCa?.remove()
    stranger?.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Nobody got anything but the allowed file, and the log says what was refused. */
  async function expectKept(reason = 'path_not_listed') {
    expect(origin.asked.filter((line) => line.includes('secret'))).toEqual([])
    const [event] = await gateway.audit({ kind: 'inspected', event: 'deny', reason: reason as 'path_not_listed' })
    expect(event).toMatchObject({ host: HOST, port: 443, parent: expect.any(String) })
  }

  /** One more client of which the log says that it does not trust the CA. */
  async function expectDistrust(act: () => Promise<unknown>) {
    const line = 'sallyport_tls_handshake_failures_total{cause="client_distrusts_ca"}'
    const before = await gateway.metric(line)
    const known = gateway.events().filter(({ event }) => event === 'error').length
    await act()
    const event = (await gateway.audit({ event: 'error' }, known + 1)).at(-1)
    expect(event).toMatchObject({ kind: 'connect', endedBy: 'client' })
    expect(event?.detail).toContain('client_distrusts_ca')
    expect(event?.hint).toContain('sallyport ca show')
    expect(await gateway.metric(line)).toBe(before + 1)
  }

  it('hands the CA to clients, the one that `ca init` made and `ca show` prints', async () => {
    const answer = await fetch(`${proxy}/ca.pem`)
    expect(answer.headers.get('content-type')).toBe('application/x-pem-file')
    expect(await answer.text()).toBe(readFileSync(caFile, 'utf8'))
    const shown = await runProgram(['ca', 'show', '--pem', '--config', join(folder, 'gateway.yaml')])
    expect(shown.stdout).toBe(readFileSync(caFile, 'utf8'))
  })

  describeWith(['curl'], () => {
    const curl = (...args: string[]) =>
      run('curl', ['--silent', '--show-error', '--max-time', '20', '--proxy', proxy, '--cacert', caFile, ...args])
    const format = '\n%{http_code} %{http_version} %{header_json}'

    for (const [option, version] of [
      ['--http1.1', '1.1'],
      ['--http2', '2'],
    ] as const) {
      const get = async (path: string) => {
        const { stdout, stderr } = await curl(option, '--path-as-is', '--write-out', format, `https://${HOST}${path}`)
        expect(stderr).toBe('')
        return stdout
      }
      it(`fetches what is allowed over HTTP/${version}`, async () => {
        expect(await get(ALLOWED)).toMatch(new RegExp(`^the file\n\n200 ${version} `))
      })

      it(`gets the reason for anything else over HTTP/${version}`, async () => {
        expect(await get(SIBLING)).toMatch(new RegExp(`"reason": "path_not_listed".*\n403 ${version} .*"sallyport-reason"`, 's'))
        for (const path of TRICKS) expect(await get(path), path).toMatch(/"reason": "path_not_canonical".*\n400 /s)
        await expectKept()
        await expectKept('path_not_canonical')
      })
    }

    it('ends at the certificate without the CA, and the log says why', () =>
      expectDistrust(async () => {
        const { code } = await curl('--cacert', stranger.certificateFile, `https://${HOST}${ALLOWED}`)
        expect(code).toBe(60)
      }))
  })

  describeWith(['git'], () => {
    const git = (...args: string[]) => gitWith(caFile, ...args)
    const gitWith = (trusted: string, ...args: string[]) =>
      run('git', args, {
        cwd: folder,
        env: { HOME: folder, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', GIT_SSL_CAINFO: trusted, HTTPS_PROXY: proxy },
      })
    beforeAll(async () => {
      const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.invalid']
      for (const args of [
        ['init', '--quiet', '--initial-branch=main', 'work'],
        ['-C', 'work', ...identity, 'commit', '--quiet', '--allow-empty', '--message', 'under a path rule'],
        ['clone', '--quiet', '--bare', 'work', 'served/team/repo.git'],
        ['-C', 'served/team/repo.git', 'update-server-info'],
        ['clone', '--quiet', '--bare', 'work', 'served/team/other.git'],
        ['-C', 'served/team/other.git', 'update-server-info'],
      ]) {
        const { code, stderr } = await git(...args)
        if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`)
      }
    })

    it('clones the repository that the rule names', async () => {
      const { code, stderr } = await git('clone', 'https://git.corp.example/team/repo.git', 'cloned')
      expect(code, stderr).toBe(0)
      expect((await git('-C', 'cloned', 'log', '--format=%s')).stdout).toBe('under a path rule\n')
    })

    it('is refused the one beside it', async () => {
      const { code, stderr } = await git('clone', 'https://git.corp.example/team/other.git', 'refused')
      expect(code).toBe(128)
      expect(stderr).toContain('403')
      expect(origin.asked.filter((line) => line.includes('other.git'))).toEqual([])
    })

    it('ends at the certificate without the CA, and the log says why', () =>
      expectDistrust(async () => {
        const { code } = await gitWith(stranger.certificateFile, 'clone', 'https://git.corp.example/team/repo.git', 'distrusted')
        expect(code).toBe(128)
      }))
  })

  describeWith(['python3'], () => {
    const python = (trusted: string, ...paths: string[]) =>
      run('python3', ['-c', PYTHON, ...paths.map((path) => `https://${HOST}${path}`)], {
        env: { HOME: folder, SSL_CERT_FILE: trusted, https_proxy: proxy },
      })

    it('fetches what is allowed and nothing else', async () => {
      const { stdout, stderr } = await python(caFile, ALLOWED, SIBLING, ...TRICKS)
      expect(stderr).toBe('')
      const lines = stdout.trim().split('\n')
      expect(lines.slice(0, 2)).toEqual(['200 the file', '403 path_not_listed'])
      expect(lines.slice(2)).toEqual(TRICKS.map(() => '400 path_not_canonical'))
      await expectKept()
    })

    it('ends at the certificate without the CA, and the log says why', () =>
      expectDistrust(async () => {
        expect((await python(stranger.certificateFile, ALLOWED)).stderr).toContain('CERTIFICATE_VERIFY_FAILED')
      }))
  })

  describe('Node', () => {
    const node = (trusted: string, ...paths: string[]) =>
      run(process.execPath, ['--input-type=module', '-e', NODE, ...paths.map((path) => `https://${HOST}${path}`)], {
        env: { NODE_EXTRA_CA_CERTS: trusted, HTTPS_PROXY: proxy },
      })

    it('fetches what is allowed and nothing else', async () => {
      const { stdout, stderr } = await node(caFile, ALLOWED, SIBLING, ...TRICKS)
      expect(stderr).toBe('')
      const lines = stdout.trim().split('\n')
      expect(lines.slice(0, 2)).toEqual(['200 the file', '403 path_not_listed'])
      // `fetch` resolves the first two itself.
      expect(lines.slice(2)).toEqual([
        '403 path_not_listed',
        '403 path_not_listed',
        '400 path_not_canonical',
        '400 path_not_canonical',
        '400 path_not_canonical',
      ])
      await expectKept()
    })

    it('ends at the certificate without the CA, and the log says why', () =>
      expectDistrust(async () => {
        expect((await node(stranger.certificateFile, ALLOWED)).stdout).toMatch(/UNABLE_TO|SELF_SIGNED/)
      }))
  })

  describeWith(['chromium', 'certutil'], () => {
    /** What the page's script has written by the time its work is done; of a page that was not loaded, what the browser says of it. */
    async function browse(home: string): Promise<string> {
      const args = [...CHROMIUM, `--user-data-dir=${join(home, 'profile')}`, `--proxy-server=${proxy}`]
      const { stdout, stderr } = await run('chromium', [...args, '--dump-dom', `https://${HOST}/team/page.html`], {
        env: { HOME: home },
        deadlineMs: 60_000,
      })
      return stdout || stderr
    }
    async function homeTrusting(file: string, name: string): Promise<string> {
      const home = join(folder, name)
      const database = join(home, '.pki', 'nssdb')
      mkdirSync(database, { recursive: true })
      for (const args of [
        ['-N', '--empty-password'],
        ['-A', '-t', 'C,,', '-n', 'inspection', '-i', file],
      ]) {
        const { code, stderr } = await run('certutil', ['-d', `sql:${database}`, ...args])
        if (code !== 0) throw new Error(stderr)
      }
      return home
    }

    it('fetches what is allowed and nothing else, and opens a WebSocket', async () => {
      const page = await browse(await homeTrusting(caFile, 'trusting'))
      const [, json] = /<pre>(.*?)<\/pre>/s.exec(page) ?? []
      if (json === undefined) throw new Error(page)
      expect(JSON.parse(json.replaceAll('&quot;', '"'))).toEqual({
        fetched: ['200 the file', '403 path_not_listed', ...CHROMIUM_TRICKS],
        socket: 'echo hello',
      })
      await expectKept()
      const [socket] = await gateway.audit({ kind: 'websocket', path: '/team/socket' })
      expect(socket).toMatchObject({ event: 'allow', host: HOST })
    }, 90_000)

    it('ends at the certificate without the CA, and the log says why', async () => {
      const line = 'sallyport_tls_handshake_failures_total{cause="client_distrusts_ca"}'
      const before = await gateway.metric(line)
      expect(await browse(await homeTrusting(stranger.certificateFile, 'wary'))).not.toContain('<pre>')
      expect(await gateway.metric(line)).toBeGreaterThan(before)
    }, 90_000)
  })

  for (const version of ['-tls1_2', '-tls1_3'])
    it(`satisfies openssl s_client ${version} to the letter`, async () => {
      const { code, stdout, stderr } = await run(
        'openssl',
        [
          ...['s_client', '-proxy', proxy.replace('http://', ''), '-connect', `${HOST}:443`, version, '-ign_eof'],
          ...['-CAfile', caFile, '-x509_strict', '-verify_return_error', '-verify_hostname', HOST],
        ],
        { input: `GET ${ALLOWED} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n` },
      )
      expect(code, stderr).toBe(0)
      expect(stdout).toContain('Verify return code: 0 (ok)')
      expect(stdout).toContain('the file')
    })

  describeWith(['gnutls-cli'], () => {
    /** It knows no proxies: a listener that opens the tunnel for it. */
    async function gnutls(trusted: string, input: string) {
      const relay = createServer((socket) => {
        const tunnel = connect(Number(new URL(proxy).port), '127.0.0.1')
        tunnel.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`)
        tunnel.once('data', () => socket.pipe(tunnel).pipe(socket))
        for (const each of [socket, tunnel]) each.on('error', () => socket.destroy())
      })
      await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
      const address = relay.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const args = [
        '--x509cafile',
        trusted,
        '--verify-hostname',
        HOST,
        '--sni-hostname',
        HOST,
        '--port',
        String(port),
        '127.0.0.1',
      ]
      const ran = await run('gnutls-cli', args, { input })
      relay.close()
      return ran
    }

    it('believes the certificate', async () => {
      const { stdout } = await gnutls(caFile, `GET ${ALLOWED} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
      expect(stdout).toContain('The certificate is trusted.')
    })

    it('does not without the CA, and the log says why', () =>
      expectDistrust(async () => {
        expect((await gnutls(stranger.certificateFile, '')).stdout).toContain('NOT trusted')
      }))
  })
})

const CHROMIUM = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
]

/** A browser resolves dots, escaped or not, before it asks. */
const CHROMIUM_TRICKS = [
  '403 path_not_listed',
  '403 path_not_listed',
  '400 path_not_canonical',
  '400 path_not_canonical',
  '400 path_not_canonical',
]

const PAGE = `<!DOCTYPE html><title>page</title><pre></pre><img src=/team/wait><script>
const ask = async (path) => {
  const answer = await fetch(path)
  const text = await answer.text()
  return answer.status + ' ' + (answer.ok ? text.trim() : JSON.parse(text).reason)
}
const socket = () => new Promise((resolve) => {
  const made = new WebSocket('wss://${HOST}/team/socket')
  made.onopen = () => made.send('hello')
  made.onmessage = (event) => { resolve(event.data); made.close() }
  made.onerror = () => resolve('failed')
})
;(async () => {
  const fetched = []
  for (const path of ${JSON.stringify([ALLOWED, SIBLING, ...TRICKS])}) fetched.push(await ask(path))
  document.querySelector('pre').textContent = JSON.stringify({ fetched, socket: await socket() })
  await fetch('/team/done')
})()
</script>`

const PYTHON = `
import sys, json, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            print(answer.status, answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        print(error.code, json.loads(error.read())['reason'])
`

const NODE = `
import { EnvHttpProxyAgent, fetch } from 'undici'
const dispatcher = new EnvHttpProxyAgent()
for (const url of process.argv.slice(1)) {
  try {
    const answer = await fetch(url, { dispatcher })
    const text = await answer.text()
    console.log(answer.status, answer.ok ? text.trim() : JSON.parse(text).reason)
  } catch (error) {
    console.log(error.cause?.code ?? error.message)
  }
}
await dispatcher.close()
`
