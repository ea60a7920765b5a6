import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { TagFacts } from '../../core/azure/facts.ts'
import { readTagFile, ServiceTags, type TagFile } from '../../core/azure/tag-file.ts'
import type { TagSource } from '../../core/policy/compile.ts'
import type { Cloud } from '../../core/policy/entry.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { readText } from './read-file.ts'

/** 32 MiB: Microsoft's largest of 2026 has 4.6 MB. */
const TAG_FILE_BYTES_MAX = 33_554_432

export interface WantedTags {
  readonly cloud: Cloud
  readonly facts: TagFacts
  /** By name in lower case. */
  readonly isWanted: (name: string) => boolean
}

/** What a file says as far as anybody wants it: plain data, a few kilobytes where the file has megabytes. */
interface TagReading {
  readonly file: TagFile
  readonly publishedSeconds: number
}

/** Reads a file of service tags. The error is a sentence that begins with the file. */
export async function readTagSource(
  file: string,
  wanted: WantedTags,
  reads: FileReads = readNow,
): Promise<Result<TagSource, string>> {
  const read = await reads(file, () => readTags(file, wanted))
  if (!read.ok) return err(`\`${file}\` ${read.error}`)
  return ok({ tags: new ServiceTags(read.value.file), publishedSeconds: read.value.publishedSeconds })
}

async function readTags(file: string, { cloud, facts, isWanted }: WantedTags): Promise<Result<TagReading, string>> {
  const { page } = facts.clouds[cloud]
  const text = await readText(file, TAG_FILE_BYTES_MAX)
  if (!text.ok) return err(`cannot be used: ${text.error.message}; the file for cloud ${cloud} is at ${page}`)
  let json: unknown
  try {
    json = JSON.parse(text.value.text)
  } catch {
    const bytes = text.value.bytes.length
    return err(
      `is not whole: its ${bytes} bytes are no complete JSON, as after a download that broke off; get the file for cloud ${cloud} again from ${page}`,
    )
  }
  const found = readTagFile(json, cloud, facts, isWanted)
  return found.ok ? ok({ file: found.value, publishedSeconds: await publishedSeconds(file) }) : found
}

/** The day in the name that Microsoft gives the file (`ServiceTags_Public_20260720.json`); else when it was written here. */
async function publishedSeconds(file: string): Promise<number> {
  const day = /(?<![0-9])(20[0-9]{2})([01][0-9])([0-3][0-9])(?![0-9])/.exec(basename(file))
  const named = day === null ? Number.NaN : Date.parse(`${day[1]}-${day[2]}-${day[3]}T00:00:00Z`)
  if (!Number.isNaN(named)) return named / 1000
  return Math.floor((await stat(file)).mtimeMs / 1000)
}
