import { NOT_AVAILABLE_YET } from '../core/config/not-available-yet.ts'
import { code, markdownTable } from './doc-blocks.ts'

/** As much of a JSON Schema (draft-07) as the reference tells. */
interface Schema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly minimum?: number
  readonly exclusiveMinimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: boolean | Schema
  readonly anyOf?: readonly Schema[]
  readonly required?: readonly string[]
}

const INTRODUCTION = `# Configuration reference

<!-- Generated from src/core/config.ts by \`npm run generate\`. Do not edit. -->

One YAML file. Every key has a default, so an empty file is valid. [policy.md](policy.md) explains the keys that decide what is
let out, with examples; \`config/gateway.yaml\` is a commented file to start from; \`config/gateway.schema.json\` is the same
reference for editors.

* Unknown keys are errors. \`sallyport check\` reports every mistake at once, each with file, line and column.
* Relative paths start at the folder of the config file.
* A key whose name ends in \`Seconds\`, \`Ms\` or \`Bytes\` has that unit. \`0\` is without limit only where the meaning says so.
* Changes are taken up while the gateway runs (\`reload.watch\`, SIGHUP, or the admin API); a file that does not load changes
  nothing. \`listen\`, \`workers\` and \`stateDirectory\` wait for the next start.
`

const PLANNED = `## Not available yet

These keys are planned. The gateway refuses to start with one of them and says \`not available yet\`, so that nobody relies on what
does nothing. A \`*\` stands for one key or one item of a list.
`

/** `docs/configuration.md`, from the published schema. */
export function configurationPage(schema: object): string {
  const top: Schema = schema
  const sections = Object.entries(top.properties ?? {})
  const plain = sections.filter(([, section]) => keysOf(section) === undefined)
  const nested = sections
    .filter(([, section]) => keysOf(section) !== undefined)
    .flatMap(([name, section]) => withInner(name, section))
  return [
    INTRODUCTION,
    `## Top of the file\n\n${keysTable(plain, [])}`,
    ...nested.map(([name, section]) => sectionText(name, section)),
    ...(NOT_AVAILABLE_YET.length === 0 ? [] : [`${PLANNED}\n${NOT_AVAILABLE_YET.map((key) => `* ${code(key)}\n`).join('')}`]),
  ].join('\n')
}

/** The schema with the keys of a mapping, of each item of a list, or of each value of a mapping from names. */
function keysOf(section: Schema): Schema | undefined {
  const { items, additionalProperties, anyOf = [] } = section
  const values = typeof additionalProperties === 'object' ? [additionalProperties] : []
  return [section, ...(items === undefined ? [] : [items]), ...values, ...anyOf].find(
    ({ properties }) => properties !== undefined,
  )
}

/** The section, then one for each mapping in it that has several keys. */
function withInner(name: string, section: Schema): (readonly [string, Schema])[] {
  const prefix = section.additionalProperties ? `${name}.NAME` : name
  const inner = Object.entries(keysOf(section)?.properties ?? {}).filter(
    ([, schema]) => Object.keys(keysOf(schema)?.properties ?? {}).length > 1,
  )
  return [[name, section], ...inner.flatMap(([key, schema]) => withInner(`${prefix}.${key}`, schema))]
}

function sectionText(name: string, section: Schema): string {
  const { properties, required } = keysOf(section) ?? section
  const heading =
    section.items !== undefined
      ? `${code(name)}, each item`
      : section.additionalProperties
        ? `${code(name)}, each by its name`
        : code(name)
  const summary = section.description === undefined ? '' : `${capital(section.description)}.\n\n`
  return `## ${heading}\n\n${summary}${keysTable(Object.entries(properties ?? {}), required ?? [])}`
}

function keysTable(keys: readonly (readonly [string, Schema])[], required: readonly string[]): string {
  const rows = keys.map(([key, schema]) => [
    code(key),
    defaultOf(schema, required.includes(key)),
    unitOf(key),
    values(schema),
    (schema.description ?? '').replace(/ \((?:seconds|milliseconds|bytes)\)$/, ''),
  ])
  return markdownTable(['key', 'default', 'unit', 'values', 'meaning'], rows)
}

function defaultOf(schema: Schema, required: boolean): string {
  if (required) return 'none, required'
  return schema.default === undefined ? 'none' : code(JSON.stringify(schema.default))
}

function unitOf(key: string): string {
  if (key.endsWith('Seconds')) return 'seconds'
  if (key.endsWith('Ms')) return 'milliseconds'
  if (key.endsWith('Bytes')) return 'bytes'
  return key.startsWith('requestsPerSecond') ? 'requests a second' : ''
}

function values(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(', ')
  if (schema.const !== undefined) return code(String(schema.const))
  if (schema.anyOf !== undefined) return schema.anyOf.map(itemValues).join(', or ')
  switch (schema.type) {
    case 'boolean':
      return '`true` or `false`'
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'whole number' : 'number'}${bounds(schema)}`
    case 'array':
      return `list, each ${itemValues(schema.items ?? {})}`
    case 'object':
      return mapping(schema)
    default:
      return schema.type === 'string' ? 'text' : 'any'
  }
}

/** An item or a value of a mapping has no row of its own, so its description says what it is. */
function itemValues(schema: Schema): string {
  return schema.description ?? values(schema)
}

function mapping({ properties, additionalProperties }: Schema): string {
  if (properties !== undefined) return `mapping with ${Object.keys(properties).map(code).join(', ')}`
  return typeof additionalProperties === 'object' ? `mapping from name to ${itemValues(additionalProperties)}` : 'mapping'
}

function bounds({ minimum, exclusiveMinimum, maximum }: Schema): string {
  const low = minimum ?? exclusiveMinimum
  const from = low === undefined ? '' : exclusiveMinimum === undefined ? `from ${low}` : `more than ${low}`
  const to = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? '' : `to ${maximum}`
  const both = [from, to].filter((part) => part !== '').join(' ')
  return both === '' ? '' : `, ${both}`
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}
