import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { run } from '../../src/cli/program.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command as `sallyport` would, without a process. `columns` makes standard output a terminal of that width. */
export async function sallyport(words: readonly string[], columns?: number): Promise<Outcome> {
  const written = { stdout: '', stderr: '' }
  const sink = (stream: keyof typeof written) => ({
    columns: stream === 'stdout' ? columns : undefined,
    write: (text: string) => {
      written[stream] += text
    },
  })
  const code = await run(words, { stdout: sink('stdout'), stderr: sink('stderr') })
  return { code, ...written }
}

/** Writes config files into a folder that goes away with the test file. */
export function configFolder(): (content: string, name?: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return (content, name = 'gateway.yaml') => {
    const file = join(folder, name)
    writeFileSync(file, content)
    return file
  }
}
