import { X509Certificate } from 'node:crypto'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { CertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import { ContextCache } from '../../../src/io/tls/context-cache.ts'
import { LeafKeys } from '../../../src/io/tls/leaf-key.ts'
import { handshake } from './handshake.ts'
import { host, ownCa, testFolder } from './test-ca.ts'

const folder = testFolder()
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const START = new Date('2026-03-01T12:00:00Z')

let made = 0
let clock: number
let minted: number
let hits: number
beforeEach(() => {
  clock = START.getTime()
  minted = 0
  hits = 0
})

const now = () => new Date(clock)

async function cacheOf({
  maxEntries = 100,
  days = 3650,
  startAt = START,
} = {}): Promise<{ cache: ContextCache; authority: CertificateAuthority }> {
  clock = startAt.getTime()
  const authority = await ownCa(folder.path, `cache-${++made}`, startAt, { days })
  const cache = new ContextCache({ authority, maxEntries, now, onMint: () => minted++, onHit: () => hits++ })
  return { cache, authority }
}

describe('the context cache', () => {
  it('mints once for 200 clients that ask for a new name at the same time', async () => {
    const { cache } = await cacheOf()
    const contexts = await Promise.all(Array.from({ length: 200 }, async () => cache.contextFor(host('files.example.com'))))
    expect(new Set(contexts).size).toBe(1)
    expect({ minted, hits, size: cache.size }).toEqual({ minted: 1, hits: 199, size: 1 })
  })

  it('keeps a certificate for each host, and an address apart from its IPv4-mapped form', async () => {
    const { cache } = await cacheOf()
    const contexts = ['a.example', 'b.example', '10.1.2.3', '::ffff:10.1.2.3'].map((text) => cache.contextFor(host(text)))
    expect(new Set(contexts).size).toBe(4)
    expect(minted).toBe(4)
  })

  it('keeps no more than it may, and forgets what was used longest ago', async () => {
    const { cache } = await cacheOf({ maxEntries: 3 })
    const first = cache.contextFor(host('a0.example'))
    for (let i = 1; i < 50; i++) {
      cache.contextFor(host(`a${i}.example`))
      expect(cache.contextFor(host('a0.example'))).toBe(first)
    }
    expect(cache.size).toBe(3)
    expect(minted).toBe(50)
    cache.contextFor(host('a47.example'))
    expect(minted, 'a47 had to make way for a49').toBe(51)
  })

  it('uses one key for all certificates of a day, and another one the next day', async () => {
    const { cache } = await cacheOf()
    const first = cache.contextFor(host('a.example'))
    clock += DAY_MS - 1
    expect(cache.contextFor(host('a.example'))).toBe(first)
    clock += 1
    expect(cache.contextFor(host('a.example'))).not.toBe(first)
    expect(minted).toBe(2)
  })

  it('renews a certificate when less than a third of its life is left, whatever the key', async () => {
    const { cache } = await cacheOf()
    const frozen = vi.spyOn(LeafKeys.prototype, 'current').mockReturnValue(new LeafKeys(now).current())
    cache.contextFor(host('a.example'))
    clock += 58 * DAY_MS
    cache.contextFor(host('a.example'))
    expect(minted, '59 of 90 days are over').toBe(1)
    clock += 2 * DAY_MS
    cache.contextFor(host('a.example'))
    expect(minted, '61 of 90 days are over').toBe(2)
    frozen.mockRestore()
  })

  it('does not mint for every client in the last hours of the CA', async () => {
    const { cache, authority } = await cacheOf({ days: 30 })
    clock = authority.notAfter.getTime() - HOUR_MS
    for (let i = 0; i < 100; i++) cache.contextFor(host('a.example'))
    expect(minted).toBe(1)
  })

  it('gives nothing out once the CA has expired, not even what it has', async () => {
    const { cache, authority } = await cacheOf({ days: 30 })
    clock = authority.notAfter.getTime() - HOUR_MS
    cache.contextFor(host('a.example'))
    clock += 2 * HOUR_MS
    expect(() => cache.contextFor(host('a.example'))).toThrow(/expired/)
    expect(() => cache.contextFor(host('b.example'))).toThrow(/expired/)
  })

  it('mints anew when the clock was set back to before the certificate begins', async () => {
    const { cache } = await cacheOf()
    clock += 10 * DAY_MS
    cache.contextFor(host('a.example'))
    clock -= 5 * DAY_MS
    cache.contextFor(host('a.example'))
    expect(minted).toBe(2)
  })

  it('counts nothing and keeps nothing when a mint fails', async () => {
    const { cache, authority } = await cacheOf()
    vi.spyOn(authority, 'permits').mockReturnValue(false)
    expect(() => cache.contextFor(host('a.example'))).toThrow(/name constraints/)
    expect({ minted, hits, size: cache.size }).toEqual({ minted: 0, hits: 0, size: 0 })
  })
})

describe('what a client of such a context sees', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`is a certificate that only our CA makes believable (${version})`, async () => {
      const { cache, authority } = await cacheOf({ startAt: new Date() })
      const context = cache.contextFor(host('files.example.com'))
      const trusting = await handshake(context, { ca: authority.trustPem, servername: 'files.example.com', version })
      expect(trusting).toMatchObject({ authorized: true, protocol: version, key: 'prime256v1' })
      await expect(handshake(context, { servername: 'files.example.com', version })).rejects.toMatchObject({
        code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      })
      await expect(
        handshake(context, { ca: authority.trustPem, servername: 'other.example.com', version }),
      ).rejects.toMatchObject({
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      })
    })

    it(`is a session that goes on for the same host and is of no use with another (${version})`, async () => {
      const { cache, authority } = await cacheOf({ startAt: new Date() })
      const [a, b] = [cache.contextFor(host('a.example')), cache.contextFor(host('b.example'))]
      // The client does not look at names here: it is the one that would carry a session over.
      const client = { ca: authority.trustPem, servername: 'a.example', version, anyName: true }
      const { session } = await handshake(a, client)
      expect(session).toBeDefined()
      expect(await handshake(a, { ...client, session })).toMatchObject({ resumed: true })
      expect(await handshake(b, { ...client, session })).toMatchObject({ resumed: false })
      expect(await handshake(b, { ...client, servername: 'b.example', session })).toMatchObject({ resumed: false })
    })
  }

  it('is a certificate for an address, where the tunnel is to one', async () => {
    const { cache, authority } = await cacheOf({ startAt: new Date() })
    for (const text of ['10.1.2.3', '2001:db8::1'])
      expect(
        await handshake(cache.contextFor(host(text)), { ca: authority.trustPem, host: text, version: 'TLSv1.3' }),
      ).toMatchObject({ authorized: true })
  })

  it('is no TLS 1.1', async () => {
    const { cache, authority } = await cacheOf({ startAt: new Date() })
    const options = { ca: authority.trustPem, servername: 'a.example', version: 'TLSv1.1' as const }
    await expect(handshake(cache.contextFor(host('a.example')), options)).rejects.toMatchObject({
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    })
  })
})

describe('the leaf key', () => {
  it('is P-256, and the certificate is for it', async () => {
    const key = new LeafKeys(now).current()
    expect(key.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    const { authority } = await cacheOf()
    const { certPem } = authority.mint(host('a.example'), key, now())
    expect(new X509Certificate(certPem).publicKey.equals(key.publicKey)).toBe(true)
  })

  it('is another one where the clock was set back, too', () => {
    const keys = new LeafKeys(now)
    const first = keys.current()
    expect(keys.current()).toBe(first)
    clock -= 1
    expect(keys.current()).not.toBe(first)
  })
})
