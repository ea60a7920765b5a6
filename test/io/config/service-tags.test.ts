import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { formatProblem, loadConfig } from '../../../src/io/config/load.ts'
import { recordReads, replayReads } from '../../../src/io/file-reads.ts'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { RawClient } from '../../support/raw-client.ts'
import { TAG_FILES, tagJson } from '../../support/service-tags.ts'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-tags-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, content: string): string {
  const file = join(folder, name)
  writeFileSync(file, content)
  return file
}

const whole = readFileSync(TAG_FILES.public, 'utf8')

async function complaints(tagFile: string, more = ''): Promise<string[]> {
  const file = write('gateway.yaml', `serviceTags: { file: ${JSON.stringify(tagFile)} }\n${more}`)
  const loaded = await loadConfig(file)
  return loaded.ok ? [] : loaded.error.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ''))
}

describe('a file of service tags in the config', () => {
  const at = 'gateway.yaml:1:22:'
  const cases: readonly (readonly [name: string, content: string, message: string])[] = [
    [
      'cut.json',
      whole.slice(0, 4000),
      `${at} \`cut.json\` is not whole: its 4000 bytes are no complete JSON, as after a download that broke off; get the file for cloud public again from https://www.microsoft.com/download/details.aspx?id=56519`,
    ],
    [
      'empty.json',
      '',
      `${at} \`empty.json\` is not whole: its 0 bytes are no complete JSON, as after a download that broke off; get the file for cloud public again from https://www.microsoft.com/download/details.aspx?id=56519`,
    ],
    [
      'page.html',
      '<html>',
      `${at} \`page.html\` is not whole: its 6 bytes are no complete JSON, as after a download that broke off; get the file for cloud public again from https://www.microsoft.com/download/details.aspx?id=56519`,
    ],
    [
      'china.json',
      readFileSync(TAG_FILES.china, 'utf8'),
      `${at} \`china.json\` is for Azure China 21Vianet (\`cloud: china\`); for \`cloud: public\` (Azure public) download it from https://www.microsoft.com/download/details.aspx?id=56519, or write it with \`az network list-service-tags -l REGION -o json\``,
    ],
  ]
  for (const [name, content, message] of cases)
    it(`is refused with its place, the cloud and the page: ${name}`, async () => {
      expect(await complaints(write(name, content))).toEqual([message])
    })

  it('is refused where there is none, and so is one whose tag has no range that can be read', async () => {
    expect(await complaints(join(folder, 'none.json'))).toEqual([
      `${at} \`none.json\` cannot be used: there is no such file; the file for cloud public is at https://www.microsoft.com/download/details.aspx?id=56519`,
    ])
    const broken = write(
      'broken.json',
      whole.replace(/("name": "AzureMonitor",[\s\S]*?"addressPrefixes": \[\s*")[^"]*/, '$1not-a-range'),
    )
    const [told, ...others] = await complaints(broken, 'features: { network-azuremonitor: true }\n')
    expect(told).toContain('the service tag `AzureMonitor` has a range that is none: `not-a-range`')
    expect(others).toEqual([])
    // What nobody asks for refuses nothing.
    expect(await complaints(broken)).toEqual([])
  })

  it('is cut at any place and never read as whole', async () => {
    for (let cut = 1; cut < whole.length - 3; cut += 397)
      expect(await complaints(write('cut.json', whole.slice(0, cut))), `cut at ${cut}`).toHaveLength(1)
  })

  it('is as old as the day in its name says, else as the file is', async () => {
    const published = async (name: string) => {
      const file = write(name, whole)
      utimesSync(file, 1_700_000_000, 1_700_000_000)
      const loaded = await loadConfig(write('gateway.yaml', `serviceTags: { file: ${JSON.stringify(file)} }\n`))
      return loaded.ok ? loaded.value.compiled.policy.tagFile?.publishedSeconds : undefined
    }
    expect(await published('ServiceTags_Public_20251028.json')).toBe(Date.parse('2025-10-28') / 1000)
    expect(await published('tags.json')).toBe(1_700_000_000)
    expect(await published('ServiceTags_Public_20251399.json')).toBe(1_700_000_000)
  })

  it('is said again to another process: only what is wanted of it, and the same policy', async () => {
    const tags = write('ServiceTags_Public_20251028.json', whole)
    const file = write(
      'gateway.yaml',
      `serviceTags: { file: ${JSON.stringify(tags)} }\nfeatures: { network-azuremonitor: true }\n`,
    )
    const said = new Map<string, unknown>()
    const first = await loadConfig(file, recordReads(said))
    writeFileSync(tags, 'gone')
    const again = await loadConfig(file, replayReads(structuredClone(said)))
    if (!first.ok || !again.ok) throw new Error(JSON.stringify([first, again]))
    expect(again.value.compiled.policy.hash).toBe(first.value.compiled.policy.hash)
    expect(JSON.stringify(said.get(tags))).not.toContain('Sql.')
    expect(first.value.files).toContain(tags)
  })
})

describe('a running gateway', () => {
  let gateway: TestGateway
  afterEach(() => gateway.stop())

  /** What CONNECT to loopback gets. */
  const connect = async () => {
    const client = await RawClient.connect(gateway.port)
    client.send('CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n')
    await client.until((text) => text.includes('\r\n\r\n'))
    client.close()
    return client.text.split('\r\n')[0]
  }

  it('takes a new file, keeps the policy where it is half written, and shows how old it is', async () => {
    const json = tagJson('public') as { values: { name: string; properties: { addressPrefixes: string[] } }[] }
    const withMonitor = (range: string) => {
      for (const { name, properties } of json.values) if (name === 'AzureMonitor') properties.addressPrefixes = [range]
      return JSON.stringify(json)
    }
    const tags = write('ServiceTags_Public_20260720.json', withMonitor('10.0.0.0/8'))
    const yaml = `serviceTags: { file: ${JSON.stringify(tags)} }
rules: [{ name: monitor, serviceTags: [azuremonitor], ports: [9], protocol: any, destinations: ["127.0.0.0/8"] }]`
    gateway = await startGateway(yaml)
    expect(await gateway.metric('sallyport_service_tags_timestamp_seconds')).toBe(Date.parse('2026-07-20') / 1000)
    expect(await connect()).toBe('HTTP/1.1 403 host_not_listed')

    writeFileSync(tags, withMonitor('127.0.0.0/8').slice(0, 5000))
    expect(await gateway.reload(yaml)).toMatchObject({ outcome: 'failed', problems: [expect.stringContaining('is not whole')] })
    expect(await connect()).toBe('HTTP/1.1 403 host_not_listed')

    writeFileSync(tags, withMonitor('127.0.0.0/8'))
    expect(await gateway.reload(yaml)).toMatchObject({ outcome: 'loaded' })
    // Allowed now: nothing listens on the discard port.
    await waitFor(async () => ((await connect()) === 'HTTP/1.1 502 dial_failed' ? true : undefined), 'the new addresses')
  })
})
