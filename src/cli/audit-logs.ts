import { createReadStream } from 'node:fs'
import type { AuditRecord } from '../core/audit-record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { printable } from '../io/config/load.ts'
import { CompressedLog, type ReadTally, readAuditLog } from '../io/telemetry/audit-reader.ts'
import { type CommandIo, counted } from './command-io.ts'

/** Bytes read from a file at once. */
const READ_BYTES = 262_144

/** Reads one log for a command; `-` is standard input. The error is a sentence. */
export async function readLog(
  file: string,
  command: string,
  onRecord: (record: AuditRecord, line: unknown) => void,
  { stdin }: CommandIo,
): Promise<Result<ReadTally, string>> {
  const chunks = file === '-' ? (stdin ?? []) : createReadStream(file, { highWaterMark: READ_BYTES })
  try {
    return ok(await readAuditLog(chunks as AsyncIterable<Uint8Array>, onRecord))
  } catch (error) {
    if (error instanceof CompressedLog)
      return err(`\`${file}\` is compressed; \`gzip -dc ${file} | sallyport ${command} -\` reads it`)
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    if (code === undefined) throw error
    return err(`cannot read \`${file}\`: ${code === 'ENOENT' ? 'there is no such file' : code}`)
  }
}

/** Says what of a log was passed over, if anything. */
export function reportUnread(file: string, { lines, broken, foreign, firstUnread }: ReadTally, { stderr }: CommandIo): void {
  if (firstUnread === undefined) return
  const kinds = [
    ...(broken > 0 ? [`${broken} broken`] : []),
    ...(foreign > 0 ? [`${foreign} ${foreign === 1 ? 'is' : 'are'} no audit event`] : []),
  ]
  const what = `${counted(broken + foreign, 'line')} of ${lines} passed over: ${kinds.join(', ')}`
  stderr.write(`${printable(file)}:${firstUnread}: ${what}; this is the first\n`)
}
