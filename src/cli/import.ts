import { basename } from 'node:path'
import { importAzureFirewall } from '../core/import/azure-firewall.ts'
import { type Imported, importedYaml } from '../core/import/imported.ts'
import { importSmokescreen } from '../core/import/smokescreen.ts'
import { importSquid } from '../core/import/squid.ts'
import { quote } from '../core/names/quote.ts'
import { ok, type Result } from '../core/result.ts'
import { printable } from '../io/config/load.ts'
import { IMPORT_NAMES, type ImportName, isOneOf } from './choices.ts'
import { type CommandIo, EXIT, refuseUsage } from './command-io.ts'
import { readGiven, readGivenJson, readGivenYaml } from './read-json.ts'

export interface ImportOptions {
  readonly from: string
}

type Reader = (file: string, io: CommandIo) => Promise<Result<Imported, string>>

const READERS: Readonly<Record<ImportName, Reader>> = {
  squid: async (file, io) => {
    const text = await readGiven(file, io)
    return text.ok ? ok(importSquid(text.value, basename(file).replace(/\.[a-z]+$/i, ''))) : text
  },
  'azure-firewall': async (file, io) => {
    const value = await readGivenJson(file, io)
    return value.ok ? ok(importAzureFirewall(value.value)) : value
  },
  smokescreen: async (file, io) => {
    const value = await readGivenYaml(file, io)
    return value.ok ? ok(importSmokescreen(value.value)) : value
  },
}

/** Prints the rules of another proxy's file as YAML for the config; exit 1 where nothing could be carried over. */
export async function importRules(file: string, { from }: ImportOptions, io: CommandIo): Promise<number> {
  if (!isOneOf(IMPORT_NAMES, from))
    return refuseUsage(`${quote(from)} is nothing to import from; there is ${IMPORT_NAMES.join(', ')}`, io)
  const imported = await READERS[from](file, io)
  if (!imported.ok) {
    io.stderr.write(`${printable(imported.error)}\n`)
    return EXIT.failed
  }
  const text = importedYaml(imported.value, from)
  io.stdout.write(text.split('\n').map(printable).join('\n'))
  return imported.value.rules.length > 0 ? EXIT.ok : EXIT.failed
}
