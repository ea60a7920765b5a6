import { afterAll, beforeAll, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

describeWith(['wget', 'openssl'], () => {
  let ca: OpensslCa
  let secure: HttpOrigin
  let plain: HttpOrigin
  let gateway: ProgramUnderTest

  const wget = (url: string) =>
    run(
      'wget',
      ['--no-config', '--tries=1', '--timeout=20', '--no-hsts', `--ca-certificate=${ca.certificateFile}`, '-O', '-', url],
      {
        env: { https_proxy: gateway.proxyUrl, http_proxy: gateway.proxyUrl },
      },
    )

  beforeAll(async () => {
    ca = new OpensslCa()
    secure = await HttpOrigin.start((_req, res) => res.end('over TLS\n'), { tls: ca.issue('DNS:repo.anaconda.com') })
    plain = await HttpOrigin.start((_req, res) => res.end('plain\n'))
    gateway = await startProgram(
      `destinations: { pin: { repo.anaconda.com: "127.0.0.1:${secure.port}", conda.anaconda.org: "127.0.0.1:${plain.port}" } }`,
    )
  })

  afterAll(async () => {
    await gateway?.stop()
    await Promise.all([secure, plain].map((origin) => origin?.stop()))
    ca?.remove()
  })

  it('fetches a documented host over HTTPS, and another over plain HTTP', async () => {
    const overTls = await wget('https://repo.anaconda.com/pkgs/')
    expect(overTls.code, overTls.stderr).toBe(0)
    expect(overTls.stdout).toBe('over TLS\n')
    expect((await wget('http://conda.anaconda.org/')).stdout).toBe('plain\n')
    await gateway.audit({ kind: 'connect', host: 'repo.anaconda.com', entry: '2021-07-29/python/*.anaconda.com', event: 'allow' })
    await gateway.audit({
      kind: 'forward',
      host: 'conda.anaconda.org',
      entry: '2021-07-29/python/*.anaconda.org',
      event: 'allow',
    })
    for (const entry of ['*.anaconda.com', '*.anaconda.org'])
      expect(await gateway.metric(`sallyport_entry_hits_total{entry="2021-07-29/python/${entry}",feature="python"}`), entry).toBe(
        1,
      )
  })

  it('shows the reason code when it is refused', async () => {
    const overTls = await wget('https://files.example/')
    expect(overTls.code).not.toBe(0)
    expect(overTls.stderr).toContain('Proxy tunneling failed: host_not_listed')
    const inPlain = await wget('http://files.example/')
    expect(inPlain.code).toBe(8)
    expect(inPlain.stderr).toContain('ERROR 403: host_not_listed.')
    const [connect, forward] = await gateway.audit({ host: 'files.example', event: 'deny', reason: 'host_not_listed' }, 2)
    expect([connect?.kind, forward?.kind]).toEqual(['connect', 'forward'])
    const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="files.example"'
    expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBe(2)
  })
})
