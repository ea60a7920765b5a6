import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { squidRules } from '../../src/core/export/squid.ts'
import { explain } from '../../src/core/policy/explain.ts'
import { parseExplainTarget } from '../../src/core/policy/explain-target.ts'
import { configFrom, policyFrom, unwrap } from '../support/policy.ts'
import { requireProgram } from '../support/program.ts'
import { type SquidUnderTest, startSquid } from '../support/squid.ts'

/** A real Squid with the exported rules has to decide as the gateway does, but for the differences listed here. */

const CONFIG = {
  workspace: { regions: ['eastus2'], storageAccounts: ['mystore'], containerRegistries: ['myregistry'] },
  features: { diagnostics: true },
  rules: [
    { name: 'git', hosts: ['git.example.com', '*.git.example.com'], ports: [443] },
    { name: 'ssh', hosts: ['git.example.com'], ports: [22], protocol: 'any' },
    { name: 'raw', hosts: ['raw.example.com'], paths: ['/team/models/*', '/exact', '/a/*/b'], methods: ['GET', 'HEAD'] },
    { name: 'no-secrets', hosts: ['secrets.git.example.com'], action: 'deny' },
    { name: 'no-path', hosts: ['apt.example.com'], paths: ['/private/*'], action: 'deny' },
    { name: 'apt', hosts: ['apt.example.com'], ports: [80] },
    { name: 'trial', hosts: ['pypi.org'], action: 'deny', mode: 'report' },
    { name: 'literal', hosts: ['10.20.0.7'], destinations: ['10.20.0.0/16'] },
    { name: 'unvetted', hosts: ['10.30.0.7'] },
    { name: 'lab', hosts: ['*.lab.example.com'], destinations: ['10.20.0.0/16'] },
    { name: 'range', addresses: ['198.51.0.0/17'], ports: [443] },
  ],
}

const HOSTS = [
  'pypi.org',
  'PyPI.org',
  'pypi.org.',
  'www.pypi.org',
  'pypi.org.evil.example',
  'files.pythonhosted.org',
  'pythonhosted.org',
  'a.b.anaconda.org',
  'anaconda.org',
  'pytorch.org',
  'download.pytorch.org',
  'evilpytorch.org',
  'mystore.blob.core.windows.net',
  'other.blob.core.windows.net',
  'myregistry.eastus2.data.azurecr.io',
  'myregistry.azurecr.io',
  'viennaglobal.azurecr.io',
  'x.instances.azureml.ms',
  'git.example.com',
  'a.git.example.com',
  'secrets.git.example.com',
  'a.lab.example.com',
  'lab.example.com',
  'raw.example.com',
  'apt.example.com',
  '10.20.0.7',
  '10.20.0.8',
  '10.30.0.7',
  '198.51.7.7',
  '198.51.200.7',
  '[2001:db8::1]',
  '169.254.169.254',
]
const PORTS = [443, 80, 22, 18881, 8443]

const PATHS = [
  'GET http://raw.example.com/team/models/a.bin',
  'HEAD http://raw.example.com/team/models/a.bin?b=c',
  'POST http://raw.example.com/team/models/a.bin',
  'GET http://raw.example.com/team/models',
  'GET http://raw.example.com/team/models/',
  'GET http://raw.example.com/Team/models/a',
  'GET http://raw.example.com/team/models/../x',
  'GET http://raw.example.com/team/models/%2e%2e/x',
  'GET http://raw.example.com/team/models/%252e%252e/x',
  'GET http://raw.example.com/team/models//x',
  'GET http://raw.example.com/team/models/a;b',
  'GET http://raw.example.com/team/models/a%2fb',
  'GET http://raw.example.com/team/models/a%20b',
  'GET http://raw.example.com/exact',
  'GET http://raw.example.com/exact?x',
  'GET http://raw.example.com/exact/',
  'GET http://raw.example.com/exactly',
  'GET http://raw.example.com/a/1/b',
  'GET http://raw.example.com/a/1/2/b',
  'GET http://raw.example.com/a/b',
  'GET http://raw.example.com/?/team/models/a',
  'GET http://raw.example.com:8080/exact',
  'GET http://apt.example.com/ubuntu/dists',
  'GET http://apt.example.com/private/key',
  'POST http://apt.example.com/private/key',
  'GET http://apt.example.com/private',
  'GET http://pypi.org/simple/',
  'DELETE http://pypi.org/simple/',
  'GET http://nowhere.example/',
  'GET http://git.example.com/',
  'GET http://raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master/azureml_remote_websocket_server/x',
  'GET http://raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master/other',
  'GET http://x.instances.azureml.ms/',
  'GET http://secrets.git.example.com/',
  'GET http://mystore.blob.core.windows.net/c/b?sig=1',
  'GET http://other.blob.core.windows.net/c/b?sig=1',
]

const CASES = [...HOSTS.flatMap((host) => PORTS.map((port) => `CONNECT ${host}:${port}`)), ...PATHS]

/** What Squid answers otherwise, and why. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'GET http://raw.example.com/team/models/a%2fb': 'Squid unescapes a path before it compares it, so this is `a/b` to it',
}

const policy = policyFrom(CONFIG)

function gatewayAllows(request: string): boolean {
  const [method = '', target = ''] = request.split(' ')
  const parsed = parseExplainTarget(target, method === 'CONNECT' ? undefined : method)
  if (!parsed.ok) return false
  const { verdict } = explain(policy, unwrap(parsed), false)
  // Plain HTTP is in sight: inspected and not refused is allowed.
  return verdict === 'allow' || (verdict === 'inspect' && method !== 'CONNECT')
}

const program = requireProgram('squid', 'squid-openssl')

describe.skipIf(program === undefined)('a real Squid with the exported rules', () => {
  let squid: SquidUnderTest
  beforeAll(async () => {
    const names = HOSTS.filter((host) => /[a-z]/i.test(host) && !host.includes(':')).map((host) =>
      host.toLowerCase().replace(/\.$/, ''),
    )
    const more = ['raw.githubusercontent.com', 'nowhere.example']
    const hosts = Object.fromEntries(
      [...names, ...more].map((name) => [name, name === 'a.lab.example.com' ? '10.20.1.1' : '8.8.4.4']),
    )
    const { text } = squidRules(policy, { clients: configFrom({}).clients.allow })
    squid = await startSquid(text, hosts)
  }, 40_000)
  afterAll(() => squid?.stop())

  it('is asked about 190 cases at least', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(190)
  })

  it('decides as the gateway does, but for the differences that are listed', async () => {
    const found: Record<string, string> = {}
    let allowed = 0
    for (const request of CASES) {
      const [method = '', target = ''] = request.split(' ')
      const host = target.replace(/^http:\/\//, '').replace(/\/.*/, '')
      const status = await squid.ask(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      const squidAllows = status === 200
      if (!squidAllows) expect([400, 403, 503]).toContain(status)
      if (squidAllows) allowed++
      if (squidAllows !== gatewayAllows(request)) found[request] = `squid ${squidAllows ? 'allows' : `says ${status}`}`
    }
    expect(Object.keys(found).toSorted()).toEqual(Object.keys(DIFFERENCES).toSorted())
    expect(allowed).toBeGreaterThan(40)
  }, 60_000)
})
