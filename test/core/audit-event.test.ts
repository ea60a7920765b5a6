import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AUDIT_EVENTS, type AuditEvent, auditEventSchema, auditLine } from '../../src/core/audit-event.ts'

const EVENT: AuditEvent = {
  time: '2026-03-19T03:00:00.000Z',
  id: 'r-1',
  event: 'deny',
  kind: 'forward',
  listener: 'proxy',
  client: '10.0.0.5',
  gateway: 'a',
  policyHash: 'abc',
}

describe('an audit line', () => {
  it('is one line of JSON', () => {
    const line = auditLine({ ...EVENT, host: 'pypi.org', port: 443, bytesUp: 0 })
    expect(line.endsWith('}\n')).toBe(true)
    expect(line.indexOf('\n')).toBe(line.length - 1)
    expect(JSON.parse(line)).toEqual({ ...EVENT, host: 'pypi.org', port: 443, bytesUp: 0 })
  })

  const HOSTILE: readonly (readonly [what: string, text: string])[] = [
    ['a newline that begins another line', 'a\n{"event":"allow"}'],
    ['a carriage return that overwrites the line', 'a\rb'],
    ['ANSI that clears a screen', '\u001b[2J\u001b[31mred'],
    ['a C1 control that does the same in one byte', '\u009b2J\u0085'],
    ['line separators of JavaScript', 'a\u2028b\u2029c'],
    ['bidirectional marks', '\u202eevil\u2066'],
    ['lone surrogates', '\ud800x\udfff'],
    ['NUL and DEL', '\0\x7f'],
    ['a quotation mark and a backslash', '"\\",event":"allow'],
    ['letters beyond ASCII', 'caf\u00e9 \u{1f6aa}'],
    ['a byte order mark', '\ufeff'],
  ]
  for (const [what, text] of HOSTILE)
    it(`cannot be forged with ${what} (case 32)`, () => {
      const hostile = { host: text, path: text, sni: text, method: text, detail: text, hint: text }
      const line = auditLine({ ...EVENT, ...hostile })
      expect(line).toMatch(/^\{[\x20-\x7e]*\}\n$/)
      expect(JSON.parse(line)).toEqual({ ...EVENT, ...hostile })
    })

  it('is printable ASCII and reads back, whatever text is in it (seeded)', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((u) => String.fromCharCode(u)) }),
    )
    fc.assert(
      fc.property(text, (path) => {
        const line = auditLine({ ...EVENT, path })
        expect(line).toMatch(/^[\x20-\x7e]+\n$/)
        expect(JSON.parse(line)).toEqual({ ...EVENT, path })
      }),
      { seed: 32, numRuns: 5_000 },
    )
  })
})

describe('the audit schema', () => {
  it('takes the event and nothing beyond its fields', () => {
    expect(auditEventSchema.safeParse(EVENT).success).toBe(true)
    expect(auditEventSchema.safeParse({ ...EVENT, extra: 1 }).success).toBe(false)
    expect(auditEventSchema.safeParse({ ...EVENT, event: 'maybe' }).success).toBe(false)
    expect(auditEventSchema.safeParse({ ...EVENT, endedBy: 'whim' }).success).toBe(false)
  })

  it('knows four events and explains every field', () => {
    expect(AUDIT_EVENTS).toEqual(['allow', 'deny', 'would_deny', 'error'])
    const unexplained = Object.entries(auditEventSchema.shape).filter(([, schema]) => schema.description === undefined)
    expect(unexplained.map(([name]) => name)).toEqual([])
  })
})
