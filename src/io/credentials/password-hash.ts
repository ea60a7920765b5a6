import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { type CredentialRecord, formatCredential } from '../../core/config/credential-file.ts'

/**
 * scrypt at N=2^14, r=8, p=5: 16 MiB and about a fifth of a second. One of the equal choices of OWASP's password storage sheet, and
 * the one with the least memory that a pod can have several of at once.
 */
const PARAMETERS = { cost: 16_384, blockSize: 8, parallelization: 5 } as const
const SALT_BYTES = 16
const HASH_BYTES = 32

/** What one may type and remember; a longer one is something else. */
export const PASSWORD_BYTES_MAX = 1_024

/** The line of a user, with a salt of its own. */
export async function credentialLine(user: string, password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, HASH_BYTES, PARAMETERS)
  return formatCredential({ user, ...PARAMETERS, salt: salt.toString('base64'), hash: hash.toString('base64') })
}

/** Whether the password is the record's. Off the event loop, in libuv's threads. */
export async function isRight(record: CredentialRecord, password: string): Promise<boolean> {
  const expected = Buffer.from(record.hash, 'base64')
  const actual = await derive(password, Buffer.from(record.salt, 'base64'), expected.length, record)
  return timingSafeEqual(actual, expected)
}

type Parameters = Pick<CredentialRecord, 'cost' | 'blockSize' | 'parallelization'>

function derive(password: string, salt: Buffer, bytes: number, parameters: Parameters): Promise<Buffer> {
  const { cost, blockSize, parallelization } = parameters
  const options: ScryptOptions = { N: cost, r: blockSize, p: parallelization, maxmem: 256 * cost * blockSize + 1_048_576 }
  return new Promise((resolve, reject) =>
    scrypt(password, salt, bytes, options, (error, key) => (error === null ? resolve(key) : reject(error))),
  )
}
