import { basename } from 'node:path'
import { describeEntry } from '../core/policy/describe.ts'
import type { Entry } from '../core/policy/entry.ts'
import { formatPattern } from '../core/policy/hints.ts'
import { type LoadedConfig, loadConfig } from '../io/config/load.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage, terminalColumns } from './command-io.ts'
import { type EntrySource, entrySource, formatEntrySource } from './entry-source.ts'
import { groupAsked } from './group-asked.ts'
import { chosenConfig } from './shipped-config.ts'
import { type Cell, type Column, renderTable } from './table.ts'

export interface EntriesOptions {
  readonly config?: string
  readonly json?: boolean
  readonly group?: string
}

const COLUMNS: readonly Column[] = [
  { title: 'ENTRY (edition/feature/row), PATTERNS', leastCharacters: 39, whole: true },
  { title: 'TENANCY', leastCharacters: 9 },
  { title: 'SOURCE', leastCharacters: 14 },
  { title: 'PURPOSE', leastCharacters: 12 },
]

/** Lists the policy: every entry that is on, parameters filled in, in order of precedence among equals. */
export async function entries({ config, json = false, group }: EntriesOptions, io: CommandIo): Promise<number> {
  const loaded = await loadConfig(chosenConfig(config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const whose = groupAsked({ group }, undefined, loaded.value)
  if (!whose.ok) return refuseUsage(whose.error, io)
  const { policy } = loaded.value.compiled
  const listed = (whose.value === undefined || whose.value === 'unknown_client' ? policy : whose.value.policy).entries
  if (json) {
    const described = listed.map((entry) => ({ ...describeEntry(entry), source: entrySource(entry, loaded.value) }))
    io.stdout.write(`${JSON.stringify(described, undefined, 2)}\n`)
    return EXIT.ok
  }
  const rows = listed.map((entry) => row(entry, loaded.value))
  io.stdout.write(renderTable(COLUMNS, rows, terminalColumns(io.stdout)))
  io.stdout.write(`\n${counted(listed.length, 'entry', 'entries')}\n`)
  return EXIT.ok
}

function row(entry: Entry, loaded: LoadedConfig): readonly Cell[] {
  const { id, action, patterns, tenancy, purpose, condition, mode, quiet } = entry
  const refusal = action === 'deny' ? `deny${mode === 'report' ? ', report only' : ''}${quiet ? ', quiet' : ''}: ` : ''
  return [
    [id, ...patterns.map((pattern) => `  ${refusal}${formatPattern(pattern)}`)],
    tenancy ?? '',
    formatEntrySource(shortSource(entrySource(entry, loaded))),
    [purpose ?? '', ...(condition === undefined ? [] : [`condition: ${condition}`])],
  ]
}

/** In a table a file's own name is enough. */
function shortSource(source: EntrySource | undefined): EntrySource | undefined {
  return source !== undefined && 'file' in source ? { ...source, file: basename(source.file) } : source
}
