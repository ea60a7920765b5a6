import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { checkHost } from '../../src/core/subnet/host-check.ts'
import { transparentListeners } from '../../src/core/subnet/listeners.ts'
import { subnetPlan } from '../../src/core/subnet/plan.ts'
import { formatProblem, loadConfig } from '../../src/io/config/load.ts'
import { ROOT } from '../support/helm.ts'
import { unwrap } from '../support/policy.ts'
import { itWith } from '../support/program.ts'
import { run } from '../support/run.ts'

/** What a gateway host is made of, judged by the programs that read it. No host was booted with it. */

const DEPLOY = join(ROOT, 'deploy')
const read = (name: string) => readFileSync(join(DEPLOY, name), 'utf8')
const UNITS = readdirSync(join(DEPLOY, 'systemd')).toSorted()

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-host-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const settings = (unit: string, key: string) =>
  [...read(`systemd/${unit}`).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value)

describe('the units', () => {
  itWith('systemd-analyze')('are what systemd takes, without a word', async () => {
    for (const unit of UNITS)
      writeFileSync(join(folder, unit), read(`systemd/${unit}`).replaceAll('/opt/sallyport/bin/node', process.execPath))
    const { code, stdout, stderr } = await run(
      'systemd-analyze',
      ['verify', '--man=no', ...UNITS.map((unit) => join(folder, unit))],
      {
        env: { SYSTEMD_UNIT_PATH: `${folder}:/lib/systemd/system` },
      },
    )
    expect(stdout + stderr).toBe('')
    expect(code).toBe(0)
  })

  for (const unit of UNITS)
    itWith('systemd-analyze')(`are hardened by systemd's own measure: ${unit}`, async () => {
      // Tenths of 0 (nothing exposed) to 10: 2.5 is "OK", and what the rules' right costs is in it.
      const file = join(DEPLOY, 'systemd', unit)
      const { code, stdout } = await run('systemd-analyze', ['security', '--offline=true', '--threshold=25', '--no-pager', file])
      expect(code, stdout).toBe(0)
    })

  it('run as a user without rights, which the host gets by sysusers.d; the rules have one right', () => {
    expect(read('sysusers.d/sallyport.conf')).toMatch(/^u sallyport - /m)
    for (const unit of UNITS) {
      const right = unit === 'sallyport.service' ? '' : 'CAP_NET_ADMIN'
      expect(settings(unit, 'User'), unit).toEqual(['sallyport'])
      expect(settings(unit, 'NoNewPrivileges'), unit).toEqual(['yes'])
      expect(settings(unit, 'AmbientCapabilities'), unit).toEqual([right])
      expect(settings(unit, 'CapabilityBoundingSet'), unit).toEqual([right])
    }
  })

  it('put the rules there before there is a network, and never take them away', () => {
    expect(settings('sallyport-subnet.service', 'Before').join(' ')).toContain('network-pre.target')
    expect(settings('sallyport-subnet.service', 'Type')).toEqual(['oneshot'])
    for (const unit of UNITS) expect(settings(unit, 'ExecStop'), unit).toEqual([])
    expect(settings('sallyport.service', 'After').join(' ')).toContain('sallyport-subnet.service')
  })

  it('give tunnels the time that the config gives them, and 30 seconds more', () => {
    const { drainDelaySeconds } = gatewayConfig().limits
    expect(Number(settings('sallyport.service', 'TimeoutStopSec'))).toBe(drainDelaySeconds + 300 + 30)
  })
})

