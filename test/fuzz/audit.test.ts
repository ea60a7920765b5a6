import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { AUDIT_EVENTS, type AuditEvent, auditLine, REQUEST_KINDS } from '../../src/core/audit-event.ts'
import { type AuditRecord, readAuditRecord } from '../../src/core/audit-record.ts'
import { REASONS, type Reason } from '../../src/core/policy/reasons.ts'
import { readAuditLog } from '../../src/io/telemetry/audit-reader.ts'
import { fuzz } from './fuzz-run.ts'

/** What a client may put into a path or a server name: line ends, terminal codes, quotes, lone surrogates. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('\n', '\r\n{"event":"allow"}', '\u001b[2J', '"', '\\', '\u2028', '\u0085', '\ud800', '\u202e', '\0'),
)
const required = {
  time: fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map((date) => date.toISOString()),
  id: fc.uuid(),
  event: fc.constantFrom(...AUDIT_EVENTS),
  kind: fc.constantFrom(...REQUEST_KINDS),
  listener: fc.constant('proxy'),
  client: fc.ipV4(),
  host: fc.domain(),
  port: fc.integer({ min: 1, max: 65_535 }),
  gateway: fc.constant('gw'),
  policyHash: fc.constant('p'),
}
const optional = {
  method: fc.constantFrom('GET', 'CONNECT'),
  path: hostile.map((text) => `/${text}`),
  sni: hostile,
  detail: hostile,
  reason: fc.constantFrom(...(Object.keys(REASONS) as Reason[])),
}
const event = fc
  .tuple(fc.record(required), fc.record(optional, { requiredKeys: [] }))
  .map((parts): AuditEvent => Object.assign({}, ...parts))

async function* pieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0
  for (const to of [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)) {
    yield bytes.subarray(from, to)
    from = to
  }
}

describe('an audit line', () => {
  fuzz(
    'whatever a client sent, is one line of printable ASCII that reads back as it was',
    fc.property(event, (one) => {
      const line = auditLine(one)
      expect(line).toMatch(/^[\x20-\x7e]+\n$/)
      const value: unknown = JSON.parse(line)
      expect(value).toEqual(JSON.parse(JSON.stringify(one)))
      const record = readAuditRecord(value)
      // A packet of the subnet is no request, and nothing that a rule could let out.
      const denied = (one.event === 'deny' || one.event === 'would_deny') && one.kind !== 'packet'
      // A made-up domain may end in a number, which no host name may.
      if (record.kind !== 'foreign') expect(record.kind).toBe(denied ? 'denial' : 'other')
    }),
    { share: 0.1 },
  )
})

describe('an audit log', () => {
  fuzz(
    'gives every whole line once however it is cut, and never an exception for what is not',
    fc.asyncProperty(
      fc.array(fc.oneof(event.map(auditLine), fc.constantFrom('\n', '{"ti\n', '[]\n', '7\n', 'null\n', '\u00e9\n')), {
        maxLength: 6,
      }),
      fc.array(fc.nat(4_000), { maxLength: 6 }),
      async (lines, cuts) => {
        const read: AuditRecord[] = []
        const tally = await readAuditLog(pieces(Buffer.from(lines.join('')), cuts), (record) => read.push(record))
        expect(tally.lines).toBe(lines.length)
        const blank = lines.filter((line) => line === '\n').length
        expect(read.length + tally.broken + tally.foreign + blank).toBe(lines.length)
      },
    ),
    { share: 0.02 },
  )
})
