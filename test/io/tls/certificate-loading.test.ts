import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type CaProblem, loadCertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import type { CaFiles } from '../../../src/io/tls/certificate-files.ts'
import { generateLeafKey } from '../../../src/io/tls/leaf-key.ts'
import {
  appendFile,
  filesIn,
  host,
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
/** A little ahead: OpenSSL makes the CAs below after this line is read. */
const now = new Date(Date.now() + 60_000)
const IS_ROOT = process.getuid?.() === 0

afterEach(() => vi.restoreAllMocks())

async function problemOf(files: CaFiles, at = now): Promise<CaProblem> {
  const loaded = await loadCertificateAuthority(files, at)
  if (loaded.ok) throw new Error('there was no problem')
  return loaded.error
}

let made = 0
function root(options: Partial<Parameters<typeof opensslRoot>[1]> = {}): CaFiles {
  return opensslRoot(folder.path, { name: `root-${++made}`, ...options })
}

interface Case {
  readonly title: string
  readonly code: CaProblem['code']
  readonly says: RegExp
  readonly files: () => CaFiles
}

const cases: readonly Case[] = [
  { title: 'no files at all', code: 'absent', says: /sallyport ca init/, files: () => filesIn(folder.path, 'nowhere') },
  {
    title: 'no key beside the certificate',
    code: 'absent',
    says: /nokey\.key.*restore the key/,
    files: () => ({ ...root(), caKey: join(folder.path, 'nokey.key') }),
  },
  {
    title: 'a folder in place of the certificate',
    code: 'unreadable',
    says: /is not a file/,
    files: () => {
      mkdirSync(join(folder.path, 'folder.pem'))
      return { ...root(), caCertificate: join(folder.path, 'folder.pem') }
    },
  },
  {
    title: 'a pipe that nobody writes to',
    code: 'unreadable',
    says: /is not a file/,
    files: () => {
      const pipe = join(folder.path, 'pipe.pem')
      outcome('mkfifo', [pipe])
      return { ...root(), caCertificate: pipe }
    },
  },
  {
    title: 'text that is no certificate',
    code: 'unreadable',
    says: /holds no certificate in PEM/,
    files: () => written(root(), 'caCertificate', 'hello\n'),
  },
  {
    title: 'a certificate cut short',
    code: 'unsupported_certificate',
    says: /certificate 1 in .*cannot be read/,
    files: () => written(root(), 'caCertificate', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'),
  },
  {
    title: 'more certificates than any chain has',
    code: 'unreadable',
    says: /17 certificates; leave at most 16/,
    files: () => {
      const files = root()
      return written(files, 'caCertificate', readFileSync(files.caCertificate, 'utf8').repeat(17))
    },
  },
  {
    title: 'text that is no key',
    code: 'unreadable',
    says: /holds no private key/,
    files: () => written(root(), 'caKey', 'hello\n'),
  },
  {
    title: 'a key with a passphrase (PKCS #8)',
    code: 'key_encrypted',
    says: /openssl pkey -in/,
    files: () => withKey((key) => openssl(['pkcs8', '-topk8', '-passout', 'pass:x', '-in', key])),
  },
  {
    title: 'a key with a passphrase (the older form)',
    code: 'key_encrypted',
    says: /openssl pkey -in/,
    files: () => withKey((key) => openssl(['ec', '-aes128', '-passout', 'pass:x', '-in', key])),
  },
  {
    title: "another CA's key",
    code: 'key_mismatch',
    says: /belongs to no certificate/,
    files: () => ({ ...root(), caKey: root().caKey }),
  },
  {
    title: 'a key of another type',
    code: 'key_mismatch',
    says: /belongs to no certificate/,
    files: () => ({ ...root(), caKey: root({ key: 'RSA-2048' }).caKey }),
  },
  {
    title: 'an RSA key that is too short',
    code: 'unsupported_key',
    says: /RSA of 1024 bits; use P-256/,
    files: () => withKey(() => openssl(['genrsa', '1024'])),
  },
  {
    title: 'an Ed25519 key, which few clients verify',
    code: 'unsupported_key',
    says: /of type `ed25519`/,
    files: () => withKey(() => openssl(['genpkey', '-algorithm', 'ed25519'])),
  },
  {
    title: 'a key on another curve',
    code: 'unsupported_key',
    says: /on the curve `secp521r1`/,
    files: () => withKey(() => openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'])),
  },
  {
    title: "a server's certificate",
    code: 'not_a_ca',
    says: /may not issue certificates/,
    files: () => selfSigned('server', ['basicConstraints=critical,CA:FALSE']),
  },
  {
    title: 'a CA whose key usage leaves out signing certificates',
    code: 'not_a_ca',
    says: /may not issue certificates/,
    files: () => selfSigned('usage', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,cRLSign']),
  },
  {
    title: 'a certificate that others can change',
    code: 'certificate_exposed',
    says: /mode 0646\); `chmod go-w/,
    files: () => withMode(root(), 'caCertificate', 0o646),
  },
]

describe('loading the CA', () => {
  for (const { title, code, says, files } of cases) {
    it(`refuses ${title} as \`${code}\``, async () => {
      const problem = await problemOf(files())
      expect(problem.code).toBe(code)
      expect(problem.message).toMatch(says)
      expect(problem.message).toContain(folder.path)
    })
  }

  for (const mode of [0o640, 0o604, 0o644, 0o660, 0o610, 0o601]) {
    it(`refuses its own key with mode 0${mode.toString(8)} as \`key_exposed\``, async () => {
      const files = withMode(root(), 'caKey', mode)
      expect(await problemOf(files)).toEqual({
        code: 'key_exposed',
        message: `\`${files.caKey}\` is open to others (mode 0${mode.toString(8)}); \`chmod 600 ${files.caKey}\``,
      })
    })
  }

  for (const mode of [0o600, 0o400]) {
    it(`takes a key with mode 0${mode.toString(8)}`, async () => {
      expect((await loadCertificateAuthority(withMode(root(), 'caKey', mode), now)).ok).toBe(true)
    })
  }

  it.skipIf(IS_ROOT)("refuses another user's key: they can read it (shown where the tests are not run by root)", async () => {
    const files = root()
    vi.spyOn(process, 'geteuid').mockReturnValue(54_321)
    expect(await problemOf(files)).toMatchObject({
      code: 'key_exposed',
      message: expect.stringMatching(/another user.*chown 54321/),
    })
  })

  it.skipIf(!IS_ROOT)(
    "takes root's key that a group may read, as Kubernetes mounts secrets (shown where root runs the tests)",
    async () => {
      const files = withMode(root(), 'caKey', 0o440)
      vi.spyOn(process, 'geteuid').mockReturnValue(54_321)
      expect(await loadCertificateAuthority(files, now)).toMatchObject({ ok: true })
      for (const mode of [0o460, 0o444, 0o450])
        expect(await problemOf(withMode(files, 'caKey', mode))).toMatchObject({ code: 'key_exposed' })
      chownSync(files.caKey, 12_345, 0)
      expect(await problemOf(withMode(files, 'caKey', 0o400))).toMatchObject({
        code: 'key_exposed',
        message: expect.stringMatching(/uid 12345/),
      })
    },
  )

  it('follows symbolic links, as secrets are mounted, and judges what is behind them', async () => {
    const files = withMode(root(), 'caKey', 0o644)
    const link = join(folder.path, 'link.key')
    symlinkSync(files.caKey, link)
    expect(await problemOf({ ...files, caKey: link })).toMatchObject({ code: 'key_exposed' })
  })

  it('refuses an expired CA and one that is not valid yet, with the date and what to do', async () => {
    const files = root()
    const late = new Date(now.getTime() + 3651 * 86_400_000)
    expect(await problemOf(files, late)).toMatchObject({
      code: 'expired',
      message: expect.stringMatching(/expired at 20.*sallyport ca init/),
    })
    const early = new Date(now.getTime() - 2 * 86_400_000)
    expect(await problemOf(files, early)).toMatchObject({ code: 'not_yet_valid', message: expect.stringMatching(/clock/) })
  })

  it('refuses a chain in which the certificate above has expired', async () => {
    const shortRoot = selfSigned('short-root', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'], '10')
    const files = opensslIntermediate(folder.path, shortRoot, { name: 'outlives-root' })
    const problem = await problemOf(files, new Date(now.getTime() + 20 * 86_400_000))
    expect(problem).toMatchObject({ code: 'expired', message: expect.stringContaining('CN=short-root') })
  })
})

describe('the CA file', () => {
  it('may hold the next root beside the current one: the key decides who signs, clients are offered both', async () => {
    const current = root()
    const next = root()
    appendFile(current.caCertificate, next.caCertificate)
    const before = await load(current)
    const after = await load({ caCertificate: current.caCertificate, caKey: next.caKey })
    expect(pemBlocks(before.trustPem)).toHaveLength(2)
    expect(after.trustPem).toBe(before.trustPem)
    expect(after.fingerprint256).not.toBe(before.fingerprint256)
    expect(before.chainPem + after.chainPem).toBe('')
  })

  it('may hold an intermediate in any order with its chain', async () => {
    const above = root()
    const files = opensslIntermediate(folder.path, above, { name: 'upside-down', withParent: false })
    const own = readFileSync(files.caCertificate, 'utf8')
    writeFileSync(files.caCertificate, readFileSync(above.caCertificate, 'utf8') + own)
    const authority = await load(files)
    expect(authority.subject).toBe('O=Example, CN=upside-down')
    expect(authority.trustPem).toBe(readFileSync(above.caCertificate, 'utf8'))
  })

  it('may hold an intermediate without its root: that is then what there is to offer, and it says so', async () => {
    const authority = await load(opensslIntermediate(folder.path, root(), { name: 'alone', withParent: false }))
    expect(authority.hasRoot).toBe(false)
    expect(pemBlocks(authority.trustPem)).toHaveLength(1)
    expect(pemBlocks(authority.mint(host('x.example'), generateLeafKey(), now).certPem)).toHaveLength(2)
  })

  it('offers clients neither the key that is in the same file nor a certificate that is no CA', async () => {
    const files = root()
    appendFile(files.caCertificate, files.caKey)
    appendFile(files.caCertificate, selfSigned('stray', ['basicConstraints=critical,CA:FALSE']).caCertificate)
    const { trustPem } = await load(files)
    expect(trustPem).not.toMatch(/PRIVATE KEY/)
    expect(pemBlocks(trustPem)).toHaveLength(1)
  })

  it('may hold a renewed certificate of the same key: the one that is good for longest signs', async () => {
    const files = selfSigned('renewed', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'], '10')
    const longer = openssl([
      ...['req', '-x509', '-new', '-key', files.caKey, '-days', '100', '-subj', '/CN=renewed'],
      ...['-addext', 'keyUsage=critical,keyCertSign'],
    ])
    writeFileSync(files.caCertificate, readFileSync(files.caCertificate, 'utf8') + longer)
    const authority = await load(files)
    expect(Math.round((authority.notAfter.getTime() - now.getTime()) / 86_400_000)).toBe(100)
  })

  it('takes a CA of any kind that the gateway makes', async () => {
    const authority = await ownCa(folder.path, 'own', now)
    expect(authority).toMatchObject({ hasRoot: true, chainPem: '', subject: 'CN=own', constraints: [] })
  })
})

function written(files: CaFiles, file: keyof CaFiles, text: string): CaFiles {
  writeFileSync(files[file], text)
  return files
}

/** A root whose key file is replaced by what is made from it. */
function withKey(make: (key: string) => string): CaFiles {
  const files = root()
  return written(files, 'caKey', make(files.caKey))
}

function withMode(files: CaFiles, file: keyof CaFiles, mode: number): CaFiles {
  chmodSync(files[file], mode)
  return files
}

function selfSigned(name: string, extensions: readonly string[], days = '100'): CaFiles {
  const files = filesIn(folder.path, name)
  const config = join(folder.path, `${name}.cnf`)
  writeFileSync(
    config,
    `[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nsubjectKeyIdentifier=hash\n${extensions.join('\n')}\n`,
  )
  openssl([
    ...['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-config', config, '-days', days],
    ...['-keyout', files.caKey, '-out', files.caCertificate, '-subj', `/CN=${name}`],
  ])
  chmodSync(files.caKey, 0o600)
  return files
}
