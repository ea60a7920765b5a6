import { AUDIT_EVENTS, type AuditVerdict } from './audit-event.ts'
import { type Host, parseHost, parsePort } from './names/authority.ts'
import { type IpAddress, parseIp, unmapped } from './names/ip.ts'
import { REASONS, type Reason } from './policy/reasons.ts'

/** A refused, or would-be refused, request as its audit line tells it. What clients put into it has become a domain type or is bounded text. */
export interface DenialRecord {
  readonly time: string
  readonly verdict: 'deny' | 'would_deny'
  readonly gateway: string
  /** Undefined where the log comes from a gateway that knows more reasons than this one. */
  readonly reason: Reason | undefined
  /** Address or pseudonym; absent where the log keeps none. */
  readonly client?: string
  /** Known together; absent where the request was refused before its target was read. */
  readonly target?: { readonly host: Host; readonly port: number }
  /** Known together, where they were in sight and logged. Without the query. */
  readonly http?: { readonly method: string; readonly path: string }
  readonly detail?: string
}

/** What one line of an audit log is, for whoever reads logs back. */
export type AuditRecord =
  | { readonly kind: 'denial'; readonly denial: DenialRecord }
  | { readonly kind: 'other'; readonly verdict: AuditVerdict }
  /** JSON, and no event of an audit log. */
  | { readonly kind: 'foreign' }

/** As `Date.toISOString` writes it, so that texts compare as times do. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** Texts that are repeated to people; whatever a longer one is, it is not ours. */
const CHARACTERS_MAX = 256

const FOREIGN: AuditRecord = { kind: 'foreign' }

/**
 * Reads the parsed JSON of one line. Tolerant of fields it does not know, since gateways of several versions write into one
 * place; strict about those it uses, since a log can be written by others.
 */
export function readAuditRecord(value: unknown): AuditRecord {
  if (typeof value !== 'object' || value === null) return FOREIGN
  const line = value as Readonly<Record<string, unknown>>
  const verdict = AUDIT_EVENTS.find((one) => one === line['event'])
  const { time, gateway } = line
  if (verdict === undefined || !isShort(time) || !TIME.test(time) || !isShort(gateway)) return FOREIGN
  if (verdict !== 'deny' && verdict !== 'would_deny') return { kind: 'other', verdict }
  // No rule lets packets out: `subnet.forward` does, and the line itself has the hint.
  if (line['kind'] === 'packet') return { kind: 'other', verdict }
  const target = readTarget(line['host'], line['port'])
  if (target === 'foreign') return FOREIGN
  const { client, detail } = line
  const http = readHttp(line['method'], line['path'])
  return {
    kind: 'denial',
    denial: {
      time,
      verdict,
      gateway,
      reason: readReason(line['reason']),
      ...(isShort(client) ? { client } : {}),
      ...(target === undefined ? {} : { target }),
      ...(http === undefined ? {} : { http }),
      ...(isShort(detail) ? { detail } : {}),
    },
  }
}

function readReason(reason: unknown): Reason | undefined {
  return typeof reason === 'string' && Object.hasOwn(REASONS, reason) ? (reason as Reason) : undefined
}

/** Undefined where there is none; in the log an IPv6 address stands without brackets. */
function readTarget(host: unknown, port: unknown): DenialRecord['target'] | 'foreign' {
  if (host === undefined && port === undefined) return undefined
  if (!isShort(host) || typeof port !== 'number') return 'foreign'
  const parsed = parseHost(host.includes(':') ? `[${host}]` : host)
  const number = parsePort(String(port))
  return parsed.ok && number.ok ? { host: parsed.value, port: number.value } : 'foreign'
}

function readHttp(method: unknown, path: unknown): DenialRecord['http'] {
  if (!isShort(method) || typeof path !== 'string' || !path.startsWith('/')) return undefined
  return { method, path: path.split('?', 1)[0] ?? path }
}

function isShort(text: unknown): text is string {
  return typeof text === 'string' && text.length <= CHARACTERS_MAX
}

/** What a request asked for, whatever became of it. */
export interface AskedRequest {
  readonly host: Host
  readonly port: number
  /** Known together, where they were in sight and logged. Without the query. */
  readonly http?: { readonly method: string; readonly path: string }
  /** Address of the client; absent where the log keeps none, or a pseudonym. */
  readonly client?: IpAddress
}

/** Of the parsed JSON of one line that is an audit event; undefined where the request was refused before its target was read. */
export function readAskedRequest(value: unknown): AskedRequest | undefined {
  const line = value as Readonly<Record<string, unknown>>
  const target = readTarget(line['host'], line['port'])
  if (target === undefined || target === 'foreign') return undefined
  const http = readHttp(line['method'], line['path'])
  const client = isShort(line['client']) ? parseIp(line['client']) : undefined
  return { ...target, ...(http === undefined ? {} : { http }), ...(client === undefined ? {} : { client: unmapped(client) }) }
}
