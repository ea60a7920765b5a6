import { type Logger, pino } from 'pino'

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

/** The process log: JSON lines on standard error, so that standard output stays the audit log's. */
export function createLog(level: string = 'info'): Logger {
  return pino(
    { base: null, level, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 2, sync: true }),
  )
}
