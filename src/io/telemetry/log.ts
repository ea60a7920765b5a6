import { type Logger, pino } from 'pino'

export type { Logger }

/** The process log: JSON lines on standard error, so that standard output stays the audit log's. */
export function createLog(level: string = 'info'): Logger {
  return pino(
    { base: null, level, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 2, sync: true }),
  )
}
