import { isMap, isScalar, type Node, type Pair, parseDocument } from 'yaml'

/**
 * The README's table of values, from `values.yaml` itself: each key with its default, and the comment above it that begins with
 * `--`. A mapping with such a comment is one row unless keys inside have comments of their own; `@default --` replaces a default
 * that is too long to show.
 */
export function valuesTable(yaml: string): string {
  const rows = rowsOf(parseDocument(yaml).contents, '')
  return ['| value | default | |', '|---|---|---|', ...rows].join('\n')
}

function rowsOf(node: Node | null, prefix: string): string[] {
  if (!isMap(node)) return []
  // The comment above the first key belongs to the mapping in the parser's eyes.
  return node.items.flatMap((pair, index) =>
    rowsOfPair(pair as Pair<Node, Node>, prefix, index === 0 ? node.commentBefore : null),
  )
}

function rowsOfPair({ key, value }: Pair<Node, Node>, prefix: string, inherited: string | null | undefined): string[] {
  const name = `${prefix}${isScalar(key) ? key.value : ''}`
  const { said, shown } = readComment(key.commentBefore ?? inherited ?? '')
  const inner = isMap(value) && value.items.length > 0 ? rowsOf(value, `${name}.`) : []
  const documented = inner.some((row) => !row.endsWith('|  |')) || said === ''
  const own = `| \`${name}\` | ${shown ?? code(JSON.stringify(value?.toJSON()))} | ${said.replaceAll('|', '\\|')} |`
  if (inner.length === 0) return [own]
  if (!documented) return [own]
  return said === '' ? inner : [own, ...inner]
}

function readComment(comment: string): { readonly said: string; readonly shown: string | undefined } {
  const lines = comment.split('\n').map((line) => line.trim())
  const from = lines.findLastIndex((line) => line.startsWith('-- '))
  if (from < 0) return { said: '', shown: undefined }
  const shown = lines.find((line) => line.startsWith('@default -- '))?.slice('@default -- '.length)
  const said = lines.slice(from).filter((line) => !line.startsWith('@'))
  return { said: said.join(' ').slice(3), shown }
}

function code(json: string): string {
  return `\`${json.replaceAll('|', '\\|')}\``
}
