import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { auditEventSchema } from '../core/audit-event.ts'
import { configSchema } from '../core/config.ts'
import { z } from '../core/schema.ts'
import { type CommandIo, EXIT } from './command-io.ts'

/** `npm run generate`: writes the files that are made from the schemas, or with `--check` says which of them are stale. */

const CONFIG_FOLDER = new URL('../../config/', import.meta.url)

export interface GeneratedFile {
  /** From the package's folder. */
  readonly name: string
  readonly url: URL
  readonly text: string
}

export function generatedFiles(): readonly GeneratedFile[] {
  return [
    schemaFile('gateway.schema.json', {
      title: 'Sallyport configuration',
      description: 'The config file of the egress gateway; every key has a default',
      ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' }),
    }),
    schemaFile('audit-event.schema.json', {
      title: 'Sallyport audit event',
      description: 'One line of the audit log',
      ...z.toJSONSchema(auditEventSchema, { io: 'output', target: 'draft-7' }),
    }),
  ]
}

export function generate({ check = false }: { readonly check?: boolean }, { stdout, stderr }: CommandIo): number {
  const stale = generatedFiles().filter(isStale)
  for (const { name, url, text } of stale) {
    if (check) stderr.write(`${name} is stale; run \`npm run generate\`\n`)
    else {
      writeFileSync(url, text)
      stdout.write(`${name} written\n`)
    }
  }
  return check && stale.length > 0 ? EXIT.failed : EXIT.ok
}

export function isStale({ url, text }: GeneratedFile): boolean {
  try {
    return readFileSync(url, 'utf8') !== text
  } catch {
    return true
  }
}

function schemaFile(name: string, schema: object): GeneratedFile {
  return { name: `config/${name}`, url: new URL(name, CONFIG_FOLDER), text: `${JSON.stringify(schema, withoutNoise, 2)}\n` }
}

/** Every whole number has a largest safe one; as a bound it says nothing. */
function withoutNoise(key: string, value: unknown): unknown {
  return key === 'maximum' && value === Number.MAX_SAFE_INTEGER ? undefined : value
}

const started = process.argv[1]
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url))
  process.exitCode = generate({ check: process.argv.includes('--check') }, process)
