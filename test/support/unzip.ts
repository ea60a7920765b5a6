import { inflateRawSync } from 'node:zlib'

/** ZIP's own numbers, PKWARE APPNOTE 6.3.10. */
const END_SIGNATURE = 0x06054b50
const END_BYTES = 22
const ENTRY_SIGNATURE = 0x02014b50
const DEFLATED = 8

/** One file out of a ZIP archive, so that no `unzip` needs to be installed. Not for archives of more than 4 GiB. */
export function unzipEntry(archive: Buffer, name: string): Buffer {
  let end = archive.length - END_BYTES
  while (end >= 0 && archive.readUInt32LE(end) !== END_SIGNATURE) end--
  if (end < 0) throw new Error('not a ZIP archive')
  let at = archive.readUInt32LE(end + 16)
  while (archive.readUInt32LE(at) === ENTRY_SIGNATURE) {
    const nameBytes = archive.readUInt16LE(at + 28)
    const entry = archive.toString('utf8', at + 46, at + 46 + nameBytes)
    if (entry === name) return content(archive, at)
    at += 46 + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32)
  }
  throw new Error(`no \`${name}\` in the archive`)
}

function content(archive: Buffer, entry: number): Buffer {
  const local = archive.readUInt32LE(entry + 42)
  const from = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
  const bytes = archive.subarray(from, from + archive.readUInt32LE(entry + 20))
  return archive.readUInt16LE(entry + 10) === DEFLATED ? inflateRawSync(bytes) : bytes
}
