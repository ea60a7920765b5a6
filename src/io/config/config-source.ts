import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { err, type Result } from '../../core/result.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import { digest } from './digest.ts'
import { findFiles, isPattern } from './include.ts'
import { type LoadedConfig, type LocatedProblem, loadConfig } from './load.ts'

/** A change comes in several events (an editor writes, renames, sets times): they are waited out. */
const SETTLE_MS = 200

/** Some file systems tell of no change at all. */
const POLL_MS = 10_000

/**
 * The config file and every file it names, loaded whole and watched for change. What counts is their content: Kubernetes swaps a
 * symbolic link two folders up, and an editor may write the same bytes again.
 */
export class ConfigSource {
  readonly file: string
  #files: readonly string[]
  #fingerprint = ''
  #watchers: FSWatcher[] = []
  #poll: NodeJS.Timeout | undefined
  #settle: NodeJS.Timeout | undefined
  #onChange: (() => void) | undefined
  /** It has said something, and been loaded. */
  #hadContent = false

  constructor(file: string) {
    this.file = file
    this.#files = [file]
  }

  async load(reads: FileReads = readNow): Promise<Result<LoadedConfig, readonly LocatedProblem[]>> {
    // Before the files are read: a change in the meantime is then seen as one.
    const before = await fingerprint(this.#files)
    const named = new Set(this.#files)
    const loaded = await loadConfig(this.file, (file, read) => {
      named.add(file)
      return reads(file, read)
    })
    // What does not load may be mended in any file that was looked into.
    const files = loaded.ok ? loaded.value.files : [...named]
    this.#fingerprint = sameFiles(files, this.#files) ? before : await fingerprint(files)
    this.#files = files
    if (this.#onChange !== undefined) this.#watchFolders()
    const isEmpty = loaded.ok && loaded.value.contentHash === NO_CONTENT
    if (isEmpty && this.#hadContent) return err([{ file: this.file, severity: 'error', message: EMPTIED }])
    if (loaded.ok) this.#hadContent = !isEmpty
    return loaded
  }

  /** Calls back when the content of any file has changed since it was last loaded. */
  watch(onChange: () => void): void {
    this.#onChange = onChange
    this.#watchFolders()
    this.#poll = setInterval(() => void this.#look(), POLL_MS)
    this.#poll.unref()
  }

  stop(): void {
    this.#onChange = undefined
    clearInterval(this.#poll)
    clearTimeout(this.#settle)
    for (const watcher of this.#watchers.splice(0)) watcher.close()
  }

  #watchFolders(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close()
    for (const folder of new Set(this.#files.map((file) => dirname(file)))) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#stir())
        // A folder that vanishes is looked for again at the next poll.
        watcher.on('error', () => watcher.close())
        this.#watchers.push(watcher)
      } catch {
        // Not there, or no more watches to be had: the poll sees to it.
      }
    }
  }

  #stir(): void {
    clearTimeout(this.#settle)
    this.#settle = setTimeout(() => void this.#look(), SETTLE_MS)
    this.#settle.unref()
  }

  async #look(): Promise<void> {
    const now = await fingerprint(this.#files)
    if (now === this.#fingerprint) return
    // Told once, also where the new content does not load.
    this.#fingerprint = now
    this.#onChange?.()
  }
}

/** Somebody writes it just now (`... > gateway.yaml`), or has lost it: the rules in force are better than none. */
const NO_CONTENT = digest('')
const EMPTIED = 'it is empty now, and was not before: taken for a file that is being written; to have no rules, write `rules: []`'

async function fingerprint(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(contentOf))).join(' ')
}

/** Of a pattern, which files it finds. */
async function contentOf(file: string): Promise<string> {
  if (isPattern(file)) return JSON.stringify(await findFiles(file, readNow))
  return readFile(file).then(digest, (error: NodeJS.ErrnoException) => error.code ?? 'unreadable')
}

function sameFiles(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index])
}
