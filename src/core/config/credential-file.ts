import { err, ok, type Result } from '../result.ts'
import { USER_NAME } from './groups.ts'

/** One user and what the password is compared with. */
export interface CredentialRecord {
  readonly user: string
  /** scrypt's N, r and p (RFC 7914 section 2). */
  readonly cost: number
  readonly blockSize: number
  readonly parallelization: number
  /** Base64. */
  readonly salt: string
  readonly hash: string
  /** As it stands in the file: when it changes, whoever was let in by it is not any more. */
  readonly line: string
}

/** Users by name. */
export type Credentials = ReadonlyMap<string, CredentialRecord>

export interface CredentialFileProblem {
  /** From 1. */
  readonly line: number
  readonly message: string
}

/** What one check may take: a file of hashes must not be a way to stop the gateway. */
const MEMORY_BYTES_MAX = 268_435_456
const COST_MAX = 1_048_576
const PARALLELIZATION_MAX = 16
const USERS_MAX = 10_000

const LINE = /^([^:]*):scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/]{16,86}={0,2})\$([A-Za-z0-9+/]{43,86}={0,2})$/

/**
 * Reads `user:scrypt$N$r$p$salt$hash` lines; empty lines and those that begin with `#` are left out. Nothing of a line stands in a
 * message but its number: it may hold a password that somebody wrote there.
 */
export function parseCredentials(text: string): Result<Credentials, readonly CredentialFileProblem[]> {
  const users = new Map<string, CredentialRecord>()
  const problems: CredentialFileProblem[] = []
  for (const [index, written] of text.split('\n').entries()) {
    const line = written.trim()
    if (line === '' || line.startsWith('#')) continue
    const record = parseLine(line)
    if (typeof record === 'string') problems.push({ line: index + 1, message: record })
    else if (users.has(record.user)) problems.push({ line: index + 1, message: `the user \`${record.user}\` stands there twice` })
    else users.set(record.user, record)
  }
  if (users.size > USERS_MAX) problems.push({ line: 1, message: `${users.size} users are more than ${USERS_MAX}` })
  return problems.length > 0 ? err(problems) : ok(users)
}

function parseLine(line: string): CredentialRecord | string {
  const [, user = '', cost, blockSize, parallelization, salt = '', hash = ''] = LINE.exec(line) ?? []
  if (cost === undefined) return 'not `user:scrypt$N$r$p$salt$hash`; make lines with `sallyport credentials add`'
  if (!USER_NAME.test(user)) return 'a user is made of at most 64 letters, digits and `._@+-`'
  const record = {
    user,
    cost: Number(cost),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
    salt,
    hash,
    line,
  }
  const { cost: n, blockSize: r, parallelization: p } = record
  if (n < 2 || n > COST_MAX || (n & (n - 1)) !== 0 || r < 1 || p < 1)
    return 'scrypt wants a power of two for N, and r and p of at least 1'
  if (128 * n * r > MEMORY_BYTES_MAX || p > PARALLELIZATION_MAX)
    return `one check would take more than ${MEMORY_BYTES_MAX / 1_048_576} MiB or ${PARALLELIZATION_MAX} rounds; use smaller scrypt parameters`
  return record
}

export function formatCredential({ user, cost, blockSize, parallelization, salt, hash }: Omit<CredentialRecord, 'line'>): string {
  return `${user}:scrypt$${cost}$${blockSize}$${parallelization}$${salt}$${hash}`
}
