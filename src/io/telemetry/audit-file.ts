import { close, constants, fstat, open } from 'node:fs'

export interface OpenFile {
  readonly fd: number
  /** And no pipe, terminal or device. */
  readonly isFile: boolean
}

/** The file may be a named pipe or `/dev/stdout`: these must not block either. A regular file does not care. */
const OPEN_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/** Opens for appending; `-` is standard output. Throws what the file system says. */
export async function openFile(file: string): Promise<OpenFile> {
  const fd = await descriptorOf(file)
  return new Promise((resolve) => fstat(fd, (error, found) => resolve({ fd, isFile: error === null && found.isFile() })))
}

async function descriptorOf(file: string): Promise<number> {
  if (file === '-') {
    // Reading the property is what puts a pipe into non-blocking mode. Otherwise a write to a stalled one would hold a thread
    // of libuv's pool, and with it the end of the process, for as long as nobody reads.
    void process.stdout
    return 1
  }
  return new Promise<number>((resolve, reject) => {
    open(file, OPEN_FLAGS, 0o640, (error, fd) => (error ? reject(error) : resolve(fd)))
  })
}

/** Standard output stays open: it is the process's, not ours. */
export function closeFile(fd: number | undefined): void {
  if (fd !== undefined && fd !== 1) close(fd, () => {})
}
