import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { caInit } from '../../../src/cli/ca.ts'
import { loadConfig } from '../../../src/io/config/load.ts'
import { recordReads, replayReads } from '../../../src/io/file-reads.ts'

const YAML = `
rules: [{ name: models, hosts: [raw.example.com], paths: ["/team/*"] }]
inspection: { upstreamCa: [extra.pem] }
admin: { tokenFile: token }
audit: { clients: hash, hashKeyFile: key }
`

describe('a config that is loaded again from what its files said', () => {
  let folder: string
  let file: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-replay-'))
    file = join(folder, 'gateway.yaml')
    writeFileSync(file, YAML)
    writeFileSync(join(folder, 'token'), 'a-token-of-32-characters-or-so-00')
    writeFileSync(join(folder, 'key'), 'a-key-of-32-characters-or-so-0000')
    writeFileSync(join(folder, 'extra.pem'), '')
    const sink = { write: () => true, isTTY: false, columns: 100 }
    await caInit({ config: file }, { stdout: sink, stderr: sink } as never)
    copyFileSync(join(folder, 'state', 'ca.pem'), join(folder, 'extra.pem'))
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is the same, with its CA and its secrets, when the files have gone and in another process', async () => {
    const said = new Map<string, unknown>()
    const first = await loadConfig(file, recordReads(said))
    rmSync(folder, { recursive: true })
    const again = await loadConfig(file, replayReads(structuredClone(said)))
    if (!first.ok || !again.ok) throw new Error(JSON.stringify([first, again]))
    expect(again.value.compiled.policy.hash).toBe(first.value.compiled.policy.hash)
    expect(again.value.inspection?.authority.trustPem).toBe(first.value.inspection?.authority.trustPem)
    expect(again.value.inspection?.authority.trustPem).toContain('BEGIN CERTIFICATE')
    expect(again.value).toMatchObject({ adminToken: first.value.adminToken, auditKey: first.value.auditKey })
  })

  it('asks for no file that was not read the first time', async () => {
    await expect(loadConfig(file, replayReads(new Map()))).rejects.toThrow(/was not read/)
  })
})
