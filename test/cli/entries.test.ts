import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const FILE = write(`workspace: { storageAccounts: [mystore] }
rules:
  - { name: git, hosts: [git.example.com, "*.git.example.com"], ports: [443] }
  - { name: no-gists, hosts: [gist.example.com], action: deny }
`)

const lineOf = (text: string, part: string) => text.split('\n').find((line) => line.includes(part)) ?? ''

describe('sallyport entries', () => {
  it('lists rules first, then the catalogue, parameters filled in', async () => {
    const { code, stdout } = await sallyport(['entries', '-c', FILE])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ENTRY \(edition\/feature\/row\), PATTERNS +TENANCY +SOURCE +PURPOSE\nrule\/git +gateway\.yaml:3\n/)
    expect(stdout.indexOf('rule/git')).toBeLessThan(stdout.indexOf('2021-07-29/'))
    expect(stdout).toContain('\n  *.git.example.com:443\n')
    expect(stdout).toContain('\n  deny: gist.example.com:*\n')
    expect(stdout).toContain('  mystore.blob.core.windows.net:80,443')
    const [listed = ''] = stdout.split(/\n\d+ entries\n/)
    expect(listed).not.toContain('<')
    expect(stdout).toMatch(/\n\d+ entries\n/)
  })

  it('gives programs JSON with id, patterns, feature, tenancy, purpose, condition and source', async () => {
    const { stdout } = await sallyport(['entries', '--json', '-c', FILE])
    const listed: { id: string }[] = JSON.parse(stdout)
    expect(listed[0]).toMatchObject({
      id: 'rule/git',
      action: 'allow',
      patterns: [
        { host: 'git.example.com', ports: [443] },
        { host: '*.git.example.com', ports: [443] },
      ],
      source: { file: FILE, line: 3 },
    })
    expect(listed.find(({ id }) => id === '2021-07-29/python/pypi.org')).toMatchObject({
      feature: 'python',
      tenancy: 'any',
      purpose: expect.any(String),
      condition: expect.any(String),
      patterns: [{ host: 'pypi.org', ports: [80, 443] }],
      source: { edition: '2021-07-29', lines: expect.any(Array) },
    })
  })

  it('shows what limits a pattern to some requests, or looks into them', async () => {
    const file = write(
      `rules:
  - { name: read, hosts: [raw.example.com], paths: ["/a/*"], methods: [GET, HEAD] }
  - { name: ssh, hosts: [git.example.com], ports: [22], protocol: any }
  - { name: seen, hosts: [seen.example.com], inspect: always }
`,
      'limits.yaml',
    )
    const { stdout } = await sallyport(['entries', '-c', file])
    expect(stdout).toContain('\n  raw.example.com:80,443 /a/* (GET, HEAD)\n')
    expect(stdout).toContain('\n  git.example.com:22 (protocol any)\n')
    expect(stdout).toContain('\n  seen.example.com:80,443 (inspect always)\n')
    const listed: { patterns: unknown[] }[] = JSON.parse((await sallyport(['entries', '--json', '-c', file])).stdout)
    expect(listed[2]?.patterns).toEqual([{ host: 'seen.example.com', ports: [80, 443], inspect: 'always' }])
  })

  for (const columns of [40, 80, 100, 120, 200])
    it(`fits a terminal of ${columns} columns`, async () => {
      const { stdout } = await sallyport(['entries', '-c', FILE], columns)
      for (const line of stdout.split('\n')) expect([...line].length, line).toBeLessThanOrEqual(columns)
    })

  it('never breaks an id or a pattern in a pipe, however long', async () => {
    const { stdout } = await sallyport(['entries', '-c', FILE])
    const ids = (JSON.parse((await sallyport(['entries', '--json', '-c', FILE])).stdout) as { id: string }[]).map(({ id }) => id)
    for (const id of ids) expect(stdout).toContain(`\n${id} `)
    expect(lineOf(stdout, 'raw.githubusercontent.com:80,443')).toMatch(/\/\*$/)
  })

  it('exits 78 with the problems of a broken config', async () => {
    const { code, stderr } = await sallyport(['entries', '-c', write('cloud: moon', 'broken.yaml')])
    expect(code).toBe(78)
    expect(stderr).toMatch(/broken\.yaml:1:8: /)
  })
})
