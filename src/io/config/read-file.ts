import { type FileHandle, open } from 'node:fs/promises'
import { err, ok, type Result } from '../../core/result.ts'
import type { Place } from './located-problem.ts'

/** 1 MiB: thousands of rules. What is larger is some other file. */
export const CONFIG_BYTES_MAX = 1_048_576

export interface FileProblem {
  readonly place?: Place
  readonly message: string
}

export interface FileText {
  readonly text: string
  readonly bytes: Uint8Array
}

/**
 * Reads a whole text file: bounded, UTF-8 or nothing. Pipes are read too (`--config <(generate)`).
 *
 * @param bytesMax what is larger is refused
 */
export async function readText(file: string, bytesMax = CONFIG_BYTES_MAX): Promise<Result<FileText, FileProblem>> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'r')
    const found = await handle.stat()
    if (found.isDirectory()) return err({ message: SYSTEM_PROBLEMS.EISDIR })
    const bytes = await readBounded(handle, found.isFile() ? Math.min(found.size, bytesMax) : bytesMax, bytesMax)
    return bytes === undefined
      ? err({ message: `the file is larger than ${bytesMax} bytes, which no such file is` })
      : decode(bytes)
  } catch (error) {
    return err({ message: systemProblem(error) })
  } finally {
    await handle?.close()
  }
}

/**
 * Undefined when there is more than the limit.
 *
 * @param expected bytes that are most likely enough; a file that grows meanwhile is read with as many as may be
 */
async function readBounded(handle: FileHandle, expected: number, limit: number): Promise<Uint8Array | undefined> {
  let buffer = Buffer.alloc(expected + 1)
  let length = 0
  while (length <= limit) {
    if (length === buffer.length) buffer = Buffer.concat([buffer], limit + 1)
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) return Uint8Array.prototype.slice.call(buffer, 0, length)
    length += bytesRead
  }
  return undefined
}

function decode(bytes: Uint8Array): Result<FileText, FileProblem> {
  const start = { line: 1, column: 1 }
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    return err({ place: start, message: 'the file is UTF-16; save it as UTF-8' })
  try {
    return ok({ text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), bytes })
  } catch {
    return err({ place: firstBadPlace(bytes), message: 'the file is not UTF-8 from here on; save it as UTF-8' })
  }
}

/** Where the first replacement character comes out; one that was there before only makes the place too early. */
function firstBadPlace(bytes: Uint8Array): Place {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  const before = text.slice(0, text.indexOf('\ufffd')).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

const SYSTEM_PROBLEMS = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file: part of its path is not a folder',
  EACCES: 'the file may not be read; give this user the right to read it',
  EPERM: 'the file may not be read; give this user the right to read it',
  ELOOP: 'the file is a symbolic link that leads to itself',
  EISDIR: 'this is a folder; name a file in it',
  ENAMETOOLONG: 'there is no such file: the name is too long',
} as const satisfies Record<string, string>

function systemProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  const known: Readonly<Record<string, string>> = SYSTEM_PROBLEMS
  return known[code] ?? `the file cannot be read: ${code}`
}
