import { generateKeyPair, type KeyObject } from 'node:crypto'
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { err, ok, type Result } from '../../core/result.ts'
import { BACKDATE_MS, randomSerial, toPem } from './certificate-authority.ts'
import type { NameConstraints } from './certificate-constraints.ts'
import { caOfLeaves, nameConstraints, signsCertificates, subjectKeyIdentifier } from './certificate-extensions.ts'
import type { CaFiles } from './certificate-files.ts'
import { keyIdentifier } from './certificate-reader.ts'
import { assembleCertificate, distinguishedName } from './x509.ts'

export const CA_KEY_TYPES = ['p256', 'p384', 'rsa'] as const
export type CaKeyType = (typeof CA_KEY_TYPES)[number]

/** NIST SP 800-57 part 1 table 2: 128 bits of security, for keys that live beyond 2030. */
const RSA_BITS = 3072

const DAY_MS = 86_400_000

export interface NewCa {
  /** 1 to 64 characters. */
  readonly commonName: string
  readonly days: number
  readonly keyType: CaKeyType
  /** Absent: good for every name. */
  readonly constraints: NameConstraints | undefined
}

/**
 * Makes a key (mode 0600) and a self-signed CA certificate (0644), and the folders they are in (0700) where those are missing.
 * Never overwrites: an existing CA may be trusted by clients. On an error neither file is left behind.
 * The error is one sentence.
 */
export async function createCa(files: CaFiles, ca: NewCa, now: Date): Promise<Result<void, string>> {
  const { publicKey, privateKey } = await generateKeys(ca.keyType)
  const certificate = selfSigned(ca, publicKey, privateKey, now)
  const contents: readonly NewFile[] = [
    { path: files.caKey, mode: 0o600, text: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
    { path: files.caCertificate, mode: 0o644, text: toPem(certificate) },
  ]
  const made: string[] = []
  try {
    for (const file of contents) await createFile(file, made)
    return ok(undefined)
  } catch (error) {
    for (const path of made) await rm(path, { force: true })
    return err(creationProblem(error, files))
  }
}

function generateKeys(keyType: CaKeyType): Promise<{ readonly publicKey: KeyObject; readonly privateKey: KeyObject }> {
  const generate = promisify(generateKeyPair)
  switch (keyType) {
    case 'p256':
      return generate('ec', { namedCurve: 'prime256v1' })
    case 'p384':
      return generate('ec', { namedCurve: 'secp384r1' })
    case 'rsa':
      return generate('rsa', { modulusLength: RSA_BITS })
  }
}

function selfSigned({ commonName, days, constraints }: NewCa, publicKey: KeyObject, signer: KeyObject, now: Date): Buffer {
  const name = distinguishedName(commonName)
  const keyId = keyIdentifier(publicKey.export({ type: 'spki', format: 'der' }))
  // Backdated like its leaves: a client whose clock is behind must not find the CA younger than they are.
  const notBefore = new Date(now.getTime() - BACKDATE_MS)
  return assembleCertificate({
    serial: randomSerial(),
    issuer: name,
    subject: name,
    notBefore,
    notAfter: new Date(now.getTime() + days * DAY_MS - 1000),
    publicKey,
    extensions: [
      caOfLeaves(),
      signsCertificates(),
      subjectKeyIdentifier(keyId),
      ...(constraints === undefined ? [] : [nameConstraints(constraints)]),
    ],
    signer,
  })
}

interface NewFile {
  readonly path: string
  readonly mode: number
  readonly text: string
}

/** @param made gets the path as soon as the file is ours to take back */
async function createFile({ path, mode, text }: NewFile, made: string[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'wx', mode)
    made.push(path)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle?.close()
  }
}

function creationProblem(error: unknown, { caCertificate, caKey }: CaFiles): string {
  const { code, path } = error as NodeJS.ErrnoException
  // A file in the way of the folder is EEXIST too.
  if (code === 'EEXIST' && (path === caCertificate || path === caKey)) {
    return `\`${path}\` is there already, and clients may trust it; move the old certificate and key away, or name other files with \`--certificate\` and \`--key\``
  }
  return `\`${path ?? 'the file'}\` cannot be written (${code ?? 'unknown error'})`
}
