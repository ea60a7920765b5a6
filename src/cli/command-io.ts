import { formatProblem, type LocatedProblem } from '../io/config/located-problem.ts'

/** Where a command writes. `process.stdout` and `process.stderr` fit. */
export interface TextSink {
  readonly write: (text: string) => unknown
  /** Characters in a line, where it is a terminal. */
  readonly columns?: number | undefined
}

export interface CommandIo {
  /** Read only where a command is told to. */
  readonly stdin?: AsyncIterable<string | Uint8Array>
  readonly stdout: TextSink
  readonly stderr: TextSink
}

/** Undefined where it is no terminal; some terminals without a size say 0. */
export function terminalColumns({ columns }: TextSink): number | undefined {
  return columns === 0 ? undefined : columns
}

/** What a command ends with. 78 is EX_CONFIG of sysexits.h. */
export const EXIT = { ok: 0, failed: 1, usage: 2, config: 78 } as const

/** Every problem on a line of its own, for commands whose output is something else. */
export function refuseConfig(problems: readonly LocatedProblem[], { stderr }: CommandIo): number {
  for (const problem of problems) stderr.write(`${formatProblem(problem)}\n`)
  return EXIT.config
}

export function refuseUsage(message: string, { stderr }: CommandIo): number {
  stderr.write(`sallyport: ${message}\n`)
  return EXIT.usage
}

/** `1 entry`, `2 entries`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
