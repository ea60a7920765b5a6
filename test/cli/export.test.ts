import { describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const CONFIG = write('features: {}\nrules:\n  - { name: read, hosts: [a.example.com], methods: [GET] }\n')

describe('sallyport export', () => {
  it('prints the file on standard output and what differs on standard error', async () => {
    const { code, stdout, stderr } = await sallyport([
      'export',
      '-c',
      CONFIG,
      '--to',
      'azure-firewall-bicep',
      '--sources',
      '10.0.1.0/24',
      '10.0.2.0/24',
      '--priority',
      '300',
    ])
    expect(code).toBe(0)
    expect(stdout).toContain("'10.0.2.0/24'")
    expect(stdout).toContain('priority: 300')
    expect(stderr).toContain('rule/read is left out: methods (GET) cannot be told apart\n')
    expect(stderr).toMatch(/\n\d+ differences from the gateway, also in the file where it has remarks\n$/)
  })

  it('says nothing of differences where there are none', async () => {
    expect((await sallyport(['export', '-c', CONFIG, '--to', 'csv'])).stderr).toBe('')
  })

  it.each([
    [['--to', 'squit'], '`squit` is nothing to export to; did you mean `squid`?'],
    [['--to', '__proto__'], /`__proto__` is nothing to export to; there is azure-firewall-arm, /],
    [['--to', 'squid', '--priority', '99'], '`--priority` wants a number from 100 to 64000, found `99`'],
    [['--to', 'squid', '--sources', '10.0.0.1/8'], /`--sources`: `10\.0\.0\.1\/8` has host bits set/],
    [[], /required option `?--to <target>`? not specified/],
  ])('refuses what it cannot do: %j', async (words, message) => {
    const { code, stdout, stderr } = await sallyport(['export', '-c', CONFIG, ...words])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toEqual(typeof message === 'string' ? `sallyport: ${message}\n` : expect.stringMatching(message))
  })
})
