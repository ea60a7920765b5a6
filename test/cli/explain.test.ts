import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()

const FILE = write(`features: { python-files: false }
clients: { allow: ["10.0.0.0/24"] }
rules:
  - { name: git, hosts: ["git.example.com"], ports: [443, 22] }
  - name: no-gists
    hosts: ["gist.example.com"]
    action: deny
  - { name: models, hosts: ["raw.example.com"], paths: ["/team/*"], methods: [GET, HEAD] }
  - { name: watched, hosts: ["git.example.com"], ports: [22], action: deny, mode: report }
  - { name: literal, hosts: ["10.1.2.3", "10.9.9.9"] }
  - { name: lab, hosts: ["10.2.0.1"], destinations: ["10.2.0.0/16"] }
destinations:
  pin: { "pinned.example.com": "10.3.0.1" }
`)
const REPORT = write(
  'mode: report\nfeatures: { python-files: false }\nrules: [{ name: no-gists, hosts: [gist.example.com], action: deny }]\n',
  'report.yaml',
)

const explain = (...words: string[]) => sallyport(['explain', '--config', FILE, ...words])

interface Json {
  readonly verdict: string
  readonly reason?: string
  readonly hint?: string
  readonly wouldDeny: boolean
  readonly entry?: { readonly id: string }
  readonly reportedBy?: string
}
const json = async (...words: string[]): Promise<Json> => JSON.parse((await explain('--json', ...words)).stdout)

