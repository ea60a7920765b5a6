import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { startGateway } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { itWith } from '../support/program.ts'
import { run } from '../support/run.ts'
import { configFolder, sallyport } from './cli-run.ts'

const config = configFolder()
const PROXY = 'http://10.0.0.4:3128'
const ALWAYS = ['localhost', '127.0.0.1', '::1', '169.254.169.254', '168.63.129.16']

const PRIVATE = `workspace:
  regions: [eastus2]
  storageAccounts: [mystorage]
  containerRegistries: [myregistry]
  privateEndpoints: ["10.20.0.0/24"]
`

async function env(place: string, yaml: string, ...more: string[]): Promise<{ stdout: string; stderr: string }> {
  const outcome = await sallyport(['env', '--for', place, '--proxy', PROXY, '--config', config(yaml), ...more])
  expect(outcome.code, outcome.stderr).toBe(0)
  return outcome
}

/** What a shell that evaluates the lines has. */
async function evaluated(lines: string, name: string): Promise<string> {
  const { stdout } = await run('sh', ['-c', `${lines}\nprintf %s "$${name}"`])
  return stdout
}

describe('NO_PROXY', () => {
  it('names this machine, the metadata service and the host address, whatever the config', async () => {
    const { stdout } = await env('shell', '')
    expect((await evaluated(stdout, 'NO_PROXY')).split(',')).toEqual(ALWAYS)
    expect(await evaluated(stdout, 'no_proxy')).toBe(await evaluated(stdout, 'NO_PROXY'))
  })

  it("names what a private endpoint answers for: the workspace's names in its regions, and its accounts and registries", async () => {
    const { stdout } = await env('shell', PRIVATE)
    const names = (await evaluated(stdout, 'NO_PROXY')).split(',')
    expect(names).toEqual(
      expect.arrayContaining([
        ...ALWAYS,
        '.workspace.eastus2.api.azureml.ms',
        '.workspace.eastus2.cert.api.azureml.ms',
        '.eastus2.instances.azureml.ms',
        '.eastus2.notebooks.azure.net',
        'mystorage.blob.core.windows.net',
        'mystorage.file.core.windows.net',
        'mystorage.dfs.core.windows.net',
        'myregistry.azurecr.io',
      ]),
    )
    expect(
      names.filter((name) => name.includes('*') || name.includes('/')),
      'half of the readers know no wildcard and no range',
    ).toEqual([])
    expect(names, 'the regional name has no private address').not.toContain('.eastus2.api.azureml.ms')
  })

  it('leaves them to the proxy where no private endpoint is declared', async () => {
    const { stdout } = await env('shell', PRIVATE.replace(/ {2}privateEndpoints.*\n/, ''))
    expect((await evaluated(stdout, 'NO_PROXY')).split(',')).toEqual(ALWAYS)
  })

  it('never names a wildcard over the accounts of everybody', async () => {
    const wide = PRIVATE.replace('[mystorage]', '["*"]').replace(
      'privateEndpoints',
      'acknowledgeMultiTenant: true\n  privateEndpoints',
    )
    const { stdout } = await env('shell', wide)
    expect(stdout).not.toMatch(/[,=]\.(blob|file|dfs)\.core/)
  })

  for (const [cloud, name] of [
    ['government', '.workspace.usgovvirginia.api.ml.azure.us'],
    ['china', '.workspace.usgovvirginia.api.ml.azure.cn'],
  ] as const)
    it(`uses the names of the ${cloud} cloud`, async () => {
      const { stdout } = await env('shell', `cloud: ${cloud}\n${PRIVATE.replace('eastus2', 'usgovvirginia')}`)
      expect((await evaluated(stdout, 'NO_PROXY')).split(',')).toContain(name)
    })

  it('takes more names, and refuses what readers would not understand', async () => {
    const { stdout } = await env('shell', '', '--direct', 'git.corp.example', '.lab.example')
    expect((await evaluated(stdout, 'NO_PROXY')).split(',')).toEqual([...ALWAYS, 'git.corp.example', '.lab.example'])
    for (const wrong of ['*.example.com', '10.0.0.0/8', 'a b', 'a;b', '$(id)', 'a,b']) {
      const refused = await sallyport(['env', '--for', 'shell', '--proxy', PROXY, '--config', config(''), '--direct', wrong])
      expect(refused.code, wrong).toBe(2)
      expect(refused.stderr).toContain('cannot stand in NO_PROXY')
    }
  })

  itWith('python3')('is read by Python as it is meant', async () => {
    const { stdout } = await env('shell', PRIVATE)
    const hosts = {
      '169.254.169.254': true,
      'mystorage.blob.core.windows.net': true,
      'someid.workspace.eastus2.api.azureml.ms': true,
      'eastus2.api.azureml.ms': false,
      'otherstorage.blob.core.windows.net': false,
      'pypi.org': false,
    }
    const script = 'import sys, urllib.request as r\nfor h in sys.argv[1:]: print(h, bool(r.proxy_bypass_environment(h)))'
    const asked = await run('sh', ['-c', `${stdout}\nexec python3 -c "$0" "$@"`, script, ...Object.keys(hosts)])
    const answers = Object.fromEntries(
      asked.stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    )
    expect(answers).toEqual(Object.fromEntries(Object.entries(hosts).map(([host, direct]) => [host, direct ? 'True' : 'False'])))
  })
})

