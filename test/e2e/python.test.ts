import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { run } from '../support/run.ts'

const WHEEL = 'sallyport_probe-1.0-py3-none-any.whl'

/** A wheel is a zip file with three files of metadata (PEP 427). */
const BUILD_WHEEL = `
import sys, zipfile
info = 'sallyport_probe-1.0.dist-info'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('sallyport_probe.py', 'carried = True\\n')
    wheel.writestr(f'{info}/METADATA', 'Metadata-Version: 2.1\\nName: sallyport-probe\\nVersion: 1.0\\n')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(f'{info}/RECORD', '')
`

const FETCH = `
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
    print(answer.status, answer.read().decode(), end='')
`

describeWith(['python3', 'openssl'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-python-'))
  let ca: OpensslCa
  let index: HttpOrigin
  let plain: HttpOrigin
  let gateway: ProgramUnderTest

  const python = (...args: string[]) =>
    run('python3', args, {
      cwd: folder,
      env: { HOME: folder, SSL_CERT_FILE: ca.certificateFile, https_proxy: gateway.proxyUrl, http_proxy: gateway.proxyUrl },
    })

  beforeAll(async () => {
    ca = new OpensslCa()
    const built = await run('python3', ['-c', BUILD_WHEEL, join(folder, WHEEL)], { env: { HOME: folder } })
    if (built.code !== 0) throw new Error(built.stderr)
    const wheel = readFileSync(join(folder, WHEEL))
    // An index of PEP 503: a page of links for each project.
    index = await HttpOrigin.serving(
      (path) => {
        if (path === '/simple/sallyport-probe/') return `<!DOCTYPE html><a href="/files/${WHEEL}">${WHEEL}</a>`
        return path === `/files/${WHEEL}` ? wheel : undefined
      },
      { tls: ca.issue('DNS:pypi.org,DNS:index.example') },
    )
    plain = await HttpOrigin.serving((path) => `plain ${path}`)
    const pin = `"127.0.0.1:${index.port}"`
    gateway = await startProgram(
      `destinations: { pin: { pypi.org: ${pin}, index.example: ${pin}, cloud.r-project.org: "127.0.0.1:${plain.port}" } }`,
    )
  })

  afterAll(async () => {
    await gateway?.stop()
    await Promise.all([index, plain].map((origin) => origin?.stop()))
    ca?.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  describe('urllib', () => {
    it('fetches a documented host over HTTPS, and another over plain HTTP', async () => {
      const overTls = await python('-c', FETCH, 'https://pypi.org/simple/sallyport-probe/')
      expect(overTls.stdout, overTls.stderr).toMatch(/^200 <!DOCTYPE html>/)
      const inPlain = await python('-c', FETCH, 'http://cloud.r-project.org/web')
      expect(inPlain.stdout, inPlain.stderr).toBe('200 plain /web')
      await gateway.audit({ kind: 'connect', host: 'pypi.org', event: 'allow' })
      await gateway.audit({ kind: 'forward', host: 'cloud.r-project.org', event: 'allow', path: '/web' })
      expect(await gateway.metric('sallyport_entry_hits_total{entry="2021-07-29/r/cloud.r-project.org",feature="r"}')).toBe(1)
    })

    it('shows the reason code when it is refused', async () => {
      const overTls = await python('-c', FETCH, 'https://urllib.example/')
      expect(overTls.code).toBe(1)
      expect(overTls.stderr).toContain('Tunnel connection failed: 403 host_not_listed')
      const inPlain = await python('-c', FETCH, 'http://urllib.example/')
      expect(inPlain.stderr).toContain('HTTP Error 403: host_not_listed')
      await gateway.audit({ host: 'urllib.example', event: 'deny', reason: 'host_not_listed' }, 2)
      const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="urllib.example"'
      expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBe(2)
    })
  })

  describeWith(['pip3'], () => {
    const pip = (host: string, into: string) => {
      mkdirSync(join(folder, into), { recursive: true })
      const quiet = ['--isolated', '--disable-pip-version-check', '--no-cache-dir', '--no-input']
      // pip tells why only when it tries again.
      const retries = ['--retries', '1']
      const where = ['--index-url', `https://${host}/simple/`, '--cert', ca.certificateFile, '--proxy', gateway.proxyUrl]
      const args = ['-m', 'pip', 'download', ...quiet, ...retries, ...where, '--no-deps', '--dest', into, 'sallyport-probe']
      return python(...args)
    }

    it('downloads a wheel from the documented index', async () => {
      const { code, stdout, stderr } = await pip('pypi.org', 'listed')
      expect(code, stdout + stderr).toBe(0)
      expect(readdirSync(join(folder, 'listed'))).toEqual([WHEEL])
      const [event] = await gateway.audit({ host: 'pypi.org', event: 'allow' })
      expect(event).toMatchObject({ kind: 'connect', port: 443, entry: '2021-07-29/python/pypi.org' })
      expect(
        await gateway.metric('sallyport_entry_hits_total{entry="2021-07-29/python/pypi.org",feature="python"}'),
      ).toBeGreaterThanOrEqual(1)
    })

    it('shows the reason code for an index that is not listed', async () => {
      const asked = index.requests.length
      const { code, stdout, stderr } = await pip('index.example', 'unlisted')
      expect(code).toBe(1)
      expect(stdout + stderr).toContain('403 host_not_listed')
      expect(readdirSync(join(folder, 'unlisted'))).toEqual([])
      const [event] = await gateway.audit({ host: 'index.example' })
      expect(event).toMatchObject({ event: 'deny', kind: 'connect', reason: 'host_not_listed', port: 443 })
      const labels = 'listener="proxy",verdict="deny",reason="host_not_listed",host="index.example"'
      expect(await gateway.metric(`sallyport_denials_total{${labels}}`)).toBeGreaterThanOrEqual(1)
      expect(index.requests.length).toBe(asked)
    })
  })
})
