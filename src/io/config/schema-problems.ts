import { NOT_AVAILABLE_YET } from '../../core/config/not-available-yet.ts'
import { configSchema } from '../../core/config.ts'
import { quote } from '../../core/names/quote.ts'
import { didYouMean, type Problem, problem } from '../../core/problem.ts'
import type { z } from '../../core/schema.ts'
import { keysAt, parentsOf } from './schema-shape.ts'

/** Puts what the schema finds into words: the place, what is wrong, and what to write instead. */

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** A scalar at a path as it is written in the file. */
export type Written = (path: Path) => string | undefined

/**
 * Needs issues that carry their input (`reportInput: true`).
 *
 * @param schema what the issues are against
 */
export function schemaProblems(issues: readonly Issue[], written: Written, schema: z.ZodType = configSchema): Problem[] {
  const found = issues.flatMap((issue) => problemsOf(issue, [], written, schema))
  // `host` for `hosts` is one mistake: that `hosts` is missing need not be said beside it.
  return found
    .filter(({ missing }) => missing === undefined || !found.some(({ meant }) => meant !== undefined && missing.includes(meant)))
    .map(({ problem }) => problem)
}

interface Finding {
  readonly problem: Problem
  /** The required key that is not there, or the keys of which none is, as paths in text. */
  readonly missing?: readonly string[]
  /** The key that an unknown one was most likely meant to be, likewise. */
  readonly meant?: string
}

function problemsOf(issue: Issue, above: Path, written: Written, schema: z.ZodType): readonly Finding[] {
  const path: Path = [...above, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(path, key, schema))
    case 'invalid_union':
      return branchOf(issue).flatMap((inner) => problemsOf(inner, path, written, schema))
    case 'invalid_key':
      return issue.issues.flatMap((inner) => problemsOf(inner, path, written, schema)).map(atKey)
    case 'invalid_type':
      return [
        {
          problem: problem(path, wrongType(path, issue, written)),
          ...(issue.input === undefined && { missing: [path.join('.')] }),
        },
      ]
    case 'custom':
      return [{ problem: problem(path, issue.message), ...missingOf(issue, path) }]
    default:
      return [{ problem: problem(path, wrongContent(path, issue, written)) }]
  }
}

/** A check of ours that wants one of several keys names them. */
function missingOf({ params }: Extract<Issue, { code: 'custom' }>, path: Path): Pick<Finding, 'missing'> {
  const keys: unknown = params?.missing
  return Array.isArray(keys) ? { missing: keys.map((key) => [...path, String(key)].join('.')) } : {}
}

function atKey(finding: Finding): Finding {
  return { ...finding, problem: { ...finding.problem, at: 'key' } }
}

function wrongContent(path: Path, issue: Issue, written: Written): string {
  switch (issue.code) {
    case 'invalid_value':
      return wrongValue(path, issue.values, issue.input, written)
    case 'invalid_format':
      return issue.input === '' ? `${subject(path)} is empty` : `${quote(String(issue.input))}: ${issue.message}`
    case 'too_small':
      return tooSmall(path, issue, written)
    case 'too_big':
      return tooBig(path, issue, written)
    default:
      return `${subject(path)} is not valid: ${issue.message.toLowerCase()}`
  }
}

/** Of a value that can be written in two ways, what is wrong with the way that was meant: a mapping or text, a number or a word. */
function branchOf(issue: Extract<Issue, { code: 'invalid_union' }>): readonly Issue[] {
  const mapping = typeof issue.input === 'object' && issue.input !== null
  const branches: readonly (readonly Issue[])[] = issue.errors
  const words = branches.find((branch) => branch.every(({ code, path }) => code === 'invalid_value' && path.length === 0))
  if (words !== undefined && typeof issue.input === 'string' && !/^\d+$/.test(issue.input)) return words
  const meant = branches.find((branch) => branch.every((inner) => !isOfOtherType(inner, mapping)))
  return meant ?? branches[0] ?? []
}

function isOfOtherType(issue: Issue, mapping: boolean): boolean {
  return issue.code === 'invalid_type' && issue.path.length === 0 && (issue.expected === 'object') !== mapping
}

function unknownKey(above: Path, key: string, schema: z.ZodType): Finding {
  const path = [...above, key]
  if (isPlanned(path)) return atKey({ problem: problem(path, `${quote(key)} is not available yet`) })
  const valid = keysAt(schema, above)
  const nearest = didYouMean(key, valid)
  const remedy = nearest === undefined ? whereElse(key, valid, schema) : `; did you mean \`${nearest}\`?`
  const finding = atKey({ problem: problem(path, `unknown key ${quote(key)}${remedy}`) })
  return nearest === undefined ? finding : { ...finding, meant: [...above, nearest].join('.') }
}