describe('where the gateway is', () => {
  it('must be said when the config listens where no client reaches it', async () => {
    for (const listen of ['127.0.0.1:3128', '0.0.0.0:3128']) {
      const refused = await sallyport(['env', '--for', 'shell', '--config', config(`listen: { proxy: "${listen}" }\n`)])
      expect(refused).toMatchObject({ code: 2, stdout: '' })
      expect(refused.stderr).toContain('--proxy http://10.0.0.4:3128')
    }
  })

  it('is taken from the config when that names an address', async () => {
    const { stdout } = await sallyport(['env', '--for', 'shell', '--config', config('listen: { proxy: "10.1.2.3:8080" }\n')])
    expect(await evaluated(stdout, 'https_proxy')).toBe('http://10.1.2.3:8080')
  })

  for (const wrong of [
    'https://10.0.0.4:3128',
    '10.0.0.4:3128',
    'http://user:secret@10.0.0.4:3128',
    'http://10.0.0.4:3128/path',
    "http://x';id;'",
  ])
    it(`refuses ${wrong}`, async () => {
      const refused = await sallyport(['env', '--for', 'shell', '--proxy', wrong, '--config', config('')])
      expect(refused).toMatchObject({ code: 2, stdout: '' })
      expect(refused.stderr).toContain('http://10.0.0.4:3128')
    })

  it('is asked for in vain at a place there is not', async () => {
    const refused = await sallyport(['env', '--for', 'windows', '--proxy', PROXY, '--config', config('')])
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('`compute-instance`, `aks`, `docker`, `job`, `shell`')
  })
})

describe('each place', () => {
  itWith('curl')('shell: a real curl that evaluates it goes through a real gateway, and past it to itself', async () => {
    const origin = await HttpOrigin.serving(() => 'from the origin')
    const gateway = await startGateway(
      `rules: [{ name: web, hosts: [web.test], ports: [80] }]\ndestinations: { pin: { web.test: "127.0.0.1:${origin.port}" } }\n`,
    )
    const proxy = `http://127.0.0.1:${gateway.port}`
    const { stdout } = await sallyport(['env', '--for', 'shell', '--proxy', proxy, '--config', config('')])
    const fetched = await run('sh', [
      '-c',
      `eval "$1"; curl -s http://web.test/ && curl -s http://127.0.0.1:${origin.port}/own`,
      'sh',
      stdout,
    ])
    expect(fetched.stdout).toBe('from the originfrom the origin')
    expect(await gateway.audit()).toHaveLength(1)
    await gateway.stop()
    await origin.stop()
  })

  it('aks: the JSON that `az aks create --http-proxy-config` takes, with the CA in base64 where there is one', async () => {
    const { stdout, stderr } = await env('aks', PRIVATE)
    const parsed = JSON.parse(stdout)
    expect(Object.keys(parsed)).toEqual(['httpProxy', 'httpsProxy', 'noProxy'])
    expect(parsed).toMatchObject({ httpProxy: `${PROXY}/`, httpsProxy: `${PROXY}/` })
    expect(parsed.noProxy).toContain('168.63.129.16')
    expect(stderr).toContain('reimages every node pool')

    const ca = new OpensslCa()
    const withCa = await env('aks', `inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}" }\n`)
    const { trustedCa } = JSON.parse(withCa.stdout)
    expect(Buffer.from(trustedCa, 'base64').toString().trim()).toBe(ca.pem.trim())
    expect(withCa.stdout).not.toContain('PRIVATE')
    ca.remove()
  })

  it("docker: the daemon's drop-in and the client's JSON", async () => {
    const { stdout } = await env('docker', '')
    expect(stdout).toContain(`Environment="HTTPS_PROXY=${PROXY}"`)
    const json = JSON.parse(stdout.slice(stdout.indexOf('{')))
    expect(json.proxies.default).toEqual({ httpProxy: PROXY, httpsProxy: PROXY, noProxy: ALWAYS.join(',') })
  })

  it('job: YAML for environment_variables', async () => {
    const { stdout, stderr } = await env('job', '')
    expect(parse(stdout).environment_variables).toMatchObject({ HTTPS_PROXY: PROXY, no_proxy: ALWAYS.join(',') })
    expect(stderr).toContain('reads no proxy settings')
  })
})

