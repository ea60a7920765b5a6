import { describe, expect, it } from 'vitest'
import type { DenialRecord } from '../../../src/core/audit-record.ts'
import { DeniedDestinations } from '../../../src/core/policy/denied-destinations.ts'
import { authorityOf } from '../../support/policy.ts'

function denial(target: string, more: Partial<DenialRecord> = {}): DenialRecord {
  return {
    time: '2026-11-22T08:00:00.000Z',
    verdict: 'deny',
    gateway: 'gw',
    reason: 'host_not_listed',
    client: '10.0.0.7',
    target: authorityOf(target),
    ...more,
  }
}

const hosts = (found: DeniedDestinations) => found.list().map(({ host, evidence }) => `${host.text} ${evidence.count}`)

describe('what a log amounts to', () => {
  it('is one row for a host and port, with how often, who and when', () => {
    const found = new DeniedDestinations()
    found.add(denial('a.test', { time: '2026-11-22T09:00:00.000Z' }))
    found.add(denial('a.test', { time: '2026-11-22T08:00:00.000Z', client: '10.0.0.8', verdict: 'would_deny' }))
    found.add(denial('a.test:8443'))
    expect(found.list()).toMatchObject([
      {
        host: { text: 'a.test' },
        port: 443,
        evidence: {
          count: 2,
          wouldDeny: 1,
          clients: ['10.0.0.7', '10.0.0.8'],
          moreClients: false,
          firstSeen: '2026-11-22T08:00:00.000Z',
          lastSeen: '2026-11-22T09:00:00.000Z',
        },
      },
      { port: 8443, evidence: { count: 1 } },
    ])
    expect(found.total.count).toBe(3)
  })

  it('counts what was refused before it had a target, by reason', () => {
    const { target: _, ...bare } = denial('a.test')
    const found = new DeniedDestinations()
    found.add({ ...bare, reason: 'client_not_allowed' })
    found.add({ ...bare, reason: undefined })
    expect([...found.withoutTarget().keys()]).toEqual(['client_not_allowed', 'unknown'])
    expect(found.list()).toEqual([])
  })

  it('keeps paths only where a rule judged one, and only so many', () => {
    const found = new DeniedDestinations({ requestsEach: 2 })
    const http = (path: string) => ({ method: 'GET', path })
    found.add(denial('a.test', { http: http('/not-judged') }))
    for (const path of ['/a', '/a', '/b', '/c', `/${'x'.repeat(600)}`])
      found.add(denial('a.test', { reason: 'path_not_listed', http: http(path) }))
    expect(found.list()).toMatchObject([
      {
        requests: [
          { path: '/a', count: 2 },
          { path: '/b', count: 1 },
        ],
        moreRequests: 2,
      },
    ])
  })

  it('keeps the first clients, and says that there were more', () => {
    const found = new DeniedDestinations({ clients: 2 })
    for (const client of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) found.add(denial('a.test', { client }))
    expect(found.list()).toMatchObject([{ evidence: { clients: ['10.0.0.1', '10.0.0.2'], moreClients: true } }])
  })

  it('forgets the rarest when there are too many, and tells how many', () => {
    const found = new DeniedDestinations({ destinations: 3 })
    for (const name of ['a', 'b', 'c', 'd', 'e']) found.add(denial(`${name}.test`))
    for (const name of ['d', 'e']) found.add(denial(`${name}.test`))
    found.add(denial('f.test'))
    expect(hosts(found)).toEqual(['d.test 2', 'e.test 2', 'a.test 1'])
    expect(found.forgotten).toEqual({ destinations: 3, requests: 3 })
    expect(found.total.count).toBe(8)
  })

  it('does not lose what is asked for all the time to a flood of new names', () => {
    const found = new DeniedDestinations({ destinations: 100 })
    for (let n = 0; n < 50_000; n++) {
      found.add(denial(`r${n}.flood.test`))
      if (n % 10 === 0) found.add(denial('wanted.test'))
    }
    const [first] = found.list()
    expect(first?.host.text).toBe('wanted.test')
    expect(first?.evidence.count).toBe(5_000)
    expect(found.list().length).toBeLessThan(200)
    const kept = found.list().reduce((sum, { evidence }) => sum + evidence.count, 0)
    expect(kept + found.forgotten.requests).toBe(55_000)
  })
})
