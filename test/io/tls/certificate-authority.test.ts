import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Host } from '../../../src/core/names/authority.ts'
import type { CertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import { generateLeafKey } from '../../../src/io/tls/leaf-key.ts'
import { itWith } from '../../support/program.ts'
import {
  host,
  KEYS,
  type KeyName,
  load,
  openssl,
  opensslIntermediate,
  opensslRoot,
  outcome,
  ownCa,
  pemBlocks,
  testFolder,
} from './test-ca.ts'

const folder = testFolder()
const leafKey = generateLeafKey()
const DAY_MS = 86_400_000

/** 64 characters still fit a common name, 65 do not. */
const NAME_64 = `${'a'.repeat(52)}.example.com`
const NAME_65 = `${'a'.repeat(53)}.example.com`

const HOSTS = [
  'files.example.com',
  '10.1.2.3',
  '2001:db8::7',
  '::ffff:10.1.2.3',
  '_x.example.com',
  'x',
  NAME_64,
  NAME_65,
] as const

interface Minted {
  readonly leaf: string
  readonly intermediates: string
  readonly anchors: string
}

let files = 0
/** The chain as files, for programs to verify. */
function mintFiles(authority: CertificateAuthority, name: Host, now = new Date()): Minted {
  const [leaf = '', ...intermediates] = pemBlocks(authority.mint(name, leafKey, now).certPem)
  const base = join(folder.path, `minted-${++files}`)
  const minted = { leaf: `${base}.leaf`, intermediates: `${base}.chain`, anchors: `${base}.anchors` }
  writeFileSync(minted.leaf, leaf)
  writeFileSync(minted.intermediates, intermediates.join(''))
  writeFileSync(minted.anchors, authority.trustPem)
  return minted
}

function identityOf(name: Host): readonly string[] {
  return name.kind === 'name' ? ['-verify_hostname', name.name] : ['-verify_ip', name.text]
}

function verify(authority: CertificateAuthority, name: Host, now?: Date): { readonly ok: boolean; readonly text: string } {
  const { leaf, intermediates, anchors } = mintFiles(authority, name, now)
  return outcome('openssl', [
    ...['verify', '-x509_strict', '-purpose', 'sslserver', '-no-CApath', '-no-CAstore', '-CAfile', anchors],
    ...(authority.chainPem === '' ? [] : ['-untrusted', intermediates]),
    ...(now === undefined ? [] : ['-attime', String(Math.floor(now.getTime() / 1000))]),
    ...[...identityOf(name), leaf],
  ])
}

describe('a minted certificate', () => {
  const authorities = new Map<string, CertificateAuthority>()
  const kinds: string[] = []
  for (const key of Object.keys(KEYS)) kinds.push(`${key} root`, `${key} intermediate`)
  kinds.push('own p256', 'own p384', 'own rsa')

  beforeAll(async () => {
    for (const key of Object.keys(KEYS) as KeyName[]) {
      const root = opensslRoot(folder.path, { name: `root-${key}`, key })
      authorities.set(`${key} root`, await load(root))
      // Another kind of key above: the leaf's signature follows the signer, not the root.
      authorities.set(
        `${key} intermediate`,
        await load(opensslIntermediate(folder.path, root, { name: `under-${key}`, key: 'P-384' })),
      )
    }
    for (const keyType of ['p256', 'p384', 'rsa'] as const)
      authorities.set(`own ${keyType}`, await ownCa(folder.path, `own-${keyType}`, new Date(), { keyType }))
  })

  function authority(kind: string): CertificateAuthority {
    const found = authorities.get(kind)
    if (found === undefined) throw new Error(`no CA ${kind}`)
    return found
  }

  for (const kind of kinds) {
    it(`satisfies \`openssl verify -x509_strict\` under an ${kind}, for names and addresses`, () => {
      for (const text of HOSTS) expect(verify(authority(kind), host(text)), text).toMatchObject({ ok: true })
    })

    itWith('certtool', 'gnutls-bin')(`satisfies GnuTLS under an ${kind}`, () => {
      for (const text of HOSTS) {
        const name = host(text)
        const { leaf, intermediates, anchors } = mintFiles(authority(kind), name)
        const chain = `${leaf}.whole`
        writeFileSync(chain, [leaf, intermediates, anchors].map((file) => openssl(['storeutl', '-certs', file])).join(''))
        const args = ['--verify', '--load-ca-certificate', anchors, '--infile', chain, '--verify-purpose', '1.3.6.1.5.5.7.3.1']
        const found = outcome('certtool', [...args, ...(name.kind === 'name' ? ['--verify-hostname', name.name] : [])])
        expect(found, text).toMatchObject({ ok: true, text: expect.stringContaining('Chain verification output: Verified.') })
      }
    })
  }

  it('is for no other host', () => {
    const { leaf, anchors } = mintFiles(authority('P-256 root'), host('files.example.com'))
    for (const other of ['example.com', 'a.files.example.com', 'files.example.net'])
      expect(outcome('openssl', ['verify', '-CAfile', anchors, '-verify_hostname', other, leaf]).ok, other).toBe(false)
  })

  it('says what OpenSSL prints of it', () => {
    const { leaf } = mintFiles(authority('P-256 root'), host('files.example.com'))
    const text = openssl(['x509', '-in', leaf, '-noout', '-text'])
    for (const line of [
      /Version: 3 \(0x2\)/,
      /Signature Algorithm: ecdsa-with-SHA256/,
      /Issuer: O = Example, CN = root-P-256/,
      /Subject: CN = files\.example\.com/,
      /NIST CURVE: P-256/,
      /X509v3 Subject Alternative Name: \n\s+DNS:files\.example\.com\n/,
      /X509v3 Basic Constraints: critical\n\s+CA:FALSE\n/,
      /X509v3 Key Usage: critical\n\s+Digital Signature\n/,
      /X509v3 Extended Key Usage: \n\s+TLS Web Server Authentication\n/,
      /X509v3 Subject Key Identifier: \n/,
      /X509v3 Authority Key Identifier: \n/,
    ])
      expect(text).toMatch(line)
  })

  const algorithms = {
    'RSA-2048': 'sha256WithRSAEncryption',
    'P-256': 'ecdsa-with-SHA256',
    'P-384': 'ecdsa-with-SHA384',
  } as const
  for (const [key, algorithm] of Object.entries(algorithms)) {
    it(`is signed with ${algorithm} by a ${key} key`, () => {
      const { leaf } = mintFiles(authority(`${key} root`), host('files.example.com'))
      expect(openssl(['x509', '-in', leaf, '-noout', '-text']).match(/Signature Algorithm: \S+/g)).toEqual([
        `Signature Algorithm: ${algorithm}`,
        `Signature Algorithm: ${algorithm}`,
      ])
    })
  }

  const subjects = [
    { name: NAME_64, subject: `CN=${NAME_64}`, critical: false, because: '64 characters are the most that a common name holds' },
    { name: NAME_65, subject: undefined, critical: true, because: 'a longer name stands in the alternative name alone' },
    { name: '10.1.2.3', subject: undefined, critical: true, because: 'a common name of digits and dots looks like a DNS name' },
  ] as const
  for (const { name, subject, critical, because } of subjects) {
    it(`for ${name} has ${subject === undefined ? 'no subject' : 'a common name'}: ${because}`, () => {
      const { leaf } = mintFiles(authority('P-256 root'), host(name))
      expect(openssl(['x509', '-in', leaf, '-noout', '-subject', '-nameopt', 'RFC2253'])).toBe(`subject=${subject ?? ''}\n`)
      expect(openssl(['x509', '-in', leaf, '-noout', '-text']).includes('Subject Alternative Name: critical')).toBe(critical)
    })
  }

  it('names its issuer byte for byte, whatever string types its name has', async () => {
    const odd = opensslRoot(folder.path, { name: 'odd', subject: '/C=GB/O=Zürich Ω/CN=plain', extensions: [] })
    const caOfOdd = await load(odd)
    const { leaf } = mintFiles(caOfOdd, host('files.example.com'))
    const issuerOfLeaf = openssl(['x509', '-in', leaf, '-noout', '-issuer', '-nameopt', 'show_type,dump_all,dump_der'])
    const subjectOfCa = openssl([
      'x509',
      '-in',
      odd.caCertificate,
      '-noout',
      '-subject',
      '-nameopt',
      'show_type,dump_all,dump_der',
    ])
    expect(issuerOfLeaf.replace('issuer=', '')).toBe(subjectOfCa.replace('subject=', ''))
  })

  it('names the key of its issuer even where the CA has no subject key identifier', async () => {
    const bare = opensslRoot(folder.path, {
      name: 'bare',
      extensions: ['subjectKeyIdentifier=none', 'authorityKeyIdentifier=none'],
    })
    const { leaf, anchors } = mintFiles(await load(bare), host('files.example.com'))
    expect(openssl(['x509', '-in', leaf, '-noout', '-ext', 'authorityKeyIdentifier'])).toMatch(/(?:[0-9A-F]{2}:){19}[0-9A-F]{2}/)
    expect(outcome('openssl', ['verify', '-CAfile', anchors, leaf])).toMatchObject({ ok: true })
  })

  it('has a positive serial number of 16 bytes, never the same', () => {
    const serials = Array.from({ length: 200 }, () => {
      const { certPem } = authority('P-256 root').mint(host('x.example'), leafKey, new Date())
      return new X509Certificate(certPem).serialNumber
    })
    expect(new Set(serials).size).toBe(200)
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/)
  })

  it('comes with the intermediates and without the root', () => {
    expect(pemBlocks(authority('P-256 root').mint(host('x.example'), leafKey, new Date()).certPem)).toHaveLength(1)
    expect(pemBlocks(authority('P-256 intermediate').mint(host('x.example'), leafKey, new Date()).certPem)).toHaveLength(2)
    expect(pemBlocks(authority('P-256 intermediate').trustPem)).toHaveLength(1)
    expect(authority('P-256 intermediate').hasRoot).toBe(true)
  })
})