function whereElse(key: string, valid: readonly string[], schema: z.ZodType): string {
  const [elsewhere, ...others] = parentsOf(schema, key)
  if (elsewhere === undefined || others.length > 0)
    return `; there ${valid.length === 1 ? 'is' : 'are'} ${valid.map((one) => `\`${one}\``).join(', ')}`
  return ` here; it belongs ${elsewhere === '' ? 'at the top of the file' : `in \`${elsewhere}\``}`
}

/** Patterns of `NOT_AVAILABLE_YET`: a `*` stands for one key or index. */
function isPlanned(path: Path): boolean {
  return NOT_AVAILABLE_YET.some((pattern) => {
    const steps = pattern.split('.')
    return steps.length === path.length && steps.every((step, index) => step === '*' || step === String(path[index]))
  })
}

const NOUNS: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'a mapping (`key: value`)',
  record: 'a mapping (`key: value`)',
  array: 'a list',
  boolean: '`true` or `false`',
  number: 'a number',
  int: 'a whole number',
}

function wrongType(path: Path, issue: Extract<Issue, { code: 'invalid_type' }>, written: Written): string {
  const { expected, input } = issue
  const wanted = NOUNS[expected] ?? expected
  if (input === undefined) return `\`${String(path.at(-1))}\` is missing here; it has no default`
  if (path.length === 0) return 'the file is not a mapping; write `key: value` lines, as in `cloud: public`'
  if (input === null) {
    if (typeof path.at(-1) === 'number') return `${subject(path)} is empty; it wants ${wanted}`
    return `${subject(path)} has no value; it wants ${wanted}; without the key the default holds`
  }
  const remedy = typeRemedy(path, expected, input, written)
  return `${subject(path)} wants ${wanted}, found ${found(path, input, written)}${remedy}`
}

function typeRemedy(path: Path, expected: string, input: unknown, written: Written): string {
  const text = shown(path, input, written)
  if (text === undefined) return ''
  if (expected === 'array') return `; write \`[${typeof input === 'string' ? JSON.stringify(text) : text}]\``
  if (expected === 'string' && path[0] === 'listen') return '; write `address:port`, as in `127.0.0.1:3128`'
  if (expected === 'string') return `; put it in quotes: \`"${text}"\``
  if ((expected === 'number' || expected === 'int') && typeof input === 'string' && /^\d+$/.test(text))
    return '; write it without quotes'
  if (expected === 'boolean' && /^(?:yes|on)$/i.test(text)) return '; write `true`'
  if (expected === 'boolean' && /^(?:no|off)$/i.test(text)) return '; write `false`'
  return ''
}

function wrongValue(path: Path, values: readonly unknown[], input: unknown, written: Written): string {
  const names = values.map(String)
  const wanted = names.map((one) => `\`${one}\``)
  // The other way to write it is a number, which a word is nowhere near.
  const others = path.length === 1 && path[0] === 'workers' ? ['a whole number', ...wanted] : wanted
  const list = others.length > 1 ? `${others.slice(0, -1).join(', ')} or ${others.at(-1)}` : others.join('')
  const nearest = typeof input === 'string' ? didYouMean(input, names) : undefined
  const remedy = nearest === undefined ? '' : `; did you mean \`${nearest}\`?`
  if (input === null) return `${subject(path)} has no value; it wants ${list}; without the key the default holds`
  return `${subject(path)} wants ${list}, found ${found(path, input, written)}${remedy}`
}

function tooSmall(path: Path, issue: Extract<Issue, { code: 'too_small' }>, written: Written): string {
  const { origin, minimum, inclusive, input } = issue
  if (origin === 'array') return `${subject(path)} is an empty list; it wants at least one item`
  if (origin === 'string') return `${subject(path)} is empty`
  return `${subject(path)} wants ${inclusive ? 'at least' : 'more than'} ${minimum}, found ${found(path, input, written)}`
}

function tooBig(path: Path, issue: Extract<Issue, { code: 'too_big' }>, written: Written): string {
  const { origin, maximum, input } = issue
  if (origin === 'string') return `${subject(path)} is longer than ${maximum} characters: ${quote(String(input))}`
  return `${subject(path)} wants at most ${maximum}, found ${found(path, input, written)}`
}

/** `` `ports` `` for the key itself, ``an item of `ports` `` for what is in its list. */
function subject(path: Path): string {
  const last = path.at(-1)
  if (typeof last !== 'number') return quote(String(last))
  return `an item of ${quote(String(path.findLast((step) => typeof step === 'string')))}`
}

function found(path: Path, input: unknown, written: Written): string {
  if (Array.isArray(input)) return 'a list'
  if (typeof input === 'object' && input !== null) return 'a mapping'
  const text = shown(path, input, written) ?? quotedBare(String(input))
  const noun = typeof input === 'number' ? 'the number ' : typeof input === 'string' ? 'the text ' : ''
  return `${noun}\`${text}\``
}

/** A scalar as the user wrote it, safe to repeat; `010` and not `10`, `yes` and not `true`. */
function shown(path: Path, input: unknown, written: Written): string | undefined {
  if (typeof input === 'object') return undefined
  return quotedBare(typeof input === 'string' ? input : (written(path) ?? String(input)))
}

function quotedBare(text: string): string {
  return quote(text).slice(1, -1)
}
