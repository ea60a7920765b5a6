import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAuditRecord } from '../../src/core/audit-record.ts'

const LINE = {
  time: '2026-11-22T08:00:00.000Z',
  id: 'x',
  event: 'deny',
  kind: 'connect',
  listener: 'proxy',
  client: '10.0.0.7',
  host: 'example.com',
  port: 443,
  reason: 'host_not_listed',
  gateway: 'gw',
  policyHash: 'p',
}

describe('a line of an audit log', () => {
  it('is read back as the denial it tells of', () => {
    expect(readAuditRecord(LINE)).toEqual({
      kind: 'denial',
      denial: {
        time: LINE.time,
        verdict: 'deny',
        gateway: 'gw',
        reason: 'host_not_listed',
        client: '10.0.0.7',
        target: { host: { kind: 'name', name: 'example.com', text: 'example.com' }, port: 443 },
      },
    })
  })

  it('is read without the query of a path', () => {
    expect(readAuditRecord({ ...LINE, method: 'GET', path: '/a?b' })).toMatchObject({
      denial: { http: { method: 'GET', path: '/a' } },
    })
  })

  const read: readonly (readonly [string, object, object])[] = [
    ['an allow', { event: 'allow' }, { kind: 'other', verdict: 'allow' }],
    ['a would-be denial', { event: 'would_deny' }, { denial: { verdict: 'would_deny' } }],
    [
      'an IPv6 address, which stands without brackets',
      { host: '2001:db8::1' },
      { denial: { target: { host: { text: '2001:db8::1' } } } },
    ],
    ['a reason of a later version', { reason: 'moon_phase' }, { denial: { reason: undefined } }],
    ['a field of a later version', { moon: 'full' }, { kind: 'denial' }],
    ['no client', { client: undefined }, { kind: 'denial' }],
    ['no target', { host: undefined, port: undefined }, { kind: 'denial' }],
    ['a client that floods', { client: 'x'.repeat(10_000) }, { kind: 'denial' }],
  ]
  for (const [what, change, expected] of read)
    it(`is read with ${what}`, () => expect(readAuditRecord({ ...LINE, ...change })).toMatchObject(expected))

  const foreign: readonly (readonly [string, unknown])[] = [
    ['nothing', null],
    ['a number', 7],
    ['a list', [LINE]],
    ['a line of another log', { level: 30, time: 1, msg: 'listening' }],
    ['an event that there is not', { ...LINE, event: 'denied' }],
    ['a time that does not sort', { ...LINE, time: '22 Nov 2026' }],
    ['a host that is none', { ...LINE, host: 'a b' }],
    ['a host that would write YAML', { ...LINE, host: 'x" ]\n- name: evil' }],
    ['a host without a port', { ...LINE, port: undefined }],
    ['port 0', { ...LINE, port: 0 }],
    ['a port with a fraction', { ...LINE, port: 443.5 }],
    ['a reason of the prototype', { ...LINE, event: 'toString' }],
  ]
  for (const [what, value] of foreign)
    it(`is not taken from ${what}`, () => expect(readAuditRecord(value)).toEqual({ kind: 'foreign' }))

  it('is never an exception, whatever JSON it is (seeded)', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.dictionary(fc.constantFrom(...Object.keys(LINE)), fc.jsonValue()), (value, change) => {
        readAuditRecord(value)
        readAuditRecord({ ...LINE, ...change })
      }),
      { seed: 6, numRuns: 2_000 },
    )
  })
})
