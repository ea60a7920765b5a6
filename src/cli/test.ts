import { parseIp, unmapped } from '../core/names/ip.ts'
import { quote } from '../core/names/quote.ts'
import { parseExplainTarget } from '../core/policy/explain-target.ts'
import { disagreements, type PolicyCase, policyCasesSchema } from '../core/policy/policy-case.ts'
import { problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { formatProblem, type LoadedConfig, type LocatedProblem, loadConfig } from '../io/config/load.ts'
import { readSource } from '../io/config/read-source.ts'
import type { YamlSource } from '../io/config/read-yaml.ts'
import { schemaProblems } from '../io/config/schema-problems.ts'
import { readNow } from '../io/file-reads.ts'
import { type CommandIo, counted, EXIT, refuseConfig } from './command-io.ts'
import { answer, type Question } from './explain.ts'
import { chosenConfig } from './shipped-config.ts'

export interface TestOptions {
  readonly config?: string
}

/**
 * Asks the policy about every case of the files, and says which come out otherwise than expected. Asks neither DNS nor the gateway, and
 * judges as if there were a CA: where policies are tested, its key should not be.
 */
export async function test(files: readonly string[], options: TestOptions, io: CommandIo): Promise<number> {
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const read = await Promise.all(files.map((file) => readCases(file)))
  const broken = read.flatMap((cases) => (cases.ok ? [] : cases.error))
  if (broken.length > 0) return refuseConfig(broken, io)
  let failed = 0
  for (const cases of read) if (cases.ok) failed += judge(cases.value, loaded.value, io)
  return failed > 0 ? EXIT.failed : EXIT.ok
}

interface CaseFile {
  readonly file: string
  readonly source: YamlSource
  readonly cases: readonly AskedCase[]
}

interface AskedCase {
  readonly expected: PolicyCase
  readonly question: Question
}

function judge({ file, source, cases }: CaseFile, loaded: LoadedConfig, { stdout }: CommandIo): number {
  let failed = 0
  for (const [index, { expected, question }] of cases.entries()) {
    const faults = disagreements(expected, answer(question, loaded, true))
    if (faults.length > 0) failed++
    for (const fault of faults) {
      const message = `${expected.name ?? shown(expected)}: ${fault}`
      stdout.write(`${formatProblem({ file, place: source.locate(['cases', index], 'value'), severity: 'error', message })}\n`)
    }
  }
  const total = counted(cases.length, 'case')
  stdout.write(`${file}: ${failed === 0 ? `ok, ${total}` : `${total}, ${failed} failed`}\n`)
  return failed
}

function shown({ host, port, path, method }: PolicyCase): string {
  return [...(method === undefined ? [] : [method]), `${host}:${port}${path ?? ''}`].join(' ')
}

async function readCases(file: string): Promise<Result<CaseFile, readonly LocatedProblem[]>> {
  const read = await readSource(file, readNow)
  if (!read.ok) return read
  const { source } = read.value
  const parsed = policyCasesSchema.safeParse(source.value, { reportInput: true })
  const located = (problems: readonly ReturnType<typeof problem>[]): LocatedProblem[] =>
    problems.map(({ severity, path, at, message }) => ({ file, place: source.locate(path, at), severity, message }))
  if (!parsed.success) return err(located(schemaProblems(parsed.error.issues, source.written, policyCasesSchema)))
  const cases: AskedCase[] = []
  const faults: ReturnType<typeof problem>[] = []
  for (const [index, expected] of parsed.data.cases.entries()) {
    const question = questionOf(expected)
    if (question.ok) cases.push({ expected, question: question.value })
    else faults.push(problem(['cases', index, question.error.key], question.error.message))
  }
  return faults.length > 0 ? err(located(faults)) : ok({ file, source, cases })
}

type Fault = { readonly key: keyof PolicyCase; readonly message: string }

function questionOf({ host, port, path, method, client }: PolicyCase): Result<Question, Fault> {
  if (method !== undefined && path === undefined) return err({ key: 'method', message: 'a method needs a `path` to go with it' })
  const named = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  const scheme = port === 80 ? 'http' : 'https'
  const target = parseExplainTarget(path === undefined ? `${named}:${port}` : `${scheme}://${named}:${port}${path}`, method)
  if (!target.ok) return err({ key: 'host', message: target.error })
  if (client === undefined) return ok({ target: target.value })
  const address = parseIp(client)
  if (address === undefined) return err({ key: 'client', message: `${quote(client)} is not an address` })
  return ok({ target: target.value, client: unmapped(address) })
}
