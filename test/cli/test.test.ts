import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const CONFIG = write(`clients: { allow: ["10.0.0.0/8"] }
rules:
  - { name: git, hosts: [git.example.com], ports: [443] }
  - { name: models, hosts: [raw.example.com], paths: ["/team/*"], methods: [GET] }
  - { name: lab, hosts: ["2001:db8::1"], destinations: ["2001:db8::/32"] }
`)

async function tested(cases: string): Promise<readonly [number, readonly string[]]> {
  const file = write(cases, 'cases.yaml')
  const { code, stdout, stderr } = await sallyport(['test', '-c', CONFIG, file])
  return [code, `${stdout}${stderr}`.replaceAll(file, 'cases.yaml').trim().split('\n')]
}

describe('sallyport test', () => {
  it('is quiet of what comes out as expected, CA or not', async () => {
    const cases = `cases:
  - { host: pypi.org, expect: allow, entry: 2021-07-29/python/pypi.org }
  - { host: PyPI.org., expect: allow }
  - { host: git.example.com, port: 22, expect: deny, reason: port_not_listed, entry: rule/git }
  - { host: nowhere.example, expect: deny }
  - { host: raw.example.com, expect: inspect, entry: rule/models }
  - { host: raw.example.com, path: /team/x, expect: allow, entry: rule/models }
  - { host: raw.example.com, path: /team/x, expect: inspect }
  - { host: raw.example.com, path: /team/x, method: POST, expect: deny, reason: method_not_listed }
  - { host: raw.example.com, path: /team/../x, expect: deny, reason: path_not_canonical }
  - { host: raw.example.com, port: 80, path: /other, expect: deny, reason: path_not_listed }
  - { host: "2001:db8::1", expect: allow }
  - { host: pypi.org, client: 192.0.2.1, expect: deny, reason: client_not_allowed }
  - { host: pypi.org, client: "::ffff:10.0.0.1", expect: allow }
`
    expect(await tested(cases)).toEqual([0, ['cases.yaml: ok, 13 cases']])
  })

  it.each([
    ['the verdict', '{ host: git.example.com, expect: deny }', 'git.example.com:443: expected deny, found allow by `rule/git`'],
    ['a refusal', '{ host: x.example, expect: allow }', 'x.example:443: expected allow, found deny (host_not_listed)'],
    [
      'the entry',
      '{ host: git.example.com, expect: allow, entry: rule/gut }',
      'git.example.com:443: expected `rule/gut` to be named, found `rule/git`',
    ],
    [
      'an entry where none is',
      '{ host: x.example, expect: deny, entry: rule/git }',
      'x.example:443: expected `rule/git` to be named, found no entry',
    ],
    [
      'the reason',
      '{ host: x.example, expect: deny, reason: denied_by_rule }',
      'x.example:443: expected denied_by_rule, found host_not_listed',
    ],
    [
      'an inspected tunnel that is not yet allowed',
      '{ host: raw.example.com, expect: allow }',
      'raw.example.com:443: expected allow, found inspect by `rule/models`',
    ],
    [
      'a name of its own',
      '{ name: no git, host: git.example.com, expect: deny }',
      'no git: expected deny, found allow by `rule/git`',
    ],
  ])('tells what differs, and where: %s', async (_, text, message) => {
    expect(await tested(`cases:\n  - ${text}\n  - { host: pypi.org, expect: allow }\n`)).toEqual([
      1,
      [`cases.yaml:2:5: ${message}`, 'cases.yaml: 2 cases, 1 failed'],
    ])
  })

  it.each([
    [
      'an unknown key',
      'cases:\n  - { hots: a.example, expect: deny }\n',
      'cases.yaml:2:7: unknown key `hots`; did you mean `host`?',
    ],
    ['no cases', 'cases: []\n', 'cases.yaml:1:8: `cases` is an empty list; it wants at least one item'],
    ['an empty file', '', /^cases\.yaml/],
    ['a host that is none', 'cases:\n  - { host: "a b", expect: deny }\n', /^cases\.yaml:2:13: /],
    [
      'a client that is none',
      'cases:\n  - { host: a.example, client: me, expect: deny }\n',
      'cases.yaml:2:32: `me` is not an address',
    ],
    [
      'a method without a path',
      'cases:\n  - { host: a.example, method: GET, expect: deny }\n',
      'cases.yaml:2:32: a method needs a `path` to go with it',
    ],
    [
      'a reason that is none',
      'cases:\n  - { host: a.example, expect: deny, reason: moon }\n',
      /^cases\.yaml:2:46: .*found the text `moon`/,
    ],
    ['an address that is written oddly', 'cases:\n  - { host: 0177.0.0.1, expect: deny }\n', /^cases\.yaml:2:13: /],
  ])('refuses a file with %s, with 78', async (_, cases, message) => {
    const [code, [first]] = await tested(cases)
    expect(code).toBe(78)
    expect(first).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
  })

  it('refuses a config that cannot be used before it judges anything', async () => {
    const { code, stdout } = await sallyport(['test', '-c', write('cloud: moon\n', 'broken.yaml'), 'cases.yaml'])
    expect([code, stdout]).toEqual([78, ''])
  })
})
