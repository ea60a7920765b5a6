import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const OLD = write('editions: ["2021-07-29"]\n', 'old.yaml')
const DEFAULT = write('workspace: { regions: [eastus2] }\n')

describe('sallyport editions', () => {
  it('lists the editions, those in force, and the features that are off', async () => {
    const { code, stdout } = await sallyport(['editions', '-c', OLD], 200)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^EDITION +IN FORCE +ROWS +OFF BY DEFAULT +TITLE\n/)
    expect(stdout).toMatch(/^2021-07-29 +yes +\d+ +diagnostics, federation/m)
    expect(stdout).toMatch(/^2026-03-19 +no +\d+ +managed-storage, key-vault/m)
  })

  it('gives programs JSON', async () => {
    const { stdout } = await sallyport(['editions', '--json', '-c', DEFAULT])
    const listed: { id: string; inForce: boolean }[] = JSON.parse(stdout)
    expect(listed.map(({ id, inForce }) => [id, inForce])).toEqual([
      ['2021-07-29', true],
      ['2026-03-19', true],
    ])
  })
})

describe('sallyport editions diff', () => {
  it('says what is added, what is off, what is gone and what changed', async () => {
    const { code, stdout } = await sallyport(['editions', 'diff', '2021-07-29', '2026-03-19'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^2021-07-29 to 2026-03-19, cloud public: \d+ added, \d+ gone, \d+ changed, \d+ hosts the same\n/)
    expect(stdout).toMatch(/^added:\n(?: {2}\+ .*\n)+/m)
    expect(stdout).toMatch(/^ {2}\+ aks: .*packages\.aks\.azure\.com/m)
    expect(stdout).toMatch(/^ {2}- viennaglobal\.azurecr\.io 80,443 \(prebuilt-images\/viennaglobal\.azurecr\.io\)$/m)
    expect(stdout).toMatch(/^ {2}~ management\.azure\.com 80,443 to 443 /m)
    expect(stdout).toMatch(/^ {2}\+ <region>\.tundra\.azureml\.ms UDP 5831 not carried /m)
  })

  it('takes the cloud, and prints JSON', async () => {
    const { stdout } = await sallyport(['editions', 'diff', '2021-07-29', '2026-03-19', '--cloud', 'china', '--json'])
    const diff: { cloud: string; gone: { host: { host: string } }[] } = JSON.parse(stdout)
    expect(diff.cloud).toBe('china')
    expect(diff.gone.map(({ host }) => host.host)).toContain('graph.windows.net')
  })

  const WRONG: readonly (readonly [words: readonly string[], message: string])[] = [
    [['2021-07-28', '2026-03-19'], 'unknown edition `2021-07-28`; did you mean `2021-07-29`?'],
    [['2021-07-29', 'latest'], 'unknown edition `latest`; there are 2021-07-29, 2026-03-19'],
    [['2021-07-29', '2026-03-19', '--cloud', 'moon'], 'there is no cloud `moon`; take one of `public`, `government`, `china`'],
    [['2021-07-29'], 'missing required argument `to`'],
  ]
  for (const [words, message] of WRONG)
    it(`exits 2 for ${words.join(' ')}`, async () => {
      const { code, stderr, stdout } = await sallyport(['editions', 'diff', ...words])
      expect(code).toBe(2)
      expect(stderr).toContain(message)
      expect(stdout).toBe('')
    })
})

describe('sallyport entries --risk', () => {
  it('lists who can receive data, the riskiest first', async () => {
    const { code, stdout } = await sallyport(['entries', '--risk', '-c', DEFAULT], 200)
    expect(code).toBe(0)
    const [head = '', first = ''] = stdout.split('\n')
    expect(head).toMatch(/^TENANCY +ENTRY, PATTERNS +WHO CAN RECEIVE DATA THERE$/)
    expect(first).toMatch(/^any +2021-07-29\/studio\/api +every customer's workspaces answer under this suffix$/)
    expect(stdout.lastIndexOf('\nany ')).toBeLessThan(stdout.indexOf('\nmicrosoft '))
  })
})

describe('what is documented and not carried', () => {
  it('is listed by entries, with what carries it', async () => {
    const { stdout } = await sallyport(['entries', '-c', DEFAULT], 200)
    expect(stdout).toMatch(/^2026-03-19\/compute\/tundra +UDP cannot go through a proxy: forward UDP 5831/m)
    expect(stdout).toContain('  UDP 5831 to eastus2.tundra.azureml.ms')
  })

  it('is a note of check, which --strict passes', async () => {
    const file = write(
      'workspace: { regions: [eastus2], storageAccounts: [mystore], containerRegistries: [mine] }\nfeatures: { compute: false, vscode: false }\n',
      'strict.yaml',
    )
    const { code, stdout } = await sallyport(['check', '--strict', '-c', file])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /: note: not carried: `2026-03-19\/storage\/file-smb`, TCP 445 to mystore\.file\.core\.windows\.net; SMB is not HTTP/,
    )
    expect(stdout).toMatch(/: note: tenancy `any`/)
  })
})
