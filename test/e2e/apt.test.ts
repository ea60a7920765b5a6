import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

const CONTROL = `Package: sallyport-probe
Version: 1.0
Architecture: all
Maintainer: Test <test@example.invalid>
Description: carried through the gateway
`

describeWith(['apt-get', 'dpkg-deb'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-apt-'))
  let archive: HttpOrigin
  let gateway: ProgramUnderTest

  /** apt with a configuration, state and cache of its own: nothing of the machine is read or written. */
  async function apt(host: string, ...args: string[]) {
    const root = join(folder, host)
    for (const name of ['etc', 'state/lists/partial', 'cache/archives/partial', 'downloads'])
      mkdirSync(join(root, name), { recursive: true })
    writeFileSync(join(root, 'etc/sources.list'), `deb [trusted=yes] http://${host}/debian ./\n`)
    writeFileSync(join(root, 'state/status'), '')
    writeFileSync(
      join(root, 'apt.conf'),
      `Dir "/";
Dir::Etc "${root}/etc";
Dir::Etc::parts "none";
Dir::State "${root}/state";
Dir::State::status "${root}/state/status";
Dir::Cache "${root}/cache";
Dir::Log "${root}";
APT::Sandbox::User "";
APT::Architecture "amd64";
Acquire::Retries "0";
Acquire::Languages "none";
Acquire::http::Proxy "${gateway.proxyUrl}";
`,
    )
    return run('apt-get', args, { cwd: join(root, 'downloads'), env: { APT_CONFIG: join(root, 'apt.conf'), HOME: root } })
  }

  beforeAll(async () => {
    mkdirSync(join(folder, 'package/DEBIAN'), { recursive: true })
    writeFileSync(join(folder, 'package/DEBIAN/control'), CONTROL)
    const built = await run('dpkg-deb', ['--build', '--root-owner-group', 'package', 'probe.deb'], { cwd: folder })
    if (built.code !== 0) throw new Error(built.stderr)
    const deb = readFileSync(join(folder, 'probe.deb'))
    const digest = createHash('sha256').update(deb).digest('hex')
    const packages = `${CONTROL}Filename: ./probe.deb\nSize: ${deb.length}\nSHA256: ${digest}\n`
    archive = await HttpOrigin.serving((path) => {
      if (path === '/debian/./Packages' || path === '/debian/Packages') return packages
      return path.endsWith('probe.deb') ? deb : undefined
    })
    const pin = `"127.0.0.1:${archive.port}"`
    gateway = await startProgram(`
rules: [{ name: os-packages, hosts: [archive.os.example] }]
destinations: { pin: { archive.os.example: ${pin}, other.os.example: ${pin} } }
`)
  })

  afterAll(async () => {
    await gateway?.stop()
    await archive?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('updates its lists and downloads a package from an archive that a rule lists', async () => {
    const updated = await apt('archive.os.example', 'update')
    expect(updated.code, updated.stderr).toBe(0)
    const downloaded = await apt('archive.os.example', 'download', 'sallyport-probe')
    expect(downloaded.code, downloaded.stderr).toBe(0)
    expect(readdirSync(join(folder, 'archive.os.example/downloads'))).toEqual(['sallyport-probe_1.0_all.deb'])
    for (const path of ['/debian/./Packages', '/debian/./probe.deb']) {
      const [event] = await gateway.audit({ host: 'archive.os.example', path, event: 'allow' })
      expect(event).toMatchObject({ kind: 'forward', entry: 'rule/os-packages', method: 'GET' })
    }
    expect(await gateway.metric('sallyport_entry_hits_total{entry="rule/os-packages",feature="rules"}')).toBe(
      archive.requests.length,
    )
  })

  it('shows the reason code for another archive', async () => {
    const asked = archive.requests.length
    const { code, stderr } = await apt('other.os.example', 'update', '--error-on=any')
    expect(code).toBe(100)
    expect(stderr).toContain('403  host_not_listed')
    const [event] = await gateway.audit({ host: 'other.os.example' })
    expect(event).toMatchObject({ event: 'deny', kind: 'forward', reason: 'host_not_listed' })
    const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="other.os.example"'
    expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBeGreaterThanOrEqual(1)
    expect(archive.requests.length).toBe(asked)
  })
})
