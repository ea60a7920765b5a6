/**
 * Everything that is read from files for a config goes through one of these: what each file said (or why it could not be read) can
 * then be remembered, and said again in another process, whatever stands in the file by then.
 */
export type FileReads = <T>(file: string, read: () => Promise<T>) => Promise<T>

/** Reads, and remembers nothing. */
export const readNow: FileReads = (_file, read) => read()

/** What files said, by name. Values are plain data: they pass from process to process. */
export type RecordedReads = ReadonlyMap<string, unknown>

/** Reads, and puts what each file said into the map. */
export function recordReads(into: Map<string, unknown>): FileReads {
  return async (file, read) => {
    const said = await read()
    into.set(file, said)
    return said
  }
}

/** Says again what was recorded; a file that was not read then is a mistake of the gateway's own. */
export function replayReads(recorded: RecordedReads): FileReads {
  return async <T>(file: string): Promise<T> => {
    if (!recorded.has(file)) throw new Error(`${file} was not read when the config was loaded`)
    return recorded.get(file) as T
  }
}
