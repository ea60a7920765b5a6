import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CrewUnderTest } from '../support/crew-under-test.ts'
import { waitFor } from '../support/gateway.ts'
import { exchangeRaw } from '../support/raw-client.ts'
import { tagJson } from '../support/service-tags.ts'

describe('two workers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tags-'))
  const file = join(folder, 'ServiceTags_Public_20260720.json')
  let crew: CrewUnderTest

  const publish = (range: string) => {
    const json = tagJson('public') as { values: { name: string; properties: { addressPrefixes: string[] } }[] }
    for (const { name, properties } of json.values) if (name === 'AzureMonitor') properties.addressPrefixes = [range]
    writeFileSync(file, JSON.stringify(json))
  }
  const answers = () =>
    Promise.all(
      Array.from({ length: 8 }, async () => {
        const text = await exchangeRaw(crew.port, 'CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n')
        return text.split('\r\n')[0]
      }),
    )

  beforeAll(async () => {
    publish('10.0.0.0/8')
    crew = await CrewUnderTest.start(
      `serviceTags: { file: ${JSON.stringify(file)} }
rules: [{ name: monitor, serviceTags: [AzureMonitor], ports: [9], protocol: any, destinations: ["127.0.0.0/8"] }]
`,
    )
  })
  afterAll(async () => {
    await crew?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('judge by the same tags, before and after a new file', async () => {
    expect(new Set(await answers())).toEqual(new Set(['HTTP/1.1 403 host_not_listed']))
    publish('127.0.0.0/8')
    crew.program.signal('SIGHUP')
    await waitFor(async () => {
      const seen = new Set(await answers())
      return seen.size === 1 && seen.has('HTTP/1.1 502 dial_failed') ? true : undefined
    }, 'both workers to know the new addresses')
    expect(await crew.program.metric('sallyport_service_tags_timestamp_seconds')).toBe(Date.parse('2026-07-20') / 1000)
  })
})
