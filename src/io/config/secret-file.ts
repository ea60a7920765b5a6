import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { readText } from './read-file.ts'

/** A secret that can be guessed is none. */
const MIN_CHARACTERS = 16

/**
 * A secret of the config: the one line of its file.
 *
 * @param noun what it is, for the message
 */
export async function readSecret(
  file: string,
  noun: 'token' | 'key',
  reads: FileReads = readNow,
): Promise<Result<string, string>> {
  const read = await reads(file, () => readText(file))
  if (!read.ok) return err(`\`${file}\`: ${read.error.message}`)
  const secret = read.value.text.trim()
  if (!/^[\x21-\x7e]+$/.test(secret))
    return err(`\`${file}\` does not hold one line of printable characters; make one with \`openssl rand -hex 32\``)
  if (secret.length < MIN_CHARACTERS)
    return err(`the ${noun} in \`${file}\` has fewer than ${MIN_CHARACTERS} characters; make one with \`openssl rand -hex 32\``)
  return ok(secret)
}
