import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { type Host, parseHost } from '../../../src/core/names/authority.ts'
import { type HostPattern, parseHostPattern } from '../../../src/core/policy/host-pattern.ts'
import { type CertificateAuthority, loadCertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import { createCa, type NewCa } from '../../../src/io/tls/certificate-creation.ts'
import type { CaFiles } from '../../../src/io/tls/certificate-files.ts'

/** Throwaway CAs: OpenSSL's own, as an operator might bring them, and those that the gateway makes. */

export const KEYS = {
  'RSA-2048': ['rsa:2048'],
  'P-256': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
} as const
export type KeyName = keyof typeof KEYS

/** A folder for the tests of one file, gone afterwards. */
export function testFolder(): { readonly path: string } {
  const folder = { path: '' }
  beforeAll(() => {
    folder.path = mkdtempSync(join(tmpdir(), 'sallyport-ca-'))
  })
  afterAll(() => rmSync(folder.path, { recursive: true, force: true }))
  return folder
}

export function openssl(args: readonly string[], input?: string | Uint8Array): string {
  return execFileSync('openssl', [...args], {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  })
}

/** What a program says, whether it ends well or not. */
export function outcome(program: string, args: readonly string[]): { readonly ok: boolean; readonly text: string } {
  try {
    return { ok: true, text: execFileSync(program, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) }
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return { ok: false, text: `${stdout}${stderr}` }
  }
}

const ROOT_EXTENSIONS = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']

export interface OpensslCa {
  readonly name: string
  readonly key?: KeyName
  readonly subject?: string
  readonly extensions?: readonly string[]
}

/** A self-signed CA by `openssl req`. */
export function opensslRoot(
  folder: string,
  { name, key = 'P-256', subject = `/O=Example/CN=${name}`, extensions = [] }: OpensslCa,
): CaFiles {
  const files = filesIn(folder, name)
  const added = [...ROOT_EXTENSIONS, ...extensions].flatMap((extension) => ['-addext', extension])
  openssl([
    ...['req', '-x509', '-nodes', '-days', '3650', '-newkey', ...KEYS[key]],
    ...['-keyout', files.caKey, '-out', files.caCertificate, '-subj', subject, ...added],
  ])
  chmodSync(files.caKey, 0o600)
  return files
}

/** A CA under another; its file holds its own certificate and, unless told otherwise, the chain above. */
export function opensslIntermediate(folder: string, parent: CaFiles, ca: OpensslCa & { withParent?: boolean }): CaFiles {
  const { name, key = 'P-256', subject = `/O=Example/CN=${name}`, extensions = [], withParent = true } = ca
  const files = filesIn(folder, name)
  const request = join(folder, `${name}.csr`)
  const extensionFile = join(folder, `${name}.ext`)
  const own = [
    'basicConstraints=critical,CA:TRUE,pathlen:0',
    'keyUsage=critical,keyCertSign,cRLSign',
    'subjectKeyIdentifier=hash',
  ]
  writeFileSync(extensionFile, [...own, 'authorityKeyIdentifier=keyid', ...extensions].join('\n'))
  openssl(['req', '-new', '-nodes', '-newkey', ...KEYS[key], '-keyout', files.caKey, '-out', request, '-subj', subject])
  openssl([
    ...['x509', '-req', '-days', '1800', '-in', request, '-CA', parent.caCertificate, '-CAkey', parent.caKey, '-CAcreateserial'],
    ...['-extfile', extensionFile, '-out', files.caCertificate],
  ])
  chmodSync(files.caKey, 0o600)
  if (withParent) appendFile(files.caCertificate, parent.caCertificate)
  return files
}

export function filesIn(folder: string, name: string): CaFiles {
  return { caCertificate: join(folder, `${name}.pem`), caKey: join(folder, `${name}.key`) }
}

export function appendFile(file: string, other: string): void {
  writeFileSync(file, readFileSync(file, 'utf8') + readFileSync(other, 'utf8'))
}

/** A CA of the gateway's own making, loaded. */
export async function ownCa(folder: string, name: string, now: Date, ca: Partial<NewCa> = {}): Promise<CertificateAuthority> {
  const files = filesIn(folder, name)
  const created = await createCa(files, { commonName: name, days: 3650, keyType: 'p256', constraints: undefined, ...ca }, now)
  if (!created.ok) throw new Error(created.error)
  return load(files, now)
}

export async function load(files: CaFiles, now = new Date()): Promise<CertificateAuthority> {
  const authority = await loadCertificateAuthority(files, now)
  if (!authority.ok) throw new Error(authority.error.message)
  return authority.value
}

/** A host as one writes it; IPv6 without brackets too. */
export function host(text: string): Host {
  const parsed = parseHost(text.includes(':') && !text.startsWith('[') ? `[${text}]` : text)
  if (!parsed.ok) throw new Error(parsed.error)
  return parsed.value
}

export function patterns(...texts: readonly string[]): HostPattern[] {
  return texts.map((text) => {
    const parsed = parseHostPattern(text)
    if (!parsed.ok) throw new Error(parsed.error)
    return parsed.value
  })
}

/** The certificates of a PEM, each on its own. */
export function pemBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/g) ?? []
}