describe('cloud-init', () => {
  itWith('cloud-init')('takes the file', async () => {
    const { code, stdout, stderr } = await run('cloud-init', [
      'schema',
      '--config-file',
      join(DEPLOY, 'cloud-init/sallyport.yaml'),
    ])
    expect(code, stdout + stderr).toBe(0)
    expect(stdout).toContain('Valid')
  })

  it('has a config that loads once the region is filled in, without a warning but for what is to be named', async () => {
    const loaded = await loadConfig(written('gateway.yaml', gatewayText().replace('REGION', 'eastus2')))
    const problems = loaded.ok ? loaded.value.warnings : loaded.error
    expect(loaded.ok, problems.map(formatProblem).join('\n')).toBe(true)
    expect(problems.map(({ message }) => message).filter((message) => /subnet|transparent|clients/.test(message))).toEqual([])
  })

  it('installs with a script that a shell takes, from files that are there', async () => {
    const script = installScript()
    const { code, stderr } = await run('sh', ['-n', written('install', script)])
    expect(code, stderr).toBe(0)
    const copied = [...script.matchAll(/\/opt\/sallyport\/deploy\/([\w.-]+)\/([*\w.-]+)/g)]
    expect(copied.map(([, where]) => where)).toEqual(['systemd', 'sysctl.d', 'modules-load.d', 'sysusers.d', 'logrotate.d'])
    for (const [, where = '', name = ''] of copied) {
      const pattern = new RegExp(`^${name.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
      expect(
        readdirSync(join(DEPLOY, where)).some((file) => pattern.test(file)),
        `${where}/${name}`,
      ).toBe(true)
    }
    const enabled = /systemctl enable --now (.*)/.exec(script)?.[1]?.split(' ').toSorted()
    expect(enabled).toEqual(UNITS)
  })

  it('writes the audit log where it is rotated', () => {
    expect(read('logrotate.d/sallyport')).toContain(`${gatewayConfig().audit.file} {`)
    expect(settings('sallyport.service', 'LogsDirectory')).toEqual(['sallyport'])
  })
})

describe('the settings of the kernel', () => {
  const sysctls = new Map(
    read('sysctl.d/60-sallyport.conf')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' = ') as [string, string]),
  )

  it('leave nothing for `sallyport subnet --check` to say about the config beside them', async () => {
    const loaded = unwrap(await loadConfig(written('gateway.yaml', gatewayText().replace('REGION', 'eastus2'))))
    const plan = unwrap(subnetPlan(loaded.config, transparentListeners(loaded.config), loaded.compiled.forwardRanges))
    expect(
      checkHost(plan, (name) => sysctls.get(name) ?? (name.endsWith('_count') ? '0' : undefined), loaded.config.limits.tunnels),
    ).toEqual([])
  })

  it.skipIf(!existsSync('/proc/sys/net/netfilter'))('are names that Linux has', () => {
    const missing = [...sysctls.keys()].filter((name) => !existsSync(`/proc/sys/${name.replaceAll('.', '/')}`))
    expect(missing).toEqual([])
  })
})

describe('the audit log', () => {
  itWith('logrotate')('is rotated as logrotate understands it', async () => {
    // It insists on its files being root's and on the log's folder.
    const file = written(
      'logrotate',
      read('logrotate.d/sallyport').replace('su sallyport sallyport', '').replaceAll('/var/log/sallyport', folder),
    )
    writeFileSync(join(folder, 'audit.jsonl'), 'x\n')
    const { code, stderr } = await run('logrotate', ['--debug', '--force', '--state', join(folder, 'state'), file])
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/renaming .*audit\.jsonl to .*audit\.jsonl\.1/)
    expect(stderr).not.toMatch(/error/i)
    expect(read('logrotate.d/sallyport')).toMatch(/--signal=SIGUSR2 --kill-whom=main sallyport\.service/)
  })
})

describe('the package for hosts', () => {
  it('runs from anywhere with the Node.js in it', async () => {
    const packed = await run(join(DEPLOY, 'pack.sh'), [], { deadlineMs: 240_000, env: { HOME: folder } })
    const [file = '', digest = ''] = packed.stdout.split('\n')
    expect(packed.code, packed.stderr).toBe(0)
    try {
      expect(digest).toMatch(/^[0-9a-f]{64}$/)
      const to = join(folder, 'opt')
      await run('mkdir', [to])
      expect((await run('tar', ['xzf', file, '-C', to, '--strip-components', '1'], { deadlineMs: 60_000 })).code).toBe(0)
      cpSync(join(ROOT, 'config/gateway.yaml'), join(folder, 'shipped.yaml'))
      const { code, stdout, stderr } = await run(join(to, 'bin/sallyport'), ['check', '--config', join(folder, 'shipped.yaml')], {
        cwd: '/',
        deadlineMs: 60_000,
      })
      expect(code, stdout + stderr).toBe(0)
      expect(readdirSync(join(to, 'deploy/systemd')).toSorted()).toEqual(UNITS)
      // Nothing that only development needs.
      expect(readdirSync(join(to, 'node_modules')).filter((name) => /vitest|typescript|biome/.test(name))).toEqual([])
    } finally {
      rmSync(file, { force: true })
    }
  }, 400_000)
})

function written(name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text, { mode: 0o644 })
  return file
}

interface WrittenFile {
  readonly path: string
  readonly content: string
}

function fileOf(path: string): string {
  const files: readonly WrittenFile[] = parse(read('cloud-init/sallyport.yaml')).write_files
  const found = files.find((one) => one.path === path)
  if (found === undefined) throw new Error(`cloud-init writes no ${path}`)
  return found.content
}

const gatewayText = () => fileOf('/etc/sallyport/gateway.yaml')
const gatewayConfig = () => parse(gatewayText())
const installScript = () => fileOf('/usr/local/sbin/install-sallyport')
