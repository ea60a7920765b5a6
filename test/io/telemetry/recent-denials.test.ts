import { describe, expect, it } from 'vitest'
import { RecentDenials } from '../../../src/io/telemetry/recent-denials.ts'

const row = (host: string, client = '10.0.0.1') => ({
  host,
  port: 443,
  reason: 'host_not_listed',
  verdict: 'deny',
  client,
  hint: `list ${host}`,
})

describe('recent denials', () => {
  it('are one row per host, port, reason, verdict and client, with first, last and count', () => {
    const denials = new RecentDenials()
    denials.add(row('a.test'), '1')
    denials.add(row('b.test'), '2')
    denials.add(row('a.test'), '3')
    denials.add(row('a.test', '10.0.0.2'), '4')
    denials.add({ ...row('a.test'), port: 80 }, '5')
    denials.add({ ...row('a.test'), reason: 'port_not_listed' }, '6')
    denials.add({ ...row('a.test'), verdict: 'would_deny' }, '7')
    expect(denials.list().map(({ firstSeen, lastSeen, count }) => [firstSeen, lastSeen, count])).toEqual([
      ['7', '7', 1],
      ['6', '6', 1],
      ['5', '5', 1],
      ['4', '4', 1],
      ['1', '3', 2],
      ['2', '2', 1],
    ])
  })

  it('keep a thousand rows: the one that was refused longest ago makes way', () => {
    const denials = new RecentDenials()
    for (let i = 0; i < 1_000; i++) denials.add(row(`h${i}.test`), String(i))
    denials.add(row('h0.test'), 'again')
    for (let i = 0; i < 5_000; i++) denials.add(row(`flood${i}.test`), 'flood')
    expect(denials.list()).toHaveLength(1_000)
    expect(denials.list().some(({ host }) => host === 'h0.test')).toBe(false)
    const small = new RecentDenials()
    for (let i = 0; i < 1_000; i++) small.add(row(`h${i}.test`), String(i))
    small.add(row('h0.test'), 'again')
    small.add(row('new.test'), 'new')
    expect(small.list().map(({ host }) => host)).toContain('h0.test')
    expect(small.list().map(({ host }) => host)).not.toContain('h1.test')
  })

  it('cannot be confused by what stands in them', () => {
    const denials = new RecentDenials()
    denials.add({ ...row('a'), client: '1","2' }, '1')
    denials.add({ ...row('a","1'), client: '2' }, '2')
    expect(denials.list()).toHaveLength(2)
  })
})