describe('compute-instance', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-instance-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is a script that sets up every tool there is, twice as well as once', async () => {
    const ca = new OpensslCa()
    const made = await env(
      'compute-instance',
      `inspection: { caCertificate: "${ca.certificateFile}", caKey: "${ca.keyFile}" }\n${PRIVATE}`,
    )
    expect((await run('bash', ['-n'], { input: made.stdout })).code, made.stdout).toBe(0)

    // The script's own absolute paths, below a folder; programs that would change this machine write down what they were asked.
    const root = join(folder, 'root')
    const asked = join(folder, 'asked')
    for (const name of ['systemctl', 'update-ca-certificates', 'pip', 'git']) stub(name, asked)
    mkdirSync(join(root, 'root'), { recursive: true })
    mkdirSync(join(root, 'home/azureuser'), { recursive: true })
    const script = made.stdout.replace(/(?<=[\s"])(\/etc\/|\/usr\/local\/|\/root |\/home\/\*)/g, `${root}$1`)
    for (const time of ['first', 'second']) {
      const ran = await run('bash', [], { input: script, env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}` } })
      expect(ran.code, `${time} time: ${ran.stderr}`).toBe(0)
    }

    const read = (path: string) => readFileSync(join(root, path), 'utf8')
    expect(read('usr/local/share/ca-certificates/sallyport-ca.crt').trim()).toBe(ca.pem.trim())
    for (const service of ['jupyter', 'docker']) {
      const dropIn = read(`etc/systemd/system/${service}.service.d/sallyport.conf`)
      expect(dropIn).toMatch(/^\[Service\]\nEnvironment="http_proxy=http:\/\/10\.0\.0\.4:3128"\n/)
      expect(dropIn).toContain('Environment="REQUESTS_CA_BUNDLE=')
    }
    expect(
      existsSync(join(root, 'etc/systemd/system/rstudio-server.service.d')),
      'a service that is not there gets nothing',
    ).toBe(false)
    expect(read('etc/apt/apt.conf.d/95sallyport')).toBe(`Acquire::http::Proxy "${PROXY}";\nAcquire::https::Proxy "${PROXY}";\n`)
    expect(parse(read('etc/conda/condarc.d/sallyport.yml'))).toMatchObject({ proxy_servers: { http: PROXY, https: PROXY } })
    expect(JSON.parse(read('home/azureuser/.docker/config.json')).proxies.default.httpProxy).toBe(PROXY)
    expect(statSync(join(root, 'etc/profile.d/sallyport.sh')).mode & 0o777).toBe(0o644)
    const profile = read('etc/profile.d/sallyport.sh')
    expect(await evaluated(profile, 'JAVA_TOOL_OPTIONS')).toContain('-Dhttps.proxyHost=10.0.0.4 -Dhttps.proxyPort=3128')
    expect(await evaluated(profile, 'JAVA_TOOL_OPTIONS')).toContain('|169.254.169.254|')
    expect(await evaluated(profile, 'JAVA_TOOL_OPTIONS')).toContain('|*.eastus2.instances.azureml.ms|')
    expect(await evaluated(profile, 'NO_PROXY')).toContain('mystorage.blob.core.windows.net')
    const commands = readFileSync(asked, 'utf8')
    expect(commands).toContain(`pip config --global set global.proxy ${PROXY}`)
    expect(commands).toContain(`git config --system http.proxy ${PROXY}`)
    expect(commands).toContain('systemctl try-restart jupyter.service')
    ca.remove()
  })

  it('leaves alone the Docker settings that somebody made', async () => {
    const { stdout } = await env('compute-instance', '')
    expect(stdout).toContain('[ ! -e "$home/.docker/config.json" ]')
    expect(stdout).not.toContain('ca-certificates')
  })

  function stub(name: string, log: string): void {
    const file = join(folder, 'bin', name)
    mkdirSync(join(folder, 'bin'), { recursive: true })
    // `systemctl cat` knows two of the services.
    const known =
      name === 'systemctl' ? 'if [ "$1" = cat ]; then case "$2" in jupyter.*|docker.*) exit 0;; *) exit 1;; esac; fi\n' : ''
    writeFileSync(file, `#!/bin/sh\necho "${name} $*" >> ${log}\n${known}`)
    chmodSync(file, 0o755)
  }
})
