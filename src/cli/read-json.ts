import { err, ok, type Result } from '../core/result.ts'
import { readText } from '../io/config/read-file.ts'
import { readYaml } from '../io/config/read-yaml.ts'
import type { CommandIo } from './command-io.ts'

/** A firewall of a large company; what is larger is some other file. */
const BYTES_MAX = 33_554_432

/** The text of a file that a command is given; `-` is standard input. The error is a sentence. */
export async function readGiven(file: string, { stdin }: CommandIo): Promise<Result<string, string>> {
  if (file !== '-') {
    const text = await readText(file, BYTES_MAX)
    return text.ok ? ok(text.value.text) : err(`${file}: ${text.error.message}`)
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stdin ?? []) {
    const part = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    bytes += part.length
    if (bytes > BYTES_MAX) return err(`standard input is larger than ${BYTES_MAX} bytes`)
    chunks.push(part)
  }
  return ok(Buffer.concat(chunks).toString('utf8'))
}

/** The same, as JSON. */
export async function readGivenJson(file: string, io: CommandIo): Promise<Result<unknown, string>> {
  const text = await readGiven(file, io)
  if (!text.ok) return text
  try {
    return ok(JSON.parse(text.value.replace(/^\ufeff/, '')))
  } catch {
    return err(`${file}: it is no JSON; print it with \`-o json\``)
  }
}

/** The same, as YAML. */
export async function readGivenYaml(file: string, io: CommandIo): Promise<Result<unknown, string>> {
  const text = await readGiven(file, io)
  if (!text.ok) return text
  const source = readYaml(text.value)
  if (source.ok) return ok(source.value.value)
  const [first] = source.error
  return err(`${file}:${first?.place.line ?? 1}:${first?.place.column ?? 1}: ${first?.message ?? 'it is no YAML'}`)
}
