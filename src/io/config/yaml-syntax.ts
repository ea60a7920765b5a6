import { quote } from '../../core/names/quote.ts'

/** What the YAML parser says of a text, of which only this much is used. */
interface ParserError {
  readonly code: string
  readonly message: string
  readonly pos: readonly [number, number]
}

export interface SyntaxProblem {
  /** In UTF-16 units from the beginning of the text. */
  readonly offset: number
  readonly message: string
}

/** The parser's errors in the words of somebody who writes a config file, with what to do. */
const MESSAGES: Readonly<Record<string, (text: string, error: ParserError) => string>> = {
  ALIAS_PROPS: () => 'an alias (`*name`) stands alone; to mean the text, put it in quotes',
  BAD_ALIAS: () => '`*` begins an alias; to mean the text, put it in quotes',
  BAD_DIRECTIVE: () => 'a line that begins with `%` is a directive, and none is read here; take it out',
  BAD_DQ_ESCAPE: (_, { message }) =>
    `${quote(/\\.*/s.exec(message)?.[0] ?? '\\')} is no escape in double quotes; use single quotes`,
  BAD_INDENT: (_, { message }) =>
    /flow/i.test(message) ? `${openBracket(message)} is not closed; close it, or indent the lines inside` : BAD_INDENT,
  BAD_PROP_ORDER: () => 'anchors and tags have no place here; leave them out',
  BAD_SCALAR_START: (text, { pos }) => `a value cannot begin with ${quote(text.charAt(pos[0]))}; put it in quotes`,
  BLOCK_AS_IMPLICIT_KEY: () =>
    'a value with `: ` in it, or lines indented under a value; put the value in quotes, or the lines under a key of their own',
  BLOCK_IN_FLOW: () => 'inside `[...]` and `{...}` there is no indented block; write all of it with brackets, or none',
  DUPLICATE_KEY: (text, { pos }) => `the key ${quote(keyAt(text, pos[0]))} is here twice; keep one`,
  KEY_OVER_1024_CHARS: () => 'a key is longer than 1024 characters',
  MISSING_CHAR: (_, { message }) => missingCharacter(message),
  MULTILINE_IMPLICIT_KEY: () => 'a key goes over several lines; is a `:` or the space after it missing, or an indentation wrong?',
  MULTIPLE_ANCHORS: () => 'a value has two anchors; leave them out',
  MULTIPLE_DOCS: () => 'a second document begins here; a config file is one document, so take the `---` out',
  MULTIPLE_TAGS: () => 'a value has two tags; leave them out',
  RESOURCE_EXHAUSTION: () => 'this is nested too deeply',
  TAB_AS_INDENT: () => 'a tab indents this line; use spaces',
  TAG_RESOLVE_FAILED: (text, { pos }) =>
    `the tag ${quote(text.slice(pos[0], pos[1]))} has no meaning here; leave it out, or put the value in quotes`,
  UNEXPECTED_TOKEN: () => 'this does not belong here; put the value in quotes, or look at the indentation',
}

const BAD_INDENT = 'this line is indented differently from its neighbours'

/** Never throws: a code that is new to this table is shown in the parser's own words. */
export function syntaxProblem(error: ParserError, text: string): SyntaxProblem {
  const [offset] = error.pos
  const message = MESSAGES[error.code]?.(text, error) ?? `this is not valid YAML: ${firstLine(error.message)}`
  return { offset: Math.min(offset, text.length), message }
}

/** The parser gives only where a key begins. */
function keyAt(text: string, offset: number): string {
  return /^(?:"[^"\n]*"|'[^'\n]*'|[^\s:,{}[\]]+)/.exec(text.slice(offset, offset + 128))?.[0] ?? ''
}

function openBracket(message: string): string {
  return message.includes(']') ? '`[`' : '`{`'
}

/** The parser has one code for everything that should be there and is not; what it is stands in its sentence. */
const MISSING: readonly (readonly [about: RegExp, message: string])[] = [
  [/quote$/, 'a quote is opened and not closed before here'],
  [/Implicit map keys/, 'a key without its `:`; write `key: value`'],
  [/^Sequence item/, 'an item of this list does not begin with `- `'],
  [/^Comments must/, 'a comment needs a space before its `#`; to mean the text, put it in quotes'],
  [/^Missing space after/, 'a space is missing after `:`'],
  [/^Missing , /, 'a `,` is missing between two items'],
  [/end with a \]/, 'a `]` is missing'],
  [/end with a \}/, 'a `}` is missing'],
  [/directives-end/, 'a line that begins with `%` is a directive, and none is read here; take it out'],
]

function missingCharacter(message: string): string {
  return MISSING.find(([about]) => about.test(message))?.[1] ?? `this is not valid YAML: ${firstLine(message)}`
}

function firstLine(message: string): string {
  const line = message.split('\n', 1)[0] ?? ''
  return line.charAt(0).toLowerCase() + line.slice(1).replace(/\.$/, '')
}
