import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  parseDocument,
  visit,
} from 'yaml'
import { quote } from '../../core/names/quote.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Place } from './located-problem.ts'
import { type SyntaxProblem, syntaxProblem } from './yaml-syntax.ts'

/**
 * The one door to YAML. What comes through is plain: mappings, lists, text, numbers, `true`, `false` and null, with a place
 * for every one of them. What YAML offers beyond that and an operator would stumble over (tags, merge keys, a second document,
 * other versions' `yes` and `no`) is refused by name instead of being read in a way nobody meant.
 */

export interface YamlProblem {
  readonly place: Place
  readonly message: string
}

type Path = readonly (string | number)[]

export interface YamlSource {
  /** The plain value; null for an empty file. */
  readonly value: unknown
  /** Where the key or the value at the path begins. For what is not in the file: the nearest that is. */
  readonly locate: (path: Path, at: 'key' | 'value') => Place
  /** A scalar as it is written in the file, without quotes; undefined for anything else. */
  readonly written: (path: Path) => string | undefined
}

/** Aliases count what they stand for: a file of a few lines may not become millions of values. */
const ALIASES_MAX = 100

/** Open mappings and lists, each of which is two or three of the parser's own levels. The schema has five. */
const PARSER_LEVELS_MAX = 200

/** More syntax errors than this are echoes of the first ones. */
const SYNTAX_PROBLEMS_MAX = 10

export function readYaml(text: string): Result<YamlSource, readonly YamlProblem[]> {
  const lines = new LineCounter()
  const placeOf = (offset: number): Place => placeAt(lines, offset)
  const refuse = (problems: readonly SyntaxProblem[]) =>
    err(problems.slice(0, SYNTAX_PROBLEMS_MAX).map(({ offset, message }) => ({ place: placeOf(offset), message })))

  // First of all: the parser recurses, and at a hundred thousand brackets V8 ends the whole process (nothing to catch).
  const tooDeep = placeTooDeep(text)
  if (tooDeep !== undefined) return err([{ place: tooDeep, message: 'this is nested too deeply' }])
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2', schema: 'core', merge: false })
  const unreadable = [
    ...unreadableCharacters(text),
    ...[...document.errors, ...document.warnings].map((error) => syntaxProblem(error, text)),
  ]
  if (unreadable.length > 0) return refuse(distinct(unreadable))
  const unwanted = [...unwantedVersion(document), ...unwantedNodes(document)]
  if (unwanted.length > 0) return refuse(unwanted)

  try {
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX })
    return ok({ value, locate: (path, at) => placeOf(offsetOf(document, path, at)), written: (path) => written(document, path) })
  } catch (error) {
    // Every alias is known to resolve, so what is left is the limit.
    if (error instanceof ReferenceError) return refuse([{ offset: firstAlias(document), message: TOO_MANY_ALIASES }])
    throw error
  }
}

/** For files that come with the package, whose own tests hold them. Throws an Error that lists what is wrong. */
export function readShippedYaml(text: string, file: string): unknown {
  const source = readYaml(text)
  if (source.ok) return source.value.value
  throw new Error(source.error.map(({ place, message }) => `${file}:${place.line}:${place.column}: ${message}`).join('\n'))
}

const TOO_MANY_ALIASES = 'the aliases (`*name`) stand for too much; write the values out'

/** Where the text goes deeper than any config does. The lexer and this parser keep a stack of their own and never recurse. */
function placeTooDeep(text: string): Place | undefined {
  const lines = new LineCounter()
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme));
    if (parser.stack.length > PARSER_LEVELS_MAX) return placeAt(lines, parser.offset)
  }
  return undefined
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

/** YAML 1.2 section 5.1: control characters are no part of a YAML text. The library lets them through. */
function unreadableCharacters(text: string): SyntaxProblem[] {
  if (text.startsWith('\ufeff'))
    return [{ offset: 0, message: 'the file begins with a byte order mark; save it as UTF-8 without one' }]
  const at = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/)
  return at < 0 ? [] : [{ offset: at, message: `the file has a control character here (${quote(text.charAt(at))}); take it out` }]
}

function distinct(problems: readonly SyntaxProblem[]): SyntaxProblem[] {
  const sorted = problems.toSorted((a, b) => a.offset - b.offset)
  return sorted.filter(({ offset }, index) => index === 0 || offset !== sorted[index - 1]?.offset)
}

