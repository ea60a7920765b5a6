import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import type { CertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import {
  constraintsFor,
  constraintsPermit,
  constraintsPermitAll,
  describeConstraints,
  type NameConstraints,
  readNameConstraints,
} from '../../../src/io/tls/certificate-constraints.ts'
import { nameConstraints } from '../../../src/io/tls/certificate-extensions.ts'
import { generateLeafKey } from '../../../src/io/tls/leaf-key.ts'
import { toDer } from '../../../src/io/tls/x509.ts'
import { itWith } from '../../support/program.ts'
import {
  host,
  KEYS,
  load,
  openssl,
  opensslIntermediate,
  opensslRoot,
  outcome,
  ownCa,
  patterns,
  pemBlocks,
  testFolder,
} from './test-ca.ts'

const folder = testFolder()
const leafKey = generateLeafKey()

const permits = [
  { for: ['a.example'], host: 'a.example', permitted: true, because: 'it is the name itself' },
  { for: ['a.example'], host: 'b.a.example', permitted: true, because: 'X.509 cannot stop at a name' },
  { for: ['a.example'], host: 'ba.example', permitted: false, because: 'labels are compared, not text endings' },
  { for: ['a.example'], host: 'example', permitted: false, because: 'a parent is not under its child' },
  { for: ['*.a.example'], host: 'x.y.a.example', permitted: true, because: 'any depth counts' },
  { for: ['*.a.example'], host: 'a.example', permitted: true, because: 'a constraint has no form for only what is under a name' },
  { for: ['*a.example'], host: 'ba.example', permitted: false, because: 'the pattern does not match it either' },
  { for: ['a.example'], host: '10.1.2.3', permitted: false, because: 'no address was named, so all are excluded' },
  { for: ['a.example'], host: '2001:db8::1', permitted: false, because: 'no address was named, so all are excluded' },
  { for: ['10.1.2.3'], host: '10.1.2.3', permitted: true, because: 'it is the address itself' },
  { for: ['10.1.2.3'], host: '10.1.2.2', permitted: false, because: 'an address is exact' },
  {
    for: ['10.1.2.3'],
    host: '::ffff:10.1.2.3',
    permitted: false,
    because: 'in a certificate it has 16 bytes, and clients compare bytes',
  },
  { for: ['10.1.2.3'], host: '2001:db8::1', permitted: false, because: 'the family of which none was named is excluded' },
  { for: ['10.1.2.3'], host: 'a.example', permitted: false, because: 'no name was named, so all are excluded' },
  { for: ['2001:db8::1', 'a.example'], host: '2001:db8::1', permitted: true, because: 'it is the address itself' },
  { for: ['2001:db8::1', 'a.example'], host: '2001:db8::2', permitted: false, because: 'an address is exact' },
] as const

describe('the constraints of a CA for certain hosts', () => {
  for (const { for: hosts, host: text, permitted, because } of permits) {
    it(`${permitted ? 'permit' : 'do not permit'} ${text} for ${hosts.join(', ')}: ${because}`, () => {
      expect(constraintsPermit(constraintsFor(patterns(...hosts)), host(text))).toBe(permitted)
    })
  }

  it('leave out names that a wider one covers', () => {
    expect(constraintsFor(patterns('x.a.example', 'a.example', '*.a.example', 'b.example')).permitted.dns).toEqual([
      'a.example',
      'b.example',
    ])
  })

  it('come out of a certificate as they went in', () => {
    for (const hosts of [['a.example'], ['10.1.2.3', '2001:db8::1'], ['*.b.example', '10.0.0.1']]) {
      const constraints = constraintsFor(patterns(...hosts))
      expect(readNameConstraints(toDer(nameConstraints(constraints).value))).toEqual({ ok: true, value: constraints })
    }
  })

  it('are told to people line by line', () => {
    expect(describeConstraints(constraintsFor(patterns('a.example', '10.1.2.3')))).toEqual([
      'good for a.example and names under it',
      'good for 10.1.2.3/32',
      'never for every address in ::/0',
    ])
  })
})

describe('whether a whole pattern is permitted', () => {
  const wide = (...dns: string[]): NameConstraints => ({ permitted: subtrees(dns), excluded: subtrees([]) })
  const cases = [
    { constraints: wide('example'), pattern: '*.a.example', permitted: true, because: 'everything under it is under `example`' },
    { constraints: wide('x.a.example'), pattern: '*.a.example', permitted: false, because: 'other names under it are not' },
    {
      constraints: wide('.a.example'),
      pattern: '*.a.example',
      permitted: true,
      because: 'the pattern leaves out the name itself too',
    },
    { constraints: wide('.a.example'), pattern: '*a.example', permitted: false, because: '`a.example` itself is not under it' },
    { constraints: wide(''), pattern: '*.a.example', permitted: true, because: 'the empty name covers all' },
    {
      constraints: { permitted: subtrees([]), excluded: subtrees(['x.a.example']) },
      pattern: '*.a.example',
      permitted: false,
      because: 'one name under it is excluded',
    },
    {
      constraints: { permitted: subtrees([]), excluded: subtrees(['b.example']) },
      pattern: '*.a.example',
      permitted: true,
      because: 'what is excluded lies elsewhere',
    },
  ]
  for (const { constraints, pattern, permitted, because } of cases) {
    it(`${pattern} is${permitted ? '' : ' not'}: ${because}`, () => {
      const [parsed] = patterns(pattern)
      expect(parsed && constraintsPermitAll(constraints, parsed)).toBe(permitted)
    })
  }
})

describe('constraints that somebody else made', () => {
  const cases = [
    { value: 'permitted;DNS:corp.example', permitted: ['a.corp.example', '10.1.2.3'], refused: ['a.example'] },
    { value: 'permitted;DNS:.corp.example', permitted: ['a.corp.example'], refused: ['corp.example'] },
    { value: 'permitted;DNS:CORP.Example', permitted: ['corp.example'], refused: ['corp.example.net'] },
    { value: 'excluded;DNS:corp.example', permitted: ['a.example'], refused: ['corp.example', 'a.corp.example'] },
    {
      value: 'permitted;DNS:example,excluded;DNS:corp.example',
      permitted: ['a.example'],
      refused: ['a.corp.example', 'a.test'],
    },
    { value: 'permitted;IP:10.0.0.0/255.0.0.0', permitted: ['10.9.9.9', 'a.example'], refused: ['11.0.0.1', '2001:db8::1'] },
    { value: 'excluded;IP:10.0.0.0/255.0.0.0', permitted: ['11.0.0.1', '2001:db8::1'], refused: ['10.9.9.9'] },
    { value: 'permitted;email:corp.example', permitted: ['a.example', '10.1.2.3'], refused: [] },
  ]
  for (const [index, { value, permitted, refused }] of cases.entries()) {
    it(`are read as OpenSSL reads them: ${value}`, async () => {
      const files = opensslRoot(folder.path, { name: `constrained-${index}`, extensions: [`nameConstraints=critical,${value}`] })
      const authority = await load(files)
      for (const text of permitted) {
        expect(authority.permits(host(text)), text).toBe(true)
        expect(verifies(authority, text), text).toMatchObject({ ok: true })
      }
      for (const text of refused) {
        expect(authority.permits(host(text)), text).toBe(false)
        expect(() => authority.mint(host(text), leafKey, new Date())).toThrow(/name constraints/)
        expect(verifies(authority, text), text).toMatchObject({
          ok: false,
          text: expect.stringMatching(/(?:permitted|excluded) subtree violation/),
        })
      }
    })
  }

  it('are those of the whole chain', async () => {
    const root = opensslRoot(folder.path, { name: 'wide', extensions: ['nameConstraints=critical,permitted;DNS:example'] })
    const authority = await load(
      opensslIntermediate(folder.path, root, {
        name: 'narrow',
        extensions: ['nameConstraints=critical,permitted;DNS:a.example,permitted;DNS:test'],
      }),
    )
    expect(authority.permits(host('a.example'))).toBe(true)
    expect(authority.permits(host('b.example'))).toBe(false)
    expect(authority.permits(host('x.test'))).toBe(false)
    expect(authority.permitsAll(patterns('*.a.example')[0] ?? never())).toBe(true)
    expect(authority.permitsAll(patterns('*.example')[0] ?? never())).toBe(false)
  })

  it('on directory names are met by a certificate without a subject', async () => {
    const root = opensslRoot(folder.path, { name: 'directory-root' })
    const files = opensslIntermediate(folder.path, root, {
      name: 'directory',
      extensions: ['nameConstraints=critical,permitted;dirName:dir', '[dir]', 'O=Example'],
    })
    const authority = await load(files)
    expect(verifies(authority, 'a.example')).toMatchObject({ ok: true })
  })

  it('that cannot be read are a problem at start, not a surprise in a handshake', () => {
    for (const der of ['', '04020500', '3003a20100', '3008a0063004870201ff', '300da00b3009870701020304ff00ff', '3080'])
      expect(readNameConstraints(Buffer.from(der, 'hex')), der).toMatchObject({ ok: false })
    // A mask with holes.
    expect(readNameConstraints(Buffer.from('300ea00c300a87080a000000ff00ff00', 'hex'))).toMatchObject({
      ok: false,
      error: /holes/,
    })
  })
})

describe('a stolen key of a CA that `ca init` made', () => {
  // What a thief would do: sign with the key and skip the gateway's own check.
  async function forge(name: string, hosts: readonly string[], victim: string) {
    const authority = await ownCa(folder.path, name, new Date(), { constraints: constraintsFor(patterns(...hosts)) })
    const key = join(folder.path, `${name}.forged.key`)
    const leaf = join(folder.path, `${name}.forged.pem`)
    const request = join(folder.path, `${name}.forged.csr`)
    const extensions = join(folder.path, `${name}.forged.ext`)
    const forged = host(victim)
    writeFileSync(extensions, `subjectAltName=${forged.kind === 'name' ? 'DNS' : 'IP'}:${victim}\n`)
    openssl(['req', '-new', '-nodes', '-newkey', ...KEYS['P-256'], '-keyout', key, '-out', request, '-subj', '/'])
    openssl([
      ...[
        'x509',
        '-req',
        '-in',
        request,
        '-days',
        '30',
        '-CA',
        join(folder.path, `${name}.pem`),
        '-CAkey',
        join(folder.path, `${name}.key`),
      ],
      ...['-CAcreateserial', '-extfile', extensions, '-out', leaf],
    ])
    const anchors = join(folder.path, `${name}.anchors`)
    writeFileSync(anchors, authority.trustPem)
    return { leaf, anchors }
  }

  const thefts = [
    { name: 'theft-name', hosts: ['a.example'], victim: 'bank.example' },
    { name: 'theft-v4', hosts: ['a.example'], victim: '10.1.2.3' },
    { name: 'theft-v6', hosts: ['10.1.2.3'], victim: '2001:db8::1' },
    { name: 'theft-dns', hosts: ['10.1.2.3'], victim: 'bank.example' },
  ] as const
  for (const { name, hosts, victim } of thefts) {
    it(`is of no use for ${victim}: OpenSSL refuses it from a CA for ${hosts.join(', ')}`, async () => {
      const { leaf, anchors } = await forge(name, hosts, victim)
      const found = outcome('openssl', ['verify', '-CAfile', anchors, leaf])
      expect(found).toMatchObject({ ok: false, text: expect.stringMatching(/(?:permitted|excluded) subtree violation/) })
    })

    itWith('certtool', 'gnutls-bin')(`is of no use for ${victim} to a client with GnuTLS either`, async () => {
      const { leaf, anchors } = await forge(`${name}-gnutls`, hosts, victim)
      const found = outcome('certtool', ['--verify', '--load-ca-certificate', anchors, '--infile', leaf])
      expect(found).toMatchObject({ ok: false, text: expect.stringContaining('Not verified') })
    })
  }

  it('cannot make another CA', async () => {
    const authority = await ownCa(folder.path, 'pathlen', new Date())
    const below = opensslIntermediate(
      folder.path,
      { caCertificate: join(folder.path, 'pathlen.pem'), caKey: join(folder.path, 'pathlen.key') },
      { name: 'below' },
    )
    expect(authority.hasRoot).toBe(true)
    expect(verifies(await load(below), 'a.example')).toMatchObject({
      ok: false,
      text: expect.stringContaining('path length constraint exceeded'),
    })
  })
})

describe('a certificate within the constraints', () => {
  for (const text of ['a.example', 'b.a.example', '10.1.2.3', '2001:db8::1']) {
    it(`for ${text} is believed by OpenSSL`, async () => {
      const hosts = ['a.example', '10.1.2.3', '2001:db8::1']
      const name = `within-${text.replaceAll(':', '_')}`
      const authority = await ownCa(folder.path, name, new Date(), { constraints: constraintsFor(patterns(...hosts)) })
      expect(verifies(authority, text)).toMatchObject({ ok: true })
    })
    itWith('certtool', 'gnutls-bin')(`for ${text} is believed by GnuTLS`, async () => {
      const name = `gnutls-${text.replaceAll(':', '_')}`
      const authority = await ownCa(folder.path, name, new Date(), {
        constraints: constraintsFor(patterns('a.example', '10.1.2.3', '2001:db8::1')),
      })
      const { leaf, anchors } = saved(authority, text)
      const found = outcome('certtool', ['--verify', '--load-ca-certificate', anchors, '--infile', leaf])
      expect(found).toMatchObject({ ok: true, text: expect.stringContaining('Chain verification output: Verified.') })
    })
  }
})

function subtrees(dns: readonly string[]) {
  return { dns, ranges: [], directory: false }
}

function never(): never {
  throw new Error('the pattern was not read')
}

let count = 0
/** A minted chain as files, made as if every name were permitted: to judge it is then the client's part. */
function saved(authority: CertificateAuthority, text: string) {
  const check = vi.spyOn(authority, 'permits').mockReturnValue(true)
  const [leaf = '', ...intermediates] = pemBlocks(authority.mint(host(text), leafKey, new Date()).certPem)
  check.mockRestore()
  const base = join(folder.path, `saved-${++count}`)
  writeFileSync(`${base}.leaf`, leaf)
  writeFileSync(`${base}.chain`, intermediates.join(''))
  writeFileSync(`${base}.anchors`, authority.trustPem)
  return { leaf: `${base}.leaf`, intermediates: `${base}.chain`, anchors: `${base}.anchors` }
}

function verifies(authority: CertificateAuthority, text: string) {
  const { leaf, intermediates, anchors } = saved(authority, text)
  const chain = authority.chainPem === '' ? [] : ['-untrusted', intermediates]
  return outcome('openssl', ['verify', '-x509_strict', '-CAfile', anchors, ...chain, leaf])
}
