import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const OLD = write(
  `rules:
  - { name: git, hosts: [git.example.com], ports: [443] }
  - { name: models, hosts: [raw.example.com], paths: ["/team/*"], methods: [GET] }
  - { name: gone, hosts: ["*.gone.example.com"], ports: [443], owner: ml }
`,
  'old.yaml',
)
const NEW = write(
  `mode: report
clients: { allow: ["10.0.0.0/8"] }
rules:
  - { name: git, hosts: [git.example.com], ports: [443, 22], protocol: any }
  - { name: models, hosts: [raw.example.com], paths: ["/team/*"], owner: ml }
  - { name: no-pypi, hosts: [pypi.org], action: deny }
`,
  'new.yaml',
)

function line(fields: object): string {
  const standard = {
    time: '2026-11-22T08:00:00.000Z',
    id: 'x',
    event: 'deny',
    kind: 'connect',
    listener: 'proxy',
    gateway: 'g',
    policyHash: 'p',
  }
  return `${JSON.stringify({ ...standard, ...fields })}\n`
}

describe('sallyport diff', () => {
  it('tells settings, entries with their patterns, and what becomes of tunnels', async () => {
    const { code, stdout } = await sallyport(['diff', OLD, NEW])
    expect(stdout).toBe(`~ mode: enforce -> report
~ clients.allow: 127.0.0.0/8, ::1/128 -> 10.0.0.0/8
- rule/gone
    - *.gone.example.com:443
+ rule/no-pypi
    + deny: pypi.org:*
~ rule/git
    - git.example.com:443
    + git.example.com:443,22 (protocol any)
~ rule/models
    - raw.example.com:80,443 /team/* (GET)
    + raw.example.com:80,443 /team/*
    ~ owner: (none) -> "ml"

what becomes of a tunnel in enforce mode:
  allow -> allow any  git.example.com:443  by rule/git
  allow -> deny  *.gone.example.com:443
  allow -> deny  pypi.org:80  by rule/no-pypi
  allow -> deny  pypi.org:443  by rule/no-pypi
  deny -> allow any  git.example.com:22  by rule/git
`)
    expect(code).toBe(1)
  })

  it('says so where nothing would change, with 0', async () => {
    const { code, stdout } = await sallyport(['diff', OLD, write(`# a remark\n${'\n'.repeat(3)}cloud: public\n`, 'plain.yaml')])
    expect(code).toBe(1)
    expect(stdout).toContain('- rule/git')
    expect(await sallyport(['diff', OLD, OLD])).toEqual({ code: 0, stdout: 'the policies are the same\n', stderr: '' })
  })

  it('replays logs: every request that would be answered otherwise, counted, whatever it was then', async () => {
    const log = write(
      [
        line({ host: 'git.example.com', port: 22, client: '10.0.0.1' }),
        line({ host: 'git.example.com', port: 22, client: '10.0.0.2' }),
        line({ event: 'allow', host: 'pypi.org', port: 443 }),
        line({ event: 'allow', host: 'files.pythonhosted.org', port: 443 }),
        line({ kind: 'inspected', method: 'POST', path: '/team/a?b', host: 'raw.example.com', port: 443 }),
        line({ kind: 'inspected', method: 'GET', path: '/team/a', host: 'raw.example.com', port: 443 }),
        line({ event: 'allow', host: 'git.example.com', port: 443, client: '127.0.0.1' }),
        line({ reason: 'malformed_request' }),
        'cut off {',
      ].join(''),
      'audit.jsonl',
    )
    const { code, stdout, stderr } = await sallyport(['diff', OLD, NEW, '--replay', log])
    expect(stdout.slice(stdout.indexOf('replayed'))).toBe(`replayed 7 requests: 5 are answered otherwise
  2 x deny (client_not_allowed) -> allow  git.example.com:22
  1 x deny (method_not_listed) -> allow  POST raw.example.com:443/team/a
  1 x allow -> deny (client_not_allowed)  git.example.com:443
  1 x allow -> deny (denied_by_rule)  pypi.org:443
`)
    expect(stderr).toBe(`${log}:9: 1 line of 9 passed over: 1 broken; this is the first\n`)
    expect(code).toBe(1)
  })

  it('counts apart what is of too many kinds to be told', async () => {
    const lines = Array.from({ length: 1_200 }, (_, i) =>
      line({ host: 'git.example.com', port: 22, client: `10.0.${i >> 8}.${i & 255}` }),
    )
    const closed = write('clients: { allow: ["192.0.2.0/24"] }\n', 'closed.yaml')
    const open = write('clients: { allow: ["10.0.0.0/8"] }\n', 'open.yaml')
    const log = write(lines.join(''), 'many.jsonl')
    const { stdout } = await sallyport(['diff', closed, open, '--replay', log])
    expect(stdout).toContain(
      'replayed 1200 requests: 1200 are answered otherwise\n  1000 x deny (client_not_allowed) -> deny (host_not_listed)',
    )
    expect(stdout).toContain('  200 more of other kinds\n')
  })

  it('prints the same as JSON', async () => {
    const { code, stdout } = await sallyport(['diff', OLD, NEW, '--json'])
    const found = JSON.parse(stdout)
    expect(code).toBe(1)
    expect(found.added.map(({ id }: { id: string }) => id)).toEqual(['rule/no-pypi'])
    expect(found.verdicts).toContainEqual({ target: 'pypi.org:443', before: 'allow', after: 'deny', entry: 'rule/no-pypi' })
  })

  it.each([
    ['a config that cannot be used', [OLD, 'nowhere.yaml'], 78, 'nowhere.yaml: there is no such file\n'],
    [
      'a log that is not there',
      [OLD, NEW, '--replay', 'nowhere.jsonl'],
      2,
      'cannot read `nowhere.jsonl`: there is no such file\n',
    ],
  ])('refuses %s', async (_, words, expected, message) => {
    const { code, stdout, stderr } = await sallyport(['diff', ...words])
    expect([code, stdout, stderr]).toEqual([expected, '', message])
  })
})