/** `%YAML 1.1` would make `yes` true and `010` eight. */
function unwantedVersion(document: Document): SyntaxProblem[] {
  const { version } = document.directives?.yaml ?? {}
  if (version === undefined || version === '1.2') return []
  return [{ offset: 0, message: `YAML ${version} is not read; take the \`%YAML\` line out` }]
}

function unwantedNodes(document: Document): SyntaxProblem[] {
  const found: SyntaxProblem[] = []
  visit(document, {
    Pair: (_, pair) => {
      found.push(...unwantedKey(pair))
    },
    Alias: (_, alias) => {
      found.push(...unwantedAlias(document, alias))
    },
    Node: (_, node) => {
      if (!isAlias(node) && node.tag !== undefined && !PLAIN_TAGS.has(node.tag))
        found.push({ offset: startOf(node), message: `the tag ${quote(node.tag)} has no meaning here; leave it out` })
    },
  })
  return found
}

const PLAIN_TAGS = new Set(['map', 'seq', 'str', 'int', 'float', 'bool', 'null'].map((name) => `tag:yaml.org,2002:${name}`))

function unwantedKey({ key }: Pair): SyntaxProblem[] {
  const offset = isNode(key) ? startOf(key) : 0
  if (!isScalar(key)) return [{ offset, message: 'a key is one word; write `key: value`' }]
  if (key.value === null) return [{ offset, message: 'a key is missing here; write `key: value`' }]
  if (key.value === '<<') return [{ offset, message: 'merge keys (`<<`) are not read; write the keys out' }]
  // As an object's key it means something else in JavaScript, and it is no setting.
  if (key.value === '__proto__') return [{ offset, message: 'unknown key `__proto__`' }]
  return []
}

function unwantedAlias(document: Document, alias: Alias): SyntaxProblem[] {
  const offset = startOf(alias)
  const target = alias.resolve(document)
  if (target === undefined) {
    const pattern = quote(`*${alias.source}`)
    return [
      {
        offset,
        message: `${pattern} is read as a YAML alias; to mean the text, put it in quotes: "*${printableName(alias.source)}"`,
      },
    ]
  }
  const end = target.range?.[2] ?? 0
  return offset < end ? [{ offset, message: `${quote(`*${alias.source}`)} stands for something that contains itself` }] : []
}

function printableName(name: string): string {
  return quote(name).slice(1, -1)
}

function firstAlias(document: Document): number {
  let offset = 0
  visit(document, {
    Alias: (_, alias) => {
      offset = startOf(alias)
      return visit.BREAK
    },
  })
  return offset
}

/** What a path leads to: as far as the file has it. */
interface Found {
  readonly key: Node | undefined
  readonly value: Node | undefined
  /** Whether the whole path is in the file. */
  readonly whole: boolean
}

function find(document: Document, path: Path): Found {
  let key: Node | undefined
  let value: Node | undefined = document.contents ?? undefined
  for (const step of path) {
    const next = child(isAlias(value) ? value.resolve(document) : value, step)
    if (next === undefined) return { key, value, whole: false }
    ;({ key, value } = next)
  }
  return { key, value, whole: true }
}

function child(node: Node | undefined, step: string | number): { key: Node | undefined; value: Node | undefined } | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(step)]
    return isNode(item) ? { key: undefined, value: item } : undefined
  }
  if (!isMap(node)) return undefined
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
  if (pair === undefined) return undefined
  return { key: isNode(pair.key) ? pair.key : undefined, value: isNode(pair.value) ? pair.value : undefined }
}

/** A value that is missing is shown at its key, and so is whatever should stand under a key and does not. */
function offsetOf(document: Document, path: Path, at: 'key' | 'value'): number {
  const { key, value, whole } = find(document, path)
  if (!whole && key === undefined && value === document.contents) return 0
  const wantsKey = at === 'key' || !whole || value === undefined || isUnwritten(value)
  return startOf((wantsKey ? (key ?? value) : value) ?? undefined)
}

/** `rules:` with nothing after it. */
function isUnwritten(node: Node): boolean {
  return isScalar(node) && node.value === null && (node.range?.[0] ?? 0) === (node.range?.[1] ?? 0)
}

function written(document: Document, path: Path): string | undefined {
  const { value, whole } = find(document, path)
  return whole && isScalar(value) ? (value.source ?? String(value.value)) : undefined
}

function startOf(node: Node | undefined): number {
  return node?.range?.[0] ?? 0
}
