import type { Entry, Pattern } from '../policy/entry.ts'
import { formatHostPattern } from '../policy/host-pattern.ts'
import type { Policy } from '../policy/policy.ts'
import type { Exported } from './export-rule.ts'

const HEADINGS = [
  'action',
  'entry',
  'feature',
  'tenancy',
  'host',
  'ports',
  'protocol',
  'paths',
  'methods',
  'purpose',
  'source',
] as const

/** For spreadsheets, by RFC 4180: a line a pattern. */
export function csv(policy: Policy): Exported {
  const lines = [HEADINGS, ...rows(policy)].map((cells) => `${cells.map(csvCell).join(',')}\r\n`)
  return { text: lines.join(''), caveats: [] }
}

/** Spreadsheets take what begins with these for a formula; `*.example.com` is none. */
function csvCell(text: string): string {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}

/** For a change request or a wiki. */
export function markdown(policy: Policy): Exported {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |\n`
  const body = rows(policy).map((cells) =>
    line(cells.map((cell, index) => (isCode(index) && cell !== '' ? `\`${cell}\`` : cell))),
  )
  return { text: [line(HEADINGS), line(HEADINGS.map(() => '---')), ...body].join(''), caveats: [] }
}

/** Names and patterns, where Markdown would take a `*` for its own. */
function isCode(index: number): boolean {
  const heading = HEADINGS[index]
  return heading === 'entry' || heading === 'host' || heading === 'paths'
}

function rows(policy: Policy): string[][] {
  return policy.entries.flatMap((entry) => entry.patterns.map((pattern) => row(entry, pattern)))
}

function row(entry: Entry, { host, ports, protocol, paths, methods }: Pattern): string[] {
  const { source } = entry
  return [
    entry.mode === 'report' ? `${entry.action} (report)` : entry.action,
    entry.id,
    entry.feature ?? '',
    entry.tenancy ?? '',
    formatHostPattern(host),
    ports === 'any' ? 'any' : ports.join(' '),
    protocol ?? '',
    paths?.map(({ text }) => text).join(' ') ?? '',
    methods?.join(' ') ?? '',
    entry.purpose ?? '',
    source === undefined ? '' : `${source.edition} ${[...source.lines, ...(source.documents ?? [])].join(' ')}`.trim(),
  ]
}
