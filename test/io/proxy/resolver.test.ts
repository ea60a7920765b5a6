import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Hostname, parseHostname } from '../../../src/core/names/hostname.ts'
import { type LookupOutcome, Resolver, type ResolverOptions } from '../../../src/io/proxy/resolver.ts'
import { addressRecords, DnsServer } from '../../support/dns-server.ts'

let folder: string
let dns: DnsServer
let resolver: Resolver
let outcomes: LookupOutcome[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-resolver-'))
  outcomes = []
})
afterEach(async () => {
  vi.restoreAllMocks()
  resolver.close()
  await dns.stop()
  rmSync(folder, { recursive: true, force: true })
})

function start(server: DnsServer, options: Partial<ResolverOptions> = {}): void {
  dns = server
  resolver = new Resolver({
    servers: [dns.address],
    timeoutMs: 2_000,
    cacheEntries: 100,
    minTtlSeconds: 5,
    maxTtlSeconds: 300,
    hostsFile: join(folder, 'hosts'),
    onLookup: (outcome) => outcomes.push(outcome),
    ...options,
  })
}

function name(text: string): Hostname {
  const parsed = parseHostname(text)
  if (!parsed.ok) throw new Error(parsed.error)
  return parsed.value
}

async function addresses(host: string): Promise<string[] | string> {
  const found = await resolver.resolve(name(host))
  return found.ok ? found.value.map(({ text }) => text) : found.error.outcome
}

/** Lets the clock that the cache goes by run on; sockets and other timers go on as they are. */
async function passSeconds(seconds: number): Promise<void> {
  const now = performance.now()
  vi.spyOn(performance, 'now').mockReturnValue(now + seconds * 1000)
  // The cache looks at the clock once a millisecond.
  await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('an answer', () => {
  const bounds = [
    { ttl: 0, lasts: 4, gone: 6, because: 'the least is 5 s' },
    { ttl: 2, lasts: 4, gone: 6, because: 'the least is 5 s' },
    { ttl: 60, lasts: 59, gone: 61, because: 'its own time is within the bounds' },
    { ttl: 86_400, lasts: 299, gone: 301, because: 'the most is 300 s' },
    { ttl: 2_147_483_647, lasts: 299, gone: 301, because: 'the most is 300 s' },
  ]
  for (const { ttl, lasts, gone, because } of bounds) {
    it(`with a time to live of ${ttl} s is kept ${lasts} s and gone after ${gone} s: ${because}`, async () => {
      start(await DnsServer.of({ 'a.test': ['192.0.2.1'] }, ttl))
      expect(await addresses('a.test')).toEqual(['192.0.2.1'])
      await passSeconds(lasts)
      expect(await addresses('a.test')).toEqual(['192.0.2.1'])
      expect(dns.count('a.test', 'A')).toBe(1)
      await passSeconds(gone - lasts)
      await addresses('a.test')
      expect(dns.count('a.test', 'A')).toBe(2)
      expect(outcomes).toEqual(['answered', 'cached', 'answered'])
    })
  }

  it('with several records lives as long as the shortest', async () => {
    start(
      await DnsServer.start(({ type }) => ({
        kind: 'records',
        records:
          type === 'A'
            ? [
                { type, value: '192.0.2.1', ttl: 200 },
                { type, value: '192.0.2.2', ttl: 20 },
              ]
            : [],
      })),
    )
    await addresses('a.test')
    await passSeconds(21)
    await addresses('a.test')
    expect(dns.count('a.test', 'A')).toBe(2)
  })

  it('of both families has both', async () => {
    start(await DnsServer.of({ 'a.test': ['192.0.2.1', '2001:db8::1'] }))
    expect(await addresses('a.test')).toEqual(['192.0.2.1', '2001:db8::1'])
  })

  it('with thousands of records is cut', async () => {
    const many = Array.from({ length: 40 }, (_, i) => `192.0.2.${i + 1}`)
    start(await DnsServer.of({ 'a.test': many }))
    expect(await addresses('a.test')).toHaveLength(32)
  })

  it('does not wait long for the other family', async () => {
    start(await DnsServer.start(({ type }) => (type === 'A' ? addressRecords(['192.0.2.1'], type) : { kind: 'silence' })))
    const started = performance.now()
    expect(await addresses('a.test')).toEqual(['192.0.2.1'])
    expect(performance.now() - started).toBeLessThan(1_500)
  })

  it('of one family is enough where the other fails', async () => {
    start(await DnsServer.start(({ type }) => (type === 'A' ? { kind: 'servfail' } : addressRecords(['2001:db8::1'], type))))
    expect(await addresses('a.test')).toEqual(['2001:db8::1'])
  })
})

describe('no answer', () => {
  it('because the name does not exist is kept for the least time', async () => {
    start(await DnsServer.of({}))
    expect(await addresses('no.test')).toBe('not_found')
    expect(await addresses('no.test')).toBe('not_found')
    expect(dns.count('no.test', 'A')).toBe(1)
    await passSeconds(6)
    expect(await addresses('no.test')).toBe('not_found')
    expect(dns.count('no.test', 'A')).toBe(2)
  })

  it('because a server failed is not kept', async () => {
    let failing = true
    start(await DnsServer.start(({ type }) => (failing ? { kind: 'servfail' } : addressRecords(['192.0.2.1'], type))))
    expect(await addresses('a.test')).toBe('failed')
    failing = false
    expect(await addresses('a.test')).toEqual(['192.0.2.1'])
  })

  it('because a server was silent is not kept', async () => {
    let silent = true
    start(await DnsServer.start(({ type }) => (silent ? { kind: 'silence' } : addressRecords(['192.0.2.1'], type))), {
      timeoutMs: 50,
    })
    expect(await addresses('a.test')).toBe('timeout')
    silent = false
    expect(await addresses('a.test')).toEqual(['192.0.2.1'])
  })

  it('of the first server is made good by the second', async () => {
    const second = await DnsServer.of({ 'a.test': ['192.0.2.9'] })
    start(await DnsServer.start(() => ({ kind: 'silence' })), { timeoutMs: 50 })
    resolver.close()
    start(dns, { timeoutMs: 50, servers: [dns.address, second.address] })
    expect(await addresses('a.test')).toEqual(['192.0.2.9'])
    await second.stop()
  })
})

describe('the hosts file', () => {
  it('is asked first, and read again when it changes', async () => {
    start(await DnsServer.of({ 'a.test': ['192.0.2.1'] }))
    writeFileSync(
      join(folder, 'hosts'),
      '# comment\n192.0.2.5 A.test alias.test # more\n2001:db8::5\ta.test\nnonsense\n192.0.2.6 bad..name\n',
    )
    await passSeconds(6)
    expect(await addresses('a.test')).toEqual(['192.0.2.5', '2001:db8::5'])
    expect(await addresses('alias.test')).toEqual(['192.0.2.5'])
    expect(dns.questions).toEqual([])
    rmSync(join(folder, 'hosts'))
    await passSeconds(6)
    expect(await addresses('a.test')).toEqual(['192.0.2.1'])
  })
})
