import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

/** Debian's own Python, for which `python3-pacparser` is made; another one may stand before it in PATH. */
const DEBIAN_PYTHON = '/usr/bin/python3'

/** Evaluates a PAC file with the JavaScript engine that libproxy and others have it evaluated by. */
const EVALUATE_PAC = `
import json, pacparser, sys
pacparser.init()
pac, urls = json.load(sys.stdin)
pacparser.parse_pac_string(pac)
print(json.dumps([pacparser.find_proxy(url, host) for url, host in urls]))
`

/** What Python itself makes of NO_PROXY. */
const EVALUATE_NO_PROXY = `
import json, sys, urllib.request
no_proxy, hosts = json.load(sys.stdin)
print(json.dumps([bool(urllib.request.proxy_bypass_environment(host, {'no': no_proxy})) for host in hosts]))
`

function hasPacparser(): boolean {
  const found = existsSync(DEBIAN_PYTHON) && spawnSync(DEBIAN_PYTHON, ['-W', 'ignore', '-c', 'import pacparser']).status === 0
  if (!found && process.env['CI'] === 'true') throw new Error('pacparser is not installed; apt-get install python3-pacparser')
  return found
}

/** Where clients go by themselves, and why; the rest goes through the gateway, refused or not. */
const TABLE = [
  { host: 'localhost', direct: true, because: 'it is the client itself' },
  { host: '127.0.0.1', direct: true, because: 'so is this' },
  { host: '::1', direct: true, because: 'and this' },
  { host: '169.254.169.254', direct: true, because: "through a proxy it would answer for the gateway's identity" },
  { host: '168.63.129.16', direct: true, because: 'it is the Azure host' },
  { host: '1234.workspace.eastus2.api.azureml.ms', direct: true, because: 'a private endpoint answers for it' },
  { host: 'ci-1.eastus2.instances.azureml.ms', direct: true, because: 'so it does for compute instances' },
  { host: 'ML-1.EastUS2.notebooks.azure.net', direct: true, because: 'case does not count' },
  { host: 'ownstorage.blob.core.windows.net', direct: true, because: 'the config names the account' },
  { host: 'otherstorage.blob.core.windows.net', direct: false, because: 'it is somebody else’s account' },
  { host: 'evilownstorage.blob.core.windows.net', direct: false, because: 'names are compared, not endings' },
  { host: 'eastus2.api.azureml.ms', direct: false, because: 'the regional name has no private address' },
  { host: '1234.workspace.westus.api.azureml.ms', direct: false, because: 'it is another region' },
  { host: 'evil-eastus2.instances.azureml.ms', direct: false, because: 'labels are compared, not endings' },
  { host: 'pypi.org', direct: false, because: 'it is listed' },
  { host: 'evil.example', direct: false, because: 'the gateway refuses it, and says so' },
  { host: 'pinned.example', direct: false, because: 'the pin is the gateway’s own' },
  { host: '10.0.0.7', direct: false, because: 'an address is nobody’s private endpoint' },
  { host: '127.0.0.1.evil.example', direct: false, because: 'it only begins like one' },
  { host: 'fileserver', direct: false, because: 'a name without a dot may be anything' },
] as const