describe('its validity', () => {
  const made = new Date('2026-03-01T12:00:00.500Z')

  it('begins a day ago, for clients whose clock is behind, and lasts 90 days', async () => {
    const authority = await ownCa(folder.path, 'validity', made)
    const now = new Date('2026-04-01T12:00:00.500Z')
    const { notBefore, notAfter } = authority.mint(host('x.example'), leafKey, now)
    expect(notBefore).toEqual(new Date('2026-03-31T12:00:00Z'))
    // Both seconds count (RFC 5280 section 4.1.2.5).
    expect(notAfter.getTime() - notBefore.getTime() + 1000).toBe(90 * DAY_MS)
  })

  it('stays within that of the CA at both ends', async () => {
    const authority = await ownCa(folder.path, 'short', made, { days: 30 })
    const early = authority.mint(host('x.example'), leafKey, made)
    expect(early.notBefore).toEqual(authority.notBefore)
    expect(early.notAfter).toEqual(authority.notAfter)
    expect(authority.notAfter).toEqual(new Date('2026-03-31T11:59:59Z'))
    expect(verify(authority, host('x.example'), made)).toMatchObject({ ok: true })
  })

  it('stays within that of every certificate above: the chain ends when its first one does', async () => {
    const root = opensslRoot(folder.path, { name: 'long-root' })
    const authority = await load(opensslIntermediate(folder.path, root, { name: 'short-intermediate' }))
    const days = (authority.notAfter.getTime() - Date.now()) / DAY_MS
    expect(Math.round(days)).toBe(1800)
  })

  it('is refused once the CA has expired under a running gateway', async () => {
    const authority = await ownCa(folder.path, 'expiring', made, { days: 30 })
    const last = authority.notAfter
    const after = new Date(last.getTime() + 1000)
    expect(authority.problemAt(last)).toBeUndefined()
    expect(authority.problemAt(after)).toMatchObject({ code: 'expired' })
    expect(() => authority.mint(host('x.example'), leafKey, after)).toThrow(/expired at 2026-03-31/)
  })

  const encodings = [
    { now: '2049-06-01T00:00:00Z', types: ['UTCTIME', 'UTCTIME'] },
    { now: '2049-11-01T00:00:00Z', types: ['UTCTIME', 'GENERALIZEDTIME'] },
    { now: '2050-06-01T00:00:00Z', types: ['GENERALIZEDTIME', 'GENERALIZEDTIME'] },
  ] as const
  for (const { now, types } of encodings) {
    it(`is written as ${types.join(' and ')} at ${now}`, async () => {
      const at = new Date(now)
      const authority = await ownCa(folder.path, `years-${now.slice(0, 7)}`, at, { days: 36_500 })
      const { certPem, notBefore, notAfter } = authority.mint(host('x.example'), leafKey, at)
      const times = openssl(['asn1parse'], certPem).match(/(?:UTCTIME|GENERALIZEDTIME)\s+:\S+/g) ?? []
      expect(times.map((line) => line.split(/\s+:/)[0])).toEqual(types)
      expect(times.map((line) => line.split(/\s+:/)[1]?.slice(-13))).toEqual([notBefore, notAfter].map(compact))
      expect(verify(authority, host('x.example'), at)).toMatchObject({ ok: true })
    })
  }
})

/** `491101000000Z`: what both notations end in. */
function compact(date: Date): string {
  return `${date.toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`
}
