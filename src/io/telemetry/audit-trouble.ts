import type { Config } from '../../core/config.ts'
import type { AuditSink } from './audit-log.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** What `/readyz` says while the audit log cannot be written. */
export interface AuditTrouble {
  /** Why the gateway is not ready: with `onFailure: deny` it takes no new work. */
  readonly obstacle: string | undefined
  readonly lines: readonly string[]
}

/** Nothing while lines can be written. */
export function auditTrouble(
  { file, onFailure }: Config['audit'],
  log: Pick<AuditSink, 'isWritable' | 'waitingBytes'>,
): AuditTrouble | undefined {
  if (log.isWritable) return undefined
  const waiting = `the audit log \`${file}\` cannot be written, ${log.waitingBytes} bytes wait`
  return onFailure === 'deny'
    ? { obstacle: 'audit log cannot be written', lines: [`${waiting}: new requests are refused (\`audit.onFailure: deny\`)`] }
    : { obstacle: undefined, lines: [`${waiting}: what does not fit is dropped and counted`] }
}

/** Lines are lost. */
export function countAuditLoss({ auditDropped, limitHits }: Metrics, lines: number, isFull: boolean): void {
  auditDropped.inc(lines)
  if (isFull) limitHits.inc({ limit: 'audit_buffer' }, lines)
}

/** An error of a write, told once for as long as it lasts. */
export function reportAuditError(log: Logger, { file, onFailure }: Config['audit'], error: Error): void {
  const then = onFailure === 'deny' ? 'lines are held and tried again' : 'lines are dropped and counted'
  log.error({ err: error, file }, `audit log cannot be written; ${then}`)
}

/** Lines can be written no longer, or can again. */
export function reportAuditWritable(
  log: Logger,
  metrics: Metrics,
  { file, onFailure }: Config['audit'],
  isWritable: boolean,
): void {
  metrics.auditWritable.set(isWritable ? 1 : 0)
  if (isWritable) log.warn({ file }, 'audit log is written again')
  else if (onFailure === 'deny') log.error({ file }, 'no room for audit lines; new requests are refused until there is')
  else log.warn({ file }, 'audit log stands still, or takes no more')
}