describe('settings that clients fetch', () => {
  let gateway: ProgramUnderTest
  let origin: HttpOrigin
  let at: string

  beforeAll(async () => {
    origin = await HttpOrigin.start((req, res) => {
      res.setHeader('Content-Type', 'text/html')
      res.end(`<p>${req.headers.via === undefined ? 'direct' : 'through the gateway'}</p>`)
    })
    gateway = await startProgram(`
clients: { files: [proxy.pac, env.sh] }
workspace: { regions: [eastus2], storageAccounts: [ownstorage], privateEndpoints: ["10.9.0.0/24"] }
rules: [{ name: pinned, hosts: [pinned.example], ports: [80] }]
destinations: { pin: { pinned.example: "127.0.0.1:${origin.port}" } }
`)
    at = `http://127.0.0.1:${gateway.port('proxy')}`
  })
  afterAll(async () => {
    await gateway?.stop()
    await origin?.stop()
  })

  const get = async (name: string, fields: Record<string, string> = {}) => {
    const { stdout } = await run('curl', [
      '-sS',
      '--noproxy',
      '*',
      ...Object.entries(fields).flatMap(([key, value]) => ['-H', `${key}: ${value}`]),
      `${at}/${name}`,
    ])
    return stdout
  }
  const noProxy = async () => /^export no_proxy=(.*)$/m.exec(await get('env.sh'))?.[1] ?? ''

  describe.skipIf(!hasPacparser())('proxy.pac, by a real engine', () => {
    it('sends each host where it belongs', async () => {
      const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host)
      const urls = TABLE.map(({ host }) => [`https://${bracketed(host)}/`, host])
      const input = JSON.stringify([
        await get('proxy.pac'),
        [...urls, ['https://[::1]/', '[::1]'], ['https://localhost./', 'localhost.']],
      ])
      const { stdout, stderr } = await run(DEBIAN_PYTHON, ['-W', 'ignore', '-c', EVALUATE_PAC], { input })
      const proxy = `PROXY 127.0.0.1:${gateway.port('proxy')}`
      expect(JSON.parse(stdout || JSON.stringify(stderr))).toEqual([
        ...TABLE.map(({ direct }) => (direct ? 'DIRECT' : proxy)),
        'DIRECT',
        'DIRECT',
      ])
    })
  })

  describeWith(['python3', 'curl'], () => {
    it('say the same in env.sh, as Python reads it', async () => {
      const hosts = TABLE.map(({ host }) => host.toLowerCase())
      const { stdout } = await run('python3', ['-c', EVALUATE_NO_PROXY], { input: JSON.stringify([await noProxy(), hosts]) })
      expect(JSON.parse(stdout)).toEqual(TABLE.map(({ direct }) => direct))
    })

    it('are what a shell takes over, and programs in it go by', async () => {
      const script = `. /dev/stdin <<'END'\n${await get('env.sh')}\nEND\ncurl -sS http://pinned.example/; curl -sS http://localhost:${origin.port}/`
      const { stdout, stderr } = await run('sh', ['-c', script])
      expect(stdout, stderr).toBe('<p>through the gateway</p><p>direct</p>')
    })

    it('name the gateway as the client knows it, and nothing that a shell or a script would run', async () => {
      const named = await get('env.sh', { Host: 'Proxy.Corp.Example:3128' })
      expect(named).toContain('export http_proxy=http://proxy.corp.example:3128\n')
      expect(await get('proxy.pac', { Host: '[2001:db8::1]:3128' })).toContain('"PROXY [2001:db8::1]:3128"')
      for (const host of ['a$(id).example', 'a`id`', 'a;id', 'a"b', "a'b", 'a b', 'user@a', '']) {
        const answer = await get('env.sh', { Host: host === '' ? ';' : host })
        expect(answer, host).not.toContain('export')
      }
    })
  })

  describeWith(['chromium'], () => {
    it('are what Chromium goes by', async () => {
      const home = mkdtempSync(join(tmpdir(), 'sallyport-pac-'))
      const browse = async (url: string) => {
        const { stdout } = await run(
          'chromium',
          [
            ...[
              '--headless',
              '--no-sandbox',
              '--disable-gpu',
              '--no-first-run',
              '--disable-background-networking',
              '--disable-sync',
            ],
            ...['--disable-component-update', '--disable-dev-shm-usage', `--user-data-dir=${join(home, 'profile')}`],
            `--proxy-pac-url=${at}/proxy.pac`,
            `--host-resolver-rules=MAP ci-1.eastus2.instances.azureml.ms 127.0.0.1`,
            ...['--dump-dom', url],
          ],
          { env: { HOME: home }, deadlineMs: 60_000 },
        )
        return stdout
      }
      try {
        expect(await browse('http://pinned.example/')).toContain('through the gateway')
        expect(await browse(`http://ci-1.eastus2.instances.azureml.ms:${origin.port}/`)).toContain('direct')
        expect(await browse('http://evil.example/')).toContain('host_not_listed')
      } finally {
        rmSync(home, { recursive: true, force: true })
      }
    }, 120_000)
  })
})
