import { readFileSync } from 'node:fs'

/**
 * A page that people write, with blocks in it that are made from the program. A block stands between two comments:
 *
 *     <!-- generated: reasons -->
 *     <!-- end of generated: reasons -->
 */

/** Tables by the name of their block. */
export type DocBlocks = Readonly<Record<string, string>>

/** The page as it is, with each block as it should be. Throws when a block has no place in the page. */
export function pageWithBlocks(page: URL, blocks: DocBlocks): string {
  let text = readFileSync(page, 'utf8')
  for (const [name, block] of Object.entries(blocks)) {
    const opening = `<!-- generated: ${name} -->\n`
    const closing = `<!-- end of generated: ${name} -->\n`
    const start = text.indexOf(opening)
    const end = text.indexOf(closing)
    if (start < 0 || end < start) throw new Error(`${page.pathname} has no place for the block \`${name}\``)
    text = `${text.slice(0, start + opening.length)}${block}${text.slice(end)}`
  }
  return text
}

/** A Markdown table; a `|` inside a cell would end it. */
export function markdownTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return [headings, headings.map(() => '---'), ...rows].map(line).join('')
}

/** `text` as Markdown shows it literally. */
export function code(text: string): string {
  return `\`${text}\``
}
