import { err, ok, type Result } from '../../core/result.ts'
import { readText } from './read-file.ts'

/** A token that can be guessed is none. */
const MIN_CHARACTERS = 16

/** The bearer token of the admin API: the one line of its file. */
export async function readAdminToken(file: string): Promise<Result<string, string>> {
  const read = await readText(file)
  if (!read.ok) return err(`\`${file}\`: ${read.error.message}`)
  const token = read.value.text.trim()
  if (!/^[\x21-\x7e]+$/.test(token))
    return err(`\`${file}\` does not hold one line of printable characters; make one with \`openssl rand -hex 32\``)
  if (token.length < MIN_CHARACTERS)
    return err(`the token in \`${file}\` has fewer than ${MIN_CHARACTERS} characters; make one with \`openssl rand -hex 32\``)
  return ok(token)
}
