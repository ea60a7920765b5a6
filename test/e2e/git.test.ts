import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

describeWith(['git', 'openssl'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-git-'))
  let ca: OpensslCa
  let server: HttpOrigin
  let gateway: ProgramUnderTest

  const git = (...args: string[]) =>
    run('git', args, {
      cwd: folder,
      env: {
        HOME: folder,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_TERMINAL_PROMPT: '0',
        GIT_SSL_CAINFO: ca.certificateFile,
        HTTPS_PROXY: gateway.proxyUrl,
      },
    })

  beforeAll(async () => {
    ca = new OpensslCa()
    // A bare repository with `update-server-info` is served by any file server: git's "dumb" protocol.
    server = await HttpOrigin.serving(
      (path) => {
        const file = join(folder, 'served', path)
        return existsSync(file) ? readFileSync(file) : undefined
      },
      { tls: ca.issue('DNS:git.corp.example,DNS:git.other.example') },
    )
    const pin = `"127.0.0.1:${server.port}"`
    gateway = await startProgram(`
rules: [{ name: corp-git, hosts: [git.corp.example], ports: [443] }]
destinations: { pin: { git.corp.example: ${pin}, git.other.example: ${pin} } }
`)
    const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.invalid']
    for (const args of [
      ['init', '--quiet', '--initial-branch=main', 'work'],
      ['-C', 'work', ...identity, 'commit', '--quiet', '--allow-empty', '--message', 'carried through the gateway'],
      ['clone', '--quiet', '--bare', 'work', 'served/team/repo.git'],
      ['-C', 'served/team/repo.git', 'update-server-info'],
    ]) {
      const { code, stderr } = await git(...args)
      if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`)
    }
  })

  afterAll(async () => {
    await gateway?.stop()
    await server?.stop()
    ca?.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  it('clones over HTTPS from a host that a rule lists', async () => {
    const { code, stderr } = await git('clone', 'https://git.corp.example/team/repo.git', 'cloned')
    expect(code, stderr).toBe(0)
    expect((await git('-C', 'cloned', 'log', '--format=%s')).stdout).toBe('carried through the gateway\n')
    const [event] = await gateway.audit({ host: 'git.corp.example', event: 'allow' })
    expect(event).toMatchObject({ kind: 'connect', entry: 'rule/corp-git', port: 443 })
    expect(await gateway.metric('sallyport_entry_hits_total{entry="rule/corp-git",feature="rules"}')).toBeGreaterThanOrEqual(1)
  })

  it('is refused another host and says so', async () => {
    const connections = server.connections
    const { code, stderr } = await git('clone', 'https://git.other.example/team/repo.git', 'refused')
    expect(code).toBe(128)
    expect(stderr).toMatch(/unable to access 'https:\/\/git\.other\.example\/team\/repo\.git\/': .*403/)
    expect(existsSync(join(folder, 'refused'))).toBe(false)
    const [event] = await gateway.audit({ host: 'git.other.example' })
    expect(event).toMatchObject({ event: 'deny', reason: 'host_not_listed' })
    const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="git.other.example"'
    expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBe(1)
    expect(server.connections).toBe(connections)
  })
})
