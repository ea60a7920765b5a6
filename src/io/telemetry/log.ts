import { type Logger, pino } from 'pino'
import { LogDestination } from './log-destination.ts'

export type { Logger }

/** A line of the process log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly time: string; readonly msg: string }

/** A log that goes to nobody but the one who asked for it. */
export function createLogFor(onLine: ((line: LogLine) => void) | undefined, level: string = 'info'): Logger {
  const formatters = { level: (label: string) => ({ level: label }) }
  return pino(
    { base: null, level: onLine === undefined ? 'silent' : level, timestamp: pino.stdTimeFunctions.isoTime, formatters },
    { write: (line: string) => onLine?.(JSON.parse(line) as LogLine) },
  )
}

/** The process log, and what became of it. */
export interface ProcessLog {
  readonly log: Logger
  /** Lines so far that nobody will read. */
  readonly dropped: () => number
}

const STANDARD_ERROR = 2

/** The process log: JSON lines on standard error, so that standard output stays the audit log's. */
export function createLog(level: string = 'info'): ProcessLog {
  // Reading the property is what puts a pipe into non-blocking mode.
  void process.stderr
  const destination = new LogDestination(STANDARD_ERROR)
  process.on('exit', () => destination.flush())
  const log = pino(
    { base: null, level, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    destination,
  )
  return { log, dropped: () => destination.dropped }
}
