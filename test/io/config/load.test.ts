import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readCatalogue } from '../../../src/io/config/catalogue-files.ts'
import { formatProblem, type LoadedConfig, loadConfig } from '../../../src/io/config/load.ts'
import { loadMetricsAddress } from '../../../src/io/config/load-metrics-address.ts'
import { CONFIG_BYTES_MAX } from '../../../src/io/config/read-file.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-config-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
function written(content: string | Uint8Array): string {
  const file = join(folder, `${files++}.yaml`)
  writeFileSync(file, content)
  return file
}

async function load(content: string): Promise<LoadedConfig> {
  const loaded = await loadConfig(written(content))
  if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join('\n'))
  return loaded.value
}

/** Messages with the folder taken out. */
async function refusals(file: string): Promise<string[]> {
  const loaded = await loadConfig(file)
  return loaded.ok ? [] : loaded.error.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
}

describe('a file that cannot be read', () => {
  const name = () => `${files - 1}.yaml`

  it('is one error when there is none', async () => {
    expect(await refusals(join(folder, 'none.yaml'))).toEqual(['none.yaml: there is no such file'])
    expect(await refusals(join(written(''), 'under-a-file'))).toEqual([
      `${name()}/under-a-file: there is no such file: part of its path is not a folder`,
    ])
  })

  it('is one error when it is a folder', async () => {
    mkdirSync(join(folder, 'some-folder'))
    expect(await refusals(join(folder, 'some-folder'))).toEqual(['some-folder: this is a folder; name a file in it'])
  })

  it('is one error when it is too large, and never read whole', async () => {
    const file = written(`# ${'x'.repeat(CONFIG_BYTES_MAX)}`)
    expect(await refusals(file)).toEqual([`${name()}: the file is larger than 1048576 bytes, which no such file is`])
  })

  it('is read at exactly the limit', async () => {
    expect(await refusals(written(`#${'x'.repeat(CONFIG_BYTES_MAX - 1)}`))).toEqual([])
  })

  it.skipIf(process.getuid?.() === 0)('is one error when it may not be read', async () => {
    const file = written('')
    chmodSync(file, 0)
    expect(await refusals(file)).toEqual([`${name()}: the file may not be read; give this user the right to read it`])
  })

  const encodings = [
    { bytes: [0x61, 0x3a, 0x20, 0x31, 0x0a, 0x62, 0xff], message: '2:2: the file is not UTF-8 from here on; save it as UTF-8' },
    { bytes: [0x23, 0xc3], message: '1:2: the file is not UTF-8 from here on; save it as UTF-8' },
    { bytes: [0xff, 0xfe, 0x61, 0x00], message: '1:1: the file is UTF-16; save it as UTF-8' },
    { bytes: [0xef, 0xbb, 0xbf, 0x23], message: '1:1: the file begins with a byte order mark; save it as UTF-8 without one' },
  ]
  for (const { bytes, message } of encodings)
    it(`says so of the encoding: ${message}`, async () => {
      expect(await refusals(written(Uint8Array.from(bytes)))).toEqual([`${name()}:${message}`])
    })

  it('cannot forge a line with its name', async () => {
    expect(await refusals('no\nconfig.yaml')).toEqual(['no\\u000aconfig.yaml: there is no such file'])
  })
})

