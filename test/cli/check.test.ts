import { describe, expect, it } from 'vitest'
import { shippedConfig } from '../../src/cli/shipped-config.ts'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()

describe('sallyport check', () => {
  it('accepts the shipped config, warns of what it does not allow, and ends with what it amounts to', async () => {
    const { code, stdout, stderr } = await sallyport(['check'])
    expect(code).toBe(0)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^config\/gateway\.yaml:\d+:\d+: warning: not allowed until `workspace\.storageAccounts` names one: /m)
    expect(stdout).toMatch(/\nconfig\/gateway\.yaml: ok, \d+ entries, \d+ warnings?\n$/)
  })

  it('refuses with every problem, errors first, and 78', async () => {
    const file = write('cloud: goverment\nworkspace: { storageAccounts: [mystore] }\nrules:\n  - { name: a, hosts: ["*"] }\n')
    const { code, stdout } = await sallyport(['check', '--config', file])
    expect(code).toBe(78)
    expect(stdout).toBe(
      [
        `${file}:1:8: \`cloud\` wants \`public\`, \`government\` or \`china\`, found the text \`goverment\`; did you mean \`government\`?`,
        `${file}:4:24: \`*\` would allow every host; list the hosts, or use \`mode: report\` to see which are asked for`,
        `${file}: 2 errors`,
        '',
      ].join('\n'),
    )
  })

  it('exits 78 for warnings only where they count as errors', async () => {
    const file = write('')
    expect((await sallyport(['check', '-c', file])).code).toBe(0)
    const { code, stdout } = await sallyport(['check', '-c', file, '--strict'])
    expect(code).toBe(78)
    expect(stdout).toMatch(/: refused by --strict, \d+ entries, \d+ warnings\n$/)
  })

  it('passes in strict mode where nothing is left to warn of', async () => {
    const file = write(
      'workspace: { regions: [eastus2], storageAccounts: [mystore], containerRegistries: [myregistry] }\nfeatures: { compute: false, vscode: false }\n',
    )
    const { code, stdout } = await sallyport(['check', '-c', file, '--strict'])
    expect(stdout.split('\n').filter((line) => !line.includes(': note: '))).toEqual([
      expect.stringMatching(/^\S+: ok, \d+ entries$/),
      '',
    ])
    expect(code).toBe(0)
  })

  it('warns of a rule under which everybody can have a name, at its line', async () => {
    const file = write("rules:\n  - { name: wide, hosts: ['*.blob.core.windows.net'] }\n")
    const { code, stdout } = await sallyport(['check', '-c', file])
    expect(stdout).toContain(
      `${file}:2:1: warning: \`rule/wide\` covers \`*.blob.core.windows.net\`, where everybody can have a name`,
    )
    expect(code).toBe(0)
  })

  it('warns of a listener for others that lets nobody else in', async () => {
    const asks = async (text: string) => (await sallyport(['check', '-c', write(text)])).stdout
    expect(await asks('listen: { proxy: "0.0.0.0:3128" }\n')).toContain('lets nobody but this machine in')
    expect(await asks('listen: { proxy: "0.0.0.0:3128" }\nclients: { allow: ["10.0.0.0/8"] }\n')).not.toContain('lets nobody')
    expect(await asks('')).not.toContain('lets nobody')
  })

  it('notes report mode, and an audit log whose folder is not there', async () => {
    const { stdout } = await sallyport(['check', '-c', write('mode: report\naudit: { file: nowhere/audit.log }\n')])
    expect(stdout).toContain('note: `mode: report` lets nearly everything out')
    expect(stdout).toMatch(/note: there is no folder `\S*nowhere` here/)
  })

  it('exits 78 where there is no file', async () => {
    const { code, stdout } = await sallyport(['check', '-c', 'no-such-file.yaml'])
    expect(code).toBe(78)
    expect(stdout).toBe('no-such-file.yaml: there is no such file\nno-such-file.yaml: 1 error\n')
  })
})

describe('the shipped config', () => {
  it('is named as one would type it in its own folder, and whole from elsewhere', () => {
    expect(shippedConfig()).toBe('config/gateway.yaml')
    expect(shippedConfig('/nowhere')).toMatch(/^\/.*\/config\/gateway\.yaml$/)
  })
})
