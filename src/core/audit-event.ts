import { z } from './schema.ts'

export const AUDIT_EVENTS = ['allow', 'deny', 'would_deny', 'error'] as const
export type AuditVerdict = (typeof AUDIT_EVENTS)[number]

export const REQUEST_KINDS = ['connect', 'forward', 'websocket', 'inspected', 'transparent', 'packet'] as const
export type RequestKind = (typeof REQUEST_KINDS)[number]

/** How a tunnel came to its end after bytes flowed. */
export const TUNNEL_ENDS = ['client', 'origin', 'policy_changed', 'idle_timeout', 'lifetime', 'drain'] as const
export type TunnelEnd = (typeof TUNNEL_ENDS)[number]

const text = (doc: string) => z.string().optional().describe(doc)
const number = (doc: string) => z.number().optional().describe(doc)

/** One line of the audit log: every request ends in exactly one. Absent fields are absent. */
export const auditEventSchema = z.strictObject({
  time: z.string().describe('when the event was settled, ISO 8601 in UTC'),
  id: z.string().describe('names the request, also in the answer'),
  parent: text('id of the tunnel that the request came through'),
  event: z
    .enum(AUDIT_EVENTS)
    .describe('`would_deny` was let through by report mode; `error` is a failure of the origin or the gateway'),
  kind: z
    .enum(REQUEST_KINDS)
    .describe('how the request reached the gateway; `packet` are packets that no listener carries, some at once'),
  listener: z.string().describe('key of the listener in `listen`'),
  client: text('address of the client, or its pseudonym (`hmac:` and 16 hexadecimal digits); see `audit.clients`'),
  clientPort: number('port of the client; only with `audit.clients: keep`'),
  group: text('client group'),
  user: text(
    'who the client proved to be: a user of `credentials.file`, or the name in its certificate that counted; see `audit.clients`',
  ),
  method: text('HTTP method, where it is visible'),
  host: text('host asked for, canonical'),
  port: number('port asked for'),
  path: text('path asked for, where it is visible; without its query unless configured'),
  sni: text('server name in the TLS opening'),
  entry: text('id of the entry that decided'),
  feature: text('feature of that entry'),
  hook: text('hook that refused it, let it through or failed'),
  reason: text('reason code of a refusal or failure'),
  hint: text('what would allow it'),
  detail: text('what exactly was wrong'),
  address: text('address and port dialled'),
  parentProxy: text('parent proxy that it went through, whose `address` that is'),
  original: text('address and port that the client was connecting to, on a transparent listener'),
  bytesUp: number('bytes sent to the origin'),
  bytesDown: number('bytes received from the origin'),
  durationMs: number('from the head of the request to the end'),
  endedBy: z.enum(TUNNEL_ENDS).optional().describe('what ended a tunnel after bytes flowed'),
  gateway: z.string().describe('name of the gateway'),
  policyHash: z.string().describe('policy in force'),
})
export type AuditEvent = z.output<typeof auditEventSchema>

/**
 * One line of JSON with nothing but printable ASCII: whatever a client put into a host or path, it cannot forge a line, move
 * a terminal's cursor or confuse a reader of another encoding.
 */
export function auditLine(event: AuditEvent): string {
  const json = JSON.stringify(event)
  return `${NOT_PLAIN.test(json) ? json.replace(ALL_NOT_PLAIN, escapeCharacter) : json}\n`
}

const NOT_PLAIN = /[^\x20-\x7e]/
const ALL_NOT_PLAIN = /[^\x20-\x7e]/g

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