describe('sallyport explain', () => {
  const verdicts = [
    { target: 'git.example.com:22', code: 0, first: 'allow git.example.com:22', because: 'a rule allows it' },
    { target: 'pypi.org', code: 0, first: 'allow pypi.org:443', because: 'a bare host means port 443' },
    { target: 'PyPI.org.:443', code: 0, first: 'allow pypi.org:443', because: 'it is the same host' },
    {
      target: 'https://pypi.org/simple/?q#f',
      code: 0,
      first: 'allow GET https://pypi.org:443/simple/',
      because: 'the path is not judged',
    },
    {
      target: 'http://raw.example.com/team/x',
      code: 0,
      first: 'allow GET http://raw.example.com:80/team/x',
      because: 'the path is listed',
    },
    { target: 'raw.example.com:80', code: 0, first: 'inspect raw.example.com:80', because: 'each request will be judged' },
    {
      target: 'http://raw.example.com/other',
      code: 1,
      first: 'deny GET http://raw.example.com:80/other',
      because: 'the path is not',
    },
    { target: 'raw.example.com:443', code: 1, first: 'deny raw.example.com:443', because: 'inside TLS nothing can be seen yet' },
    { target: 'git.example.com:8443', code: 1, first: 'deny git.example.com:8443', because: 'the port is not listed' },
    { target: 'gist.example.com:443', code: 1, first: 'deny gist.example.com:443', because: 'a rule denies it' },
    { target: 'unlisted.example.com:443', code: 1, first: 'deny unlisted.example.com:443', because: 'nothing matches' },
    { target: '[2001:db8::1]:443', code: 1, first: 'deny [2001:db8::1]:443', because: 'nothing matches an address either' },
  ]
  for (const { target, code, first, because } of verdicts)
    it(`answers ${code} and \`${first.split(' ')[0]}\` for ${target}: ${because}`, async () => {
      const outcome = await explain(target)
      expect(outcome.stdout.split('\n')[0]).toBe(first)
      expect(outcome.code).toBe(code)
      expect(outcome.stderr).toBe('')
    })

  it('says what was refused, why, and what would allow it', async () => {
    const { stdout } = await explain('files.pythonhosted.org:443')
    expect(stdout).toMatch(/^ {2}reason +host_not_listed: the host is not on the allowlist$/m)
    expect(stdout).toMatch(/^ {2}hint +feature `python-files` is off; /m)
    expect(stdout).toMatch(
      /^ {2}policy +\S+gateway\.yaml: cloud public, 2021-07-29 and 2026-03-19, mode enforce, hash [0-9a-f]{12}$/m,
    )
  })

  it('says where an entry comes from: the lines of the document, or the line of the rule', async () => {
    expect((await explain('pypi.org')).stdout).toMatch(/^ {2}source +edition 2021-07-29, lines? \d+/m)
    const { stdout } = await explain('gist.example.com')
    expect(stdout).toMatch(/^ {2}entry +rule\/no-gists, a deny rule$/m)
    expect(stdout).toContain(`  source     ${FILE}:5\n`)
  })

  it('judges the method that goes with a URL', async () => {
    expect((await explain('--method', 'HEAD', 'http://raw.example.com/team/x')).code).toBe(0)
    expect(await json('--method', 'POST', 'http://raw.example.com/team/x')).toMatchObject({
      verdict: 'deny',
      reason: 'method_not_listed',
    })
  })

  it('gives programs JSON', async () => {
    expect(await json('files.pythonhosted.org')).toMatchObject({
      host: 'files.pythonhosted.org',
      port: 443,
      verdict: 'deny',
      mode: 'enforce',
      reason: 'host_not_listed',
      hint: expect.stringContaining('python-files'),
      wouldDeny: false,
    })
    expect(await json('pypi.org')).toMatchObject({
      verdict: 'allow',
      protocol: 'tls',
      entry: { id: '2021-07-29/python/pypi.org' },
    })
  })

  it('names the deny rule that only reports', async () => {
    expect(await json('git.example.com:22')).toMatchObject({ verdict: 'allow', reportedBy: 'rule/watched' })
  })

  describe('for a client', () => {
    it('says client_not_allowed outside `clients.allow`, whatever the host', async () => {
      const { code, stdout } = await explain('--client', '10.0.1.7', 'pypi.org')
      expect(code).toBe(1)
      expect(stdout).toMatch(/^deny pypi\.org:443\n {2}reason +client_not_allowed: /)
      expect(stdout).toContain('"10.0.1.7/32"')
    })
    it('answers as for anybody inside it', async () => {
      expect((await explain('--client', '10.0.0.7', 'pypi.org')).code).toBe(0)
      expect((await explain('--client', '::ffff:10.0.0.7', 'pypi.org')).code).toBe(0)
    })
  })

  describe('in report mode', () => {
    it('is a denial that is let through, and exits 1', async () => {
      const { code, stdout } = await sallyport(['explain', '-c', REPORT, 'files.pythonhosted.org'])
      expect(code).toBe(1)
      expect(stdout).toMatch(/^deny /)
      expect(stdout).toMatch(/^ {2}mode +report: it is let through all the same/m)
    })
    const refused = [
      { target: 'gist.example.com', because: 'a deny rule is meant' },
      { target: '10.1.2.3:443', because: 'vetting refuses the address in any mode' },
    ]
    for (const { target, because } of refused)
      it(`does not let ${target} through: ${because}`, async () => {
        const { stdout } = await sallyport(['explain', '--json', '-c', REPORT, target])
        expect(JSON.parse(stdout)).toMatchObject({ verdict: 'deny', wouldDeny: false })
      })
  })

  describe('where the address is known without DNS', () => {
    it('vets it: a rule alone does not open a private address', async () => {
      expect(await json('10.1.2.3:443')).toMatchObject({
        verdict: 'deny',
        reason: 'address_refused',
        entry: { id: 'rule/literal' },
      })
    })
    it('knows the ranges that open it', async () => {
      expect(await json('10.2.0.1:443')).toMatchObject({ verdict: 'allow' })
    })
    it('takes a pin for permission, and not for a rule', async () => {
      expect(await json('pinned.example.com:443')).toMatchObject({ verdict: 'deny', reason: 'host_not_listed' })
    })
  })

  const mistakes = [
    { words: ['foo bar'], says: /holds ` `/ },
    { words: ['host:0'], says: /`0` is not a port/ },
    { words: ['::1'], says: /needs brackets/ },
    { words: ['ftp://example.com/'], says: /`ftp` is not carried/ },
    { words: ['http://user@example.com/'], says: /user@example\.com/ },
    { words: ['127.1:443'], says: /ends in a number/ },
    { words: ['--client', 'localhost', 'pypi.org'], says: /`localhost` is not an address/ },
    { words: ['--method', 'get', 'http://example.com/'], says: /methods are written in capitals/ },
    { words: ['--method', 'POST', 'example.com:443'], says: /a method needs a URL/ },
  ]
  for (const { words, says } of mistakes)
    it(`exits 2 for \`${words.join(' ')}\` and says why`, async () => {
      const { code, stdout, stderr } = await explain(...words)
      expect(code).toBe(2)
      expect(stdout).toBe('')
      expect(stderr).toMatch(says)
    })

  it('exits 78 with every problem of a broken config, and answers nothing', async () => {
    const { code, stdout, stderr } = await sallyport([
      'explain',
      '-c',
      write('clod: public\nmode: off\n', 'broken.yaml'),
      'pypi.org',
    ])
    expect(code).toBe(78)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/broken\.yaml:1:1: unknown key `clod`; did you mean `cloud`\?\n.*broken\.yaml:2:7: /s)
  })

  it('says which config it used where none was named', async () => {
    expect((await sallyport(['explain', 'pypi.org'])).stderr).toBe('no --config: using config/gateway.yaml\n')
  })
})
