import { createHash } from 'node:crypto'

/** Hexadecimal digits of a short hash: enough to tell the policies of one gateway apart, short enough to read aloud. */
const DIGEST_CHARACTERS = 12

/** A short name for a text or a file: the first digits of its SHA-256. It tells versions apart and proves nothing. */
export function digest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, DIGEST_CHARACTERS)
}
