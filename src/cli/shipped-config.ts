import { isAbsolute, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CommandIo } from './command-io.ts'

/** The config that comes with the package: two levels up from `src/cli` and from `dist/cli` alike. */
const SHIPPED = fileURLToPath(new URL('../../config/gateway.yaml', import.meta.url))

/** The shipped config as one would type it here: `config/gateway.yaml` in the package's own folder. */
export function shippedConfig(folder: string = process.cwd()): string {
  const near = relative(folder, SHIPPED)
  return near.startsWith('..') || isAbsolute(near) ? SHIPPED : near
}

/** The file that `--config` names, or the shipped one; and then says so, since an answer about another file misleads. */
export function chosenConfig(option: string | undefined, { stderr }: CommandIo): string {
  if (option !== undefined) return option
  const file = shippedConfig()
  stderr.write(`no --config: using ${file}\n`)
  return file
}
