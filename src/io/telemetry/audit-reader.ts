import { type AuditRecord, readAuditRecord } from '../../core/audit-record.ts'

/** A line of the gateway has a few KiB at most; whatever is longer is not ours, and is not kept while its end is looked for. */
const LINE_BYTES_MAX = 1_048_576

const NEWLINE = 0x0a

/** What was read, and what could not be. */
export interface ReadTally {
  lines: number
  /** Lines that are no JSON: cut off, or not of an audit log. */
  broken: number
  /** JSON, and no audit event. */
  foreign: number
  /** Number of the first line that is either; counts from 1. */
  firstUnread?: number
}

/** A compressed log was given where a plain one is read. */
export class CompressedLog extends Error {}

/**
 * Reads an audit log of any length line by line, in memory that does not grow with it. Lines that cannot be read are counted and
 * passed over: a log has a cut-off line wherever a disk was full.
 *
 * @param onRecord gets what the line tells, and the line itself as parsed JSON
 */
export async function readAuditLog(
  chunks: AsyncIterable<Uint8Array>,
  onRecord: (record: AuditRecord, line: unknown) => void,
): Promise<ReadTally> {
  const tally: ReadTally = { lines: 0, broken: 0, foreign: 0 }
  const readLine = (text: string) => {
    tally.lines++
    if (text.trim() === '') return
    const line = parse(text)
    const record = readAuditRecord(line)
    if (line === undefined) tally.broken++
    else if (record.kind === 'foreign') tally.foreign++
    else return onRecord(record, line)
    tally.firstUnread ??= tally.lines
  }
  let rest: Uint8Array[] = []
  let restBytes = 0
  let isStart = true
  for await (const chunk of chunks) {
    if (isStart && chunk[0] === 0x1f && chunk[1] === 0x8b) throw new CompressedLog()
    isStart = false
    const end = chunk.lastIndexOf(NEWLINE)
    if (end >= 0) {
      const lines = Buffer.concat([...rest, chunk.subarray(0, end)])
        .toString('utf8')
        .split('\n')
      for (const line of lines) readLine(line)
      rest = []
      restBytes = 0
    }
    const tail = chunk.subarray(end + 1)
    restBytes += tail.length
    // Too long to be a line of ours: of what follows only its end matters, and the little that is kept is no JSON.
    if (restBytes <= LINE_BYTES_MAX) rest.push(tail)
  }
  if (restBytes > 0) readLine(Buffer.concat(rest).toString('utf8'))
  return tally
}

/** Undefined where it is no JSON, which never says undefined. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
