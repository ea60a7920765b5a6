import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { auditEventSchema } from '../core/audit-event.ts'
import { configSchema } from '../core/config.ts'
import { z } from '../core/schema.ts'
import { type CommandIo, EXIT } from './command-io.ts'
import { type DocBlocks, pageWithBlocks } from './doc-blocks.ts'
import { configurationPage } from './doc-configuration.ts'
import { statementsTable } from './doc-statements.ts'
import {
  addressesTable,
  featuresTable,
  knownDestinationsTable,
  pagesTable,
  reasonsTable,
  rowsTable,
  shippedEditions,
} from './doc-tables.ts'
import { tagBlocks } from './doc-tag-table.ts'

/** `npm run generate`: writes the files that are made from the schemas and tables, or with `--check` says which of them are stale. */

const PACKAGE_FOLDER = new URL('../../', import.meta.url)

export interface GeneratedFile {
  /** From the package's folder. */
  readonly name: string
  readonly url: URL
  readonly text: string
}

export function generatedFiles(): readonly GeneratedFile[] {
  const config = {
    title: 'Sallyport configuration',
    description: 'The config file of the egress gateway; every key has a default',
    ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' }),
  }
  return [
    schemaFile('gateway.schema.json', config),
    schemaFile('audit-event.schema.json', {
      title: 'Sallyport audit event',
      description: 'One line of the audit log',
      ...z.toJSONSchema(auditEventSchema, { io: 'output', target: 'draft-7' }),
    }),
    fileOf('docs/configuration.md', configurationPage(config)),
    pageFile('docs/policy.md', { reasons: reasonsTable() }),
    pageFile('docs/security.md', { addresses: addressesTable() }),
    pageFile('docs/azure.md', azureBlocks()),
  ]
}

function azureBlocks(): DocBlocks {
  const tables = shippedEditions().flatMap((edition) => [
    [`features ${edition.id}`, featuresTable(edition)],
    [`rows ${edition.id}`, rowsTable(edition)],
  ])
  const statements = shippedEditions()
    .filter(({ id }) => id === '2021-07-29')
    .map((edition) => [`statements ${edition.id}`, statementsTable(edition)])
  const pages = shippedEditions()
    .filter(({ documents }) => documents !== undefined)
    .map((edition) => [`pages ${edition.id}`, pagesTable(edition)])
  return {
    ...Object.fromEntries([...tables, ...statements, ...pages]),
    ...tagBlocks(),
    'known destinations': knownDestinationsTable(),
  }
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
  return fileOf(`config/${name}`, `${JSON.stringify(schema, withoutNoise, 2)}\n`)
}

function pageFile(name: string, blocks: DocBlocks): GeneratedFile {
  return fileOf(name, pageWithBlocks(new URL(name, PACKAGE_FOLDER), blocks))
}

function fileOf(name: string, text: string): GeneratedFile {
  return { name, url: new URL(name, PACKAGE_FOLDER), text }
}

/** Every whole number has a largest safe one; as a bound it says nothing. */
function withoutNoise(key: string, value: unknown): unknown {
  return key === 'maximum' && value === Number.MAX_SAFE_INTEGER ? undefined : value
}

const started = process.argv[1]
if (started !== undefined && existsSync(started) && realpathSync(started) === fileURLToPath(import.meta.url))
  process.exitCode = generate({ check: process.argv.includes('--check') }, process)
