import { basename } from 'node:path'
import { byRisk } from '../core/policy/by-risk.ts'
import { describeEntry } from '../core/policy/describe.ts'
import type { Entry, Tenancy } from '../core/policy/entry.ts'
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
  readonly risk?: boolean
}

const COLUMNS: readonly Column[] = [
  { title: 'ENTRY (edition/feature/row), PATTERNS', leastCharacters: 39, whole: true },
  { title: 'TENANCY', leastCharacters: 9 },
  { title: 'SOURCE', leastCharacters: 14 },
  { title: 'PURPOSE', leastCharacters: 12 },
]

const RISK_COLUMNS: readonly Column[] = [
  { title: 'TENANCY', leastCharacters: 9 },
  { title: 'ENTRY, PATTERNS', leastCharacters: 39, whole: true },
  { title: 'WHO CAN RECEIVE DATA THERE', leastCharacters: 12, whole: true },
]

const UNPROXIED_COLUMNS: readonly Column[] = [
  { title: 'DOCUMENTED, NOT CARRIED', leastCharacters: 39, whole: true },
  { title: 'WHY', leastCharacters: 12 },
]

/**
 * Lists the policy: every entry that is on, parameters filled in, in order of precedence among equals or, with
 * `--risk`, the riskiest first; then what is documented and not carried.
 */
export async function entries({ config, json = false, risk = false, group }: EntriesOptions, io: CommandIo): Promise<number> {
  const loaded = await loadConfig(chosenConfig(config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const whose = groupAsked({ group }, undefined, loaded.value)
  if (!whose.ok) return refuseUsage(whose.error, io)
  const { policy: top, unproxied } = loaded.value.compiled
  const policy = whose.value === undefined || whose.value === 'unknown_client' ? top : whose.value.policy
  const listed = risk ? byRisk(policy.entries) : policy.entries
  if (json) {
    const described = listed.map((entry) => ({ ...describeEntry(entry), source: entrySource(entry, loaded.value) }))
    io.stdout.write(`${JSON.stringify(described, undefined, 2)}\n`)
    return EXIT.ok
  }
  const rows = listed.map((entry) => (risk ? riskRow(entry) : row(entry, loaded.value)))
  io.stdout.write(renderTable(risk ? RISK_COLUMNS : COLUMNS, rows, terminalColumns(io.stdout)))
  io.stdout.write(`\n${counted(listed.length, 'entry', 'entries')}\n`)
  const left = unproxied.map((documented): readonly Cell[] => [
    [documented.entryId, `  ${documented.protocol} ${documented.ports.join(', ')} to ${documented.destinations.join(', ')}`],
    documented.why,
  ])
  if (left.length > 0) io.stdout.write(`\n${renderTable(UNPROXIED_COLUMNS, left, terminalColumns(io.stdout))}`)
  return EXIT.ok
}

function row(entry: Entry, loaded: LoadedConfig): readonly Cell[] {
  const { tenancy, purpose, condition } = entry
  return [
    idAndPatterns(entry),
    tenancy ?? '',
    formatEntrySource(shortSource(entrySource(entry, loaded))),
    [purpose ?? '', ...(condition === undefined ? [] : [`condition: ${condition}`])],
  ]
}

function riskRow(entry: Entry): readonly Cell[] {
  const { action, tenancy, note } = entry
  if (action === 'deny') return ['-', idAndPatterns(entry), 'nobody: it is refused']
  return [tenancy ?? 'a rule', idAndPatterns(entry), note ?? WHO[tenancy ?? 'rule']]
}

const WHO: { readonly [T in Tenancy | 'rule']: string } = {
  any: 'other customers of the service, or anybody',
  rule: 'whoever is behind the hosts of your rule',
  yours: 'a resource that the config names',
  microsoft: 'Microsoft alone',
}

function idAndPatterns({ id, action, patterns, mode, quiet }: Entry): Cell {
  const refusal = action === 'deny' ? `deny${mode === 'report' ? ', report only' : ''}${quiet ? ', quiet' : ''}: ` : ''
  return [id, ...patterns.map((pattern) => `  ${refusal}${formatPattern(pattern)}`)]
}

/** In a table a file's own name is enough. */
function shortSource(source: EntrySource | undefined): EntrySource | undefined {
  return source !== undefined && 'file' in source ? { ...source, file: basename(source.file) } : source
}
