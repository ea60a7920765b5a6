/** A cell of one line, or of several: what is listed one below the other. */
export type Cell = string | readonly string[]

export interface Column {
  readonly title: string
  /** Narrower than this it says nothing; the default is its title. */
  readonly leastCharacters?: number
  /** Never cut where nobody's terminal sets the limit: what programs search for. */
  readonly whole?: boolean
}

/** The width of what is not a terminal. */
const DEFAULT_COLUMNS = 100
const GAP = 2
const CUT = '…'

/**
 * A table no wider than the terminal: the widest columns give way first, and what does not fit ends in `…`. Into a pipe or a
 * file, columns that are `whole` stay so, even if lines become longer. What has nothing to its right runs on into that room.
 *
 * @param columns characters in a line of the terminal; undefined where it is none
 */
export function renderTable(
  headings: readonly Column[],
  rows: readonly (readonly Cell[])[],
  columns: number | undefined,
): string {
  const lines = [headings.map(({ title }) => title), ...rows.flatMap(linesOf)]
  const natural = headings.map((_, column) => Math.max(...lines.map((line) => neededWidth(line, column))))
  const least = headings.map(({ title, leastCharacters, whole }, column) => {
    const needed = natural[column] ?? 0
    return whole && columns === undefined ? needed : Math.min(needed, leastCharacters ?? length(title))
  })
  const available = (columns ?? DEFAULT_COLUMNS) - GAP * (headings.length - 1)
  const widths = shrunk(natural, least, available)
  const uncut = headings.map(({ whole }) => whole === true && columns === undefined)
  return lines.map((line) => `${cut(fittedLine(line, widths, uncut), columns ?? Number.POSITIVE_INFINITY)}\n`).join('')
}

/** A row as lines with one text for each column. */
function linesOf(row: readonly Cell[]): readonly (readonly string[])[] {
  const cells = row.map((cell) => (typeof cell === 'string' ? [cell] : cell))
  const height = Math.max(...cells.map((cell) => cell.length))
  return Array.from({ length: height }, (_, line) => cells.map((cell) => cell[line] ?? ''))
}

/** What runs on into empty room does not make its column wider, unless there is no room: the last column. */
function neededWidth(line: readonly string[], column: number): number {
  const runsOn = column < line.length - 1 && lastFilled(line) <= column
  return runsOn ? 0 : length(line[column] ?? '')
}

function lastFilled(line: readonly string[]): number {
  return line.findLastIndex((text) => text !== '')
}

/** Takes from the widest column until all fit, or none can give more. */
function shrunk(natural: readonly number[], least: readonly number[], available: number): readonly number[] {
  const widths = [...natural]
  let excess = total(widths) - available
  while (excess > 0) {
    const room = widths.map((width, i) => (width > (least[i] ?? width) ? width : 0))
    const widest = room.indexOf(Math.max(...room))
    if ((room[widest] ?? 0) === 0) break
    widths[widest] = (widths[widest] ?? 0) - 1
    excess--
  }
  return widths
}

function fittedLine(line: readonly string[], widths: readonly number[], uncut: readonly boolean[]): string {
  const last = lastFilled(line)
  const cells = line.slice(0, last + 1).map((text, column) => {
    if (column < last) return fitted(text, widths[column] ?? 0)
    if (uncut[column]) return text
    return fitted(text, total(widths.slice(column)) + GAP * (widths.length - column - 1))
  })
  return cells.join(' '.repeat(GAP)).trimEnd()
}

function fitted(text: string, width: number): string {
  return cut(text, width) + ' '.repeat(Math.max(0, width - length(text)))
}

function cut(text: string, width: number): string {
  const characters = [...text]
  return characters.length > width ? `${characters.slice(0, Math.max(0, width - 1)).join('')}${CUT}` : text
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0)
}

function length(text: string): number {
  return [...text].length
}
