import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatProblem, loadConfig } from '../../../src/io/config/load.ts'
import { OpensslCa } from '../../support/openssl-ca.ts'

let folder: string
let ca: OpensslCa
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-parents-'))
  ca = new OpensslCa('Parent Root')
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  ca.remove()
})

async function load(password: string, mode = 0o600, certificates = ca.pem) {
  writeFileSync(join(folder, 'password'), password, { mode: 0o600 })
  writeFileSync(join(folder, 'ca.pem'), certificates)
  chmodSync(join(folder, 'password'), mode)
  const file = join(folder, 'gateway.yaml')
  writeFileSync(file, 'upstream: [{ proxy: "https://parent.test:3129", passwordFile: password, ca: ca.pem }]\n')
  return loadConfig(file)
}

const problemsOf = (loaded: Awaited<ReturnType<typeof load>>) =>
  (loaded.ok ? loaded.value.warnings : loaded.error).map(formatProblem)

describe('the files of a parent', () => {
  const credentials = [
    ['user:password', 'Basic dXNlcjpwYXNzd29yZA=='],
    ['user:password\n', 'Basic dXNlcjpwYXNzd29yZA=='],
    ['user:with space and : colon\r\n', 'Basic dXNlcjp3aXRoIHNwYWNlIGFuZCA6IGNvbG9u'],
    ['user:', 'Basic dXNlcjo='],
  ] as const
  for (const [text, sent] of credentials)
    it(`give the credentials ${JSON.stringify(text)}`, async () => {
      const loaded = await load(text)
      expect(loaded.ok && loaded.value.upstream[0]?.authorization).toBe(sent)
      expect(loaded.ok && loaded.value.files).toContain(join(folder, 'password'))
    })

  for (const text of ['secretwithoutcolon', ':secret', 'user:secret\nmore', 'user:secr\0et', 'user:s\u00e9cret', ''])
    it(`are refused, and not repeated, where the credentials are ${JSON.stringify(text)}`, async () => {
      const problems = problemsOf(await load(text))
      expect(problems.join('\n')).toMatch(/password` does not hold one line `user:password`|password`: /)
      expect(problems.join('\n')).not.toMatch(/secr/)
    })

  it('are warned of where others can read the password', async () => {
    expect(problemsOf(await load('user:password', 0o644)).join('\n')).toMatch(/password/)
    expect(problemsOf(await load('user:password', 0o600)).join('\n')).not.toMatch(/password/)
  })

  it('are refused where the CA is none', async () => {
    expect(problemsOf(await load('user:password', 0o600, 'no certificate')).join('\n')).toMatch(/ca\.pem` is not a file of PEM/)
    const broken = ca.pem.replace(/\n.{20}/, '\n!!!!!!!!!!!!!!!!!!!!')
    expect(problemsOf(await load('user:password', 0o600, broken)).join('\n')).toMatch(/ca\.pem` is not a file of PEM/)
  })
})