describe('a file that loads', () => {
  it('may be empty: every field has a default', async () => {
    const { config, compiled, warnings } = await load('')
    expect(config.cloud).toBe('public')
    expect(config.mode).toBe('enforce')
    expect(config.listen.proxy).toMatchObject({ port: 3128, address: { text: '127.0.0.1' } })
    expect(config.clients.allow.cidrs.map(({ text }) => text)).toEqual(['127.0.0.0/8', '::1/128'])
    expect(config.rules).toEqual([])
    expect(compiled.policy.entries.length).toBeGreaterThan(20)
    expect(warnings.map(({ severity }) => severity)).not.toContain('error')
  })

  it('has its relative paths start at its own folder', async () => {
    const { config } = await load('stateDirectory: var/state\naudit: { file: ../audit.log }')
    expect(config.stateDirectory).toBe(join(folder, 'var/state'))
    expect(config.audit.file).toBe(resolve(folder, '../audit.log'))
  })

  it('keeps absolute paths, and `-` for standard output', async () => {
    const { config } = await load('stateDirectory: /var/lib/sallyport')
    expect(config.stateDirectory).toBe('/var/lib/sallyport')
    expect(config.audit.file).toBe('-')
  })

  it('tells the file and the line of every rule', async () => {
    const { rulePlaces } = await load(
      'rules:\n  - name: a\n    hosts: [a.example.com]\n\n  - { name: b, hosts: [b.example.com] }\n',
    )
    expect([...rulePlaces].map(([id, { line }]) => [id, line])).toEqual([
      ['rule/a', 2],
      ['rule/b', 5],
    ])
  })

  it('lists warnings with their places', async () => {
    const { warnings } = await load(
      'rules:\n  - { name: ssh, hosts: [a.example.com], ports: [22], protocol: any }\nworkspace:\n  storageAccounts: []\n',
    )
    const shown = warnings.map((one) => formatProblem(one).replace(/^.*?\.yaml/, ''))
    expect(shown).toContain(':2:5: warning: `rule/ssh` relays port 22 unseen: such a tunnel can carry any name and any protocol')
    expect(shown).toContainEqual(
      expect.stringMatching(/^:4:20: warning: not allowed until `workspace\.storageAccounts` names one: /),
    )
    expect(shown).toContainEqual(
      expect.stringMatching(/^:3:1: warning: not allowed until `workspace\.containerRegistries` names one: /),
    )
  })

  it('warns of a transparent listener on loopback, and of no other', async () => {
    const shown = async (listen: string) => {
      const { warnings } = await load(`listen: ${listen}\n`)
      return warnings.map((one) => formatProblem(one).replace(/^.*?\.yaml/, '')).filter((line) => line.includes('is loopback'))
    }
    expect(
      await shown('{ transparent: { tls: "127.0.0.1:3443", http: "0.0.0.0:3080", tcp: { address: "[::1]:3333" } } }'),
    ).toEqual([
      ':1:31: warning: `127.0.0.1:3443` is loopback, where no redirected connection of a subnet arrives; write `0.0.0.0:3443` or `[::]:3443`',
      ':1:76: warning: `[::1]:3333` is loopback, where no redirected connection of a subnet arrives; write `0.0.0.0:3333` or `[::]:3333`',
    ])
    // 127.0.0.1 inside another address is on a network, and the explicit proxy's place is loopback.
    expect(
      await shown('{ proxy: "127.0.0.1:3128", transparent: { tls: "[64:ff9b::7f00:1]:3443", http: "10.0.0.4:3080" } }'),
    ).toEqual([])
    expect(await shown('{ transparent: { tls: "[::ffff:127.0.0.2]:3443" } }')).toHaveLength(1)
  })

  it('has one policy hash for one policy, and a content hash for its bytes', async () => {
    const [plain, commented, other] = await Promise.all([load('cloud: public'), load('cloud: public # so'), load('cloud: china')])
    expect(plain.compiled.policy.hash).toMatch(/^[0-9a-f]{12}$/)
    expect(commented.compiled.policy.hash).toBe(plain.compiled.policy.hash)
    expect(other.compiled.policy.hash).not.toBe(plain.compiled.policy.hash)
    expect(plain.contentHash).toMatch(/^[0-9a-f]{12}$/)
    expect(commented.contentHash).not.toBe(plain.contentHash)
  })

  it('takes a listener as text or as a mapping', async () => {
    const { config } = await load('listen: { proxy: "[::1]:0", metrics: { address: "0.0.0.0:9464" } }')
    expect(config.listen.proxy).toMatchObject({ port: 0, address: { text: '::1' } })
    expect(config.listen.metrics).toMatchObject({ port: 9464, address: { text: '0.0.0.0' } })
  })

  const neighbours = [
    { listen: '{ proxy: "127.0.0.1:0", metrics: "127.0.0.1:0" }', because: 'port 0 is another one each time' },
    { listen: '{ proxy: "127.0.0.1:9000", metrics: "127.0.0.2:9000" }', because: 'the addresses differ' },
    { listen: '{ proxy: "[::1]:9000", metrics: "127.0.0.1:9000" }', because: 'the families differ' },
  ]
  for (const { listen, because } of neighbours)
    it(`may have listeners that only look alike: ${because}`, async () => {
      await load(`listen: ${listen}`)
    })

  it('is refused where `::` would take a port of IPv4 too', async () => {
    expect(await refusals(written('listen: { proxy: "[::]:9000", metrics: "127.0.0.1:9000" }'))).toHaveLength(1)
  })
})

describe('the metrics address alone', () => {
  const address = async (content: string) => {
    const found = await loadMetricsAddress(written(content))
    return found.ok
      ? `${found.value.address.text}:${found.value.port}`
      : found.error.map((one) => formatProblem(one).replace(/^.*?\.yaml/, ''))
  }

  it('is found beside whatever else is wrong: the running gateway keeps its last good policy', async () => {
    expect(await address('cloud: goverment\nlisten: { metrics: "10.0.0.4:9000", proxi: x }\nrules: 7')).toBe('10.0.0.4:9000')
  })

  it('is the default where the file has none', async () => {
    expect(await address('')).toBe('127.0.0.1:9464')
    expect(await address('listen:\n')).toBe('127.0.0.1:9464')
  })

  it('is an error where it is itself at fault', async () => {
    expect(await address('listen: { metrics: here }')).toEqual([
      ':1:20: `here` is not `address:port`; write `127.0.0.1:3128` or `[::1]:3128`',
    ])
  })
})

describe('the shipped catalogue', () => {
  it('is read whole: editions by date, and the known destinations', async () => {
    const { editions, known } = await readCatalogue()
    expect(editions.map(({ id }) => id)).toContain('2021-07-29')
    expect(editions.map(({ id }) => id)).toEqual(editions.map(({ id }) => id).toSorted())
    expect(known.map(({ id }) => id)).toContain('ntp')
  })
})
