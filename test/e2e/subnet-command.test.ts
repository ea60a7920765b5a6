import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { REPORT_FILE } from '../../src/io/subnet/report-file.ts'
import { waitFor } from '../support/gateway.ts'
import { NAMESPACE_PROGRAMS, Namespace } from '../support/namespace.ts'
import { describeWith } from '../support/program.ts'
import { MAIN, runProgram } from '../support/program-under-test.ts'

/** `sallyport subnet` as it is typed, on a host of its own: a network namespace that nothing else is in. */

const CONFIG = `
clients: { allow: ["10.0.1.0/24"] }
subnet:
  ranges: ["10.0.1.0/24"]
  refreshSeconds: 0.3
  addressSeconds: 2
  forward:
    - { name: ntp, proto: udp, ports: [123], hosts: [time.test] }
`

describeWith(NAMESPACE_PROGRAMS, () => {
  let host: Namespace
  let folder: string
  let file: string
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-subnet-'))
    file = join(folder, 'gateway.yaml')
    writeFileSync(file, CONFIG)
    host = await Namespace.create('host', { hosts: '198.51.101.7 time.test\n' })
  })
  afterEach(async () => {
    await host.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  const subnet = (...words: string[]) => host.run(process.execPath, [MAIN, 'subnet', '--config', file, ...words])
  const rules = () => host.must('nft', ['list', 'ruleset'])
  const sysctl = async (name: string) => (await host.must('cat', [`/proc/sys/${name.replaceAll('.', '/')}`])).trim()

  /** A watcher in the namespace, with its log so far. */
  function watching(...prefix: string[]) {
    const [first = '', ...words] = [...prefix, process.execPath, MAIN, 'subnet', '--config', file, '--apply', '--watch']
    const child = host.spawn(first, words)
    const said = { log: '' }
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said.log += text
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    return {
      said,
      ended,
      logged: (message: string) =>
        waitFor(() => (said.log.includes(message) ? true : undefined), `\`${message}\` in ${said.log}`, 15_000),
      signal: (signal: NodeJS.Signals) => child.kill(signal),
      stop: async () => {
        child.kill('SIGKILL')
        await ended
      },
    }
  }

  describe('sallyport subnet', () => {
    it('prints what --apply would apply, and changes nothing', async () => {
      const { code, stdout } = await subnet()
      expect(code).toBe(0)
      expect(stdout).toMatch(/^# Made by `sallyport subnet`/)
      expect(await rules()).toBe('')
      await host.must('nft', ['--check', '-f', '-'], { input: stdout })
    })

    it('lets the addresses of service tags through, takes a new file up while it watches, and refuses one that is broken', async () => {
      const tagFile = join(folder, 'ServiceTags_Public_20260720.json')
      const publish = (...addressPrefixes: string[]) =>
        writeFileSync(
          tagFile,
          JSON.stringify({
            changeNumber: 1,
            cloud: 'Public',
            values: [{ name: 'AzureMachineLearning.EastUS2', properties: { region: 'eastus2', addressPrefixes } }],
          }),
        )
      publish('20.62.134.0/25', '20.62.134.128/25', '2603:1030:40c::/64')
      writeFileSync(
        file,
        `clients: { allow: ["10.0.1.0/24"] }
serviceTags: { file: ServiceTags_Public_20260720.json }
subnet:
  ranges: ["10.0.1.0/24"]
  forward: [{ name: instances, proto: udp, ports: [5831], serviceTags: ["AzureMachineLearning.East US 2"] }]
`,
      )
      const watcher = watching()
      try {
        await watcher.logged('watching the rules')
        const set = (family: 4 | 6) => host.must('nft', ['list', 'set', 'inet', 'sallyport', `fixed${family}/instances`])
        expect(await set(4)).toContain('elements = { 20.62.134.0/24 }')
        expect(await set(6)).toContain('elements = { 2603:1030:40c::/64 }')
        publish('20.62.135.0/24')
        await watcher.logged('applied the rules of the changed config')
        expect(await set(4)).toContain('elements = { 20.62.135.0/24 }')
        expect(await set(6)).not.toContain('elements')
        writeFileSync(tagFile, '{"values": [')
        await watcher.logged('the config does not load')
        expect(await set(4)).toContain('20.62.135.0/24')
      } finally {
        await watcher.stop()
      }
    })

    it('applies again and again with the same result, names with their addresses, and removes all of it', async () => {
      const settled = async () => (await rules()).replace(/ expires [0-9hms]+/g, '')
      const applied = await subnet('--apply')
      expect(applied.stdout).toBe('applied: table inet sallyport for 10.0.1.0/24, 1 exception, 1 address of names\n')
      expect(applied.code).toBe(0)
      const once = await settled()
      expect(once).toContain('198.51.101.7 timeout 2s')
      expect((await subnet('--apply')).code).toBe(0)
      expect(await settled()).toBe(once)
      expect(await subnet('--remove')).toMatchObject({ code: 0, stdout: 'removed: table inet sallyport\n' })
      expect(await rules()).toBe('')
      expect(await subnet('--remove')).toMatchObject({ code: 0, stdout: 'there was no table inet sallyport\n' })
    })

    it('looks no name up with --no-resolve: at boot there is no network yet', async () => {
      expect((await subnet('--apply', '--no-resolve')).stdout).toContain('0 addresses of names')
      expect(await rules()).not.toContain('198.51.101.7')
    })

    it('says what is missing, mends it only when told to, and says that as well', async () => {
      const before = await subnet('--check')
      expect(before.code).toBe(1)
      expect(before.stdout).toContain('missing: there is no table inet sallyport')
      expect(before.stdout).toMatch(
        /missing: `subnet\.forward` \(`ntp`\) needs the kernel to forward IPv4; sysctl -w net\.ipv4\.ip_forward=1/,
      )
      const applied = await subnet('--apply')
      expect(applied.stderr).toContain('net.ipv4.ip_forward=1')
      expect(await sysctl('net.ipv4.ip_forward')).toBe('0')
      const mended = await subnet('--apply', '--sysctl')
      expect(mended.stdout).toContain('set: net.ipv4.ip_forward=1\n')
      expect(await sysctl('net.ipv4.ip_forward')).toBe('1')
      expect(await subnet('--check')).toMatchObject({ code: 0, stdout: expect.stringMatching(/(?:^|\n)ok\n$/) })
    })

    it('needs the one right and nothing of root, as its unit gives it', async () => {
      chmodSync(folder, 0o777)
      const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
      const right = ['--inh-caps', '+net_admin', '--ambient-caps', '+net_admin', '--bounding-set', '-all,+net_admin']
      const as = (...words: string[]) =>
        host.run('setpriv', [...words, process.execPath, MAIN, 'subnet', '--config', file, '--apply'])
      const without = await as(...nobody)
      expect(without).toMatchObject({ code: 1, stdout: '' })
      expect(without.stderr).toMatch(/the kernel does not permit it: run this as root, or with CAP_NET_ADMIN/)
      const granted = await as(...nobody, ...right)
      expect(granted, granted.stderr).toMatchObject({ code: 0 })
      expect(await rules()).toContain('table inet sallyport')
    })
  })

  describe('sallyport subnet --apply --watch', () => {
    it('puts the rules back when another program flushed or changed them, and leaves them when it ends', async () => {
      const watch = watching()
      try {
        await watch.logged('watching the rules')
        await host.must('nft', ['flush', 'ruleset'])
        await watch.logged('the rules are back')
        expect(await rules()).toContain('table inet sallyport')
        watch.said.log = ''
        await host.must('nft', ['insert', 'rule', 'inet', 'sallyport', 'forwarded', 'accept'])
        await watch.logged('the rules are back')
        expect(await host.must('nft', ['list', 'chain', 'inet', 'sallyport', 'forwarded'])).not.toMatch(/^\s*accept$/m)
        watch.signal('SIGTERM')
        expect(await watch.ended).toBe(0)
        expect(await rules()).toContain('table inet sallyport')
      } finally {
        await watch.stop()
      }
    }, 60_000)

    it('tells the gateway how things stand, in the state directory', async () => {
      const watch = watching()
      try {
        const report = await waitFor(() => {
          try {
            return JSON.parse(readFileSync(join(folder, 'state', REPORT_FILE), 'utf8'))
          } catch {
            return undefined
          }
        }, 'a report')
        expect(report).toMatchObject({ version: 1, rulesInForce: true, flows: [] })
        expect(Math.abs(Date.now() - report.timeMs)).toBeLessThan(20_000)
      } finally {
        await watch.stop()
      }
    })

    it('takes a changed config over, and keeps the rules where it does not load', async () => {
      const watch = watching()
      try {
        await watch.logged('watching the rules')
        writeFileSync(file, CONFIG.replace('ranges: ["10.0.1.0/24"]', 'ranges: ["10.0.1.0/24", "10.0.2.0/24"]'))
        await watch.logged('applied the rules of the changed config')
        expect(await rules()).toContain('10.0.2.0/24')
        writeFileSync(file, 'subnet: { ranges: [10.0.1.0/33] }')
        await watch.logged('the config does not load; the rules stay as they are')
        writeFileSync(file, 'subnet: {}')
        await watch.logged('`subnet.ranges` is empty')
        expect(await rules()).toContain('10.0.2.0/24')
      } finally {
        await watch.stop()
      }
    }, 60_000)

    it('keeps the addresses of names fresh, and forgets those that a name no longer has', async () => {
      const address = '198.51.101.9'
      const watch = watching()
      try {
        await watch.logged('watching the rules')
        const set = () => host.must('nft', ['list', 'set', 'inet', 'sallyport', 'named4/ntp'])
        expect(await set()).toContain('198.51.101.7')
        await host.must('sh', ['-c', `echo "${address} time.test" > /etc/hosts`])
        await waitFor(async () => ((await set()).includes(address) ? true : undefined), 'the new address')
        await waitFor(async () => ((await set()).includes('198.51.101.7') ? undefined : true), 'the end of the old one')
        // Still there after twice its own time: it begins anew with each look-up.
        expect(await set()).toContain(address)
      } finally {
        await watch.stop()
      }
    }, 30_000)
  })
})

describe('sallyport subnet, mistyped', () => {
  const cases = [
    [['--apply', '--remove'], /`--apply` and `--remove` do not go together/],
    [['--check', '--azure', 'cli'], /`--check` and `--azure` do not go together/],
    [['--watch'], /`--watch` goes with `--apply`/],
    [['--no-resolve'], /`--no-resolve` goes with `--apply`/],
    [['--azure', 'terraform'], /`--azure` is `bicep` or `cli`, found `terraform`/],
  ] as const
  for (const [words, says] of cases)
    it(`is told: ${words.join(' ')}`, async () => {
      const { code, stderr } = await runProgram(['subnet', ...words])
      expect(code).toBe(2)
      expect(stderr).toMatch(says)
    })

  it('is told that a config without ranges has no rules', async () => {
    const { code, stderr } = await runProgram(['subnet'])
    expect(code).toBe(78)
    expect(stderr).toMatch(/gateway\.yaml: `subnet\.ranges` is empty: name the address ranges/)
  })
})
