import { stat } from 'node:fs/promises'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { exposureOf } from '../tls/certificate-files.ts'
import { type FileProblem, readText } from './read-file.ts'

/** A secret that can be guessed is none. */
const MIN_CHARACTERS = 16

export interface Secret {
  readonly secret: string
  /** Who else can read the file, with what mends it: worth a warning. */
  readonly exposure: string | undefined
}

/**
 * A secret of the config: the one line of its file.
 *
 * @param noun what it is, for the message
 */
export async function readSecret(
  file: string,
  noun: 'token' | 'key',
  reads: FileReads = readNow,
): Promise<Result<Secret, string>> {
  const read = await reads(file, () => readSecretFile(file))
  if (!read.ok) return err(`\`${file}\`: ${read.error.message}`)
  const secret = read.value.text.trim()
  if (!/^[\x21-\x7e]+$/.test(secret))
    return err(`\`${file}\` does not hold one line of printable characters; make one with \`openssl rand -hex 32\``)
  if (secret.length < MIN_CHARACTERS)
    return err(`the ${noun} in \`${file}\` has fewer than ${MIN_CHARACTERS} characters; make one with \`openssl rand -hex 32\``)
  return ok({ secret, exposure: read.value.exposure })
}

/** `user:password`: what RFC 7617 lets both be, without the control characters that it forbids. */
const CREDENTIALS = /^[\x20-\x39\x3b-\x7e]+:[\x20-\x7e]*$/

/**
 * The credentials of somebody else's making: the one line `user:password` of a file. However short the password is, it is theirs.
 * Errors never repeat what is in the file.
 */
export async function readCredentials(file: string, reads: FileReads = readNow): Promise<Result<Secret, string>> {
  const read = await reads(file, () => readSecretFile(file))
  if (!read.ok) return err(`\`${file}\`: ${read.error.message}`)
  const secret = read.value.text.replace(/\r?\n$/, '')
  if (!CREDENTIALS.test(secret)) return err(`\`${file}\` does not hold one line \`user:password\` of printable ASCII`)
  return ok({ secret, exposure: read.value.exposure })
}

/** What belongs to one reading of the file, so that both are said again together. */
async function readSecretFile(
  file: string,
): Promise<Result<{ readonly text: string; readonly exposure: string | undefined }, FileProblem>> {
  const read = await readText(file)
  if (!read.ok) return read
  const stats = await stat(file).catch(() => undefined)
  return ok({ text: read.value.text, exposure: stats?.isFile() === true ? exposureOf(file, stats) : undefined })
}
