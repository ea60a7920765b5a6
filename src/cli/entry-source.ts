import type { Entry } from '../core/policy/entry.ts'
import type { LoadedConfig } from '../io/config/load.ts'

/** Where an entry comes from: lines of the published document, names of the edition's pages, or a line of the config file. */
export type EntrySource =
  | { readonly edition: string; readonly lines: readonly number[]; readonly documents?: readonly string[] }
  | { readonly file: string; readonly line: number }

export function entrySource(entry: Entry, { rulePlaces }: LoadedConfig): EntrySource | undefined {
  return entry.source ?? rulePlaces.get(entry.id)
}

/** `line 150`, `lines 150, 254`, `firewall, training` or `config/gateway.yaml:31`. The edition is told by the entry's id. */
export function formatEntrySource(source: EntrySource | undefined): string {
  if (source === undefined) return ''
  if ('file' in source) return `${source.file}:${source.line}`
  if (source.lines.length === 0) return source.documents?.join(', ') ?? ''
  return `${source.lines.length === 1 ? 'line' : 'lines'} ${source.lines.join(', ')}`
}
