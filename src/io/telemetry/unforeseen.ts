import { randomUUID } from 'node:crypto'
import type { Logger } from './log.ts'

/**
 * Whatever nobody foresaw costs one connection, not everybody's way out: it is logged with an id to report it by, and the process goes
 * on. What is thrown while a request is handled never comes here; it ends its connection there, with the request's own id (see
 * `ProxyListener`). A connection that an error here leaves behind has its deadlines.
 */
export function surviveUnforeseen(log: Logger): void {
  const report = (what: string) => (error: unknown) => log.error({ id: randomUUID(), err: error }, what)
  process.on('uncaughtException', report('uncaught exception'))
  process.on('unhandledRejection', report('unhandled rejection'))
}
