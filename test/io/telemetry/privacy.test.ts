import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { formatProblem, loadConfig } from '../../../src/io/config/load.ts'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { RawClient } from '../../support/raw-client.ts'

let gateway: TestGateway
afterEach(() => gateway?.stop())

async function denied(audit: string): Promise<Record<string, unknown>> {
  gateway = await startGateway(`audit: { file: audit.log, ${audit} }\n`)
  const client = await RawClient.connect(gateway.port)
  client.send('GET http://unlisted.test/secret/path?q=1 HTTP/1.1\r\nHost: unlisted.test\r\n\r\n')
  await client.until((text) => text.includes('host_not_listed'))
  const [event] = await gateway.audit()
  client.close()
  return { ...event }
}

function adminDenials(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path: '/api/v1/denials', agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (more: string) => {
        text += more
      })
      answer.on('end', () => resolve(text))
    })
    asking.on('error', reject).end()
  })
}

describe('the audit log', () => {
  it('has client, port and path, by default', async () => {
    expect(await denied('events: all')).toMatchObject({
      client: '127.0.0.1',
      clientPort: expect.any(Number),
      path: '/secret/path',
    })
  })

  it('has neither address nor port with `clients: drop`', async () => {
    const event = await denied('clients: drop')
    expect(event).not.toHaveProperty('client')
    expect(event).not.toHaveProperty('clientPort')
    expect(event).toMatchObject({ event: 'deny', host: 'unlisted.test', path: '/secret/path' })
  })

  it('has a pseudonym with `clients: hash`, while the admin API shows the operator who it is', async () => {
    expect(await denied('clients: hash')).toMatchObject({ client: expect.stringMatching(/^hmac:[0-9a-f]{16}$/) })
    expect(await adminDenials(gateway.adminPort)).toContain('"client": "127.0.0.1"')
  })

  it('has no path with `paths: drop`, whatever is said of the query', async () => {
    const event = await denied('paths: drop, query: keep')
    expect(event).not.toHaveProperty('path')
    expect(JSON.stringify(event)).not.toContain('secret')
  })
})

describe('`audit.hashKeyFile`', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-key-'))
  const load = (yaml: string, key: string) => {
    writeFileSync(join(folder, 'key'), key)
    writeFileSync(join(folder, 'gateway.yaml'), yaml)
    return loadConfig(join(folder, 'gateway.yaml'))
  }
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is read with the config, from its folder, and watched like it', async () => {
    const loaded = await load('audit: { clients: hash, hashKeyFile: key }', 'sixteen-or-more-characters\n')
    if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join())
    expect(loaded.value.auditKey).toBe('sixteen-or-more-characters')
    expect(loaded.value.files).toContain(join(folder, 'key'))
    expect(loaded.value.warnings.map(({ message }) => message).join()).not.toContain('hashed')
  })

  const refused = [
    { key: 'short', says: 'the key in' },
    { key: '', says: 'does not hold one line' },
    { key: 'two lines of a file\nare no key', says: 'does not hold one line' },
  ]
  for (const { key, says } of refused)
    it(`is refused where it holds ${JSON.stringify(key)}`, async () => {
      const loaded = await load('audit: { clients: hash, hashKeyFile: key }', key)
      expect(loaded.ok ? [] : loaded.error.map(formatProblem)).toEqual([
        expect.stringMatching(new RegExp(`gateway.yaml:1:\\d+: .*${says}`)),
      ])
    })

  it('is warned of where nothing is hashed with it', async () => {
    const loaded = await load('audit: { hashKeyFile: key }', 'sixteen-or-more-characters')
    expect(loaded.ok && loaded.value.warnings.map(({ message }) => message)).toContain(
      'nothing is hashed with it while `clients` is `keep`; say `clients: hash`',
    )
  })
})
